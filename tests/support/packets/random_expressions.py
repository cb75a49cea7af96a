"""Random expressions of pcap-filter(7), and packets as bytes whose fields lie at the edges of these.

Both draw from the same few values, so that packets often match.
"""

import random
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from hypothesis import strategies as st

Dice = random.Random

PORTS = (0, 21, 22, 23, 80, 81, 1023, 1024, 65535)
LENGTHS = (40, 59, 60, 61, 100)
TTLS = (0, 1, 63, 64, 254, 255)
BYTES = (0, 1, 2, 3, 4, 8, 0x10, 0x12, 0xB8, 128, 129, 254, 255)
PROTOCOLS = (1, 2, 6, 17, 47, 50, 58, 103, 112, 132, 253)
IPV4 = ("0.0.0.1", "9.255.255.255", "10.0.0.1", "10.1.0.0", "10.1.2.3", "192.168.0.1", "192.168.255.255", "224.0.0.1")
IPV6 = ("::", "fd00::1", "fd00::2", "fd00:0:0:1::", "fcff:ffff::1", "fe00::1", "ff02::1")

HOSTS = {"ip": IPV4, "ip6": IPV6, "": (*IPV4, *IPV6)}
_NETS4 = ("10", "192.168", "10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/31", "0.0.0.0/0", "10.1.2.3/32", "192.168/16")
_MASKED = ("10.0.0.0 mask 255.0.0.0", "10.0.2.0 mask 255.0.255.0", "192.168 mask 255.255", "0.0.0.1 mask 0.0.0.1")
_NETS6 = ("fd00::/8", "fd00::/64", "fd00::2/127", "::/0", "ff00::/8", "fd00::1")
NETS = {"ip": (*_NETS4, *_MASKED), "ip6": _NETS6, "": (*_NETS4, *_MASKED, *_NETS6)}

ALONE = (
    *("ip", "ip6", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "pim", "vrrp", "carp", "esp", "ip multicast"),
    *("ip6 multicast", "igrp"),
)
_SIGNS = ("=", "==", "!=", "<", "<=", ">", ">=")
_EQUAL = ("=", "==", "!=")
_FLAG_MASKS = ("tcp-syn", "(tcp-syn|tcp-ack)", "0x3f", "(tcp-ece|tcp-cwr)", "(1<<6)+2", "0xff")
_MASKS = ("0xfc", "3", "0xff")

RELATIONS = (
    *((field, _SIGNS, PORTS) for name in ("tcp", "udp", "sctp") for field in (f"{name}[0:2]", f"{name}[1+1:2]")),
    *((f"tcp[tcpflags] & {mask}", _SIGNS, BYTES) for mask in _FLAG_MASKS),
    *((field, _SIGNS, BYTES) for field in ("tcp[13]", "ip[1]", "icmp[icmptype]", "icmp[1]", "icmp6[icmp6type]")),
    *((f"ip[1] & {mask}", _SIGNS, BYTES) for mask in _MASKS),
    *((field, _EQUAL, (0, 0x0301, 0x0800, 0x8000)) for field in ("icmp[0:2]", "icmp6[0:2]")),
    *((field, _SIGNS, TTLS) for field in ("ip[8]", "ip6[7]", "ip[8:1]")),
    *((field, _SIGNS, LENGTHS) for field in ("len", "ip[2:2]")),
    ("ip[9]", _EQUAL, PROTOCOLS),
    ("icmp6[icmp6code]", _SIGNS, BYTES),
    ("ip[6:2] & 0x1fff", _EQUAL, (0,)),
    ("ip[12:4]", _EQUAL, (0x0A000001, 0)),
    ("ip[16:4] & 0xffff0000", _EQUAL, (0x0A010000, 0)),
    ("ip[16:4] & 0xff00ff", _EQUAL, (1, 0)),
)
"""Fields as text, their comparison operators, and numbers at their edges."""

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Asked:
    """Keywords before an id, and the ids that may follow."""

    words: str
    ids: tuple[str, ...]


