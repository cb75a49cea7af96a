"""Set match (``-m set --match-set``) with its options: checks whether an ipset holds a packet.

Input: the options of a rule's match, and the sets by name. Output: a `CompiledMatch` for the evaluation of single
packets. `GROUPS` also has the definitions that the batch engine and the symbolic engine use.

Raises `KeyError` for an unknown set. Source: iptables-extensions(8) and the kernel's xt_set.
"""

from collections.abc import Callable, Mapping
from math import inf

from engine.rulesets.model import Family, Match
from simulator.context import PacketContext
from simulator.matches.base import (
    CompiledMatch,
    ConditionContext,
    MatchGroup,
    OptionGroup,
    Truth,
    opaque,
    option,
    weighed,
)
from simulator.matches.breakpoints import anywhere
from simulator.matches.formula import Formula, Not
from simulator.matches.set_breakpoints import set_spans
from simulator.packets import Packet, protocol_names
from simulator.sets import (
    CounterCondition,
    CountingMode,
    SetLookup,
    SetLookupContext,
    SetRegistry,
    StaticSet,
    is_untouched,
    plain_test,
    test,
)

_SIDES: Mapping[str, bool] = {"src": True, "dst": False}

_FITS: Mapping[str, Callable[[int, int], bool]] = {
    "eq": lambda number, wanted: number == wanted,
    "lt": lambda number, wanted: number < wanted,
    "gt": lambda number, wanted: number > wanted,
}

_LACKS = "needs a port, address, mark or interface that the packet does not give, or is of a set not modelled"
_RUNS = "counts timeouts from the first packet on, as just saved"
_CUT = "has members with bits outside its mask, taken as cut by it"


def compile_set_match(group: OptionGroup, family: Family, sets: SetRegistry) -> CompiledMatch:
    """Compile one ``-m set``.

    Raises:
        KeyError: it looks into a set that is not in ``sets``.
    """
    wanted = option(group, "match-set")
    if wanted is None or len(wanted.values) != 2:
        return opaque(*group)
    saved = sets[wanted.values[0]]
    try:
        asked = SetLookup(
            wanted.values[0],
            family,
            sides_of(wanted.values[1]),
            option(group, "return-nomatch") is not None,
            _counting(group),
        )
    except ValueError:
        return opaque(*group)
    if saved is None:
        return opaque(*group, why="is of a set type that is not modelled")

    plain = plain_test(saved, asked)

    def weigh(packet: Packet, around: PacketContext) -> Truth:
        if plain is not None and is_untouched(saved, around.memory):
            return plain(packet) is not wanted.negated
        visit = SetLookupContext(packet, around.memory.elapsed(packet.time))
        held = test(sets, asked, visit, around.memory).held
        return None if held is None else held is not wanted.negated

    concerned = [each for each in (saved, *(sets[name] for name, _ in saved.listed)) if each is not None]
    assumed = [_RUNS] * any(map(_expires, concerned)) + [_CUT] * any(each.cut for each in concerned)
    still = not any(each.traits.counters or (each.kind.bitmap and each.kind.compares_last) for each in concerned)
    return weighed(group, weigh, _LACKS, " and ".join(assumed), still=still)


def sides_of(text: str) -> tuple[bool, ...]:
    """Parse the sides of the dimensions, such as ``src,dst``; True stands for a source.

    Raises:
        ValueError: a word is neither ``src`` nor ``dst``.
    """
    try:
        return tuple(_SIDES[word] for word in text.split(","))
    except KeyError as error:
        raise ValueError(text) from error


_READ = frozenset({"match-set", "return-nomatch", "update-counters", "update-subcounters", ""})


def _counting(group: OptionGroup) -> CountingMode:
    """Parse the options on counters; ValueError for words that are not understood."""
    still = {match.option for match in group if match.negated and match.option.startswith("update-")}
    counts = tuple(_count(match) for match in group if match.option not in _READ)
    return CountingMode("update-counters" not in still, "update-subcounters" not in still, counts)


def _count(match: Match) -> CounterCondition:
    what, _, how = match.option.partition("-")
    if what not in {"packets", "bytes"} or how not in _FITS or len(match.values) != 1:
        raise ValueError(match.option)
    number, fits = protocol_names.number(match.values[0], 2**64 - 1), _FITS[how]
    return CounterCondition(what == "bytes", lambda found: fits(found, number) is not match.negated)


def _expires(saved: StaticSet) -> bool:
    found = (entry for level in saved.levels.values() for entries in level.values() for entry in entries)
    return saved.traits.timeout is not None and any(entry.until < inf for entry in found)


def _condition(group: OptionGroup, context: ConditionContext) -> Formula:
    """Return the condition of a set match; a set with counters depends on more than the packet and has none."""
    options = {match.option: match for match in group}
    if options.keys() - {"match-set", "return-nomatch"}:
        raise ValueError(group)
    wanted = options["match-set"]
    name, sides = wanted.values
    found = context.membership(name, sides_of(sides), "return-nomatch" in options)
    return Not(found) if wanted.negated else found


GROUPS: Mapping[str, MatchGroup] = {
    "set": MatchGroup(
        evaluate=compile_set_match,
        breakpoints={
            "match-set": set_spans,
            **dict.fromkeys(("return-nomatch", "update-counters", "update-subcounters"), anywhere),
        },
        condition=_condition,
        per_rule=True,
    )
}
