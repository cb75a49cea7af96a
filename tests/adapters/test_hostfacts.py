"""What a node is seen to have comes from ip and from resolv.conf, and nothing else in them matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hostfacts import observe, servers_of
from adapters.process import Finished, ScriptedRunner


@pytest.mark.parametrize(
    "text, expected",
    [
        ("nameserver 10.0.0.53\nnameserver fd00::53\n", ("10.0.0.53", "fd00::53")),
        ("nameserver 127.0.0.53\noptions edns0\nsearch example.com\n", ()),
        ("# nameserver 10.0.0.1\n; nameserver 10.0.0.2\nnameserver\tfe80::1%eth0 # the router\n", ("fe80::1",)),
        ("nameserver 10.0.0.1\n" * 2 + "nameserver 10.0.0.2\nnameserver 10.0.0.3\n", ("10.0.0.1", "10.0.0.2")),
        ("nameserver not-an-address\nnameserver\n\0\n", ()),
    ],
)
def test_servers_of_a_resolv_conf(text: str, expected: tuple[str, ...]) -> None:
    """Servers are the first three that are named, without zones, repetitions, garbage and this machine itself."""
    assert servers_of(text) == expected


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever stands in a resolv.conf, at most three servers come out."""
    assert len(servers_of(text)) <= 3


def test_interfaces_are_sorted_by_name() -> None:
    """Interfaces come in an order that does not depend on the kernel's."""
    runner = ScriptedRunner(
        lambda _words, _stdin: Finished(0, '[{"ifname": "lo"}, {"ifname": "eth1", "mtu": 9000}, {"ifname": "eth0"}]')
    )

    seen = observe("n1", runner, "no-such-namespace")

    assert (seen.interfaces, seen.resolvers) == (("eth0", "eth1", "lo"), ())
