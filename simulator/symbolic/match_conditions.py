"""The matches of rules as conditions on fields.

What a match means is told by :mod:`simulator.matches` for one packet; here it is told for all packets at once, and
tests hold both to be the same. A match without a condition here is free: it may hold or not.
"""

from collections.abc import Callable, Mapping
from itertools import groupby

from engine.rulesets.model import Family, Match
from simulator.matches import MatchGroup
from simulator.matches.base import one, spelled
from simulator.matches.basic import BITS, address_number, masked
from simulator.matches.fields import dscp_class, mark_and_mask, tos_and_mask
from simulator.matches.set_match import sides_of
from simulator.matches.transport import flag_mask, port_ranges
from simulator.packet_sets.formula import (
    FALSE,
    TRUE,
    And,
    AnswerScope,
    Formula,
    FreeCondition,
    MaskedBits,
    NameCondition,
    Not,
    Or,
    within,
)
from simulator.packet_sets.space import state_condition
from simulator.packets import TCP_FLAGS, ConnState, protocol_names
from simulator.symbolic.set_conditions import ChangingSet, SymbolicSet, membership

ConditionReader = Callable[[tuple[str, ...], Family], Formula]
"""From a match's words to its condition; ValueError, KeyError or IndexError where it has none."""

_HOLES = 12
"""A mask with more bits of holes than this would be too many ranges."""

_NOT_ONE_PACKET = "depends on more than the packet, so it may hold or not"


class MatchConditions:
    """Reads the matches of one family's rules; what it has read once it gives again, while the sets are the same."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._groups: dict[tuple[MatchGroup, tuple[SymbolicSet, ...]], Formula] = {}
        self._rules: dict[tuple[tuple[Match, ...], tuple[SymbolicSet, ...]], Formula] = {}

    def condition(self, matches: tuple[Match, ...], sets: Mapping[str, SymbolicSet]) -> Formula:
        """Return the condition of all matches of a rule together; one that looks into a set not given is free."""
        asked = _asked(matches, sets)
        if (matches, asked) not in self._rules:
            parts = [part for group in groups(matches) for part in (self._group(group, sets),) if part is not TRUE]
            self._rules[matches, asked] = parts[0] if len(parts) == 1 else And(tuple(parts)) if parts else TRUE
        return self._rules[matches, asked]

    def _group(self, group: MatchGroup, sets: Mapping[str, SymbolicSet]) -> Formula:
        asked = _asked(group, sets)
        if (group, asked) not in self._groups:
            self._groups[group, asked] = self._read(group, sets)
        return self._groups[group, asked]

    def _read(self, group: MatchGroup, sets: Mapping[str, SymbolicSet]) -> Formula:
        try:
            if group[0].module == "set":
                return self._set(group, sets)
            if group[0].module in {"conntrack", "state"}:
                return _states(group)
            parts = tuple(_option(match, self.family) for match in group)
        except (ValueError, KeyError, IndexError):
            return _free(*group)
        return parts[0] if len(parts) == 1 else And(parts)

    def _set(self, group: MatchGroup, sets: Mapping[str, SymbolicSet]) -> Formula:
        options = {match.option: match for match in group}
        if options.keys() - {"match-set", "return-nomatch"}:
            raise ValueError(group)
        wanted = options["match-set"]
        name, sides = wanted.values
        found = membership(sets, name, sides_of(sides), self.family, excepted="return-nomatch" in options)
        return Not(found) if wanted.negated else found


def _free(*group: Match) -> FreeCondition:
    if group[0].module in _ON_THE_WIRE:
        return FreeCondition(spelled(*group), "asks for more of the packet than its fields", AnswerScope.PACKET)
    return FreeCondition(spelled(*group), _NOT_ONE_PACKET)


_ON_THE_WIRE = frozenset("ah dccp dst ecn esp frag hbh icmp icmp6 ipv6header mh rt sctp string tcp u32".split())
"""Modules whose answers the packet's bytes give, be they in a field here or not."""


def _asked(matches: tuple[Match, ...], sets: Mapping[str, SymbolicSet]) -> tuple[SymbolicSet, ...]:
    """Return the sets that matches look into, those in lists too."""
    found: list[SymbolicSet] = []
    for match in matches:
        known = sets.get(match.values[0]) if match.option == "match-set" else None
        if known is not None:
            found.append(known)
            for each in (known.before, known.after) if isinstance(known, ChangingSet) else (known,):
                found += [sets[name] for name in each.set_names if name in sets]
    return tuple(found)


