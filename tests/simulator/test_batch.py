"""Batches of packets get the answers that single walks give."""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface, ip_network
from itertools import islice, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.desired import desired
from engine.errors import Refused
from engine.ruleset import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.batch import VERDICTS, Columns, Judge, answers, columns_of, columns_of_wires
from simulator.batch.stream import FEW
from simulator.netfilter import Walker
from simulator.netfilter.walk import TABLES
from simulator.packets import TCP_FLAGS, Connection, ConnState, Packet, from_wire, names, to_wire
from simulator.surroundings import Host, Route, Surroundings
from tests.aim import packets_of
from tests.dumps import NAMES, ruleset_of
from tests.rule_aim import Aim
from tests.rulesets import observed_rulesets
from tests.simulator.builders import filtering, match, packet
from tests.simulator.test_packets import packets as wire_packets
from tests.worlds import NODE, drawn

# Rulesets that ask about everything a packet has, around few values

_ADDRESSES = {Family.IPV4: 0x0A000000, Family.IPV6: 0xFD000000_00000000_00000000_00000000}
_EDGES = (0, 1, 7, 8, 9, 255, 256, 1 << 24)
_PORTS = (0, 1, 22, 23, 80, 1024, 65535)


def _address(family: Family, offset: int) -> IPv4Address | IPv6Address:
    number = _ADDRESSES[family] + offset
    return IPv4Address(number) if family is Family.IPV4 else IPv6Address(number)


