"""Condition that a packet is in an ipset, for the symbolic engine.

Input: the sets, the name of one, and the source or destination side for each part of a member. Output: a `Formula` over
packet fields. Large sets of addresses are read in bulk with numpy; other types use `simulator.sets`.

Raises `KeyError` for an unknown set, and `ValueError` if membership depends on more than the packet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, repeat
from operator import itemgetter
from socket import AF_INET, AF_INET6, inet_pton

import numpy as np

from engine.rulesets.model import Family, IpSet, Member
from simulator.matches.formula import (
    FALSE,
    And,
    AnswerScope,
    Formula,
    FreeCondition,
    MaskedBits,
    NameCondition,
    Not,
    Or,
    RangeBounds,
    Within,
    within,
)
from simulator.packet_sets.value_classes import Numbers
from simulator.packets import protocol_names
from simulator.sets import StaticSet, read_set
from simulator.sets.elements import BITS, PHYSDEV, mask
from simulator.sets.set_types import SetDimension
from simulator.sets.static import MemberKey, PrefixLengths, SetEntry

_PLAIN_OPTIONS = frozenset("maxelem comment counters timeout skbinfo forceadd".split())
_NOMATCH = ("nomatch",)
_COMMENT = ("comment",)


@dataclass(frozen=True, slots=True)
class SetQuery:
    """Look-up in a set.

    Attributes:
        sides: Side of each dimension: True is the source, False the destination.
        family: Family of the packets.
        excepted: Whether to look up exceptions (``nomatch`` members), as ``--return-nomatch`` does.
    """

    sides: Sequence[bool]
    family: Family
    excepted: bool = False

    def field(self, at: int, source: str, destination: str) -> str:
        """Return the packet field of the dimension ``at``.

        Raises:
            ValueError: the match names no side for the dimension.
        """
        if at >= len(self.sides):
            raise ValueError(at)
        return source if self.sides[at] else destination


@dataclass(frozen=True, slots=True)
class ChangingSet:
    """Set whose members change one by one, from ``before`` to ``after``."""

    before: IpSet
    after: IpSet


SymbolicSet = IpSet | ChangingSet
"""Known content of a set."""


def membership(
    sets: Mapping[str, SymbolicSet], name: str, sides: Sequence[bool], family: Family, *, excepted: bool = False
) -> Formula:
    """Return the condition that a packet is in a set.

    Raises:
        KeyError: there is no set with that name.
        ValueError: membership depends on more than the packet.
    """
    return _membership(sets, name, SetQuery(sides, family, excepted))


def _membership(sets: Mapping[str, SymbolicSet], name: str, look: SetQuery) -> Formula:
    ipset = sets[name]
    if isinstance(ipset, ChangingSet):
        before, after = (_membership({**sets, name: each}, name, look) for each in (ipset.before, ipset.after))
        sides = ",".join("src" if side else "dst" for side in look.sides)
        moved = FreeCondition(
            f"-m set --match-set {name} {sides}", "changes member by member meanwhile", AnswerScope.EVERYWHERE
        )
        return Or((And((before, after)), And((moved, Or((before, after))))))
    if ipset.is_list:
        return Or(tuple(_membership(sets, each, look) for each in ipset.set_names))
    if ipset.type in {"hash:ip", "hash:net"} and (ipset.family or Family.IPV4) is not look.family:
        return FALSE
    bounds = bulk_bounds(ipset, excepted=look.excepted)
    if bounds is not None:
        return Within(look.field(0, "src", "dst"), bounds)
    saved = read_set(ipset)
    if saved is None:
        raise ValueError(name)
    if saved.family not in {None, look.family}:
        return FALSE
    return _by_levels(saved, look)


# Sets of addresses, read in bulk


def bulk_bounds(ipset: IpSet, *, excepted: bool = False) -> RangeBounds | None:
    """Return the addresses in a set as ranges, or None if its members are not plain addresses or networks."""
    if ipset.type not in {"hash:ip", "hash:net"} or {name for name, _ in ipset.options} - _PLAIN_OPTIONS:
        return None
    family = ipset.family or Family.IPV4
    members = _untold(ipset)
    try:
        alone = _addresses(members) if family is Family.IPV4 else None
        if alone is not None and not excepted:
            return _runs(alone[alone > 0] if ipset.type == "hash:ip" else alone)
        found = _blocks(members, family)
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    lows, highs, excluded = found
    if ipset.type == "hash:ip":  # a hash:ip set never matches the address 0
        return _union([(low, high) for low, high in zip(lows, highs, strict=True) if low], family)
    if any(excluded):
        return _painted(zip(lows, highs, excluded, strict=True), family, wanted=excepted)
    return ([], []) if excepted else _union(zip(lows, highs, strict=True), family)


def _untold(ipset: IpSet) -> Sequence[Member]:
    """Return the members without their comments."""
    if ("comment", "") not in ipset.options:
        return ipset.members
    return [(member[0], *member[3:]) if member[1:2] == _COMMENT else member for member in ipset.members]


def _addresses(members: Sequence[Member]) -> Numbers | None:
    """Return the members as numbers if all are plain IPv4 addresses, as in most large sets; else None."""
    if any(map(_FURTHER, members)):
        return None
    texts = [text for (text,) in members]
    if "/" in "".join(texts):
        return None
    return np.frombuffer(b"".join(map(inet_pton, repeat(AF_INET), texts)), ">u4").astype(np.int64)


_FURTHER = itemgetter(slice(1, None))
"""Returns the flags of a member."""


def _runs(numbers: Numbers) -> RangeBounds:
    """Return single numbers as ranges."""
    if not len(numbers):
        return [], []
    ordered = np.sort(numbers)
    fresh = np.flatnonzero(np.diff(ordered) > 1)
    lows = np.concatenate([ordered[:1], ordered[fresh + 1]])
    return lows, np.concatenate([ordered[fresh], ordered[-1:]])


def _blocks(members: Sequence[Member], family: Family) -> tuple[Sequence[int], Sequence[int], Sequence[bool]] | None:
    """Return the first and last address of each member, and whether it is an exception; None for other members."""
    width, kind = BITS[family], AF_INET if family is Family.IPV4 else AF_INET6
    words, octets, excluded = [], [], []
    for text, *more in members:
        address, _, prefix = text.partition("/")
        octets.append(inet_pton(kind, address))
        words.append(int(prefix) if prefix else width)
        excluded.append(bool(more))
        if more and tuple(more) != _NOMATCH:
            return None
    if words and not (min(words) >= 0 and max(words) <= width):
        return None
    if family is Family.IPV4:
        numbers = np.frombuffer(b"".join(octets), ">u4").astype(np.int64)
        hosts = (1 << 32 - np.asarray(words, np.int64)) - 1
        return (numbers & ~hosts).tolist(), (numbers | hosts).tolist(), excluded
    starts = [int.from_bytes(each) for each in octets]
    tails = [(1 << width - prefix) - 1 for prefix in words]
    pairs = list(zip(starts, tails, strict=True))
    return [start & ~tail for start, tail in pairs], [start | tail for start, tail in pairs], excluded


def _union(blocks: Iterable[tuple[int, int]], family: Family) -> RangeBounds:
    """Return the union of blocks as ranges; two blocks are disjoint, or one contains the other."""
    found = list(blocks)
    if family is Family.IPV6 or not found:
        return _painted(((low, high, False) for low, high in found), family, wanted=False)
    table = np.asarray(found, np.int64)
    table = table[np.argsort(table[:, 0], kind="stable")]
    ends = np.maximum.accumulate(table[:, 1])
    fresh = np.concatenate([[True], table[1:, 0] > ends[:-1] + 1])
    last: Numbers = np.concatenate([np.flatnonzero(fresh)[1:] - 1, [len(table) - 1]])
    return table[fresh, 0], ends[last]


def _painted(blocks: Iterable[tuple[int, int, bool]], family: Family, *, wanted: bool) -> RangeBounds:
    """Return the ranges of addresses whose smallest surrounding block is an exception, or is none.

    ``wanted`` selects which: True for exceptions.
    """
    lows: list[int] = []
    highs: list[int] = []

    def add(low: int, high: int) -> None:
        if highs and highs[-1] + 1 == low:
            highs[-1] = high
        else:
            lows.append(low)
            highs.append(high)

    around: list[tuple[int, bool]] = []  # blocks around the current address: last address, whether an exception
    at = 0
    for low, high, excluded in (
        *sorted(blocks, key=lambda block: (block[0], -block[1])),
        (1 << BITS[family], 0, False),
    ):
        while around and around[-1][0] < low:
            end, kind = around.pop()
            if kind is wanted and at <= end:
                add(at, end)
            at = max(at, end + 1)
        if around and around[-1][1] is wanted and at < low:
            add(at, low - 1)
        at = max(at, low)
        around.append((high, excluded))
    return lows, highs


# Other set types, one prefix length after the other, the most specific first


def _by_levels(saved: StaticSet, look: SetQuery) -> Formula:
    found: Formula = FALSE
    for prefixes in reversed(saved.order):
        members: list[tuple[MemberKey, SetEntry]] = []
        exceptions: list[tuple[MemberKey, SetEntry]] = []
        for key, entries in saved.levels[prefixes].items():
            for entry in entries:
                (exceptions if entry.nomatch else members).append((key, entry))
        inside, outside = (_level(saved, look, prefixes, each) for each in (members, exceptions))
        hidden = outside
        if saved.kind.compares_last and saved.kind.nets:
            # The kernel's search ends at the first network that holds the address, even if the interface differs.
            keyed = [(key, entry) for key, entry in (*members, *exceptions) if not entry.physdev]
            hidden = _level(
                saved, look, prefixes, [(key, replace(entry, tail="", wildcard=True)) for key, entry in keyed]
            )
        if look.excepted and saved.kind.exceptions:
            inside, hidden = outside, Or((hidden, inside))
        found = Or((inside, And((Not(hidden), found))))
    return found


def _level(
    saved: StaticSet, look: SetQuery, prefixes: PrefixLengths, members: list[tuple[MemberKey, SetEntry]]
) -> Formula:
    """Return the condition of members with the same prefix lengths.

    Members that differ only in the first dimension share one condition on ranges.
    """
    if saved.kind.parts[0] not in {SetDimension.IP, SetDimension.NET}:
        return Or(tuple(_dimensions(saved, look, prefixes, each) for each in members))
    rest = sorted(members, key=lambda each: (each[0][1:], each[1].tail, each[1].wildcard, each[0][0]))
    alike = groupby(rest, key=lambda each: (each[0][1:], each[1].tail, each[1].wildcard))
    return Or(tuple(_together(saved, look, prefixes, list(group)) for _, group in alike))


def _together(
    saved: StaticSet, look: SetQuery, prefixes: PrefixLengths, members: Sequence[tuple[MemberKey, SetEntry]]
) -> Formula:
    ranges = [_block(saved, prefixes, 0, key[0]) for key, _ in members if not _never(saved, key)]
    field = look.field(0, "src", "dst")
    return And((within(field, *ranges), _dimensions(saved, look, prefixes, members[0], begin=1)))


def _never(saved: StaticSet, key: MemberKey) -> bool:
    """Return whether no packet has this key (``_is_null`` of `simulator.sets.lookup_keys`)."""
    plain = (
        saved.kind.parts[0] is SetDimension.IP
        and not saved.kind.bitmap
        and saved.kind.parts[1:] in {(), (SetDimension.PORT,)}
    )
    pair = saved.kind.parts == (SetDimension.NET, SetDimension.NET) and saved.family is Family.IPV6
    return key[0] == 0 and (plain or pair)


def _dimensions(
    saved: StaticSet, look: SetQuery, prefixes: PrefixLengths, member: tuple[MemberKey, SetEntry], *, begin: int = 0
) -> Formula:
    key, entry = member
    parts: list[Formula] = []
    for at, part in enumerate(saved.kind.parts):
        if at < begin:
            continue
        if part in {SetDimension.IP, SetDimension.NET}:
            parts.append(within(look.field(at, "src", "dst"), _block(saved, prefixes, at, key[at])))
        elif part is SetDimension.IFACE:
            parts.append(_interface(look.field(at, "in_interface", "out_interface"), entry))
        elif part is SetDimension.MARK:
            parts.append(MaskedBits("mark", saved.traits.markmask, key[at]))
        elif part is SetDimension.PORT:
            parts.append(_port(saved, look, at, key[at]))
        else:
            parts.append(_hardware(saved, look, at, key, entry))
    return And(tuple(parts))


def _block(saved: StaticSet, prefixes: PrefixLengths, at: int, value: int) -> tuple[int, int]:
    kept = saved.traits.mask
    if at in saved.kind.nets:
        kept &= mask(prefixes[saved.kind.nets.index(at)], saved.bits)
    hosts = (1 << saved.bits) - 1 - kept
    if hosts & hosts + 1:
        raise ValueError(saved.name)  # a bitmask with holes is not modelled
    return value & kept, value & kept | hosts


def _interface(field: str, entry: SetEntry) -> Formula:
    if entry.tail.startswith(PHYSDEV):
        return FALSE
    return NameCondition(field, f"{entry.tail}+" if entry.wildcard else entry.tail)


def _hardware(saved: StaticSet, look: SetQuery, at: int, key: MemberKey, entry: SetEntry) -> Formula:
    if not look.sides[at]:
        raise ValueError(saved.name)  # a packet does not give the destination's MAC address
    text = entry.tail if saved.kind.bitmap else ":".join(f"{octet:02x}" for octet in key[at].to_bytes(6))
    if not text:
        raise ValueError(saved.name)  # the first packet determines the MAC address of this member
    return NameCondition("mac", text)


_PORTED = frozenset({protocol_names.TCP, protocol_names.UDP, protocol_names.SCTP, protocol_names.UDPLITE})
_PORTLESS: Mapping[Family, int] = {
    Family.IPV4: protocol_names.PROTOCOLS["hopopt"],
    Family.IPV6: protocol_names.PROTOCOLS["ipv6-nonxt"],
}


def _port(saved: StaticSet, look: SetQuery, at: int, value: int) -> Formula:
    """Return the condition on a port, as ``ip_set_get_ip_port`` of the kernel; see `simulator.sets.lookup_keys`."""
    field = look.field(at, "sport", "dport")
    whole = MaskedBits("fragment", 1, 0)
    if saved.kind.bitmap:
        protocols = within(
            "protocol", (protocol_names.TCP, protocol_names.TCP), (protocol_names.UDP, protocol_names.UDP)
        )
        return And((protocols, whole, within(field, (value, value))))
    protocol, number = value >> 16, value & 0xFFFF
    spoken = within("protocol", (protocol, protocol))
    if protocol == _PORTLESS[look.family]:
        return FALSE
    if protocol in protocol_names.ICMP_OF.values():
        return And((spoken, whole, within("icmp", (number, number))))
    if protocol in _PORTED:
        return And((spoken, whole, within(field, (number, number))))
    return FALSE if number else And((spoken, whole))