def groups(matches: tuple[Match, ...]) -> list[MatchGroup]:
    """Return the options of one ``-m`` each; those that every rule has stand alone."""
    begun = 0

    def instance(match: Match) -> tuple[str, int]:
        nonlocal begun
        begun += match.option == "match-set" or (not match.option and match.module != "set") or not match.module
        return match.module, begun

    told = (match for match in matches if match != Match("set", ""))
    return [tuple(group) for _, group in groupby(told, instance)]


def _option(match: Match, family: Family) -> Formula:
    applies, read = _READERS[match.module, match.option]
    found = read(match.values, family)
    found = Not(found) if match.negated else found
    return found if applies is None else And((applies, found))


def addresses(field: str) -> ConditionReader:
    """Return what reads ``ADDRESS[/MASK]``, or several with commas between."""

    def read(values: tuple[str, ...], family: Family) -> Formula:
        return within(field, *(each for text in one(values).split(",") for each in _masked_ranges(text, family)))

    return read


def _masked_ranges(text: str, family: Family) -> list[tuple[int, int]]:
    """Return the addresses that a mask with few holes leaves; ValueError where they are many."""
    address, mask = masked(text, family)
    free = (1 << BITS[family]) - 1 - mask
    block = (free ^ free + 1) >> 1  # the lowest bits, in one piece
    holes = free & ~block
    if holes.bit_count() > _HOLES:
        raise ValueError(text)
    found, hole = [], 0
    while True:
        found.append((address | hole, address | hole | block))
        hole = (hole - holes) & holes
        if not hole:
            return found


def _interface(field: str) -> ConditionReader:
    def read(values: tuple[str, ...], _family: Family) -> Formula:
        name = one(values)
        return TRUE if name == "+" else NameCondition(field, name)

    return read


def _protocol(values: tuple[str, ...], _family: Family) -> Formula:
    number = protocol_names.protocol_number(one(values))
    return TRUE if number == 0 else within("protocol", (number, number))


def _ports(*fields: str) -> ConditionReader:
    def read(values: tuple[str, ...], _family: Family) -> Formula:
        ranges = port_ranges(one(values))
        found = tuple(within(field, *ranges) for field in fields)
        return found[0] if len(found) == 1 else Or(found)

    return read


def _range(field: str) -> ConditionReader:
    def read(values: tuple[str, ...], family: Family) -> Formula:
        low, dash, high = one(values).partition("-")
        first = address_number(low, family)
        return _span(field, first, address_number(high, family) if dash else first)

    return read


def _span(field: str, low: int, high: int) -> Formula:
    return within(field, (low, high)) if low <= high else FALSE


def _length(values: tuple[str, ...], _family: Family) -> Formula:
    low, colon, high = one(values).partition(":")
    least = protocol_names.number(low or "0", 0xFFFF)
    return _span("length", least, protocol_names.number(high or "65535", 0xFFFF) if colon else least)


def _ttl(low: int, high: int) -> ConditionReader:
    """``low`` and ``high`` are added to the limit where they are not 0: below it, above it, or just it."""

    def read(values: tuple[str, ...], _family: Family) -> Formula:
        limit = protocol_names.number(one(values), 0xFF)
        return _span("ttl", 0 if low < 0 else limit + low, 0xFF if high > 0 else limit + high)

    return read


def _flags(values: tuple[str, ...], _family: Family) -> Formula:
    examined, wanted = flag_mask(values)
    return MaskedBits("flags", _flag_bits(examined), _flag_bits(wanted))


def _flag_bits(flags: frozenset[str]) -> int:
    return sum(1 << TCP_FLAGS.index(flag) for flag in flags)


def _icmp(values: tuple[str, ...], family: Family) -> Formula:
    text = one(values)
    if family is Family.IPV4 and text.lower() in {"any", "255"}:
        return TRUE
    kind, low, high = protocol_names.icmp_range(text, family)
    return within("icmp", (kind << 8 | low, kind << 8 | high))


def _tos(values: tuple[str, ...], _family: Family) -> Formula:
    value, mask = tos_and_mask(one(values))
    return MaskedBits("tos", mask, value)


def _mark(values: tuple[str, ...], _family: Family) -> Formula:
    value, mask = mark_and_mask(one(values))
    return MaskedBits("mark", mask, value)


