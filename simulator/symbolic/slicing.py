"""Slices of rulesets for changes of set members: only the rules that can match the affected packets.

The lockout guard uses slices to prove small changes fast. Input: two rulesets that differ only in set members. Output:
ranges of field values, such as addresses, outside which no verdict differs. The output is None if the rulesets differ
in more, or if there are too many ranges.

`RulesetSlicer.excerpts` takes rulesets and such ranges, and returns the rulesets without rules that cannot match
packets in these ranges. If a match is uncertain, the rule stays.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from simulator.matches.formula import And, Formula, Not, Or, RangeBounds, Within, within
from simulator.packet_sets.value_classes import ValueRange
from simulator.symbolic.reachability import below
from simulator.symbolic.symbolic_rules import SymbolicChain, SymbolicRule, SymbolicRuleset

_MOST = 256
"""Most ranges for a slice; with more, too few rules could be dropped."""


def affected_conditions(old: SymbolicRuleset, new: SymbolicRuleset) -> tuple[Within, ...] | None:
    """Return conditions outside which all packets get equal verdicts in both rulesets.

    Returns None if more than set members changed, or if the change is so large that evaluating all packets is faster.
    """
    if old.blocks.keys() != new.blocks.keys():
        return None
    found: dict[str, list[ValueRange]] = {}
    try:
        for key, block in old.blocks.items():
            for field, ranges in _between(block, new.blocks[key]):
                found.setdefault(field, []).extend(ranges)
    except ValueError:
        return None
    if any(len(ranges) > _MOST for ranges in found.values()) or not found.keys().isdisjoint(_written(old, new)):
        return None
    return tuple(within(field, *ranges) for field, ranges in found.items())


def _written(old: SymbolicRuleset, new: SymbolicRuleset) -> set[str]:
    """Return the fields that rules rewrite at hooks where the rulesets differ: packets may arrive with other values."""
    roots = [root for hook in old.hooks if old.hooks[hook] != new.hooks[hook] for root in new.hooks[hook]]
    return {write.name for root in roots for block in below(root) for row in block.rows for write in row.writes}


def _between(old: SymbolicChain, new: SymbolicChain) -> Iterator[tuple[str, list[ValueRange]]]:
    """Yield the values for which two versions of a chain have different conditions, by field.

    Raises:
        ValueError: the versions differ by more than ranges of values.
    """
    if old is new:
        return
    if old.policy != new.policy or len(old.rows) != len(new.rows):
        raise ValueError(old.name)
    for before, after in zip(old.rows, new.rows, strict=True):
        if before is not after:
            if before.rule != after.rule:
                raise ValueError(old.name)
            yield from _unlike(before.condition, after.condition)


def _unlike(old: Formula, new: Formula) -> Iterator[tuple[str, list[ValueRange]]]:
    if old is new:
        return
    match old, new:
        case (And(before), And(after)) | (Or(before), Or(after)) if len(before) == len(after):
            for first, second in zip(before, after, strict=True):
                yield from _unlike(first, second)
        case Not(first), Not(second):
            yield from _unlike(first, second)
        case Within(field), Within(other) if field == other:
            yield field, _apart(old.bounds, new.bounds)
        case _:
            raise ValueError(old)


def _apart(old: RangeBounds, new: RangeBounds) -> list[ValueRange]:
    """Return the ranges that are in exactly one of two unions; edges that both have cancel out."""
    edges = sorted(_edges(old) ^ _edges(new))
    return [(low, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True)]


def _edges(bounds: RangeBounds) -> set[int]:
    lows, highs = (each.tolist() if isinstance(each, np.ndarray) else each for each in bounds)
    return {*lows, *(high + 1 for high in highs)}


class RulesetSlicer:
    """Removes rules that cannot match given packets; caches what it learns about conditions."""

    def __init__(self) -> None:
        self._needed: dict[str, dict[Formula, tuple[Within, ...] | None]] = {}

    def excerpts(self, worlds: Sequence[SymbolicRuleset], packets: Within) -> list[SymbolicRuleset]:
        """Return reduced rulesets with equal verdicts on these packets, if rules do not rewrite the fields."""
        blocks: dict[SymbolicChain, SymbolicChain] = {}
        chains = {block for world in worlds for block in world.blocks.values()}
        kept = self._kept(set().union(*(block.rows for block in chains)), packets)

        def cut(block: SymbolicChain) -> SymbolicChain:
            if block not in blocks:
                left = (row for row in block.rows if row in kept)
                rows = (row if row.into is None else replace(row, into=cut(row.into)) for row in left)
                blocks[block] = replace(block, rows=tuple(rows))
            return blocks[block]

        found = []
        for world in worlds:
            hooks = {hook: tuple(map(cut, roots)) for hook, roots in world.hooks.items()}
            reached = {(each.table, each.name): cut(each) for each in world.blocks.values()}
            found.append(SymbolicRuleset(world.ruleset, hooks, reached, world.tracked))
        return found

    def _kept(self, rows: set[SymbolicRule], packets: Within) -> set[SymbolicRule]:
        """Return the rules that may match some of the packets."""
        needed = self._needed.setdefault(packets.field, {})
        kept = set()
        for row in rows:
            if row.condition not in needed:
                needed[row.condition] = _needed(row.condition, packets.field)
            if _may_meet(needed[row.condition], packets):
                kept.add(row)
        return kept


def _may_meet(one_of: tuple[Within, ...] | None, packets: Within) -> bool:
    if one_of is None:
        return True
    for each in one_of:  # noqa: SIM110 - runs for every rule, and a generator is slower
        if _meet(each.bounds, packets.bounds):
            return True
    return False


def _needed(formula: Formula, field: str) -> tuple[Within, ...] | None:
    """Return conditions on a field, one of which holds wherever the formula holds; None if there are none."""
    if isinstance(formula, Within):
        return (formula,) if formula.field == field else None
    if isinstance(formula, And):
        return next((found for part in formula.parts if (found := _needed(part, field)) is not None), None)
    if isinstance(formula, Or):
        each_one: list[Within] = []
        for part in formula.parts:
            found = _needed(part, field)
            if found is None:
                return None
            each_one += found
        return tuple(each_one)
    return None


def _meet(some: RangeBounds, others: RangeBounds) -> bool:
    """Return whether two unions of ranges intersect; the second has few ranges."""
    lows, highs = some
    for low, high in zip(*others, strict=True):
        place = bisect_right(lows, high) - 1
        if place >= 0 and highs[place] >= low:
            return True
    return False
