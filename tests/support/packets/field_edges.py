"""Hypothesis strategies for rulesets that match every packet field near few values, and packets at these edges."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface, ip_network

from hypothesis import strategies as st

from engine.rulesets.model import Chain, Family, Hook, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.context import Host, Route
from simulator.netfilter.walker import TABLES
from simulator.packets import TCP_FLAGS, Connection, ConnState, Packet, protocol_names
from tests.support.packets.packet_builders import match

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
    """Draw addresses at the edges of the networks in rules."""
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
    """Draw one set of each supported type, of one family."""
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
    """Draw a match on a set, sometimes with a test of its counters."""
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
    """Draw up to three groups of matches."""
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
    """Draw rules of both families in some tables of a hook."""
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
    """Draw packets at the edges of these rules; some lack fields."""
    family = draw(st.sampled_from(tuple(Family)))
    protocol = draw(st.sampled_from((6, 6, 17, 132, protocol_names.ICMP_OF[family], 2, 47)))
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
    if protocol in protocol_names.PORT_PROTOCOLS:
        bare = replace(bare, sport=draw(ports), dport=draw(ports))
    if protocol == protocol_names.TCP:
        return replace(bare, flags=draw(st.frozensets(st.sampled_from(TCP_FLAGS[:5]))))
    if protocol in protocol_names.ICMP_OF.values():
        return replace(bare, icmp=draw(st.sampled_from((None, *((8, 0), (128, 0), (128, 1), (3, 1)) * 2))))
    return bare


HOST = Host(
    {"lo": (ip_interface("127.0.0.1/8"),), "eth0": (ip_interface("10.0.0.8/29"), ip_interface("fd00::8/125"))},
    (Route(ip_network("10.0.0.0/8"), "eth1"), Route(ip_network("fd00::/16"), "eth1")),
)