def _special(family: Family) -> list[str]:
    if family is Family.IPV4:
        return ["0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255"]
    return [
        "::",
        "::1",
        "ff02::1",
        "fe80::1",
        "fd00:0:0:1::",
        "fd00:0:0:1::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ]


def addresses(family: Family) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    """Addresses at the edges of what rules name."""
    kind = IPv4Address if family is Family.IPV4 else IPv6Address
    near = st.sampled_from(_EDGES).map(lambda offset: _address(family, offset))
    return near | st.sampled_from(_special(family)).map(kind)


@st.composite
def _networks(draw: st.DrawFn, family: Family) -> str:
    address = draw(addresses(family))
    bits = 32 if family is Family.IPV4 else 128
    prefix = draw(st.sampled_from((0, 1, 8, bits // 2, bits - 3, bits - 1, bits)))
    kind = IPv4Network if family is Family.IPV4 else IPv6Network
    return str(kind((int(address), prefix), strict=False))


@st.composite
def sets(draw: st.DrawFn, family: Family) -> tuple[IpSet, ...]:
    """A few sets of one family."""
    some = draw(st.lists(_networks(family).filter(lambda text: not text.endswith("/0")), max_size=4, unique=True))
    nets = tuple(sorted((net, "nomatch") if draw(st.booleans()) else (net,) for net in some))
    hosts = tuple(sorted({(str(draw(addresses(family))),) for _ in range(2)}))
    pairs = {(f"{draw(addresses(family))},{draw(st.sampled_from(_SET_PORTS))}",) for _ in range(3)}
    wide = str(29 if family is Family.IPV4 else 125)
    return (
        IpSet("nets", "hash:net", family, nets),
        IpSet("hosts", "hash:ip", family, hosts),
        IpSet("wide", "hash:ip", family, hosts, (("netmask", wide),)),
        IpSet("counted", "hash:ip", family, hosts, (("counters", ""),)),
        IpSet("pairs", "hash:ip,port", family, tuple(sorted(pairs))),
        IpSet("both", "list:set", None, (("nets",), ("hosts",))),
    )


_SET_PORTS = ("tcp:22", "udp:80", "sctp:1024", "47:0", "tcp:65535")
_SETS = ("nets", "hosts", "wide", "counted", "pairs", "both")


@st.composite
def _looks(draw: st.DrawFn) -> tuple[Match, ...]:
    """A look into a set, now and then with an eye on what it counts."""
    sides = draw(st.sampled_from(("src", "dst", "src,dst", "dst,src")))
    looks = match("set", "match-set", draw(st.sampled_from(_SETS)), sides, negated=draw(st.booleans()))
    asks = draw(st.sampled_from(((), (), (match("set", "packets-gt", "1"),), (match("set", "return-nomatch"),))))
    return (looks, *asks)


def _range(low: int, high: int) -> str:
    return f"{min(low, high)}:{max(low, high)}"


PORT_WORDS = st.sampled_from(_PORTS).map(str) | st.builds(_range, st.sampled_from(_PORTS), st.sampled_from(_PORTS))


@st.composite
def _ported(draw: st.DrawFn) -> tuple[Match, ...]:
    name = draw(st.sampled_from(("tcp", "udp", "sctp")))
    option = draw(st.sampled_from(("sport", "dport")))
    return match("", "protocol", name), match(name, option, draw(PORT_WORDS), negated=draw(st.booleans()))


@st.composite
def _listed(draw: st.DrawFn) -> tuple[Match, ...]:
    option = draw(st.sampled_from(("sports", "dports", "ports")))
    words = ",".join(draw(st.lists(PORT_WORDS, min_size=1, max_size=3)))
    return (match("multiport", option, words, negated=draw(st.booleans())),)


_PLAIN = [
    match("", "in-interface", "eth0"),
    match("", "in-interface", "e+"),
    match("", "out-interface", "eth1"),
    match("", "protocol", "udp"),
    match("", "fragment"),
    match("tcp", "syn"),
    match("tcp", "tcp-flags", "SYN,ACK", "ACK"),
    match("mark", "mark", "0x1"),
    match("mark", "mark", "0x2/0x6"),
    match("length", "length", "40:60"),
    match("ttl", "ttl-lt", "64"),
    match("ttl", "ttl-eq", "9"),
    match("tos", "tos", "0x10"),
    match("dscp", "dscp", "0x04"),
    match("mac", "mac-source", "02:00:00:00:00:01"),
    match("conntrack", "ctstate", "RELATED,ESTABLISHED"),
    match("conntrack", "ctstate", "INVALID"),
    match("conntrack", "ctstate", "UNTRACKED"),
    match("conntrack", "ctstate", "NEW,DNAT"),
    match("connmark", "mark", "0x1"),
    match("addrtype", "dst-type", "LOCAL"),
    match("addrtype", "src-type", "MULTICAST"),
    match("rpfilter", "loose"),
    match("pkttype", "pkt-type", "multicast"),
    match("owner", "uid-owner", "0-9"),
    match("statistic", "mode", "random"),
    match("osf", "genre", "Linux"),
    match("string", "string", "x"),
    match("u32", "u32", "0>>28=4"),
    match("limit", "limit", "1/s"),
    match("recent", "set"),
    match("recent", "update"),
    match("time", "timestart", "01:00:00"),
    match("comment", "comment", "nodewall p/r"),
]


@st.composite
def matches(draw: st.DrawFn, family: Family) -> tuple[Match, ...]:
    """Up to three matches."""
    nets = _networks(family)
    sides = st.sampled_from(("source", "destination"))
    edges = st.tuples(addresses(family), addresses(family)).map(sorted).map(lambda pair: "-".join(map(str, pair)))
    kind = "icmp" if family is Family.IPV4 else "icmp6"
    option = "icmp-type" if family is Family.IPV4 else "icmpv6-type"
    some = st.one_of(
        st.tuples(st.builds(Match, st.just(""), sides, nets.map(lambda net: (net,)), st.booleans())),
        st.tuples(st.builds(lambda words: match("iprange", "src-range", words), edges)),
        st.tuples(st.builds(lambda words: match("conntrack", "ctorigdst", words), nets)),
        st.tuples(st.sampled_from([match(kind, option, word) for word in ("8", "128/0", "3/1", "echo-reply")])),
        _looks(),
        _ported(),
        _listed(),
        st.tuples(st.sampled_from(_PLAIN)),
        st.just((match("rpfilter", "validmark"), match("rpfilter", "invert"))),
    )
    return tuple(each for group in draw(st.lists(some, max_size=3)) for each in group)


def _target(name: str, option: str = "", *values: str) -> Target:
    return Target(name, (Match("", option, values),) if option else ())


_TARGETS = [
    None,
    *(Target(name) for name in ("ACCEPT", "DROP", "RETURN", "REJECT", "LOG", "NOTRACK", "TPROXY", "NFQUEUE")),
    _target("REJECT", "reject-with", "tcp-reset"),
    _target("MARK", "set-xmark", "0x1/0xffffffff"),
    _target("MARK", "xor-mark", "0x6"),
    _target("CONNMARK", "set-xmark", "0x1/0xffffffff"),
    _target("TTL", "ttl-set", "9"),
    _target("TTL", "ttl-dec", "60"),
    _target("TOS", "set-tos", "0x10/0xff"),
    _target("CT", "zone", "1"),
]

_CHAINS = ("A", "B", "C")


@st.composite
def rulesets(draw: st.DrawFn, hook: Hook) -> Ruleset:
    """Rules of both families in some tables of a hook."""
    found: list[tuple[Table, ...]] = []
    for family in Family:
        tables = draw(st.lists(st.sampled_from(TABLES[hook]), min_size=1, max_size=3, unique=True))
        found.append(tuple(draw(_table(name, hook, family)) for name in tables))
    return Ruleset(found[0], found[1], draw(sets(draw(st.sampled_from(tuple(Family))))))


@st.composite
def _table(draw: st.DrawFn, name: str, hook: Hook, family: Family) -> Table:
    chains = [Chain(hook, draw(_rules(family, _CHAINS)), draw(st.sampled_from(("ACCEPT", "DROP"))))]
    chains += [Chain(chain, draw(_rules(family, _CHAINS[at + 1 :]))) for at, chain in enumerate(_CHAINS)]
    return Table(name, tuple(chains))


@st.composite
def _rules(draw: st.DrawFn, family: Family, chains: Sequence[str]) -> tuple[Rule, ...]:
    into = [Target(name, goto=goto) for name in chains for goto in (False, True)]
    targets = st.sampled_from(_TARGETS) | st.sampled_from(into) if into else st.sampled_from(_TARGETS)
    return tuple(draw(st.lists(st.builds(Rule, matches(family), targets), max_size=5)))


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Packets at the edges of these rules, with all fields or without some."""
    family = draw(st.sampled_from(tuple(Family)))
    protocol = draw(st.sampled_from((6, 6, 17, 132, names.ICMP_OF[family], 2, 47)))
    ports = st.sampled_from(_PORTS) if draw(st.integers(0, 19)) else st.none()
    bare = Packet(
        src=draw(addresses(family)),
        dst=draw(addresses(family)),
        protocol=protocol,
        ttl=draw(st.sampled_from((1, 9, 63, 64))),
        fragment=draw(st.integers(0, 9)) == 0,
        in_interface=draw(st.sampled_from(("", "eth0", "lo"))),
        out_interface=draw(st.sampled_from(("", "eth1"))),
        mac=draw(st.sampled_from((None, "02:00:00:00:00:01"))),
        state=draw(st.sampled_from(tuple(ConnState))),
        mark=draw(st.sampled_from((0, 1, 2, 5))),
        length=draw(st.sampled_from((None, 39, 40, 60, 61))),
        tos=draw(st.sampled_from((0, 0x10))),
        uid=draw(st.sampled_from((None, 0, 10))),
        zone=int(draw(st.integers(0, 19)) == 0),
        time=draw(st.sampled_from((None, None, 1_700_000_000.5))),
    )
    if draw(st.integers(0, 19)) == 0:
        ends = (protocol, bare.src, bare.dst, 1, 2), (protocol, bare.dst, bare.src, 2, 1)
        bare = replace(bare, connection=Connection(*ends))
    if bare.fragment:
        return bare
    if protocol in names.PORT_PROTOCOLS:
        bare = replace(bare, sport=draw(ports), dport=draw(ports))
    if protocol == names.TCP:
        return replace(bare, flags=draw(st.frozensets(st.sampled_from(TCP_FLAGS[:5]))))
    if protocol in names.ICMP_OF.values():
        return replace(bare, icmp=draw(st.sampled_from((None, *((8, 0), (128, 0), (128, 1), (3, 1)) * 2))))
    return bare


HOST = Host(
    {"lo": (ip_interface("127.0.0.1/8"),), "eth0": (ip_interface("10.0.0.8/29"), ip_interface("fd00::8/125"))},
    (Route(ip_network("10.0.0.0/8"), "eth1"), Route(ip_network("fd00::/16"), "eth1")),
)


def agrees(ruleset: Ruleset, seen: Sequence[Packet], hook: Hook, host: Host | None) -> None:
    """A batch of packets gets the verdicts, ways of rejection and deciders that walks give."""
    walker = Walker(ruleset)
    for columns in columns_of(seen):
        judged = Judge(walker, columns.family, host).judge(columns, hook)
        for row, place in enumerate(columns.at):
            answer = walker.verdict(seen[place], hook, Surroundings(host))
            end = judged.end(row)
            found = (end.verdict, end.reject_with, end.decision) if end else ("accept", None, None)
            assert found == (answer.verdict, answer.reject_with, answer.decided_by), (answer, seen[place].words)
            more = answer.assumptions or answer.logged_by or answer.left != seen[place]
            assert not more or judged.walked[row] or judged.told[row], answer


@given(
    st.data(), st.sampled_from(tuple(Hook)), st.lists(packets(), min_size=1, max_size=40), st.sampled_from((None, HOST))
)
def test_a_batch_is_judged_as_each_packet_alone(
    data: st.DataObject, hook: Hook, seen: list[Packet], host: Host | None
) -> None:
    """Whatever the rules ask and do, batches and walks give the same answers at every hook."""
    agrees(data.draw(rulesets(hook)), seen, hook, host)


@given(observed_rulesets(), st.lists(packets(), min_size=1, max_size=40), st.sampled_from((Hook.INPUT, Hook.OUTPUT)))
def test_rulesets_as_observed_are_judged_alike(ruleset: Ruleset, seen: list[Packet], hook: Hook) -> None:
    """So do rules of nodewall among others' rules."""
    agrees(ruleset, seen, hook, None)


@given(observed_rulesets(), st.lists(packets(), min_size=1, max_size=20))
def test_answers_of_batches_are_those_of_walks(ruleset: Ruleset, seen: list[Packet]) -> None:
    """Whether few packets are walked or many judged at once, all that an answer tells is the same but for the path."""
    walker = Walker(ruleset)
    many = [seen[place % len(seen)] for place in range(FEW)]
    whole = [replace(walker.verdict(packet), trace=()) for packet in many]
    assert [replace(answer, trace=()) for answer in answers(walker, many)] == whole
    logged = [answer.logged_by for answer in answers(walker, many)]
    assert logged == [walker.verdict(packet).logged_by for packet in many]


@pytest.mark.parametrize("name", NAMES)
def test_real_rulesets_are_judged_alike(name: str) -> None:
    """Packets aimed at what real firewalls wrote are judged alike at every hook, whether the node is known or not."""
    ruleset, dice = ruleset_of(name), random.Random(name)
    states = (ConnState.NEW, ConnState.NEW, ConnState.ESTABLISHED, ConnState.INVALID)
    for family in Family:
        if any(chain.rules for found, _, chain in ruleset.chains() if found is family):
            aimed = islice(Aim(ruleset, family, HOST, name).packets(), 200)
            seen = [replace(each, state=dice.choice(states)) for each in aimed]
            for hook, host in product(Hook, (None, HOST)):
                agrees(ruleset, seen, hook, host)


def test_compiled_policies_are_judged_alike() -> None:
    """In random worlds, batches and walks of compiled rules agree on every packet that is aimed at them."""
    decided = 0
    for number in range(20):
        world = drawn(f"batch {number}")
        walker, seen = Walker(desired(world.state, NODE).ruleset), packets_of(world, 200)
        for columns in columns_of(seen):
            judged = Judge(walker, columns.family).judge(columns, Hook.INPUT)
            for row, place in enumerate(columns.at.tolist()):
                answer, end = walker.verdict(seen[place], Hook.INPUT), judged.end(row)
                found = (end.verdict, end.decision) if end else ("accept", None)
                assert found == (answer.verdict, answer.decided_by)
            decided += len(judged.verdicts) - int(judged.walked.sum())
    assert decided > 1000


def test_what_sets_count_is_seen_by_later_rules() -> None:
    """A packet that was counted at one rule, matched or not, is found counted at the next."""
    looks = match("set", "match-set", "s", "src")
    counts = Rule((looks, match("tcp", "dport", "1")), Target("ACCEPT"))
    asks = Rule((looks, match("set", "packets-gt", "1")), Target("DROP"))
    counted = IpSet("s", "hash:ip", Family.IPV4, (("10.0.0.1",),), (("counters", ""),))
    agrees(filtering(Chain("INPUT", (counts, asks), "ACCEPT"), sets=(counted,)), [packet("in=eth0")], Hook.INPUT, None)


def test_many_connected_rules_fill_several_words() -> None:
    """Where chains have more rules than a group of words has bits, the first that fits still decides."""
    hosts = [match("", "source", f"10.0.{number >> 8}.{number & 255}/32") for number in range(9000)]
    inner = Chain("A", tuple(Rule((host,), Target("DROP")) for host in hosts))
    rules = filtering(Chain("INPUT", (Rule((), Target("A")), Rule((), Target("REJECT"))), "ACCEPT"), inner)
    seen = [packet(f"in=eth0 src=10.0.{number >> 8}.{number & 255}") for number in range(0, 9100, 70)]
    agrees(rules, seen, Hook.INPUT, None)
    (columns,) = columns_of(seen)
    judged = Judge(Walker(rules), Family.IPV4).judge(columns, Hook.INPUT)
    assert not judged.walked.any()


def test_marks_that_rules_give_are_seen_by_later_ones() -> None:
    """A batch goes on with the marks that rules gave it, in the same table and in the next."""
    marking = Rule((match("tcp", "dport", "22"),), Target("MARK", (Match("", "set-xmark", ("0x4/0x4",)),)))
    marked = Rule((match("mark", "mark", "0x4/0x4"),), Target("DROP"))
    tables = (
        Table("mangle", (Chain("INPUT", (marking, marked), "ACCEPT"),)),
        Table("filter", (Chain("INPUT", (marked,), "ACCEPT"),)),
    )
    for some in (tables, (replace(tables[0], chains=(Chain("INPUT", (marking,), "ACCEPT"),)), tables[1])):
        (columns,) = columns_of([packet(f"in=eth0 dport={port} mark=0x{mark}") for port in (22, 80) for mark in (1, 4)])
        judged = Judge(Walker(Ruleset(ipv4=some)), Family.IPV4).judge(columns, Hook.INPUT)
        assert [VERDICTS[place] for place in judged.verdicts] == ["drop", "drop", "accept", "drop"]
        assert not judged.walked.any()


def test_only_packets_that_come_to_a_payload_match_are_walked() -> None:
    """A match on the payload sends just the packets to a walk that come to it and satisfy the rest of its rule."""
    asks = Rule((match("", "protocol", "udp"), match("string", "string", "x")), Target("DROP"))
    (columns,) = columns_of([packet(f"in=eth0 proto={name}") for name in ("tcp", "udp")])
    walker = Walker(filtering(Chain("INPUT", (asks,), "ACCEPT")))
    assert Judge(walker, Family.IPV4).judge(columns, Hook.INPUT).walked.tolist() == [False, True]


# Columns from bytes


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """Bytes of a packet, now and then with options or extension headers, cut, or no packet at all."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=80))
    whole = to_wire(replace(draw(wire_packets()), length=draw(st.sampled_from((None, 120)))))
    if kind == 1:
        return whole[: draw(st.integers(0, len(whole)))]
    if kind == 2:
        return bytes([whole[0], whole[1], 0, 0, *whole[4:]])  # a length left to the network card, or no payload
    if kind == 3 and whole[0] >> 4 == 6:
        return whole[:6] + b"\x3c" + whole[7:40] + whole[6:7] + b"\0\1\4\0\0\0\0" + whole[40:]
    if kind == 3:
        return b"\x46" + whole[1:20] + b"\1\1\1\1" + whole[20:]
    return whole


def _rows(columns: Sequence[Columns]) -> dict[int, object]:
    """Every row by its place, as values."""
    return {
        place: (
            each.family,
            *(int(word[row]) for word in (*each.src, *each.dst)),
            {name: each.value(name, int(column[row])) for name, column in sorted(each.numbers.items())},
            bool(each.single[row]),
        )
        for each in columns
        for row, place in enumerate(each.at.tolist())
    }


@given(st.lists(wires(), max_size=20))
def test_bytes_are_read_as_one_by_one(data: list[bytes]) -> None:
    """Columns from bytes are those of the packets that are read from them one by one; the same bytes are refused."""
    reading = columns_of_wires(data, in_interface="eth0")
    packets_, places = [], []
    for place, wire in enumerate(data):
        with suppress(Refused):
            packets_.append(from_wire(wire, in_interface="eth0"))
            places.append(place)
    assert _rows(reading.columns) == _rows(columns_of(packets_, places))
    assert sorted([*places, *reading.unreadable]) == list(range(len(data)))
    for columns in reading.columns:
        for row, place in enumerate(columns.at.tolist()):
            assert columns.packet(row) == packets_[places.index(place)]


@given(st.data(), st.sampled_from(tuple(Hook)), st.lists(wires(), min_size=1, max_size=20))
def test_bytes_are_judged_as_each_packet_alone(data: st.DataObject, hook: Hook, read: list[bytes]) -> None:
    """Packets that know their bytes are judged as they are one by one, whatever rules ask of these."""
    walker = Walker(data.draw(rulesets(hook)))
    for columns in columns_of_wires(read, in_interface="eth0", out_interface="eth1").columns:
        judged = Judge(walker, columns.family).judge(columns, hook)
        for row in range(len(columns)):
            answer, end = walker.verdict(columns.packet(row), hook), judged.end(row)
            found = (end.verdict, end.reject_with, end.decision) if end else ("accept", None, None)
            assert found == (answer.verdict, answer.reject_with, answer.decided_by), columns.packet(row).words
