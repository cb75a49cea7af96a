"""Expressions: what they mean, against libpcap's own compiler; their text, both ways; and what is wrong with others."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import Refused, WordsRefused
from engine.rulesets.model import Family, Match
from simulator.expression import EVERYTHING, AllOf, AnyOf, Leaf, Negated, expression_text, holds, parse
from simulator.expression.cursor import MAX_DEPTH
from simulator.expression.vocabulary import CONSTANTS, SERVICES, UNSUPPORTED_WORDS
from simulator.packets import from_wire, parse_spec
from tests.support.packets import libpcap
from tests.support.packets.packet_builders import SPEC6, packet
from tests.support.packets.random_expressions import extended, spoiled, texts, wire
from tests.support.seeds import seeded

needs_libpcap = pytest.mark.skipif(not libpcap.is_there(), reason="libpcap0.8 is not installed")

SEEDS = st.integers(0, 2**32)
PACKETS = 60
NOTHING_SUCH = "no packet is such"


def refusal(text: str) -> WordsRefused | None:
    """Return why an expression is refused; None where it is not."""
    try:
        parse(text)
    except WordsRefused as error:
        return error
    return None


def agree(text: str, seed: int, packets: int = PACKETS) -> None:
    """Hold an expression against libpcap; but codes of ICMP's type 255, which iptables takes for all types."""
    expression, theirs, dice = parse(text), libpcap.Filter(text), seeded(seed)
    for _ in range(packets):
        data = wire(dice)
        seen = from_wire(data)
        if seen.family is Family.IPV4 and seen.icmp and seen.icmp[0] == 255 and "icmp[1]" in text:
            continue
        assert holds(expression, seen) is theirs.holds(data), f"{text}: {seen.words}"


@needs_libpcap
@given(texts(), SEEDS)
def test_what_libpcap_takes_means_the_same(text: str, seed: int) -> None:
    """Whatever libpcap takes is taken, if some packet can be such, and holds for the same packets."""
    error = refusal(text)
    if error is None:
        agree(text, seed)
    else:
        assert NOTHING_SUCH in str(error)


@needs_libpcap
@given(spoiled(), SEEDS)
def test_what_both_take_means_the_same(text: str, seed: int) -> None:
    """A text that was spoiled either is refused by one of both, or holds for the same packets."""
    with suppress(WordsRefused, ValueError):
        agree(text, seed, packets=20)


@needs_libpcap
@pytest.mark.parametrize(
    "text",
    [
        "(tcp port 22) or 80",
        "tcp or 80",
        "10.0.0.1",
        "ip port 22",
        "tcp host 10.0.0.1",
        "ip6 host 10.0.0.1",
        "net 10.0.0.1/8",
        "src 10.0.0.0/8",
        "src srcor dst port 5",
        "port 65536",
        "host 10.0.0.1 and",
        "src proto 6",
        "TCP",
    ],
)
def test_what_libpcap_refuses_is_refused(text: str) -> None:
    """Qualifiers that do not go together, ids without any, and bits behind a length are wrong for both."""
    with pytest.raises(ValueError, match=r"\w"):
        libpcap.Filter(text)
    with pytest.raises(WordsRefused):
        parse(text)


@needs_libpcap
def test_words_for_numbers_are_those_of_libpcap() -> None:
    """Each word stands for the number that libpcap has for it: for a packet whose byte is that, both hold."""
    for word, number in CONSTANTS.items():
        assert libpcap.Filter(f"ip[8] == {word}").holds(bytes([0x45, *bytes(7), number, *bytes(11)])), word


@given(st.one_of(texts(), extended()))
@example("len != 60 and ip[1] & 0xfc != 8")
@example("tcp[tcpflags] & 0xc2 = 0x42 or tcp[13] >= 0 or icmp6[icmp6type] >= 0 or icmp[0:2] != 0x0301")
@example("src net 10.0.2.0 mask 255.0.255.0 or ip[6:2] & 0x1fff == 0 or ip6 proto 58")
@example("ip[8] < 5 or ip[8] > 6 or ip6[7] != 64 or greater 0 or less 5 or ip[12:4] & 0 == 0")
def test_the_text_of_an_expression_reads_as_the_same(text: str) -> None:
    """`expression_text` gives a text that `parse` makes the same expression of."""
    with suppress(WordsRefused):
        expression = parse(text)
        assert parse(expression_text(expression)) == expression


