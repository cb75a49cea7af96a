"""Packets at the edges of a ruleset's matches: for each match, one just inside and one just outside.

Matches that depend on earlier packets (states, counts) have no edge in a packet. Their rules get the same packet
several times.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import islice

from engine.rulesets.model import Family, IpSet, Match, Rule, Ruleset
from simulator.matches.basic import BITS, masked
from simulator.matches.fields import mark_and_mask, tos_and_mask
from simulator.packets import TCP_FLAGS, protocol_names
from tests.support.packets.packet_drafts import (
    COOKIE_ECHO,
    LEFT,
    NEEDLE,
    NODE,
    RIGHT,
    Dice,
    Draft,
    chunk,
    drawn,
    of_protocol,
    segment_options,
)
from tests.support.rulesets.random_rulesets import NEIGHBOURS
from tests.support.seeds import seeded

Change = Callable[[Draft], Draft]
Changes = Sequence[Change]
"""Changes for one match: the first makes a packet match, the last makes it fail, and all lie at the edges."""

COUNTING = frozenset({"limit", "hashlimit", "quota", "recent", "statistic"})
REPEATS = 4
OPTIONS = {2: segment_options(1400, permitted=False), 3: b"\3\3\7\1", 8: b"\x08\x0a" + bytes(8) + b"\1\1"}


def aimed(dice: Dice, rules: Ruleset, family: Family) -> list[Draft]:
    """Return packets at the edges of every match of a family's rules, in random order."""
    sets = {each.name: each for each in rules.sets}
    drafts = [
        draft
        for table in rules.tables(family)
        for chain in table.chains
        for rule in chain.rules
        if rule.value_of("", "source") not in NEIGHBOURS  # packets that it accepts are not traced
        for draft in _at_rule(dice, rule, chain.name, family, sets)
    ]
    dice.shuffle(drafts)
    return drafts


def _at_rule(dice: Dice, rule: Rule, chain: str, family: Family, sets: Mapping[str, IpSet]) -> Iterator[Draft]:
    found = [(match.negated, changes_of(match, rule, family, sets)) for match in rule.matches]
    edges = [(negated, changes) for negated, changes in found if changes]
    base = on_way(dice, chain, drawn(dice, family))
    for negated, changes in edges:
        base = changes[-1 if negated else 0](base)
    repeats = REPEATS if any(match.module in COUNTING for match in rule.matches) else bool(edges)
    yield from [base] * repeats
    for _negated, changes in edges:
        yield from (change(base) for change in changes)


def on_way(dice: Dice, chain: str, draft: Draft) -> Draft:
    """Return the draft with addresses that take it through a built-in chain."""
    family = draft.family
    left, right, own = (ip_address(dice.choice(side)) for side in (LEFT[family], RIGHT[family], [NODE[family]]))
    ends = {"INPUT": (dice.choice((left, right)), own), "OUTPUT": (own, dice.choice((left, right)))}
    if chain == "FORWARD":
        ends[chain] = dice.choice(((left, right), (right, left)))
    src, dst = ends.get(chain, (draft.src, draft.dst))
    return replace(draft, src=src, dst=dst)


def changes_of(match: Match, rule: Rule, family: Family, sets: Mapping[str, IpSet]) -> Changes:
    """Return the changes that put a packet at the edges of a match; none if the match has no edge in one packet."""
    if match.option == "match-set":
        return _of_set(sets[match.values[0]], match.values[1], family)
    if match.option == "string":
        return _of_string(int(rule.value_of("string", "from") or 0), int(rule.value_of("string", "to") or 0))
    return _EDGES[match.module, match.option](match.values, family) if (match.module, match.option) in _EDGES else ()


# Addresses


