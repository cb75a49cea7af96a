"""Converts lifeline rules to packet conditions: the traffic that each rule admits, and the replies to it.

Input: `CompletedRule` values, rules for traffic that must stay possible. Output: two `Lifeline` values for each, one
per direction. TCP, UDP and SCTP replies swap source and destination; other protocols have no reply condition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.compiler import HOOKS, CompilerOptions, compile_part
from engine.policy.completed_rules import CompletedRule, Direction
from engine.rulesets.model import Hook, Match, Rule
from simulator.matches.formula import And, Formula, Not, Or, state_condition
from simulator.packets import ConnState
from simulator.symbolic import SymbolicRulesetReader

_OPPOSITE = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}
_PAIRS = (("source", "destination"), ("sport", "dport"), ("sports", "dports"), ("src", "dst"))
_MIRRORED = {word: other for pair in _PAIRS for word, other in (pair, pair[::-1])}
_PROTOCOLS_WITH_REPLIES = frozenset({"tcp", "udp", "sctp"})
"""Protocols whose replies swap source and destination."""


@dataclass(frozen=True, slots=True)
class Lifeline:
    """Packets that must pass a hook, and the name of the rule that admits them.

    If ``anywhere`` is set, the rule covers any peer. Then a minority of its packets may be blocked, as a host may ban
    some addresses.
    """

    name: str
    hook: Hook
    traffic: Formula
    anywhere: bool


def lifelines_of(library: SymbolicRulesetReader, rules: Sequence[CompletedRule]) -> Iterator[Lifeline]:
    """Yield the lifelines of one family: for each rule its traffic, and the replies."""
    options = CompilerOptions(families=(library.family,))
    for rule in rules:
        part = compile_part(replace(rule, logged=False), options)
        kernel_rules = part.rules(library.family)
        there: Formula = Or(tuple(library.condition(each.matches, part.sets) for each in kernel_rules))
        anywhere, there = rule.peers is None, And((there, Not(state_condition(ConnState.INVALID))))
        yield Lifeline(rule.name, HOOKS[rule.direction], there, anywhere)
        answers = [library.condition(_mirrored(each), part.sets) for each in kernel_rules if _has_reply(each)]
        back = And((Or(tuple(answers)), state_condition(ConnState.ESTABLISHED)))
        yield Lifeline(f"answers to {rule.name}", HOOKS[_OPPOSITE[rule.direction]], back, anywhere)


def _has_reply(rule: Rule) -> bool:
    return rule.value_of("", "protocol") in _PROTOCOLS_WITH_REPLIES


def _mirrored(rule: Rule) -> tuple[Match, ...]:
    """Return the matches for packets of the opposite direction."""
    return tuple(
        replace(
            match,
            option=_MIRRORED.get(match.option, match.option),
            values=tuple(_MIRRORED.get(word, word) for word in match.values),
        )
        for match in rule.matches
        if match.module != "comment"
    )
