"""Benchmark of the compiler in both layouts: a full compilation, and one changed rule among many."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from statistics import quantiles
from time import perf_counter

from benchmarks.packet_path import workload
from benchmarks.support.timing import seconds
from engine.compiler import (
    DEFAULT_OPTIONS,
    CompilerOptions,
    Layout,
    LayoutCaches,
    RulePart,
    assemble,
    assemble_incrementally,
    compile_part,
    compile_rules,
)
from engine.policy.completed_rules import Action, CompletedRule, Protocol, Traffic
from engine.policy.prefix_sets import AddressBlock
from engine.rulesets.diff import diff

COUNTS = (1_000, 5_000)
WANTED = {1_000: 1, 5_000: 5}
CHANGES = 60


def main() -> None:
    """Print the seconds of a full compilation, and the 95th percentile of a change in milliseconds and operations."""
    print("compiling: from nothing, and a changed rule (95 of 100 changes)")
    for name in ("W1", "W2", "W3", "W4"):
        for count in COUNTS:
            rules = list(workload(name, count).rules)
            options = {layout: replace(DEFAULT_OPTIONS, layout=layout) for layout in Layout}
            anew = {layout: seconds(partial(compile_rules, rules, each)) for layout, each in options.items()}
            took, operations = _changed(rules)
            print(
                f"  {name} {count:5,} rules: optimised {anew[Layout.OPTIMISED]:.2f} s (wanted: {WANTED[count]}), "
                f"linear {anew[Layout.LINEAR]:.2f} s; changed {took * 1000:4.0f} ms (wanted: 50), "
                f"{operations:2.0f} operations (wanted: 20)"
            )


def _changed(rules: Sequence[CompletedRule]) -> tuple[float, float]:
    """Return the 95th percentile of seconds and of operations for a change of one rule."""
    options, dice = replace(DEFAULT_OPTIONS, layout=Layout.OPTIMISED), random.Random(9)  # noqa: S311 - not for secrets
    memories: LayoutCaches = {}
    parts = {rule.id: compile_part(rule, options) for rule in rules}
    ruleset = assemble(tuple(parts.values()), options, memories)
    took, operations = list[float](), list[float]()
    for number in range(CHANGES):
        rules = with_one_changed(rules, dice, number)
        begin = perf_counter()
        now = {rule.id: _part(rule, options, parts.get(rule.id)) for rule in rules}
        wanted = assemble_incrementally(ruleset, tuple(parts.values()), tuple(now.values()), options, memories)
        took.append(perf_counter() - begin)
        operations.append(len(diff(ruleset, wanted)))
        ruleset, parts = wanted, now
    return quantiles(took, n=20)[-1], quantiles(operations, n=20)[-1]


def _part(rule: CompletedRule, options: CompilerOptions, known: RulePart | None) -> RulePart:
    return known if known is not None and known.rule is rule else compile_part(rule, options)


def with_one_changed(rules: Sequence[CompletedRule], dice: random.Random, number: int) -> list[CompletedRule]:
    """Return the rules with one of them removed, added, or with another port, peer or action."""
    changed, place = list(rules), dice.randrange(len(rules))
    rule = rules[place]
    ported = bool(rule.services)
    more = (AddressBlock(ip_network(f"172.16.{number}.{dice.randrange(256)}/32")),)
    match dice.choice(("gone", "new", "peer", "action", *(("port",) if ported else ()))):
        case "gone":
            del changed[place]
        case "new":
            changed.insert(place, replace(rule, policy=f"new-{number}", peers=more))
        case "peer":
            changed[place] = replace(rule, peers=(*(rule.peers or ()), *more))
        case "action":
            changed[place] = replace(rule, action=Action.DROP if rule.action is Action.ALLOW else Action.ALLOW)
        case _:
            port = dice.randrange(1_024, 65_536)
            changed[place] = replace(rule, services=(Traffic(Protocol.TCP, (port, port)),))
    return changed
