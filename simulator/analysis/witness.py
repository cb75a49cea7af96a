"""Confirmation of symbolic results: the packet simulator evaluates each example packet again before it is shown.

Input: a `Ruleset`, a hook, an `ExamplePacket`, and the verdict that the symbolic engine computed. Output: the
`Evaluation` by the packet simulator, or None if the example depends on an unknown value that a rule writes.

An example may assume that unmodelled matches hold or fail. A copy of the ruleset, with the same rule numbers, replaces
these matches by the assumed results. Raises `WitnessMismatch` if the two verdicts differ.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine.errors import WitnessMismatch
from engine.rulesets.model import Chain, Family, Hook, Match, Rule, Ruleset, Table
from simulator.matches import groups
from simulator.matches.base import spelled
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.symbolic import DecidedPackets, ExamplePacket

FreeMatchAnswers = Mapping[tuple[object, ...], bool]
"""Assumed results of unmodelled matches, by table, chain, rule, index among equal rules of the chain, and match text.

If the result depends on the packet alone, the key is only the match text and applies to all rules.
"""

_NEVER = (Match("", "protocol", ("0",), negated=True),)
"""Match that no packet satisfies, as protocol 0 means every protocol."""

_PACKET_KEY_LENGTH = 1
_MATCH_KEY_LENGTHS = frozenset({_PACKET_KEY_LENGTH, 5})
"""Number of parts of keys about matches; keys about values that rules write have more."""


def replay_example(ruleset: Ruleset, hook: Hook, example: ExamplePacket) -> Evaluation | None:
    """Return the evaluation of an example at a hook.

    None if it depends on a value that cannot be forced: a rule wrote it and it is unknown.
    """
    if any(len(key) not in _MATCH_KEY_LENGTHS for key in example.answers):
        return None
    return _walker(with_assumed_results(ruleset, example.packet.family, example.answers)).verdict(example.packet, hook)


_CACHED_WALKERS = deque[tuple[Ruleset, Walker]](maxlen=4)


def _walker(ruleset: Ruleset) -> Walker:
    """Return a walker, cached by ruleset identity: building one takes longer than a walk."""
    found = next((walker for known, walker in _CACHED_WALKERS if known is ruleset), None)
    if found is None:
        found = Walker(ruleset)
        _CACHED_WALKERS.append((ruleset, found))
    return found


def confirm_example(
    ruleset: Ruleset, hook: Hook, example: ExamplePacket, verdict: Verdict, end: DecidedPackets | None = None
) -> Evaluation | None:
    """Return the evaluation of an example after comparing it with the symbolic result; None if it cannot be replayed.

    Without ``end``, any rule may decide.

    Raises:
        WitnessMismatch: The evaluation differs from the symbolic result.
    """
    answer = replay_example(ruleset, hook, example)
    if answer is None:
        return None
    if answer.verdict is not verdict or (end is not None and answer.decided_by != end.decision):
        claimed = f"{verdict} by {end.decision if end else 'anybody'}"
        raise WitnessMismatch(example.packet.words, claimed, f"{answer.verdict} by {answer.decided_by}")
    return answer


def assumed_results(ruleset: Ruleset, example: ExamplePacket) -> tuple[str, ...]:
    """Describe the assumed results of unmodelled matches for an example, each with its rule."""
    found: list[str] = []
    for table, chain, number, rule, place in _rules(ruleset, example.packet.family) if example.answers else ():
        where = f"{table.name}/{chain.name} rule {number}"
        for key, answer in example.answers.items():
            if _concerns_rule(key, (table.name, chain.name, rule, place)):
                what = f"'{key[-1]}' is taken {'to match' if answer else 'not to match'}"
                found.append(f"{where}: {what if len(key) in _MATCH_KEY_LENGTHS else _UNKNOWN.format(key[-2])}")
    return tuple(dict.fromkeys(found))


_UNKNOWN = "what it writes to {} is not known"


def _concerns_rule(key: tuple[object, ...], place: tuple[str, str, Rule, int]) -> bool:
    """Return whether a key concerns this rule."""
    if len(key) != _PACKET_KEY_LENGTH:
        return key[:4] == place
    matches = place[2].matches
    return key[0] in {*(spelled(*group) for group in groups(matches)), *map(spelled, matches)}


def with_assumed_results(ruleset: Ruleset, family: Family, answers: FreeMatchAnswers) -> Ruleset:
    """Return a ruleset in which matches with an assumed result are replaced by that result."""
    if not answers:
        return ruleset
    changed: dict[tuple[str, str, int], Rule] = {}
    for table, chain, number, rule, place in _rules(ruleset, family):
        known = (table.name, chain.name, rule, place)
        texts = {str(key[-1]): held for key, held in answers.items() if _concerns_rule(key, known)}
        if texts:
            changed[table.name, chain.name, number] = _rule_with_results(rule, texts)
    tables = tuple(
        Table(table.name, tuple(_chain(table, chain, changed) for chain in table.chains))
        for table in ruleset.tables(family)
    )
    return replace(ruleset, ipv4=tables) if family is Family.IPV4 else replace(ruleset, ipv6=tables)


def _chain(table: Table, chain: Chain, changed: Mapping[tuple[str, str, int], Rule]) -> Chain:
    numbered = enumerate(chain.rules, 1)
    rules = tuple(changed.get((table.name, chain.name, number), rule) for number, rule in numbered)
    return replace(chain, rules=rules)


def _rule_with_results(rule: Rule, texts: Mapping[str, bool]) -> Rule:
    if not all(texts.values()):
        return replace(rule, matches=(*_NEVER, *(match for match in rule.matches if match.module == "comment")))
    kept = [
        match
        for group in groups(rule.matches)
        if spelled(*group) not in texts
        for match in group
        if spelled(match) not in texts
    ]
    return replace(rule, matches=tuple(kept))


def _rules(ruleset: Ruleset, family: Family) -> Iterator[tuple[Table, Chain, int, Rule, int]]:
    """Yield every rule with its number, and its index among the equal rules of its chain."""
    for table in ruleset.tables(family):
        for chain in table.chains:
            seen: dict[Rule, int] = {}
            for number, rule in enumerate(chain.rules, 1):
                seen[rule] = seen.get(rule, 0) + 1
                yield table, chain, number, rule, seen[rule]