ANY_TEXT = st.one_of(
    st.text(), st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")), spoiled(), texts()
)


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_is_read_or_refused_with_its_place(first: str, second: str) -> None:
    """Nothing else happens; the place lies in the text, or right behind it, and what is shown is plain ASCII."""
    for text in (first, f"{first} {second}", f"({first})", f"not {first}"):
        error = refusal(text)
        if error is not None:
            (fault,) = error.faults
            assert fault.place
            assert 1 <= fault.place.column <= len(text) + 1
            assert all(line.isascii() and line.isprintable() for line in error.lines)
            assert error.lines[2].endswith("^")


PAIRS = [
    ("tcp port 22 or 80", "tcp port 22 or tcp port 80"),
    ("not host 10.0.0.1 and 10.0.0.2", "(not host 10.0.0.1) and host 10.0.0.2"),
    ("port 22 or 80 and udp", "(port 22 or port 80) and udp"),
    ("udp and port 22 or 80", "(udp and port 22) or port 80"),
    ("tcp or udp and ip or ip6", "((tcp or udp) and ip) or ip6"),
    ("tcp dst port 1 or (src host 10.0.0.1) or 2", "tcp dst port 1 or src host 10.0.0.1 or tcp dst port 2"),
    (
        "tcp port 1 or (2 or udp port 3 and 4) or 5",
        "tcp port 1 or ((tcp port 2 or udp port 3) and udp port 4) or tcp port 5",
    ),
    ("port not (22 or 80)", "not (port 22 or 80)"),
    ("! tcp&&!udp||sctp", "not tcp and not udp or sctp"),
    ("src host 10.0.0.1", "src 10.0.0.1"),
    ("host 10.0.0.1", "src or dst host 10.0.0.1"),
    ("tcp dst and src port 5", "tcp src port 5 and tcp dst port 5"),
    ("net 192.168", "net 192.168.0.0/16"),
    ("net 10 or 0", "net 10.0.0.0/8 or host 0.0.0.0"),
    ("net 10.1.0.0 mask 255.255.0.0", "net 10.1.0.0/16"),
    ("net fd00::1", "host fd00::1"),
    ("portrange 80-22", "portrange 22-80"),
    ("portrange 22", "port 0x16"),
    ("port ssh", "tcp port 22"),
    ("port domain", "port 53"),
    ("proto tcp", "proto \\tcp"),
    ("proto 6", "tcp"),
    ("ip proto igmp", "igmp"),
    ("less 60", "len <= 60"),
    ("60 > len", "len < 60"),
    ("tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn", "tcp[13] & 0x12 = 2"),
    ("tcp[13] & 2 > 0", "tcp[13:1] & 2 == 1 << 1"),
    ("(tcp[13]) & 7 & 10 == (1 + 1) * 4 / 2 - 2", "(tcp[13] & 2) = 0x2"),
    ("tcp[2:2] < 1024", "ip and tcp dst portrange 0-1023"),
    ("icmp[icmptype] == icmp-echo", "icmp[0] == 8"),
    ("ip[16:4] & 0xff000000 == 0x0a000000", "dst net 10.0.0.0/8"),
    ("ip multicast", "dst net 224.0.0.0/3"),
    ("ctstate related,new", "ctstate new,related"),
    ("ctstate new or related", "ctstate new or ctstate related"),
    ("in (eth0 or eth1)", "in eth0 or eth1"),
    ("mark 16/0xff", "mark 0x10/255"),
    (" \n tcp\tand\nudp ", "tcp and udp"),
]


@pytest.mark.parametrize("short,long", PAIRS)
def test_expressions_that_mean_the_same_are_the_same(short: str, long: str) -> None:
    """Keywords are kept for the ids behind them, `and` and `or` bind alike, and what may be left out is filled in."""
    assert parse(short) == parse(long)


def test_leaves_are_matches_as_iptables_saves_them() -> None:
    """What a leaf asks for is in the words of a dump."""
    tcp = Match("", "protocol", ("tcp",))
    assert parse("tcp dst portrange 22-80") == Leaf((tcp, Match("tcp", "dport", ("22:80",))))
    assert parse("src net 10.0.0.0/8") == Leaf((Match("", "source", ("10.0.0.0/8",)),), Family.IPV4)
    assert parse("in eth+ or ctstate new") == AnyOf(
        (Leaf((Match("", "in-interface", ("eth+",)),)), Leaf((Match("conntrack", "ctstate", ("NEW",)),)))
    )
    assert parse("tcp[13] & 18 == 2") == Leaf((tcp, Match("tcp", "tcp-flags", ("SYN,ACK", "SYN"))), Family.IPV4)
    assert parse("ip and not mark 5") == AllOf(
        (Leaf((), Family.IPV4), Negated(Leaf((Match("mark", "mark", ("0x5",)),))))
    )
    assert parse("  ") == EVERYTHING


ENDS = "src=10.0.0.1 dst=10.0.0.2 proto="
TCP = f"{ENDS}tcp sport=40000 dport=22"
LATER = f"{ENDS}tcp fragment=yes"


