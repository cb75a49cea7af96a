"""What rules make of sets: they add, delete, and take marks from there."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.model import Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from simulator.netfilter import Verdict, Walker
from tests.support.rulesets.set_rules import MAC, Rules, seen

CHANGES = "-p udp -m udp --dport 1 -j SET --add-set s {0}", "-p udp -m udp --dport 2 -j SET --del-set s {0}"
LOOK = "-p udp -m udp --dport 3 -m set --match-set s {0} -j DROP"


@pytest.mark.parametrize(
    "create,sides",
    [
        ("hash:ip", "src"),
        ("hash:ip netmask 24", "src"),
        ("hash:net", "src"),
        ("hash:ip,mark", "src,src"),
        ("hash:net,net", "src,dst"),
        ("hash:ip,port", "src,src"),
        ("hash:net,port,net", "src,src,dst"),
        ("hash:net,iface", "src,src"),
        ("hash:mac", "src"),
        ("bitmap:ip range 10.0.0.0/24", "src"),
        ("bitmap:ip,mac range 10.0.0.0/24", "src,src"),
        ("bitmap:port range 1-65535", "src"),
    ],
)
def test_rules_add_and_delete(create: str, sides: str) -> None:
    """What a rule adds to a set of any type later packets find, until a rule deletes it."""
    rules = Rules(f"create s {create}\n", *(line.format(sides) for line in (*CHANGES, LOOK)))
    words = f"proto=udp sport=9 mac={MAC} dport="
    assert [rules.drops(f"{words}{port}") for port in (3, 1, 3, 2, 3)] == [False, False, True, False, False]


def test_networks_are_added_by_the_longest_prefix_there_is() -> None:
    """A rule adds the network of the longest prefix length that the set has, and an exception stays one."""
    sets = "create s hash:net\nadd s 192.0.2.0/24\nadd s 10.0.7.0/24 nomatch\n"
    rules = Rules(sets, *(line.format("src") for line in (*CHANGES, LOOK)))
    rules.drops("proto=udp sport=9 dport=1 src=10.0.0.1")
    rules.drops("proto=udp sport=9 dport=1 src=10.0.7.1")
    found = [rules.drops(f"proto=udp sport=9 dport=3 src={a}") for a in ("10.0.0.77", "10.0.1.1", "10.0.7.1")]
    assert found == [True, False, False]


def test_what_is_there_is_added_over_only_if_asked() -> None:
    """``--exist`` gives a member a new timeout, and takes from it that it was an exception."""
    sets = "create s hash:net timeout 60\nadd s 10.0.0.1 nomatch timeout 5\n"
    for option, found in (("", [False, False]), (" --exist", [True, True]), (" --exist --timeout 2", [True, False])):
        rules = Rules(sets, CHANGES[0].format("src") + option, LOOK.format("src"))
        rules.drops("proto=udp sport=9 dport=1", at=0.0)
        assert [rules.drops("proto=udp sport=9 dport=3", at=at) for at in (1.0, 9.0)] == found


def test_a_full_set_takes_no_more_until_members_expire() -> None:
    """A set holds ``maxelem`` members; which one goes from a full set with ``forceadd`` is the kernel's choice."""
    look = LOOK.format("src")
    rules = Rules("create s hash:ip maxelem 1 timeout 5\nadd s 10.0.0.9\n", CHANGES[0].format("src"), look)
    found = []
    for at in (0.0, 6.0):
        rules.drops("proto=udp sport=9 dport=1", at=at)
        found.append(rules.drops("proto=udp sport=9 dport=3", at=at))
    assert found == [False, True]
    rules = Rules("create s hash:ip maxelem 1 forceadd\nadd s 10.0.0.9\n", CHANGES[0].format("src"))
    (assumed,) = rules.answer(seen("proto=udp sport=9 dport=1")).assumptions
    assert "is full" in assumed


