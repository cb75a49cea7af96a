"""What a node is seen to have comes from ip and from resolv.conf, and nothing else in them matters."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.netfilter.hostfacts import IpOutput, host_of, observe, observe_host, servers_of
from adapters.system.process import FinishedProcess, ScriptedRunner
from engine.errors import Refused


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
        lambda _words, _stdin: FinishedProcess(
            0, '[{"ifname": "lo"}, {"ifname": "eth1", "mtu": 9000}, {"ifname": "eth0"}]'
        )
    )

    seen = observe("n1", runner, "no-such-namespace")

    assert (seen.interfaces, seen.resolvers) == (("eth0", "eth1", "lo"), ())


ADDRESSES = '[{"ifname": "lo"}, {"ifname": "eth0", "addr_info": [{"local": "192.0.2.1", "prefixlen": 24}]}, {}]'
ROUTES = (
    '[{"dst": "default", "nexthops": [{"dev": "eth1"}, {"dev": "eth2"}]}, {"type": "blackhole", "dst": "10.0.0.0/8"}]'
)
ROUTES6 = '[{"dst": "default", "dev": "eth6"}]'


def test_a_host_has_its_addresses_and_routes() -> None:
    """Addresses and routes come from ip; a route that refuses its packets leads nowhere."""
    printed = {"address": ADDRESSES, "-4": ROUTES, "-6": ROUTES6}
    runner = ScriptedRunner(
        lambda words, _stdin: FinishedProcess(0, next(text for word, text in printed.items() if word in words))
    )

    host = observe_host(runner)

    ways = [
        host.route_interface(ip_address(text))
        for text in ("192.0.2.1", "192.0.2.7", "8.8.8.8", "10.1.1.1", "2001:db8::1")
    ]
    assert ways == ["lo", "eth0", "eth1", "", "eth6"]


@pytest.mark.parametrize("text", ["", "{}", '[{"dev": "eth0"}]', '[{"dst": "192.0.2.1/24"}]', '[{"dst": 7}]'])
def test_routes_that_ip_does_not_print_are_refused(text: str) -> None:
    """A text that is no list of routes is refused by its source, in one line."""
    with pytest.raises(Refused, match=r"routes\.json"):
        host_of(IpOutput("[]", "addresses.json"), IpOutput(text, "routes.json"))


@pytest.mark.parametrize("length", [-1, 33, 10**30])
def test_prefix_length_out_of_range_is_refused(length: int) -> None:
    """By its source, as other text that ip does not print."""
    text = f'[{{"ifname":"eth0","addr_info":[{{"local":"192.0.2.1","prefixlen":{length}}}]}}]'
    with pytest.raises(Refused, match="FILE"):
        host_of(IpOutput(text, "FILE"))