@pytest.mark.parametrize(
    "text,spec,truth",
    [
        ("", TCP, True),
        ("in eth0", f"{TCP} in=eth0", True),
        ("in eth+", f"{TCP} in=eth12", True),
        ("out eth0", f"{TCP} in=eth0", False),
        ("ctstate established,related", f"{TCP} state=related", True),
        ("ctstate new", f"{TCP} state=invalid", False),
        ("mark 1/0xf", f"{TCP} mark=0x31", True),
        ("mark 1", f"{TCP} mark=0x31", False),
        ("not mark 1", f"{TCP} mark=0x31", True),
        ("tcp", LATER, True),
        ("not port 22", LATER, True),
        ("port 22", LATER, False),
        ("icmp[icmpcode] == 4", f"{ENDS}icmp icmp=3/4", True),
        ("len > 100", TCP, None),
        ("not len > 100", TCP, None),
        ("len > 100 and udp", TCP, False),
        ("len > 100 and tcp", TCP, None),
        ("len > 100 or tcp", TCP, True),
        ("port 22", f"{ENDS}udp", None),
    ],
)
def test_an_expression_holds_or_not_or_is_not_known(text: str, spec: str, truth: object) -> None:
    """What the packet does not give is not known, unless the rest decides."""
    assert holds(parse(text), parse_spec(spec)) is truth


def test_a_family_is_part_of_the_meaning() -> None:
    """IPv4 addresses and `icmp` never hold for IPv6; ports and protocols do."""
    six = packet(base=SPEC6)
    assert holds(parse("port 22 and tcp and ip6"), six) is True
    assert holds(parse("net 0.0.0.0/0 or icmp or ip"), six) is False
    assert holds(parse("not net 0.0.0.0/0"), six) is True


