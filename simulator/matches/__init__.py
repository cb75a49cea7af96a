"""One small evaluator per iptables match: from the words of a rule to checks on packets.

A match that is not in the tables, or whose words are not understood, is opaque: its check returns None, and
whoever walks the rules says what is assumed. This package knows nothing of chains and verdicts.
"""

from collections.abc import Callable, Iterator, Mapping
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
    stateful,
    transport,
    transport_options,
)
from simulator.matches.base import (
    CompiledMatch,
    ContextCheck,
    MatchEvaluator,
    MatchGroup,
    PacketCheck,
    Truth,
    guarded,
    inverted,
    opaque,
    spelled,
)
from simulator.matches.set_match import compile_set_match
from simulator.sets import SetRegistry

__all__ = [
    "EVALUATORS",
    "CompiledMatch",
    "ContextCheck",
    "MatchEvaluator",
    "MatchGroup",
    "PacketCheck",
    "Truth",
    "compile_matches",
]

EVALUATORS: Mapping[tuple[str, str], MatchEvaluator] = {
    **basic.EVALUATORS,
    **transport.EVALUATORS,
    **transport_options.EVALUATORS,
    **ipv6_headers.EVALUATORS,
    **fields.EVALUATORS,
    **location.EVALUATORS,
    **payload.EVALUATORS,
    **connection.EVALUATORS,
}
"""Every option that is judged by itself, by module and option."""

GROUPS: Mapping[str, Callable[[MatchGroup, Family], CompiledMatch]] = {
    **connection.GROUPS,
    **payload.GROUPS,
    **stateful.GROUPS,
    **ipv6_headers.GROUPS,
    **location.GROUPS,
}
"""Every module whose options are judged together, but for the set match."""


def compile_matches(matches: tuple[Match, ...], family: Family, sets: SetRegistry) -> tuple[CompiledMatch, ...]:
    """Make a rule's matches ready; the rule matches a packet for which every check holds.

    Raises:
        KeyError: a rule looks into a set that is not in ``sets``.
    """
    if any(match.module in _OF_A_RULE for match in matches):
        return tuple(test for group in _instances(matches) for test in _tests(group, family, sets))
    return _plain(matches, family)


_OF_A_RULE = frozenset({"set", *stateful.GROUPS})
"""Modules that look into sets of a ruleset, or remember something for the rule that they stand in."""


@lru_cache(maxsize=1 << 14)
def _plain(matches: tuple[Match, ...], family: Family) -> tuple[CompiledMatch, ...]:
    """Make matches ready that mean the same in every rule: many have the same, and rulesets the same rules."""
    return tuple(test for group in _instances(matches) for test in _tests(group, family, {}))


def _instances(matches: tuple[Match, ...]) -> Iterator[MatchGroup]:
    """Options of one ``-m``: those side by side of one module; a bare ``-m`` or another set begins the next."""
    begun = 0

    def instance(match: Match) -> tuple[str, int]:
        nonlocal begun
        begun += match.option == "match-set" or (not match.option and match.module != "set")
        return match.module, begun

    for _, group in groupby((match for match in matches if match != Match("set", "")), instance):
        yield tuple(group)


def _tests(group: MatchGroup, family: Family, sets: SetRegistry) -> tuple[CompiledMatch, ...]:
    module = group[0].module
    if module == "set":
        return (replace(compile_set_match(group, family, sets), matches=group),)
    if module in GROUPS:
        return (_together(group, family),)
    tests = tuple(_test(match, family) for match in group)
    if module and all((module, match.option) not in EVALUATORS for match in group):
        return (opaque(*group),)
    return tests


def _together(group: MatchGroup, family: Family) -> CompiledMatch:
    options = tuple(match for match in group if match.option)
    if not options:
        return CompiledMatch(spelled(*group), lambda _packet: True, "")
    try:
        return replace(GROUPS[group[0].module](options, family), matches=options)
    except (ValueError, IndexError):
        return opaque(*group)


def _test(match: Match, family: Family) -> CompiledMatch:
    evaluator = EVALUATORS.get((match.module, match.option))
    if evaluator is None:
        return opaque(match)
    try:
        check = evaluator.read(match.values, family)
    except ValueError:
        return opaque(match)
    check = guarded(inverted(check) if match.negated else check, evaluator.applies)
    why = f"needs {evaluator.needs}, which the packet does not give"
    return CompiledMatch(spelled(match), check, why, made_up=evaluator.made_up, drops=evaluator.drops, matches=(match,))