def _at(side: str, number: int, family: Family) -> Change:
    address = ip_address(number.to_bytes(BITS[family] // 8))
    return lambda draft: replace(draft, src=address) if side == "src" else replace(draft, dst=address)


def _network(side: str) -> Callable[[Sequence[str], Family], Changes]:
    def changes(values: Sequence[str], family: Family) -> Changes:
        address, mask = masked(values[0], family)
        free = mask ^ ((1 << BITS[family]) - 1)
        lowest = mask & -mask
        holes = free & (free + 1)
        beyond = [address ^ lowest] if holes or not lowest else [address - 1, address + free + 1]
        return [_at(side, number, family) for number in (address, address | free, *beyond)]

    return changes


def _range(side: str) -> Callable[[Sequence[str], Family], Changes]:
    def changes(values: Sequence[str], family: Family) -> Changes:
        low, high = (int(ip_address(text)) for text in values[0].split("-"))
        return [_at(side, number, family) for number in (low, high, low - 1, high + 1)]

    return changes


def _of_set(ipset: IpSet, side: str, family: Family) -> Changes:
    numbers: list[int] = []
    for member in ipset.members:
        network = ip_network(member[0], strict=False)
        low, high = int(network.network_address), int(network.broadcast_address)
        numbers += [low, high, low - 1, high + 1]
    inside = [number for number in numbers if _holds(ipset, number, family)]
    if not inside:
        return ()
    outside = min(number for number in numbers if not _holds(ipset, number, family))
    return [_at(side, number, family) for number in (*dict.fromkeys([inside[0], *numbers]), outside)]


def _holds(ipset: IpSet, number: int, family: Family) -> bool:
    """Return True if a set contains an address; the longest network that contains it decides."""
    address = ip_address(number.to_bytes(BITS[family] // 8))
    found = [(ip_network(member[0], strict=False), "nomatch" in member) for member in ipset.members]
    fitting = [(network.prefixlen, not absent) for network, absent in found if address in network]
    return max(fitting, default=(0, False))[1]


# Numbers


def _bounds(text: str, most: int) -> list[int]:
    """Return the edges of ``LOW:HIGH``: two inside, and those that exist outside. Either number may be missing."""
    low, colon, high = text.partition(":")
    first, last = int(low or "0", 0), int(high or str(most), 0) if colon else int(low, 0)
    return [first, last, *(number for number in (first - 1, last + 1) if 0 <= number <= most)]


def _ports(*fields: str) -> Callable[[Sequence[str], Family], Changes]:
    def changes(values: Sequence[str], _family: Family) -> Changes:
        edges = [_bounds(part, 0xFFFF) for part in values[0].split(",")]
        numbers = dict.fromkeys(number for part in edges for number in part)
        outside = (number for number in numbers if not any(part[0] <= number <= part[1] for part in edges))
        found = [_ported((field,), number) for field in fields for number in numbers]
        return [*found, *(_ported(fields, number) for number in islice(outside, 1))]

    return changes


def _ported(fields: Sequence[str], number: int) -> Change:
    def change(draft: Draft) -> Draft:
        draft = replace(draft, sport=number) if "sport" in fields else draft
        return replace(draft, dport=number) if "dport" in fields else draft

    return change


def _length(values: Sequence[str], _family: Family) -> Changes:
    low, high, *beyond = _bounds(values[0], 0xFFFF)
    return [_sized(number) for number in (high, low, *beyond)]


def _sized(size: int) -> Change:
    def change(draft: Draft) -> Draft:
        free = size - draft.head
        return draft if draft.protocol == protocol_names.SCTP or free < 0 else replace(draft, payload=b"x" * free)

    return change


def _hops(values: Sequence[str], _family: Family) -> Changes:
    limit = int(values[0])
    return [_lives(number) for number in (limit, limit + 1, limit - 1)]


def _few_hops(values: Sequence[str], _family: Family) -> Changes:
    limit = int(values[0])
    return [_lives(number) for number in (limit - 1, limit)]


def _many_hops(values: Sequence[str], _family: Family) -> Changes:
    limit = int(values[0])
    return [_lives(number) for number in (limit + 1, limit)]


def _lives(hops: int) -> Change:
    return lambda draft: replace(draft, ttl=hops)


def _tos(values: Sequence[str], _family: Family) -> Changes:
    value, mask = tos_and_mask(values[0])
    return [_serves(value, mask), _serves(value ^ (mask & -mask), mask)]


def _dscp(values: Sequence[str], _family: Family) -> Changes:
    value = int(values[0], 0)
    near = [number for number in (value - 1, value + 1) if 0 <= number < 64]
    return [_serves(number << 2, 0xFC) for number in (value, *near)]


def _ecn(values: Sequence[str], _family: Family) -> Changes:
    value = int(values[0])
    return [_serves(number, 3) for number in (value, (value + 1) % 4)]


def _serves(value: int, mask: int) -> Change:
    return lambda draft: replace(draft, tos=draft.tos & (0xFF ^ mask) | value & mask)


def _mark(values: Sequence[str], _family: Family) -> Changes:
    value, mask = mark_and_mask(values[0])
    bits = mask & 0x3FFFFFFF
    return [_marked(value), _marked(value ^ (bits & -bits))] if bits and not value & ~bits else ()


def _marked(mark: int) -> Change:
    return lambda draft: replace(draft, mark=mark)


# Transport


def _protocol(values: Sequence[str], family: Family) -> Changes:
    number = protocol_names.protocol_number(values[0])
    return (
        [_speaks(number), _speaks(protocol_names.UDP if number != protocol_names.UDP else protocol_names.TCP)]
        if _drafted(number, family)
        else ()
    )


def _drafted(protocol: int, family: Family) -> bool:
    return protocol in {protocol_names.TCP, protocol_names.UDP, protocol_names.SCTP, protocol_names.ICMP_OF[family]}


def _speaks(protocol: int) -> Change:
    return lambda draft: draft if draft.protocol == protocol else of_protocol(seeded(protocol), draft, protocol)


def _icmp(values: Sequence[str], _family: Family) -> Changes:
    kind, slash, code = values[0].partition("/")
    first, second = int(kind), int(code or 0)
    near = [(first, second + 1), (first, second - 1)] if second else [(first, second + 1)] if slash else []
    return [_of_type(each) for each in ((first, second), *near, (first + 1, second))]


def _of_type(icmp: tuple[int, int]) -> Change:
    return lambda draft: replace(draft, icmp=icmp)


def _flags(values: Sequence[str], _family: Family) -> Changes:
    mask, wanted = (_bits(text) for text in values)
    return [_flagged(wanted, mask), _flagged(wanted ^ (mask & -mask), mask)]


def _bits(text: str) -> int:
    every = {"ALL": TCP_FLAGS[:6], "NONE": ()}.get(text, text.split(","))
    return sum(1 << TCP_FLAGS.index(flag) for flag in every)


def _flagged(bits: int, mask: int) -> Change:
    return lambda draft: replace(draft, flags=draft.flags & (0xFF ^ mask) | bits)


def _option(values: Sequence[str], _family: Family) -> Changes:
    kind = int(values[0])
    other = next(each for each in OPTIONS if each != kind)
    return [_with_options(OPTIONS[kind]), _with_options(b""), _with_options(OPTIONS[other])]


def _segment(values: Sequence[str], _family: Family) -> Changes:
    sizes = [_with_options(segment_options(size)) for size in _bounds(values[0], 0xFFFF)]
    return [*sizes, _with_options(b"")]


def _with_options(options: bytes) -> Change:
    return lambda draft: replace(draft, options=options)


def _chunks(values: Sequence[str], _family: Family) -> Changes:
    named = [{"INIT": chunk(1), "DATA": chunk(0)}[word.partition(":")[0]] for word in values[1].split(",")]
    bare = [data[:1] + b"\1" + data[2:] for data in named]
    return [_carries(b"".join(named)), *map(_carries, (*named, *bare)), _carries(chunk(COOKIE_ECHO))]


def _carries(payload: bytes) -> Change:
    return lambda draft: replace(draft, payload=payload)


# Bytes


def _of_string(first: int, last: int) -> Changes:
    edges = [first, first - 1] if first else []
    edges += [last, last + 1, last - len(NEEDLE), last - len(NEEDLE) + 1] if last else []
    return [_needle(max(first, 48)), *map(_needle, edges), _needle(None)]


def _needle(place: int | None) -> Change:
    """Put the needle at an offset, or a payload without needle; the chunks of SCTP stay unchanged."""

    def change(draft: Draft) -> Draft:
        before = 0 if place is None else place - draft.head
        if draft.protocol == protocol_names.SCTP or before < 0:
            return draft
        return replace(draft, payload=b"hay" if place is None else b"-" * before + NEEDLE)

    return change


def _u32(values: Sequence[str], family: Family) -> Changes:
    """Return changes for the tests that `random_rulesets` draws: the protocol, or the last byte of the source."""
    place, _, numbers = values[0].partition("&0xff=" if "&0xff=" in values[0] else "&0xFF=")
    low, high, *beyond = _bounds(numbers, 0xFF)
    if int(place, 0) in {3, 6}:
        outside = protocol_names.TCP if low != protocol_names.TCP else protocol_names.UDP
        return [_speaks(number) for number in (low, high, outside)]
    return [_ends_in(number) for number in (low, high, *beyond)] if family else ()


def _ends_in(byte: int) -> Change:
    return lambda draft: replace(draft, src=ip_address(draft.src.packed[:-1] + bytes([byte])))


_ADDRESSES: Mapping[tuple[str, str], Callable[[Sequence[str], Family], Changes]] = {
    ("", "source"): _network("src"),
    ("", "destination"): _network("dst"),
    ("iprange", "src-range"): _range("src"),
    ("iprange", "dst-range"): _range("dst"),
    ("conntrack", "ctorigsrc"): _network("src"),
    ("conntrack", "ctorigdst"): _network("dst"),
    ("conntrack", "ctreplsrc"): _network("dst"),
    ("conntrack", "ctrepldst"): _network("src"),
}

_EDGES: Mapping[tuple[str, str], Callable[[Sequence[str], Family], Changes]] = {
    **_ADDRESSES,
    **{(module, "sport"): _ports("sport") for module in ("tcp", "udp", "sctp")},
    **{(module, "dport"): _ports("dport") for module in ("tcp", "udp", "sctp")},
    ("multiport", "sports"): _ports("sport"),
    ("multiport", "dports"): _ports("dport"),
    ("multiport", "ports"): _ports("dport", "sport"),
    ("", "protocol"): _protocol,
    ("conntrack", "ctproto"): _protocol,
    ("icmp", "icmp-type"): _icmp,
    ("icmp6", "icmpv6-type"): _icmp,
    ("tcp", "tcp-flags"): _flags,
    ("tcp", "tcp-option"): _option,
    ("tcpmss", "mss"): _segment,
    ("sctp", "chunk-types"): _chunks,
    ("length", "length"): _length,
    ("ttl", "ttl-eq"): _hops,
    ("ttl", "ttl-lt"): _few_hops,
    ("ttl", "ttl-gt"): _many_hops,
    ("hl", "hl-eq"): _hops,
    ("hl", "hl-lt"): _few_hops,
    ("hl", "hl-gt"): _many_hops,
    ("tos", "tos"): _tos,
    ("dscp", "dscp"): _dscp,
    ("ecn", "ecn-ip-ect"): _ecn,
    ("mark", "mark"): _mark,
    ("u32", "u32"): _u32,
}