_PORT_WORDS = (*map(str, PORTS), "0x16", "0x50")
_RANGES = (*(f"{low}-{high}" for low in PORTS[::2] for high in PORTS[1::2]), "22")


@st.composite
def keywords(draw: st.DrawFn) -> Asked:
    """Draw the keywords before an id."""
    kind = draw(st.sampled_from(("host", "net", "port", "portrange", "proto", "")))
    limits = ("", "tcp", "udp", "sctp") if kind.startswith("port") else ("", "ip", "ip6")
    limit = draw(st.sampled_from(limits))
    sides = ("src", "dst", "src or dst", "dst and src", "src||dst", "src && dst")
    side = "" if kind == "proto" else draw(st.sampled_from(sides if not kind else ("", *sides)))
    ids = {
        "port": _PORT_WORDS,
        "portrange": _RANGES,
        "proto": (*map(str, PROTOCOLS), "\\tcp", "\\icmp"),
        "net": NETS.get(limit, ()),
    }.get(kind, HOSTS.get(limit, ()))
    return Asked(" ".join(word for word in (limit, side, kind) if word), ids)


@st.composite
def relations(draw: st.DrawFn) -> str:
    """Draw a relation, with the field on either side."""
    field, signs, numbers = draw(st.sampled_from(RELATIONS))
    sign, number = draw(st.sampled_from(signs)), draw(st.sampled_from(numbers))
    said = draw(st.sampled_from((str(number), f"{number:#x}", f"({number})", f"{number}*2/2", f"{number} + 1 - 1")))
    if draw(st.booleans()):
        return f"{field} {sign} {said}"
    return f"{said} {_MIRRORED.get(sign, sign)} {field}"


@st.composite
def _id_group(draw: st.DrawFn, asked: Asked, depth: int) -> str:
    """Draw an id, a negated id, or several ids in parentheses."""
    shape = draw(st.integers(0, 9))
    if shape == 0:
        return "not " + draw(_id_group(asked, depth))
    if shape == 1 and depth:
        joint = draw(st.sampled_from((" or ", " and ", " || ")))
        return "(" + joint.join(draw(st.lists(_id_group(asked, depth - 1), min_size=2, max_size=3))) + ")"
    return draw(st.sampled_from(asked.ids))


@st.composite
def _terms(draw: st.DrawFn, kept: Asked | None, depth: int, *, bare: bool) -> tuple[str, Asked | None]:
    """Draw a term, and the keywords that apply to a bare id after it."""
    shape = draw(st.integers(0, 9))
    if shape == 0:
        text, kept = draw(_terms(kept, depth, bare=bare))
        return draw(st.sampled_from(("not ", "!", "! "))) + text, kept
    if shape <= 2 and depth:
        return f"({draw(_sequences(kept, depth - 1, bare=False))})", kept
    if shape <= 5 and bare and kept:
        return draw(_id_group(kept, 0)), kept
    if shape == 6:
        return draw(st.sampled_from(ALONE)), None
    if shape == 7:
        return draw(relations()), None
    if shape == 8:
        return f"{draw(st.sampled_from(('less', 'greater')))} {draw(st.sampled_from(LENGTHS))}", None
    asked = draw(keywords())
    return f"{asked.words} {draw(_id_group(asked, 1))}", asked


@st.composite
def _sequences(draw: st.DrawFn, kept: Asked | None, depth: int, *, bare: bool) -> str:
    """Draw terms joined by operators; libpcap accepts a bare id first in a group only among other ids."""
    text, kept = draw(_terms(kept, depth, bare=bare))
    for _ in range(draw(st.integers(0, 3))):
        joint = draw(st.sampled_from((" and ", " or ", " &&", " || ")))
        more, kept = draw(_terms(kept, depth, bare=True))
        text += joint + more
    return text


