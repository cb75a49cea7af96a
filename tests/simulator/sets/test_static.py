"""Sets of every type: what they hold, what rules make of them, and what is wrong with them."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Refused
from engine.rulesets.model import Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables, render_sets
from simulator.netfilter import Verdict, Walker
from simulator.packets import Packet
from simulator.sets import read_set
from simulator.sets.set_types import KINDS
from tests.support.rulesets.set_rules import MAC, Rules, seen


def held(create: str, members: Sequence[str], sides: str, words: str) -> bool:
    """Return whether a set holds a packet; that a negated match says the opposite is asserted."""
    sets = f"create s {create}\n" + "".join(f"add s {member}\n" for member in members)
    found = Rules(sets, f"-m set --match-set s {sides} -j DROP").drops(words)
    assert Rules(sets, f"-m set ! --match-set s {sides} -j DROP").drops(words) is not found
    return found


V6 = "src=fd00::1 dst=fd00::2"
HELD = [
    ("bitmap:ip range 10.0.0.0/24", ["10.0.0.1-10.0.0.3"], "src", "", True),
    ("bitmap:ip range 10.0.0.0/24", ["10.0.0.1"], "src", "src=10.0.1.1", False),
    ("bitmap:ip range 10.0.0.0/24 netmask 30", ["10.0.0.0"], "src", "", True),
    ("bitmap:ip,mac range 10.0.0.0-10.0.0.9", [f"10.0.0.1,{MAC}"], "src,src", f"mac={MAC}", True),
    ("bitmap:ip,mac range 10.0.0.0-10.0.0.9", [f"10.0.0.1,{MAC}"], "src,src", "mac=02:00:00:00:00:02", False),
    ("bitmap:ip,mac range 10.0.0.0-10.0.0.9", ["10.0.0.1"], "src,src", "mac=02:00:00:00:00:02", True),
    ("bitmap:ip,mac range 10.0.0.0-10.0.0.9", ["10.0.0.1"], "src,src", "mac=00:00:00:00:00:00", False),
    ("bitmap:port range 0-1024", ["20-22"], "dst", "", True),
    ("bitmap:port range 0-1024", ["22"], "dst", "proto=udp", True),
    ("bitmap:port range 0-1024", ["22"], "dst", "proto=sctp", False),
    ("hash:ip", ["10.0.0.0/31"], "src", "", True),
    ("hash:ip", ["10.0.0.1"], "dst", "", False),
    ("hash:ip netmask 8", ["10.9.9.9"], "dst", "", True),
    ("hash:ip bitmask 0.0.0.255", ["1.2.3.1"], "src", "", True),
    ("hash:ip bitmask 0.0.0.255", [], "src", "src=10.0.0.0", False),
    ("hash:mac", [MAC], "src", f"mac={MAC}", True),
    ("hash:mac", [MAC], "src", "mac=00:00:00:00:00:00", False),
    ("hash:ip,mac", [f"10.0.0.1,{MAC}"], "src,src", f"mac={MAC.upper()}", True),
    ("hash:ip,mac", [f"10.0.0.2,{MAC}"], "src,src", f"mac={MAC}", False),
    ("hash:net", ["10.0.0.0/8", "10.0.0.0/24 nomatch"], "src", "", False),
    ("hash:net", ["10.0.0.1-10.0.0.6"], "src", "src=10.0.0.6", True),
    ("hash:net,net", ["10.0.0.0/24,10.0.0.2"], "src,dst", "", True),
    ("hash:net,net", ["10.0.0.1,10.0.0.0/8 nomatch", "10.0.0.0/24,10.0.0.2"], "src,dst", "", False),
    ("hash:net,net", ["10.0.0.1,10.0.0.0/8", "10.0.0.1,10.0.0.0/24 nomatch"], "src,dst", "", False),
    ("hash:net,net family inet6 bitmask ::1", ["::/1,::2/128"], "src,src", V6, False),
    ("hash:ip,port", ["10.0.0.1,22"], "src,dst", "", True),
    ("hash:ip,port", ["10.0.0.1,udp:22"], "src,dst", "", False),
    ("hash:ip,port", ["10.0.0.1,tcp:20-23"], "src,dst", "", True),
    ("hash:ip,port", ["10.0.0.1,tcp:40000"], "src,src", "", True),
    ("hash:ip,port", ["10.0.0.1,icmp:echo-request"], "src,dst", "proto=icmp icmp=8/0", True),
    ("hash:ip,port", ["10.0.0.1,icmp:8/1"], "src,dst", "proto=icmp icmp=8/0", False),
    ("hash:ip,port", ["10.0.0.1,icmp:TOS-host-redirect"], "src,dst", "proto=icmp icmp=5/3", True),
    ("hash:ip,port", ["10.0.0.1,gre:0"], "src,dst", "proto=47", True),
    ("hash:ip,port", ["10.0.0.1,st:0"], "src,dst", "proto=5", True),
    ("hash:ip,port", ["10.0.0.1,dccp:0"], "src,dst", "proto=dccp sport=1 dport=22", True),
    ("hash:ip,port", ["10.0.0.1,gre:0"], "src", "proto=47", False),
    ("hash:ip,port family inet6", ["fd00::1,icmpv6:128/0"], "src,dst", f"{V6} proto=icmpv6 icmp=128/0", True),
    ("hash:net,port", ["10.0.0.0/24,tcp:22", "10.0.0.0/30,tcp:22 nomatch"], "src,dst", "", False),
    ("hash:net,port", ["10.0.0.0/24,tcp:22", "10.0.0.0/30,tcp:23 nomatch"], "src,dst", "", True),
    ("hash:ip,port,ip", ["10.0.0.1,tcp:22,10.0.0.2"], "src,dst,dst", "", True),
    ("hash:ip,port,ip", ["10.0.0.1,tcp:22,10.0.0.2"], "src,dst,src", "", False),
    ("hash:ip,port,net", ["10.0.0.1,tcp:22,10.0.0.0/8"], "src,dst,dst", "", True),
    ("hash:net,port,net", ["0.0.0.0/0,tcp:22,0.0.0.0/0"], "src,dst,dst", "", True),
    ("hash:net,port,net", ["0.0.0.0/0,22,0.0.0.0/0", "10.0.0.1,22,0.0.0.0/0 nomatch"], "src,dst,dst", "", False),
    ("hash:ip,mark", ["10.0.0.1,0x5"], "src,dst", "mark=5", True),
    ("hash:ip,mark markmask 0xff", ["10.0.0.1,0x105"], "src,dst", "mark=0x205", True),
    ("hash:ip,mark", ["10.0.0.1,0x5"], "src,dst", "mark=6", False),
    ("hash:net,iface", ["0.0.0.0/0,eth0"], "src,src", "", True),
    ("hash:net,iface", ["0.0.0.0/0,eth0"], "src,dst", "", False),
    ("hash:net,iface", ["0.0.0.0/0,eth wildcard"], "src,src", "", True),
    ("hash:net,iface", ["0.0.0.0/0,eth"], "src,src", "", False),
    ("hash:net,iface", ["0.0.0.0/0,physdev:eth0"], "src,src", "", False),
    ("hash:net,iface", ["0.0.0.0/0,eth0", "10.0.0.0/8,eth1"], "src,src", "", False),
    ("hash:net,iface", ["0.0.0.0/0,eth0", "10.0.0.0/8,physdev:eth1"], "src,src", "", True),
    ("hash:net,iface", ["10.0.0.0/8,eth wildcard nomatch", "10.0.0.0/8,eth0"], "src,src", "", False),
    ("hash:ip family inet6", ["fd00::1"], "src", V6, True),
]


@pytest.mark.parametrize("create,members,sides,words,wanted", HELD)
def test_a_set_holds_what_its_type_says(
    create: str, members: list[str], sides: str, words: str, *, wanted: bool
) -> None:
    """Each type looks at its own dimensions by the sides of the rule, the most specific member first."""
    assert held(create, members, sides, words) is wanted


def test_every_type_has_an_example() -> None:
    """No type goes without one above, but for lists."""
    assert {create.split()[0] for create, *_ in HELD} == KINDS.keys() - {"list:set"}


def test_a_set_of_the_other_family_holds_nothing() -> None:
    """A set of the other family holds no packet, but types without addresses hold those of both."""
    sets = "create s hash:ip family inet6\nadd s ::1\ncreate p bitmap:port range 1-99\nadd p 22\n"
    tables = "*filter\n:INPUT ACCEPT\n-A INPUT -m set --match-set {} dst -j DROP\nCOMMIT\n"
    for name, dropped in (("s", False), ("p", True)):
        walker = Walker(Ruleset(parse_tables(tables.format(name)), (), parse_sets(sets)))
        assert (walker.verdict(seen(), Hook.INPUT).verdict is Verdict.DROP) is dropped


@pytest.mark.parametrize(
    "create,sides,found",
    [
        ("hash:ip,port", "src,src", replace(seen(), sport=None)),
        ("hash:ip,port", "src,dst", replace(seen("proto=icmp icmp=8/0"), icmp=None)),
        ("hash:net,iface", "src,src", replace(seen(), in_interface="")),
        ("bitmap:ip,mac range 10.0.0.0/24", "src,src", seen()),
        ("hash:mac", "dst", seen(f"mac={MAC}")),
        ("hash:vlan", "src", seen()),
        ("hash:ip size-of-things 5", "src", seen()),
    ],
)
def test_what_a_packet_does_not_tell_is_not_guessed(create: str, sides: str, found: Packet) -> None:
    """A set with a dimension that the packet leaves open, or one that is not modelled, is an assumption."""
    rules = Rules(f"create s {create}\n", f"-m set --match-set s {sides} -j DROP")
    assert any("assumed not to match" in what for what in rules.answer(found).assumptions)


def test_what_loops_back_has_no_mac_address() -> None:
    """The loopback interface gives packets zeroes for MAC addresses, which no set holds."""
    rules = Rules("create s hash:mac\n", "-m set ! --match-set s src -j DROP")
    assert rules.answer(replace(seen(), in_interface="lo")).verdict is Verdict.DROP


def test_fragments_and_cut_headers_have_no_port() -> None:
    """A later fragment is in no set with ports, nor is a packet that ends inside its header."""
    rules = Rules("create s hash:ip,port\nadd s 10.0.0.1,udp:22\n", "-m set ! --match-set s src,dst -j DROP")
    whole = seen("proto=udp")
    short = bytes.fromhex("45000018000000004011 0000 0a000001 0a000002 9c400016")
    assert rules.answer(whole).verdict is Verdict.ACCEPT
    assert rules.answer(replace(whole, fragment=True, sport=None, dport=None)).verdict is Verdict.DROP
    assert rules.answer(replace(whole, wire=short, length=24)).verdict is Verdict.DROP
    assert rules.answer(replace(whole, wire=short, length=99)).verdict is Verdict.ACCEPT  # only the capture cut it


@pytest.mark.parametrize(
    "words,wanted",
    [
        ("--match-set s src", [True, False, True]),
        ("--match-set s src --return-nomatch", [False, True, False]),
        ("--match-set l src", [True, True, True]),
        ("--match-set l src --return-nomatch", [False, True, True]),
        ("--match-set s src,dst", [True, False, True]),
    ],
)
def test_exceptions_and_lists(words: str, wanted: list[bool]) -> None:
    """``--return-nomatch`` turns members and exceptions round, in a list set by set."""
    sets = (
        "create s hash:net\nadd s 10.0.0.0/8\nadd s 10.0.0.0/24 nomatch\nadd s 10.0.0.1\n"
        "create h hash:ip\nadd h 10.0.0.9\nadd h 10.9.0.1\ncreate l list:set\nadd l s\nadd l h\n"
    )
    rules = Rules(sets, f"-m set {words} -j DROP")
    found = [rules.drops(f"src={address}") for address in ("10.0.0.1", "10.0.0.9", "10.9.0.1")]
    assert found == wanted


def test_counters_are_compared_once_the_packet_is_counted() -> None:
    """A member counts its packets, and is found or not by their number; other sets have no counts to ask for."""
    sets = "create s hash:ip counters\nadd s 10.0.0.1 packets 1 bytes 100\n"
    rules = Rules(sets, "-m set --match-set s src --packets-gt 2 -j DROP")
    assert [rules.drops("len=40") for _ in range(2)] == [False, True]
    rules = Rules(sets, "-m set --match-set s src --bytes-eq 140 -j DROP")
    assert [rules.drops("len=40") for _ in range(2)] == [True, False]
    rules = Rules(sets, "-m set --match-set s src ! --update-counters ! --packets-eq 1 -j DROP")
    assert [rules.drops("len=40") for _ in range(2)] == [False, False]
    assert Rules("create s hash:ip\nadd s 10.0.0.1\n", "-m set --match-set s src --packets-gt 9 -j DROP").drops()


def test_bytes_of_unknown_lengths_are_not_guessed() -> None:
    """Once a packet of unknown length was counted, how many bytes there are cannot be known."""
    rules = Rules("create s hash:ip counters\nadd s 10.0.0.1\n", "-m set --match-set s src --bytes-gt 1 -j DROP")
    assert any("assumed not to match" in what for what in rules.answer(seen()).assumptions)


def test_a_list_has_counters_of_its_own() -> None:
    """A list asks its own counters, which count besides those of its sets; either can be left alone."""
    sets = "create s hash:ip counters\nadd s 10.0.0.1\ncreate l list:set counters\nadd l s\n"
    for options, inner, outer in (("", 1, 1), ("! --update-subcounters", 0, 1), ("! --update-counters", 0, 0)):
        for name, count in (("s", inner), ("l", outer)):
            ask = f"-m set --match-set {name} src ! --update-counters --packets-eq {count} -j DROP"
            rules = Rules(sets, f"-m set --match-set l src {options}", ask)
            assert rules.drops("len=40"), (options, name)


def test_members_expire_as_packets_tell_time() -> None:
    """A member with a timeout is gone when packets say so; where they tell no time, none passes."""
    rules = Rules(
        "create s hash:ip timeout 60\nadd s 10.0.0.1 timeout 10\nadd s 10.0.0.3 timeout 0\n",
        "-m set --match-set s src -j DROP",
    )
    assert [rules.drops(at=at) for at in (100.0, 110.0, 110.5)] == [True, True, False]
    assert rules.drops("src=10.0.0.3", at=999.0)
    rules = Rules("create s hash:ip timeout 60\nadd s 10.0.0.1 timeout 10\n", "-m set --match-set s src -j DROP")
    assert [rules.drops() for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    "sets,rule,told",
    [
        ("create t hash:ip\n", "-m set --match-set s src", 'lacks set "s"'),
        ("create t hash:ip\n", "-j SET --add-set s src", 'lacks set "s"'),
        ("create s list:set\nadd s t\n", "-m set --match-set s src", 'list "s" names set "t", which the dump lacks'),
        ("create s list:set\nadd s t\ncreate t list:set\n", "-m set --match-set s src", 'list "s" names list "t"'),
        ("create s hash:ip\nadd s fd00::1\n", "-m set --match-set s src", 'found member "fd00::1"'),
        ("create s hash:ip\nadd s 10.0.0.1,80\n", "-m set --match-set s src", 'found member "10.0.0.1,80"'),
        ("create s hash:ip,port\nadd s 10.0.0.1,tcp:http\n", "-m set --match-set s src,src", "found member"),
        ("create s hash:net,iface\nadd s 10.0.0.1,physdev:\n", "-m set --match-set s src,src", "found member"),
        ("create s hash:mac\nadd s 1:2:3\n", "-m set --match-set s src", 'found member "1:2:3"'),
        ("create s hash:ip maxelem 4\nadd s 10.0.0.0/29\n", "-m set --match-set s src", "no more than 4 members"),
        ("create s hash:ip\nadd s 10.0.0.0/2\n", "-m set --match-set s src", "no more than 65536 members"),
        ("create s hash:ip counters\nadd s 10.0.0.1 packets x\n", "-m set --match-set s src", "found member"),
        ("create s list:set\nadd s t before u\ncreate t hash:ip\n", "-m set --match-set s src", "found member"),
    ],
)
def test_faults_of_sets_are_named(sets: str, rule: str, told: str) -> None:
    """A set that is not there, and a member that cannot be, is a fault before the first packet."""
    with pytest.raises(Refused) as refused:
        Rules(sets, f"{rule} -j DROP" if "SET" not in rule else rule).answer(seen())
    assert told in str(refused.value)


NETS = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0A00001F),
    st.integers(26, 32),
)
ADDRESSES = st.integers(0x0A000000, 0x0A000021).map(IPv4Address)


@given(st.dictionaries(st.tuples(NETS, NETS), st.booleans(), max_size=6), ADDRESSES, ADDRESSES)
def test_of_pairs_of_networks_the_first_counts_most(
    pairs: dict[tuple[IPv4Network, IPv4Network], bool], src: IPv4Address, dst: IPv4Address
) -> None:
    """Of pairs that hold a packet the one with the longest first prefix decides, then the longest second."""
    members = "".join(f"add s {a},{b}{' nomatch' * exempt}\n" for (a, b), exempt in pairs.items())
    fitting = [pair for pair in pairs if src in pair[0] and dst in pair[1]]
    best = max(fitting, key=lambda pair: (pair[0].prefixlen, pair[1].prefixlen), default=None)
    rules = Rules(f"create s hash:net,net\n{members}", "-m set --match-set s src,dst -j DROP")
    assert rules.drops(f"src={src} dst={dst}") is (best is not None and not pairs[best])


@given(ADDRESSES, ADDRESSES, ADDRESSES, st.integers(24, 32))
def test_a_range_of_addresses_is_all_between(
    low: IPv4Address, high: IPv4Address, seen: IPv4Address, prefix: int
) -> None:
    """A range holds its ends and all between, by the set's ``netmask``."""
    first, last = sorted((low, high))
    nets = {
        IPv4Network((int(address), prefix), strict=False)
        for address in map(IPv4Address, range(int(first), int(last) + 1))
    }
    found = held(f"hash:ip netmask {prefix}", [f"{low}-{high}"], "src", f"src={seen}")
    assert found is any(seen in net for net in nets)


