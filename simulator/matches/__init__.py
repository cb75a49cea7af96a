"""One small evaluator per iptables match: from the words of a rule to checks on packets.

A match that is not in the tables, or whose words are not understood, is opaque: its check returns None, and
whoever walks the rules says what is assumed. This package knows nothing of chains and verdicts.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby

from engine.ruleset import Family, Match
from simulator.matches import basic, fields, transport, u32
from simulator.matches.base import Check, Evaluator, Test, Truth, guarded, inverted, spelled
from simulator.matches.sets import Lookup, compile_set, compile_set_match

__all__ = ["EVALUATORS", "Check", "Evaluator", "Lookup", "Test", "Truth", "compile_matches", "compile_set"]

EVALUATORS: Mapping[tuple[str, str], Evaluator] = {
    **basic.EVALUATORS,
    **transport.EVALUATORS,
    **fields.EVALUATORS,
    **u32.EVALUATORS,
}
"""Every option that is modelled, by module and option, but for those of the set match."""

_OPAQUE = "is not modelled"


def compile_matches(matches: tuple[Match, ...], family: Family, sets: Mapping[str, Lookup | None]) -> tuple[Test, ...]:
    """Make a rule's matches ready; the rule matches a packet for which every check holds.

    Raises:
        KeyError: a rule looks into a set that is not in ``sets``.
    """
    return tuple(test for group in _instances(matches) for test in _tests(group, family, sets))


def _instances(matches: tuple[Match, ...]) -> Iterator[tuple[Match, ...]]:
    """Options of one ``-m``: those side by side of one module, but each ``--match-set`` is its own."""
    sets_seen = 0

    def instance(match: Match) -> tuple[str, int]:
        nonlocal sets_seen
        sets_seen += match.option == "match-set"
        return match.module, sets_seen

    for _, group in groupby((match for match in matches if match != Match("set", "")), instance):
        yield tuple(group)


def _tests(group: tuple[Match, ...], family: Family, sets: Mapping[str, Lookup | None]) -> tuple[Test, ...]:
    module = group[0].module
    if module == "set":
        return (compile_set_match(group, family, sets),)
    tests = tuple(_test(match, family) for match in group)
    if module and all(test.why == _OPAQUE for test in tests):
        return (_opaque(*group),)
    return tests


def _test(match: Match, family: Family) -> Test:
    evaluator = EVALUATORS.get((match.module, match.option))
    if evaluator is None:
        return _opaque(match)
    try:
        check = evaluator.read(match.values, family)
    except ValueError:
        return _opaque(match)
    check = guarded(inverted(check) if match.negated else check, evaluator.applies)
    return Test(spelled(match), check, f"needs {evaluator.needs}, which the packet does not give")


def _opaque(*matches: Match) -> Test:
    return Test(spelled(*matches), lambda _packet: None, _OPAQUE)
