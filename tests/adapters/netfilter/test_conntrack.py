"""Entries of the connection table are read as conntrack prints them, and each is named by words that mean no other."""

from ipaddress import ip_address

import pytest

from adapters.netfilter.conntrack import ConnectionTable, parsed
from adapters.system.process import FinishedProcess, ScriptedRunner
from engine.compiler import compile_rules
from engine.errors import KernelRefused
from engine.policy.completed_rules import Direction, Protocol, Traffic
from simulator.analysis.stale_connections import TrackedFlow, no_longer_admitted
from tests.support.rulesets.ruleset_builders import completed

TEXT = """\
ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=203.0.113.1 sport=40000 dport=443 src=192.0.2.1 dst=10.0.0.9 sport=8443 dport=40000 [ASSURED] mark=0 use=1
ipv4     2 udp      17 29 src=192.0.2.1 dst=10.0.0.53 sport=5000 dport=53 [UNREPLIED] src=10.0.0.53 dst=192.0.2.1 sport=53 dport=5000 mark=7 zone=3 use=1
ipv4     2 icmp     1 29 src=10.0.0.9 dst=192.0.2.1 type=8 code=0 id=77 src=192.0.2.1 dst=10.0.0.9 type=0 code=0 id=77 mark=0 use=1
ipv4     2 unknown  47 599 src=10.0.0.9 dst=192.0.2.1 src=192.0.2.1 dst=10.0.0.9 mark=0 use=1
something else
"""
A, B, C, D = (ip_address(text) for text in ("10.0.0.9", "203.0.113.1", "192.0.2.1", "10.0.0.53"))
NATTED = TrackedFlow(6, A, B, C, A, 40000, 443, 8443)
OUTWARD = TrackedFlow(17, C, D, D, C, 5000, 53, 53, zone=3)
ECHO = TrackedFlow(1, A, C, C, A, icmp=(8, 0, 77))
TUNNEL = TrackedFlow(47, A, C, C, A)


def test_entries_are_read_with_both_directions() -> None:
    """Both directions, ICMP and zones are read; what is no entry is passed over."""
    assert tuple(parsed(TEXT)) == (NATTED, OUTWARD, ECHO, TUNNEL)


def test_an_entry_is_deleted_by_words_that_mean_it_alone() -> None:
    """Addresses of both directions, ports or ICMP fields, and the zone are given."""
    runner = ScriptedRunner()
    assert ConnectionTable(runner).forget([OUTWARD, ECHO]) == 2
    assert [" ".join(ran.words) for ran in runner.ran] == [
        "conntrack -D -f ipv4 -p udp -s 192.0.2.1 -d 10.0.0.53 -r 10.0.0.53 -q 192.0.2.1 --sport 5000 --dport 53 -w 3",
        (
            "conntrack -D -f ipv4 -p icmp -s 10.0.0.9 -d 192.0.2.1 -r 192.0.2.1 -q 10.0.0.9 "
            "--icmp-type 8 --icmp-code 0 --icmp-id 77 -w 0"
        ),
    ]


def test_an_entry_that_ended_meanwhile_does_not_count() -> None:
    """Nothing to delete is no error; anything else is."""
    ended = FinishedProcess(1, "", "conntrack v1.4.7: 0 flow entries have been deleted.")
    assert ConnectionTable(ScriptedRunner(lambda _words, _stdin: ended)).forget([ECHO]) == 0
    with pytest.raises(KernelRefused):
        ConnectionTable(ScriptedRunner(lambda _words, _stdin: FinishedProcess(1, "", "no such protocol"))).forget(
            [ECHO]
        )


def test_flows_are_judged_as_the_filter_table_saw_their_first_packet() -> None:
    """Destinations count as rewritten; forwarded and local flows, and those with no way to them, are not judged."""
    rules = compile_rules(
        [
            completed("in", services=(Traffic(Protocol.TCP, (8443, 8443)),)),
            completed("out", "10.0.0.53/32", direction=Direction.EGRESS),
        ]
    )
    flows = (NATTED, OUTWARD, ECHO, TUNNEL)

    assert no_longer_admitted(flows, rules, {C}, lambda _: "eth0") == (NATTED, OUTWARD)
    assert no_longer_admitted(flows, rules, {C}, lambda _: "") == ()
    assert no_longer_admitted(flows, rules, {A, B, C, D}, lambda _: "lo") == ()
    assert no_longer_admitted(flows, rules, set(), lambda _: "eth0") == ()