@given(st.sampled_from(sorted({(create, tuple(members)) for create, members, *_ in HELD})))
def test_what_is_read_is_what_was_written(case: tuple[str, tuple[str, ...]]) -> None:
    """A set means the same once it was rendered and read again."""
    (item,) = parse_sets(f"create s {case[0]}\n" + "".join(f"add s {member}\n" for member in case[1]))
    assert parse_sets(render_sets((item,))) == (item,)
    assert read_set(item) == read_set(parse_sets(render_sets((item,)))[0])


def test_members_with_bits_outside_the_mask_are_named() -> None:
    """The kernel may have kept them whole, and then finds them never; an answer says what it takes them for."""
    sets = "create s hash:ip,port netmask 24\nadd s 10.0.0.3,tcp:22\n"
    answer = Rules(sets, "-m set --match-set s src,dst -j DROP").answer(seen())
    assert answer.verdict is Verdict.DROP
    assert "bits outside its mask" in answer.assumptions[0]


def test_icmp_is_read_by_its_number_in_either_family() -> None:
    """The kernel reads type and code where the protocol is ICMP's of the other family too, if there are bytes to read."""
    rules = Rules("create s hash:ip,port\nadd s 10.0.0.1,1:0\n", "-m set --match-set s src,dst -j DROP")
    assert not rules.drops("proto=icmp icmp=8/0")
    assert rules.drops("proto=icmp icmp=0/0")
    foreign = seen("proto=58")
    wire = bytes.fromhex("4500001c0000000040 3a 0000 0a000001 0a000002 8000000000000000")
    assert rules.answer(replace(foreign, wire=wire, length=28)).verdict is Verdict.ACCEPT
    assert any("assumed" in what for what in rules.answer(foreign).assumptions)