@pytest.mark.parametrize(
    "text,column,found,expected",
    [
        ("tcp prt 22", 5, 'found "prt"', "and, or"),
        ("tcp port", 9, "found the end", "a port from 0 to 65535"),
        ("tcp port and", 10, 'found "and"', "a port"),
        ("port 22 or", 11, "found the end", "src, dst, host"),
        ("port 22)", 8, 'found ")"', "and, or, or the end"),
        ("(port 22", 9, "found the end", "), and, or"),
        ("port (22 tcp)", 10, 'found "tcp"', "), and, or"),
        ("host example.com", 6, "host names are not looked up", "an IP address"),
        ("host 10.0.0.0/8", 6, 'found "10.0.0.0/8"', "net ahead of a network"),
        ("host 10.0.0.1 or 80", 18, 'found "80"', "an IP address"),
        ("src net 10.0.0.1/8", 9, "the network is 10.0.0.0/8", "a network"),
        ("net 10.0.0.1 mask 255.0.0.0", 5, 'found "10.0.0.1"', "without bits outside the mask"),
        ("net fd00:: mask 255.0.0.0", 5, 'found "fd00::"', "an IPv4 network"),
        ("net 10.0.0.0 mask x", 19, 'found "x"', "a mask"),
        ("ip6 net 10.0.0.0/8", 9, 'found "10.0.0.0/8"', "an address of IPv6 behind ip6"),
        ("ip6 net 10.0.2.0 mask 255.0.255.0", 9, 'found "10.0.2.0"', "an address of IPv6"),
        ("port 022", 6, 'found "022"', "a port"),
        ("port nonesuch", 6, 'found "nonesuch"', "a service such as ssh"),
        ("udp port ssh", 10, 'found "ssh"', "ssh is one of tcp"),
        ("portrange 1-x", 11, 'found "1-x"', "two ports with - between"),
        ("proto 0", 7, "cannot be asked for", "from 1 to 255"),
        ("proto nonesuch", 7, 'found "nonesuch"', "a protocol by name"),
        ("ip port 22", 1, "ip does not go with port", "tcp, udp, sctp or nothing"),
        ("src proto 6", 1, "proto has no direction", "host, net, port or portrange"),
        ("tcp and vlan 5", 9, "rules see IP packets", "src, dst"),
        ("ip broadcast", 4, "rules see IP packets", "src, dst"),
        ("less x", 6, 'found "x"', "a number of bytes"),
        ("greater 65536", 9, "no packet is that long", "up to 65535"),
        ("in a/b", 4, 'found "a/b"', "an interface name"),
        ("in interface-is-16c", 4, "found", "1 to 15 characters"),
        ("ctstate new,old", 9, 'found "new,old"', "invalid, new, related, established, untracked"),
        ("mark x", 6, 'found "x"', "a number"),
        ("mark 3/1", 6, "never holds", "a number and a mask"),
        ("tcp[12] > 5", 1, "no match of iptables reads this", "tcp[13]"),
        ("tcp[13 > 5", 8, 'found ">"', "] or :"),
        ("tcp[13] & 2", 12, "found the end", "=="),
        ("tcp[13] + 2 == 5", 1, "cannot reckon with fields", "a field alone"),
        ("2 & tcp[13] == 2", 1, "cannot reckon with fields", "& and a number behind it"),
        ("len == ip[8]", 8, 'found "ip"', "a number on the other"),
        ("1 == 2", 6, 'found "2"', "a field on one side"),
        ("len == 1/0", 8, "1 / 0 is no number", "another number"),
        ("len == 1<<32", 8, "1 << 32 is no number", "another number"),
        ("len == 012", 8, 'found "012"', "without a 0 in front"),
        ("len == (1", 10, "found the end", ")"),
        ("len == x", 8, 'found "x"', "a field"),
        ("len < 0", 1, NOTHING_SUCH, "a number that the field can have"),
        ("tcp[13] & 1 == 2", 1, NOTHING_SUCH, ""),
        ("ip[8] & 1 == 1", 1, "cannot be asked for", "the whole field"),
        ("ip[9] < 5", 1, "cannot be asked for", "== or !="),
        ("ip[9] == 0", 1, "cannot be asked for", "from 1 to 255"),
        ("ip[6:2] & 0x3fff != 0", 1, "cannot be asked for", "ip[6:2] & 0x1fff"),
        ("icmp[0:2] == 0xff00", 1, "cannot be asked for", "a type other than 255"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, column: int, found: str, expected: str) -> None:
    """The fault names the place, what was found there and what may stand there; a mark points to it."""
    with pytest.raises(Refused) as caught:
        parse(text)
    (fault,) = caught.value.faults
    assert fault.place
    assert (fault.place.source, fault.place.line, fault.place.column) == ("expression", 1, column)
    assert found in fault.problem
    assert expected in fault.expected
    assert caught.value.lines == (str(fault), f"  {text}", " " * (column + 1) + "^")


def test_only_what_is_around_the_place_is_shown_of_a_long_text() -> None:
    """The mark stands under the same words then."""
    with pytest.raises(Refused) as caught:
        parse("tcp or " * 100 + "\u00e4 and " + "udp or " * 100 + "udp")
    _, around, mark = caught.value.lines
    assert around[mark.index("^") :].startswith("? and udp")
    assert len(around) <= 102


@pytest.mark.parametrize("word", sorted(UNSUPPORTED_WORDS))
def test_what_rules_cannot_see_is_refused_by_name(word: str) -> None:
    """Each such word of pcap-filter(7) tells why, wherever a primitive may stand."""
    for text in (word, f"tcp and {word} 5", f"port 22 or {word}", f"tcp {word}"):
        with pytest.raises(Refused, match=r"found .*; "):
            parse(text)


def test_services_are_ports_of_their_protocols() -> None:
    """A service that one protocol has is a port of that; another is one of every protocol with ports."""
    for name, (port, protocols) in SERVICES.items():
        limit = protocols[0] if len(protocols) == 1 else ""
        assert parse(f"port {name}") == parse(f"{limit} port {port}")


def alternating(levels: int) -> str:
    """An expression whose joints change at each step."""
    return "ip" + " or ip and ip" * (levels // 2) + " or ip" * (levels % 2)


@pytest.mark.parametrize("before,after", [("not ", ""), ("(", ")")])
def test_parts_lie_inside_one_another_to_a_limit(before: str, after: str) -> None:
    """As deep as is allowed an expression is read, judged and spelled; one more is refused."""
    deepest = f"{before * MAX_DEPTH}ip{after * MAX_DEPTH}"
    assert holds(parse(deepest), packet()) is not None
    assert expression_text(parse(deepest))
    with pytest.raises(Refused, match="nested too deep"):
        parse(before + deepest + after)
    with pytest.raises(Refused, match="nested too deep"):
        parse(before * 10_000)


def test_numbers_and_joints_lie_inside_one_another_to_a_limit() -> None:
    """Parentheses in numbers count, and so does each change between and and or."""
    number = f"{'(' * MAX_DEPTH}5{')' * MAX_DEPTH}"
    assert parse(f"len == {number}") == parse("len == 5")
    with pytest.raises(Refused, match="nested too deep"):
        parse(f"len == ({number})")
    assert holds(parse(alternating(MAX_DEPTH + 1)), packet()) is True
    with pytest.raises(Refused, match="nested too deep"):
        parse(alternating(MAX_DEPTH + 3))
    assert holds(parse("port " + " or ".join(["1"] * 5000)), packet()) is False
