"""Registry of iptables matches: one definition per match serves all three engines of the simulator.

Input: the matches of a rule, as iptables-save prints them. Output: a check of one packet (for the walker), the field
values at which the result can change (breakpoints, for the batch engine), and a formula over the packet fields (for
the symbolic engine). A match that is not registered, or whose options are not understood, is opaque: its check
returns None, and the result of the simulation lists the assumption that was made about it. Source:
iptables-extensions(8).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

from engine.rulesets.model import Family, Match
from simulator.matches import (
    basic,
    connection,
    fields,
    ipv6_headers,
    location,
    payload,
    set_match,
    stateful,
    transport,
    transport_options,
)
from simulator.matches.base import (
    UNKNOWN_NAME,
    CompiledMatch,
    ConditionContext,
    ContextCheck,
    MatchGroup,
    MatchOption,
    OptionGroup,
    PacketCheck,
    Truth,
    guarded,
    inverted,
    opaque,
    spelled,
    unread,
)
from simulator.matches.breakpoints import BreakpointContext, Breakpoints, Span
from simulator.matches.formula import (
    MORE_THAN_THE_PACKET,
    ON_THE_WIRE,
    TRUE,
    And,
    Formula,
    FreeCondition,
    Not,
    Undecided,
)
from simulator.sets import SetRegistry

__all__ = [
    "GROUPS",
    "OPTIONS",
    "CompiledMatch",
    "ContextCheck",
    "MatchGroup",
    "MatchOption",
    "OptionGroup",
    "PacketCheck",
    "Truth",
    "compile_matches",
    "condition_of",
    "groups",
    "spans_of",
]

_MODULES = (basic, transport, transport_options, ipv6_headers, fields, location, payload, connection)

OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    key: found for each in _MODULES for key, found in each.OPTIONS.items()
}
"""Options that are evaluated alone, by module and option."""

GROUPS: Mapping[str, MatchGroup] = {
    **connection.GROUPS,
    **payload.GROUPS,
    **stateful.GROUPS,
    **ipv6_headers.GROUPS,
    **location.GROUPS,
    **set_match.GROUPS,
}
"""Modules whose options are evaluated together."""


def compile_matches(matches: tuple[Match, ...], family: Family, sets: SetRegistry) -> tuple[CompiledMatch, ...]:
    """Return the checks of a rule; the rule matches a packet for which every check is true.

    Raises:
        KeyError: a rule looks into a set that is not in ``sets``.
    """
    if any(match.module in _PER_RULE for match in matches):
        return tuple(test for group in groups(matches) for test in _tests(group, family, sets))
    return _plain(matches, family)


_PER_RULE = frozenset(module for module, group in GROUPS.items() if group.per_rule)


@lru_cache(maxsize=1 << 14)
def _plain(matches: tuple[Match, ...], family: Family) -> tuple[CompiledMatch, ...]:
    """Compile matches that mean the same in every rule; the results are cached, because rulesets repeat them."""
    return tuple(test for group in groups(matches) for test in _tests(group, family, {}))


def groups(matches: Iterable[Match]) -> Iterator[OptionGroup]:
    """Yield the options of each ``-m``; the options that every rule has form a group each.

    A group is a run of options of one module. A bare ``-m`` or another ``--match-set`` starts the next group.
    """
    begun = 0

    def instance(match: Match) -> tuple[str, int]:
        nonlocal begun
        begun += match.option == "match-set" or (not match.option and match.module != "set") or not match.module
        return match.module, begun

    for _, group in groupby((match for match in matches if match != Match("set", "")), instance):
        yield tuple(group)


def _tests(group: OptionGroup, family: Family, sets: SetRegistry) -> tuple[CompiledMatch, ...]:
    module = group[0].module
    if module in GROUPS:
        return (_together(group, family, sets),)
    tests = tuple(_test(match, family) for match in group)
    if module and all((module, match.option) not in OPTIONS for match in group):
        return (opaque(*group),)
    return tests


def _together(group: OptionGroup, family: Family, sets: SetRegistry) -> CompiledMatch:
    options = tuple(match for match in group if match.option)
    if not options:
        return CompiledMatch(spelled(*group), lambda _packet: True, "")
    try:
        return replace(GROUPS[group[0].module].evaluate(options, family, sets), matches=options)
    except (ValueError, IndexError):
        return opaque(*group, why=unread(*group))


def _test(match: Match, family: Family) -> CompiledMatch:
    found = OPTIONS.get((match.module, match.option))
    if found is None:
        return opaque(match)
    try:
        check = found.evaluate(match.values, family)
    except ValueError:
        return opaque(match, why=unread(match))
    check = guarded(inverted(check) if match.negated else check, found.scope.check)
    why = f"needs {found.needs}, which the packet does not give"
    return CompiledMatch(spelled(match), check, why, made_up=found.made_up, drops=found.drops, matches=(match,))


def spans_of(match: Match, context: BreakpointContext) -> Iterable[Span] | None:
    """Return the ranges of values within which the result of an option is constant; None if they are unknown.

    Raises:
        ValueError, KeyError, IndexError: the option's words are not understood.
    """
    found = _breakpoints(match)
    return None if isinstance(found, str) else found(match.values[0] if match.values else "", context)


def _breakpoints(match: Match) -> Breakpoints | str:
    if match.module not in GROUPS:
        return OPTIONS[match.module, match.option].breakpoints
    found = GROUPS[match.module].breakpoints
    return found if isinstance(found, str) else found[match.option]


def condition_of(group: OptionGroup, context: ConditionContext) -> Formula:
    """Return the condition of one ``-m``.

    It is free (undetermined) if fields do not decide it, if words are not understood, or if the context does not know
    the set.
    """
    try:
        if group[0].module in GROUPS:
            condition = GROUPS[group[0].module].condition
            return condition.free(spelled(*group)) if isinstance(condition, Undecided) else condition(group, context)
        parts = [_option_condition(match, context.family) for match in group]
    except (ValueError, KeyError, IndexError):
        return _not_understood(group)
    free = next((part for part in parts if isinstance(part, Undecided)), None)
    if free is not None:
        return free.free(spelled(*group))
    known = tuple(part for part in parts if not isinstance(part, Undecided))
    return known[0] if len(known) == 1 else And(known)


def _option_condition(match: Match, family: Family) -> Formula | Undecided:
    found = OPTIONS[match.module, match.option]
    if isinstance(found.condition, Undecided):
        return found.condition
    held = found.condition(match.values, family)
    held = Not(held) if match.negated else held
    if found.scope.condition is None or found.scope.condition is TRUE:
        return held
    return And((found.scope.condition, held))


def _not_understood(group: OptionGroup) -> FreeCondition:
    if unread(*group) == UNKNOWN_NAME:
        return FreeCondition(spelled(*group), UNKNOWN_NAME)
    reason = ON_THE_WIRE if group[0].module in _ON_THE_WIRE else MORE_THAN_THE_PACKET
    return reason.free(spelled(*group))


_ON_THE_WIRE = frozenset("ah dccp dst ecn esp frag hbh icmp icmp6 ipv6header mh rt sctp string tcp u32".split())
"""Modules whose result the packet's bytes determine, whether or not fields hold them."""
