"""Each match, against what iptables-extensions(8) and the kernel say of it."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.model import Family, IpSet, Match
from simulator.context import PacketContext
from simulator.matches import Truth, compile_matches
from simulator.matches.basic import masked
from simulator.matches.transport import port_ranges
from simulator.packets import Packet
from simulator.sets import read_set
from tests.support.packets.packet_builders import SPEC6, match, net_set, packet

PORTS = st.integers(0, 0xFFFF)
NETS = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(0x0A000000, 0x0A0000FF),
    st.integers(24, 32),
)


def holds(seen: Packet, *matches: Match, sets: tuple[IpSet, ...] = ()) -> Truth:
    """Whether all matches hold; None where that cannot be known."""
    known = {ipset.name: read_set(ipset) for ipset in sets}
    around = PacketContext()
    tests = compile_matches(matches, seen.family, known)
    truths = {test.check(seen) if test.weigh is None else test.weigh(seen, around) for test in tests}
    if False in truths:
        return False
    return None if None in truths else True


def udp(words: str = "") -> Packet:
    """A UDP packet."""
    return packet(f"proto=udp {words}")


def icmp(kind: str, **changes: str) -> Packet:
    """An ICMP packet."""
    base = "src=10.0.0.1 dst=10.0.0.2"
    return packet(f"icmp={kind} " + " ".join(f"{key}={word}" for key, word in changes.items()), base)


HELD = [
    ("in=eth0", match("", "source", "10.0.0.1"), True),
    ("in=eth0", match("", "source", "10.0.0.1/32"), True),
    ("in=eth0", match("", "source", "10.0.0.9/24"), True),
    ("in=eth0", match("", "source", "10.0.1.0/24"), False),
    ("in=eth0", match("", "source", "0.0.0.0/0"), True),
    ("src=10.77.0.1", match("", "source", "10.0.0.1/255.0.255.255"), True),
    ("src=10.77.0.2", match("", "source", "10.0.0.1/255.0.255.255"), False),
    ("in=eth0", match("", "destination", "10.0.0.2"), True),
    ("in=eth0", match("", "destination", "10.0.0.1"), False),
    ("in=eth0", match("", "in-interface", "eth0"), True),
    ("in=eth0", match("", "in-interface", "eth"), False),
    ("in=eth0", match("", "in-interface", "eth+"), True),
    ("in=eth0", match("", "in-interface", "eth0+"), True),
    ("in=eth0", match("", "in-interface", "ens+"), False),
    ("in=eth0", match("", "in-interface", "+"), True),
    ("out=eth0", match("", "in-interface", "+"), True),
    ("out=eth0", match("", "in-interface", "eth0"), False),
    ("out=eth1", match("", "out-interface", "eth1"), True),
    ("in=eth0", match("", "protocol", "tcp"), True),
    ("in=eth0", match("", "protocol", "6"), True),
    ("in=eth0", match("", "protocol", "udp"), False),
    ("in=eth0", match("", "protocol", "all"), True),
    ("in=eth0", match("", "protocol", "0"), True),
    ("in=eth0", match("", "fragment"), False),
    ("mark=0x5", match("mark", "mark", "0x5"), True),
    ("mark=0x5", match("mark", "mark", "0x1/0x3"), True),
    ("mark=0x5", match("mark", "mark", "0x5/0x3"), False),
    ("len=60", match("length", "length", "60"), True),
    ("len=60", match("length", "length", "40:60"), True),
    ("len=60", match("length", "length", "61:"), False),
    ("len=60", match("length", "length", ":59"), False),
    ("ttl=64", match("ttl", "ttl-eq", "64"), True),
    ("ttl=64", match("ttl", "ttl-lt", "64"), False),
    ("ttl=64", match("ttl", "ttl-gt", "63"), True),
    ("ttl=64", match("hl", "hl-eq", "64"), True),
    ("mac=02:00:00:00:00:0a", match("mac", "mac-source", "02:00:00:00:00:0A"), True),
    ("mac=02:00:00:00:00:0a", match("mac", "mac-source", "02:00:00:00:00:0B"), False),
    ("in=eth0", match("iprange", "src-range", "10.0.0.0-10.0.0.1"), True),
    ("in=eth0", match("iprange", "src-range", "10.0.0.2-10.0.0.9"), False),
    ("in=eth0", match("iprange", "dst-range", "10.0.0.2"), True),
    ("state=established", match("conntrack", "ctstate", "RELATED,ESTABLISHED"), True),
    ("state=new", match("conntrack", "ctstate", "RELATED,ESTABLISHED"), False),
    ("state=invalid", match("state", "state", "INVALID"), True),
    ("state=untracked", match("conntrack", "ctstate", "INVALID"), False),
    ("state=new", match("conntrack", "ctstate", "NEW,DNAT"), True),
    ("state=invalid", match("conntrack", "ctstate", "DNAT"), False),
]


@pytest.mark.parametrize("words,test,held", HELD)
def test_a_match_holds_as_documented(words: str, test: Match, *, held: bool) -> None:
    """A match holds for the packets it documents, and its negation for all others."""
    assert holds(packet(words), test) is held
    assert holds(packet(words), replace(test, negated=True)) is not held


APPLICABLE = [
    (packet(), match("tcp", "dport", "22"), True),
    (packet(), match("tcp", "destination-port", "20:22"), True),
    (packet(), match("tcp", "dport", ":21"), False),
    (packet(), match("tcp", "dport", "23:"), False),
    (packet(), match("tcp", "sport", "40000"), True),
    (packet("flags=SYN"), match("tcp", "syn"), True),
    (packet("flags=SYN,ACK"), match("tcp", "syn"), False),
    (packet("flags=SYN,PSH"), match("tcp", "tcp-flags", "FIN,SYN,RST,ACK", "SYN"), True),
    (packet("flags=NONE"), match("tcp", "tcp-flags", "ALL", "NONE"), True),
    (packet("flags=ECE"), match("tcp", "tcp-flags", "ALL", "NONE"), True),
    (packet("flags=FIN,PSH,URG"), match("tcp", "tcp-flags", "ALL", "FIN,PSH,URG"), True),
    (udp(), match("udp", "dport", "22"), True),
    (packet("proto=sctp"), match("sctp", "dport", "22"), True),
    (packet(), match("multiport", "dports", "80,22"), True),
    (packet(), match("multiport", "dports", "80,443,1000:2000"), False),
    (packet(), match("multiport", "sports", "80,30000:50000"), True),
    (packet(), match("multiport", "ports", "22"), True),
    (packet(), match("multiport", "ports", "40000"), True),
    (packet("proto=udplite"), match("multiport", "dports", "22"), True),
    (icmp("8/0"), match("icmp", "icmp-type", "8"), True),
    (icmp("8/0"), match("icmp", "icmp-type", "echo-request"), True),
    (icmp("3/1"), match("icmp", "icmp-type", "3"), True),
    (icmp("3/1"), match("icmp", "icmp-type", "3/1"), True),
    (icmp("3/1"), match("icmp", "icmp-type", "3/3"), False),
    (icmp("3/1"), match("icmp", "icmp-type", "any"), True),
    (icmp("128/0", src="::1", dst="::2"), match("icmp6", "icmpv6-type", "128"), True),
    (icmp("1/4", src="::1", dst="::2"), match("icmp6", "icmpv6-type", "port-unreachable"), True),
    (icmp("1/3", src="::1", dst="::2"), match("ipv6-icmp", "icmpv6-type", "port-unreachable"), False),
]


@pytest.mark.parametrize("seen,test,held", APPLICABLE)
def test_a_transport_match_holds_for_its_protocol_only(seen: Packet, test: Match, *, held: bool) -> None:
    """A match on a transport header holds as documented; for fragments and other protocols never, even negated."""
    opposite = replace(test, negated=True)
    bare = Match(test.module, "")
    later = replace(seen, fragment=True, sport=None, dport=None, icmp=None)
    other = replace(seen, protocol=47, sport=None, dport=None, icmp=None)
    assert holds(seen, test) is held
    assert holds(seen, opposite) is not held
    assert holds(seen, bare) is True
    for foreign in (later, other):
        assert [holds(foreign, one) for one in (test, opposite, bare)] == [False] * 3


def test_fragments_match_only_after_the_first() -> None:
    """``-f`` holds for a fragment other than the first, ``! -f`` for all else."""
    later = replace(packet(), fragment=True, sport=None, dport=None)
    assert [holds(seen, match("", "fragment")) for seen in (packet(), later)] == [False, True]
    assert [holds(seen, match("", "fragment", negated=True)) for seen in (packet(), later)] == [True, False]


def test_icmp_by_name_is_not_icmpv6() -> None:
    """``-p icmp`` in ip6tables is protocol 1, which no ICMPv6 packet has."""
    seen = icmp("128/0", src="::1", dst="::2")
    assert holds(seen, match("", "protocol", "icmp")) is False
    for name in ("icmpv6", "ipv6-icmp", "58"):
        assert holds(seen, match("", "protocol", name)) is True


@pytest.mark.parametrize(
    "text,held",
    [("fd00::1", True), ("fd00::/64", True), ("fd00::/ffff::", True), ("fd00:0:0:1::/64", False), ("::1/::ff", True)],
)
def test_ipv6_addresses_match_by_prefix_or_mask(text: str, *, held: bool) -> None:
    """An IPv6 address matches with a prefix length or with any mask."""
    assert holds(packet("", SPEC6), match("", "source", text)) is held


@given(st.lists(st.tuples(PORTS, PORTS).map(sorted), min_size=1, max_size=15), PORTS, PORTS)
def test_multiport_is_any_of_its_ranges(ranges: list[list[int]], sport: int, dport: int) -> None:
    """A list of ranges holds where any port of the list would, and its negation everywhere else."""
    text = ",".join(f"{low}:{high}" if low != high else str(low) for low, high in ranges)
    seen = packet(f"sport={sport} dport={dport}")
    for option, ports in (("sports", {sport}), ("dports", {dport}), ("ports", {sport, dport})):
        wanted = any(low <= port <= high for low, high in ranges for port in ports)
        assert holds(seen, match("multiport", option, text)) is wanted
        assert holds(seen, match("multiport", option, text, negated=True)) is not wanted
    assert port_ranges(text) == tuple((low, high) for low, high in ranges)


@given(st.dictionaries(NETS, st.booleans(), max_size=8), st.integers(0x09FFFFF0, 0x0A00010F))
def test_the_most_specific_entry_of_a_set_decides(nets: dict[IPv4Network, bool], number: int) -> None:
    """An address is in a ``hash:net`` set if its longest entry is no ``nomatch``, as a search through all finds."""
    address = IPv4Address(number)
    ipset = net_set(*(f"{net} nomatch" if exempt else str(net) for net, exempt in nets.items()))
    longest = max((net for net in nets if address in net), key=lambda net: net.prefixlen, default=None)
    seen = replace(packet(), src=address)
    for test, wanted in (
        (match("set", "match-set", "s", "src"), longest is not None and not nets[longest]),
        (match("set", "match-set", "s", "src", negated=True), longest is None or nets[longest]),
    ):
        assert holds(seen, test, sets=(ipset,)) is wanted
    only_exempt = (match("set", "match-set", "s", "src"), match("set", "return-nomatch"))
    assert holds(seen, *only_exempt, sets=(ipset,)) is (longest is not None and nets[longest])


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_an_address_matches_on_the_bits_of_the_mask(address: int, mask: int, source: int) -> None:
    """An address with a mask holds where the source has the same bits under the mask, holes or not."""
    text = f"{IPv4Address(address)}/{IPv4Address(mask)}"
    wanted = address & mask == source & mask
    assert holds(replace(packet(), src=IPv4Address(source)), match("", "source", text)) is wanted
    assert masked(text, Family.IPV4) == (address & mask, mask)


@pytest.mark.parametrize(
    "members,options,held",
    [
        (("10.0.0.1",), (), True),
        (("10.0.0.9",), (), False),
        (("10.0.0.0/30",), (), True),
        (("10.0.0.0-10.0.0.5",), (), True),
        (("10.0.0.9",), (("netmask", "24"),), True),
        (("10.0.1.9",), (("netmask", "24"),), False),
    ],
)
def test_a_hash_ip_set_holds_addresses(
    members: tuple[str, ...], options: tuple[tuple[str, str], ...], *, held: bool
) -> None:
    """A ``hash:ip`` set holds its addresses, or with ``netmask`` those of the same networks; it has no exceptions."""
    ipset = IpSet("s", "hash:ip", Family.IPV4, tuple((member,) for member in members), options)
    test = match("set", "match-set", "s", "src")
    assert holds(packet(), test, sets=(ipset,)) is held
    assert holds(packet(), test, match("set", "return-nomatch"), sets=(ipset,)) is held


def test_sets_look_at_the_side_they_are_told() -> None:
    """``src`` looks up the source, ``dst`` the destination, and two sets of one rule are told apart."""
    sets = (net_set("10.0.0.1"), net_set("10.0.0.2", name="t"))
    source, destination = match("set", "match-set", "s", "src"), match("set", "match-set", "t", "dst")
    assert holds(packet(), Match("set", ""), source, Match("set", ""), destination, sets=sets) is True
    assert holds(packet(), source, replace(destination, negated=True), sets=sets) is False
    assert holds(packet(), match("set", "match-set", "s", "dst"), sets=sets) is False


def test_a_set_of_the_other_family_holds_nothing() -> None:
    """A set of the other family holds no packet, so a negated match on it always does."""
    sets = (net_set("fd00::/8", family=Family.IPV6),)
    assert holds(packet(), match("set", "match-set", "s", "src"), sets=sets) is False
    assert holds(packet(), match("set", "match-set", "s", "src", negated=True), sets=sets) is True


@pytest.mark.parametrize(
    "test",
    [
        match("osf", "genre", "Linux"),
        match("tcp", "dport", "unheard-of"),
        match("tcp", "dport", "9:1"),
        match("tcp", "tcp-flags", "SYN"),
        match("tcp", "tcp-flags", "SYN,BAD", "SYN"),
        match("", "source", "fd00::1"),
        match("", "protocol", "nosuch"),
        match("conntrack", "ctstate", "ODD"),
        match("conntrack", "ctexpire", "6"),
        match("mark", "mark", "0x100000000"),
        match("set", "match-set", "s", "src"),
        match("set", "packets-gt", "5"),
    ],
)
def test_what_is_not_understood_is_never_guessed(test: Match) -> None:
    """A match, value or set type that is not modelled is neither true nor false, negated or not."""
    sets = (IpSet("s", "hash:vlan"),)
    assert holds(packet(), test, sets=sets) is None
    assert holds(packet(), replace(test, negated=True), sets=sets) is None


@pytest.mark.parametrize("kind", ["tcp", "udp", "icmp", "icmp6", "multiport", "conntrack", "set", "comment"])
def test_a_bare_module_is_known(kind: str) -> None:
    """Loading a modelled module without an option of it is no unknown match."""
    assert holds(packet(), match(kind, ""), sets=()) is not None
