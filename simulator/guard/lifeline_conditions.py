"""The traffic of lifelines as conditions on packets: what a rule admits, and what answers that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.compiler import HOOKS, CompilerOptions, part_of
from engine.policy.completed_rules import CompletedRule, Direction
from engine.rulesets.model import Hook, Match, Rule
from simulator.matches.formula import And, Formula, Not, Or, state_condition
from simulator.packets import ConnState
from simulator.symbolic import SymbolicRulesetReader

_OPPOSITE = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}
_PAIRS = (("source", "destination"), ("sport", "dport"), ("sports", "dports"), ("src", "dst"))
_MIRRORED = {word: other for pair in _PAIRS for word, other in (pair, pair[::-1])}
_ANSWERED = frozenset({"tcp", "udp", "sctp"})
"""Protocols whose answers go from where the packet went, to where it came from."""


@dataclass(frozen=True, slots=True)
class Lifeline:
    """Packets that have to get through a hook, and the name of the rule that is for them.

    Those from or to ``anywhere`` need not all: a host may well ban a few addresses.
    """

    name: str
    hook: Hook
    traffic: Formula
    anywhere: bool


def lifelines_of(library: SymbolicRulesetReader, rules: Sequence[CompletedRule]) -> Iterator[Lifeline]:
    """Yield the lifelines of one family: both directions of what rules admit."""
    options = CompilerOptions(families=(library.family,))
    for rule in rules:
        part = part_of(replace(rule, logged=False), options)
        kernel_rules = part.rules(library.family)
        there: Formula = Or(tuple(library.condition(each.matches, part.sets) for each in kernel_rules))
        anywhere, there = rule.peers is None, And((there, Not(state_condition(ConnState.INVALID))))
        yield Lifeline(rule.name, HOOKS[rule.direction], there, anywhere)
        answers = [library.condition(_mirrored(each), part.sets) for each in kernel_rules if _is_answered(each)]
        back = And((Or(tuple(answers)), state_condition(ConnState.ESTABLISHED)))
        yield Lifeline(f"answers to {rule.name}", HOOKS[_OPPOSITE[rule.direction]], back, anywhere)


def _is_answered(rule: Rule) -> bool:
    return rule.value_of("", "protocol") in _ANSWERED


def _mirrored(rule: Rule) -> tuple[Match, ...]:
    """Return what matches the packets of the other direction."""
    return tuple(
        replace(
            match,
            option=_MIRRORED.get(match.option, match.option),
            values=tuple(_MIRRORED.get(word, word) for word in match.values),
        )
        for match in rule.matches
        if match.module != "comment"
    )