def texts() -> st.SearchStrategy[str]:
    """Draw an expression that both libpcap and nodewall accept."""
    return _sequences(None, 2, bare=False)


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """Draw a damaged expression: a word changed, added or removed, or a character removed."""
    words = draw(texts()).split(" ")
    place = draw(st.integers(0, len(words) - 1))
    replaced = draw(st.integers(0, 1))
    words[place : place + replaced] = draw(st.lists(st.sampled_from(_STRAY), max_size=1))
    text = " ".join(words)
    cut = draw(st.integers(0, len(text) * 3))
    return text[:cut] + text[cut + 1 :]


_STRAY = (
    *"and or not ( ) ! && || [ ] : & | < = + - / \\ src dst host net port portrange proto mask less len".split(),
    *"tcp udp ip ip6 icmp 0 1 10 22 1-2 10.0.0.1 fd00::1 ip[8] 10.0.0.0/8".split(),
)


def extended() -> st.SearchStrategy[str]:
    """Draw an expression with nodewall's extensions of pcap-filter(7)."""
    own = st.sampled_from(OWN)
    part = st.one_of(own, own.map("not {}".format), texts().map("({})".format))
    return st.lists(part, min_size=1, max_size=4).map(" or ".join)


OWN = (
    *("in eth0", "in eth+ or lo", "out (eth1 or not cali+)", "ctstate new", "ctstate related,established or invalid"),
    *("mark 1", "mark 0x10/0xf0", "not mark 0 or 2", "port ssh", "udp port domain", "icmp[icmpcode] == 1"),
)


def wire(dice: Dice) -> bytes:
    """Return the bytes of a packet at the edges of the expressions above."""
    return _ipv4(dice) if dice.random() < 0.6 else _ipv6(dice)


def _ipv4(dice: Dice) -> bytes:
    protocol = dice.choice((*PROTOCOLS, 6, 6, 17, 1))
    options = bytes(4 * (dice.random() < 0.2))
    place = dice.choice((0, 0, 0, 0x4000, 0x2000, 0x2001, 0x00B9, 0x1FFF))
    body = _body(dice, protocol, 1, 20 + len(options))
    ends = b"".join(ip_address(dice.choice(IPV4)).packed for _ in range(2))
    size = 20 + len(options) + len(body)
    first = 0x45 + len(options) // 4
    head = struct.pack("!BBHHHBBH", first, dice.choice(BYTES), size, 0, place, dice.choice(TTLS), protocol, 0)
    return head + ends + options + body


def _ipv6(dice: Dice) -> bytes:
    """Return an IPv6 packet, with a fragment header only for later fragments.

    libpcap follows no other extension header, and finds no port after that one.
    """
    protocol = dice.choice((*PROTOCOLS, 6, 6, 17, 58))
    later = dice.random() < 0.2
    body = _body(dice, protocol, 58, 48 if later else 40)
    if later:
        body = struct.pack("!BBHI", protocol, 0, dice.choice((0x0008, 0x0009, 0xFFF8)), 0) + body
    ends = b"".join(ip_address(dice.choice(IPV6)).packed for _ in range(2))
    following = 44 if later else protocol
    head = struct.pack("!IHBB", 6 << 28 | dice.choice(BYTES) << 20, len(body), following, dice.choice(TTLS))
    return head + ends + body


def _body(dice: Dice, protocol: int, icmp: int, before: int) -> bytes:
    head = bytes(20)
    if protocol in {6, 17, 132}:
        head = struct.pack("!HH", dice.choice(PORTS), dice.choice(PORTS)) + bytes(16)
        head = head[:13] + bytes([dice.choice(BYTES)]) + head[14:] if protocol == 6 else head
    elif protocol == icmp:
        head = bytes([dice.choice(BYTES), dice.choice(BYTES)]) + bytes(18)
    return head + bytes(max(0, dice.choice(LENGTHS) - before - len(head)))