def test_a_list_passes_changes_on_to_the_first_set_that_takes_them() -> None:
    """A rule adds to the first set of a list that lacks the packet, and deletes from the first that has it."""
    sets = "create a hash:ip\nadd a 10.0.0.1\ncreate b hash:ip\ncreate s list:set\nadd s a\nadd s b\n"
    look = "-p udp -m udp --dport 3 -m set --match-set b src -j DROP"
    rules = Rules(sets, *(line.format("src") for line in CHANGES), look)
    words = "proto=udp sport=9 dport="
    assert [rules.drops(f"{words}{port}") for port in (3, 1, 3, 2, 3, 2, 3)] == [
        False,
        False,
        True,
        False,
        True,
        False,
        False,
    ]


def test_what_waits_for_a_mac_address_is_deleted_but_not_found() -> None:
    """A rule deletes such a member, yet of a list it goes on to the next set, as the member's time seems over."""
    for timeout, both in (("5", True), ("0", False)):
        sets = f"create a bitmap:ip,mac range 10.0.0.0/24 timeout 0\nadd a 10.0.0.1 timeout {timeout}\n"
        sets += "create b hash:ip\nadd b 10.0.0.1\ncreate s list:set\nadd s a\nadd s b\n"
        looks = (
            f"-p udp -m udp --dport {port} -m set --match-set {name} src,src -j DROP"
            for port, name in ((3, "a"), (4, "b"))
        )
        rules = Rules(sets, CHANGES[1].format("src,src"), *looks)
        words = f"proto=udp sport=9 mac={MAC} dport="
        assert [rules.drops(f"{words}{port}") for port in (2, 3, 4)] == [False, False, not both]


def test_a_packet_gives_its_mac_address_to_a_member_without_one() -> None:
    """The first packet from an address settles whose MAC address belongs to it; its timeout runs from then on."""
    rules = Rules(
        "create s bitmap:ip,mac range 10.0.0.0/24 timeout 9\nadd s 10.0.0.1 timeout 5\n",
        "-m set --match-set s src,src -j DROP",
    )
    assert not rules.drops("src=10.0.0.3 mac=02:00:00:00:00:09", at=0.0)
    assert rules.drops(f"mac={MAC}", at=100.0)
    assert not rules.drops("mac=02:00:00:00:00:09", at=101.0)
    assert [rules.drops(f"mac={MAC}", at=at) for at in (105.0, 105.1)] == [True, False]


def test_a_set_gives_packets_its_mark() -> None:
    """``--map-set --map-mark`` sets the bits of the member's mask; where nothing is found the mark stays."""
    tables = parse_tables(
        "*mangle\n:INPUT ACCEPT\n-A INPUT -j SET --map-set s src --map-mark\nCOMMIT\n"
        "*filter\n:INPUT ACCEPT\n-A INPUT -m mark --mark 0x25 -j DROP\nCOMMIT\n"
    )
    for member, mark, dropped in (("10.0.0.1", "0x28", True), ("10.0.0.3", "0x28", False), ("10.0.0.1", "0x48", False)):
        sets = parse_sets(f"create s hash:ip skbinfo\nadd s {member} skbmark 0x5/0xf\n")
        answer = Walker(Ruleset(tables, (), sets)).verdict(seen(f"mark={mark}"), Hook.INPUT)
        assert (answer.verdict is Verdict.DROP) is dropped


def test_changes_that_cannot_be_known_are_named() -> None:
    """What a rule adds by something that the packet does not tell is an assumption, as is a target not understood."""
    for rule, told in (("--add-set s src,src", "cannot be known"), ("--del-set s any", "not understood")):
        rules = Rules("create s bitmap:ip,mac range 10.0.0.0/24\n", f"-j SET {rule}")
        (assumed,) = rules.answer(seen()).assumptions
        assert told in assumed


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.integers(0, 3)), max_size=12))
def test_a_set_follows_a_plain_one(steps: list[tuple[int, int]]) -> None:
    """Rules that add, delete and look make of a set what the same does of a set in Python."""
    plain: set[int] = set()
    rules = Rules("create s hash:ip\n", *(line.format("src") for line in (*CHANGES, LOOK)))
    for port, number in steps:
        dropped = rules.drops(f"src={ip_address('10.0.0.1') + number} proto=udp sport=9 dport={port}")
        assert dropped is (port == 3 and number in plain)
        if port == 1:
            plain.add(number)
        elif port == 2:
            plain.discard(number)