def _states(group: MatchGroup) -> Formula:
    """What is asked beside the state depends on the connection, so it is free."""
    parts: list[Formula] = []
    for match in group:
        words = one(match.values).upper().split(",") if match.values else []
        if match.option in {"ctstate", "state"} and not {"SNAT", "DNAT"} & set(words):
            found: Formula = state_condition(*(ConnState(word) for word in words))
            parts.append(Not(found) if match.negated else found)
        elif match.option:
            parts.append(_free(match))
    return And(tuple(parts))


def _whole(*protocols: int) -> Formula:
    return And((within("protocol", *((each, each) for each in protocols)), MaskedBits("fragment", 1, 0)))


def _always(_values: tuple[str, ...], _family: Family) -> Formula:
    return TRUE


StoredCondition = tuple[Formula | None, ConditionReader]
"""Where a match can hold at all, negated or not, and what reads it."""


def _transport(applies: Formula) -> dict[str, StoredCondition]:
    sport, dport = (applies, _ports("sport")), (applies, _ports("dport"))
    return {
        "": (applies, _always),
        "sport": sport,
        "source-port": sport,
        "dport": dport,
        "destination-port": dport,
    }


def _multiport(applies: Formula) -> dict[str, StoredCondition]:
    sports, dports = (applies, _ports("sport")), (applies, _ports("dport"))
    both = (applies, _ports("sport", "dport"))
    return {
        "": (applies, _always),
        "sports": sports,
        "source-ports": sports,
        "dports": dports,
        "destination-ports": dports,
        "ports": both,
    }


def _table() -> Mapping[tuple[str, str], StoredCondition]:
    tcp = _whole(protocol_names.TCP)
    icmp, icmpv6 = _whole(protocol_names.ICMP), _whole(protocol_names.ICMPV6)
    messages: Mapping[str, StoredCondition] = {"": (icmpv6, _always), "icmpv6-type": (icmpv6, _icmp)}
    framed = Not(NameCondition("mac", ""))
    modules: Mapping[str, Mapping[str, StoredCondition]] = {
        "": {
            "source": (None, addresses("src")),
            "destination": (None, addresses("dst")),
            "in-interface": (None, _interface("in_interface")),
            "out-interface": (None, _interface("out_interface")),
            "protocol": (None, _protocol),
            "fragment": (None, lambda _values, _family: MaskedBits("fragment", 1, 1)),
        },
        "tcp": {
            **_transport(tcp),
            "tcp-flags": (tcp, _flags),
            "syn": (tcp, lambda _values, family: _flags(("FIN,SYN,RST,ACK", "SYN"), family)),
        },
        "udp": _transport(_whole(protocol_names.UDP)),
        "sctp": _transport(_whole(protocol_names.SCTP)),
        "multiport": _multiport(_whole(*sorted(protocol_names.PORT_PROTOCOLS))),
        "icmp": {"": (icmp, _always), "icmp-type": (icmp, _icmp)},
        "icmp6": messages,
        "icmpv6": messages,
        "ipv6-icmp": messages,
        "iprange": {"src-range": (None, _range("src")), "dst-range": (None, _range("dst"))},
        "length": {"length": (None, _length)},
        "ttl": {"ttl-eq": (None, _ttl(0, 0)), "ttl-lt": (None, _ttl(-1, -1)), "ttl-gt": (None, _ttl(1, 1))},
        "hl": {"hl-eq": (None, _ttl(0, 0)), "hl-lt": (None, _ttl(-1, -1)), "hl-gt": (None, _ttl(1, 1))},
        "tos": {"tos": (None, _tos)},
        "dscp": {
            "dscp": (
                None,
                lambda values, _family: MaskedBits("tos", 0xFC, protocol_names.number(one(values), 0x3F) << 2),
            ),
            "dscp-class": (None, lambda values, _family: MaskedBits("tos", 0xFC, dscp_class(one(values)) << 2)),
        },
        "ecn": {
            "ecn-ip-ect": (None, lambda values, _family: MaskedBits("tos", 3, protocol_names.number(one(values), 3))),
            "ecn-tcp-ece": (tcp, lambda _values, _family: MaskedBits("flags", 0x40, 0x40)),
            "ecn-tcp-cwr": (tcp, lambda _values, _family: MaskedBits("flags", 0x80, 0x80)),
        },
        "mark": {"mark": (None, _mark)},
        "mac": {"mac-source": (framed, lambda values, _family: NameCondition("mac", one(values).lower()))},
        "comment": {"comment": (None, _always)},
    }
    bare = {(module, ""): (None, _always) for module in modules if module and "" not in modules[module]}
    return {**bare, **{(module, name): found for module, options in modules.items() for name, found in options.items()}}


_READERS = _table()
"""The options that have conditions, by module and option."""
