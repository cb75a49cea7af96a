"""Layout of an iptables table as one array of boxes, for the batch engine; a box is a region of packets with an action.

Input: the base chain of a table, and the regions of its matches. Output: a `BoxLayout`, which
`simulator.batch.execution` evaluates. Rules that only count or log get no box, because they affect no verdict; the
layout records that they log.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from ipaddress import ip_address
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from engine.rulesets.model import Hook
from engine.rulesets.ownership import owner_of
from simulator.batch.bit_vectors import BitTable, Dimension
from simulator.batch.bitmaps import BitmapBuilder, JointBitmap, shared
from simulator.batch.columns import BoolColumn, Columns, ColumnValue, IntColumn
from simulator.batch.domains import MOST_VALUES, Domains
from simulator.batch.regions import MatchRegion, RegionFinder, RegionTruth
from simulator.context import PacketContext
from simulator.netfilter.answer import LOGGERS, Decision, Verdict
from simulator.netfilter.effects import VERDICTS, TargetAction, TargetContext, TargetEffect
from simulator.netfilter.program import ProgramChain, ProgramRule
from simulator.packets import Packet


class BoxMove(IntEnum):
    """Action of a box: where a packet continues."""

    END = 0
    RETURN = 1
    JUMP = 2
    GOTO = 3
    NEXT = 4
    WRITE = 5
    WALK = 6


@dataclass(frozen=True, slots=True)
class TableEnd:
    """Possible result of a table: verdict, deciding rule and reject type."""

    verdict: Verdict
    decision: Decision
    reject_with: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnWrite:
    """Rewrite of one field by a target, as new indexes for each value of the field's domain."""

    name: str
    places: IntColumn


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of a table in order; the last one takes packets that are in no other box, and returns.

    Attributes:
        move: Action of each box.
        told: Whether packets of the box need more than a verdict, such as a log entry.
        chosen: Index of the box's table end or rewrite.
        begin: First box of the chain that the box leads to; ``end`` is the index after its last box.
        following: Box that a packet continues with after the box's rule.
        last: End of the box's own chain.
    """

    move: IntColumn
    told: BoolColumn
    chosen: IntColumn
    begin: IntColumn
    end: IntColumn
    following: IntColumn
    last: IntColumn


@dataclass(frozen=True, slots=True)
class BoxLayout:
    """Table prepared for one hook.

    Attributes:
        base: First box of the base chain, and the index after its last box.
        boxes: Boxes of all chains.
        ends: Possible results; the first is the base chain's policy.
        writes: Rewrites by targets.
        tables: Bit tables that find the box of a packet.
    """

    name: str
    base: tuple[int, int]
    boxes: Boxes
    ends: tuple[TableEnd, ...]
    writes: tuple[ColumnWrite, ...]
    tables: tuple[JointBitmap, ...]

    def dimensions(self, columns: Columns, listed: dict[str, IntColumn]) -> list[Dimension]:
        """Return the bit tables with the class of each packet; ``listed`` has the domain index of each listed value."""
        return [each.dimension(columns, listed) for each in self.tables] or [
            Dimension(_all_ones(len(self.boxes.move)), np.zeros(len(columns), np.int64))
        ]


def _all_ones(boxes: int) -> BitTable:
    return BitTable.of(np.full((1, (boxes + 63) // 64), 0xFFFFFFFFFFFFFFFF, np.uint64))


_MOVES = {TargetAction.RETURN: BoxMove.RETURN, TargetAction.JUMP: BoxMove.JUMP, TargetAction.GOTO: BoxMove.GOTO}


def reached(base: ProgramChain) -> list[ProgramChain]:
    """Return a chain and all chains that it leads to."""
    found, pending = {base.name: base}, [base]
    while pending:
        for rule in pending.pop().rules:
            if rule.into is not None and rule.into.name not in found:
                found[rule.into.name] = rule.into
                pending.append(rule.into)
    return list(found.values())


@dataclass(slots=True)
class BoxLayoutBuilder:
    """Builder of the layout of one table.

    Attributes:
        survey: Finds the regions of matches.
        final: Whether no table follows, so that rewrites by this table need not be tracked.
    """

    survey: RegionFinder
    hook: Hook
    table: str
    final: bool
    ends: list[TableEnd] = field(default_factory=list)
    writes: list[ColumnWrite] = field(default_factory=list)
    _regions: list[MatchRegion] = field(default_factory=list)
    _rows: list[tuple[int, bool, int, str]] = field(default_factory=list)
    _following: list[int] = field(default_factory=list)
    _own: list[str] = field(default_factory=list)

    def plan(self, base: ProgramChain) -> BoxLayout:
        """Return the layout of the table."""
        self.ends.append(TableEnd(Verdict((base.policy or "ACCEPT").lower()), Decision(self.table, base.name, 0)))
        spans: dict[str, tuple[int, int]] = {}
        for chain in reached(base):
            begin = len(self._rows)
            for rule in chain.rules:
                self._rule(rule, chain.name)
            spans[chain.name] = begin, len(self._rows)
        builder = BitmapBuilder(self.survey.context.family, self.survey.edges, sizes_of(self.survey.domains))
        for constraints, _ in self._regions:
            builder.add(constraints)
        apart = frozenset(write.name for write in self.writes)
        tables = tuple(shared(builder.fields(), apart))
        return BoxLayout(self.table, spans[base.name], self._boxes(spans), tuple(self.ends), tuple(self.writes), tables)

    def _rule(self, rule: ProgramRule, chain: str) -> None:
        regions = sorted(self.survey.of_tests(rule.tests), key=lambda region: region[1])
        found = [(region, row) for region in regions for row in self._row(rule, region[1])]
        for region, row in found:
            self._regions.append(region)
            self._rows.append(row)
            self._own.append(chain)
        self._following += [len(self._rows)] * len(found)

    def _row(self, rule: ProgramRule, truth: RegionTruth) -> Iterator[tuple[int, bool, int, str]]:
        effect = rule.effect
        told = bool(effect.assumption) or (rule.target in LOGGERS and owner_of(rule.decision.comment) is not None)
        if truth is RegionTruth.UNTOLD and effect.act is TargetAction.NEXT and effect.change is None:
            yield BoxMove.NEXT, True, 0, ""  # the verdict does not depend on whether the rule matches
        elif truth is RegionTruth.UNTOLD:
            yield BoxMove.WALK, False, 0, ""
        elif truth is RegionTruth.UNKNOWN:
            yield BoxMove.NEXT, True, 0, ""
        elif effect.change is not None and not (effect.act is TargetAction.ACCEPT and self.final):
            yield self._changing(effect)
        elif effect.act in VERDICTS:
            self.ends.append(TableEnd(VERDICTS[effect.act], rule.decision, effect.reject_with))
            yield BoxMove.END, told or effect.change is not None, len(self.ends) - 1, ""
        elif effect.act in _MOVES:
            yield _MOVES[effect.act], told, 0, rule.into.name if rule.into else ""
        elif told:
            yield BoxMove.NEXT, True, 0, ""

    def _changing(self, effect: TargetEffect) -> tuple[int, bool, int, str]:
        places = (
            _places(effect, self.hook, self.survey) if effect.rewrites and effect.act is TargetAction.NEXT else None
        )
        if places is None:
            return BoxMove.WALK, False, 0, ""
        self.writes.append(ColumnWrite(effect.rewrites, places))
        return BoxMove.WRITE, True, len(self.writes) - 1, ""

    def _boxes(self, spans: dict[str, tuple[int, int]]) -> Boxes:
        rows = [*self._rows, (int(BoxMove.RETURN), False, 0, "")]
        into = [spans.get(name, (0, 0)) for *_, name in rows]
        return Boxes(
            _numbers([move for move, *_ in rows]),
            np.asarray([told for _, told, *_ in rows], np.bool_),
            _numbers([chosen for _, _, chosen, _ in rows]),
            _numbers([begin for begin, _ in into]),
            _numbers([end for _, end in into]),
            _numbers([*self._following, 0]),
            _numbers([*(spans[name][1] for name in self._own), 0]),
        )


def _numbers(values: Sequence[int]) -> IntColumn:
    return np.asarray(values, np.int64)


def sizes_of(domains: Domains) -> dict[str, int]:
    """Return the number of values of each listed field."""
    return {name: len(values) for name, values in domains.listed.items()}


# Rewrites by targets


def closed(effects: Sequence[TargetEffect], hook: Hook, domains: Domains) -> None:
    """Add the values that targets write to the domains, until no target writes a new value.

    A domain does not grow beyond `MOST_VALUES`.
    """
    grown = True
    while grown:
        grown = False
        for effect in effects:
            values = domains.listed[effect.rewrites]
            if len(values) <= MOST_VALUES:
                made = [_written(effect, hook, value) for value in values]
                grown |= domains.add(effect.rewrites, made)


def _places(effect: TargetEffect, hook: Hook, survey: RegionFinder) -> npt.NDArray[np.int64] | None:
    values = survey.domains.listed[effect.rewrites]
    ranks = {value: place for place, value in enumerate(values)}
    made = [ranks.get(_written(effect, hook, value)) for value in values]
    return None if None in made else np.asarray(made, np.int64)


def _written(effect: TargetEffect, hook: Hook, value: ColumnValue) -> ColumnValue:
    """Return the value that a target writes over the given value, found by applying it to a sample packet."""
    if effect.change is None:
        raise ValueError(effect)
    address = ip_address(0)
    packet = replace(Packet(src=address, dst=address, protocol=0), **cast("dict[str, Any]", {effect.rewrites: value}))
    changed = effect.change(packet, TargetContext(hook, PacketContext(), lambda _what: None, {}))
    return getattr(changed, effect.rewrites)
