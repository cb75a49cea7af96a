"""Batch evaluation of one iptables table for a block of packets: in each step, every packet finds its next box.

A box is a region of packets with an action, such as a jump or a verdict. Input: a `BoxLayout` (boxes of the table) and
a `BatchExecution` (the block's state), which `run` updates with the results. Packets that only the `Walker` (one packet
at a time) can evaluate are marked and not processed further.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from simulator.batch.bit_vectors import Dimension, first
from simulator.batch.box_layout import BoxLayout, BoxMove
from simulator.batch.columns import BoolColumn, Columns, IntColumn


@dataclass(slots=True)
class BatchExecution:
    """Block of packets during execution, by row.

    Attributes:
        listed: Index of each packet's value in the domain of each listed field.
        walked: Packets that need the `Walker`.
        alive: Packets that have no final verdict yet.
        told: Packets that need more than a verdict, such as a log entry.
        ended: Index of the result of the last table.
    """

    columns: Columns
    listed: dict[str, IntColumn]
    walked: BoolColumn
    alive: BoolColumn
    told: BoolColumn
    ended: IntColumn


@dataclass(slots=True)
class _Front:
    """Positions of packets: their rows, the bounds of the search for the next box, and the call frame."""

    rows: IntColumn
    begin: IntColumn
    end: IntColumn
    frame: IntColumn

    def some(self, which: BoolColumn) -> "_Front":
        return _Front(self.rows[which], self.begin[which], self.end[which], self.frame[which])


@dataclass(slots=True)
class _Frames:
    """Call frames: for each the caller's frame and the calling box; frame 0 is the base chain."""

    callers: list[int] = field(default_factory=lambda: [0])
    boxes: list[int] = field(default_factory=lambda: [0])
    _known: dict[tuple[int, int], int] = field(default_factory=dict)

    def enter(self, frames: IntColumn, boxes: IntColumn) -> IntColumn:
        """Return the call frame of each packet after its box jumps to another chain."""
        width = int(boxes.max()) + 1
        keys, places = np.unique(frames * width + boxes, return_inverse=True)
        return np.asarray([self._frame(*divmod(int(key), width)) for key in keys])[places]

    def _frame(self, caller: int, box: int) -> int:
        if (caller, box) not in self._known:
            self._known[caller, box] = len(self.callers)
            self.callers.append(caller)
            self.boxes.append(box)
        return self._known[caller, box]


def run(course: BatchExecution, plan: BoxLayout, rows: IntColumn) -> None:
    """Evaluate a table for the given rows; packets that need the `Walker` are no longer alive afterwards."""
    front = _Front(
        rows,
        np.full(len(rows), plan.base[0]),
        np.full(len(rows), plan.base[1]),
        np.zeros(len(rows), np.int64),
    )
    course.ended[rows] = 0  # index 0 is the policy, which applies if no rule decides
    _Run(course, plan, plan.dimensions(course.columns, course.listed)).go(front)


@dataclass(slots=True)
class _Run:
    course: BatchExecution
    plan: BoxLayout
    dimensions: Sequence[Dimension]
    frames: _Frames = field(default_factory=_Frames)

    def go(self, front: _Front) -> None:
        while front.rows.size:
            box = first(self.dimensions, front.rows, front.begin, front.end)
            front = self._moved(front, box)

    def _moved(self, front: _Front, box: IntColumn) -> _Front:
        """Apply the action of each packet's box; return the packets that continue."""
        boxes, course = self.plan.boxes, self.course
        move = boxes.move[box]
        course.told[front.rows] |= boxes.told[box]
        self._end(front.rows, box, move)
        returns = move == BoxMove.RETURN
        stays = (move != BoxMove.END) & (move != BoxMove.WALK) & ~(returns & (front.frame == 0))
        front, box, move, returns = front.some(stays), box[stays], move[stays], returns[stays]
        self._write(front.rows, box, move)
        self._enter(front, box, move)
        back = np.flatnonzero(returns)
        if back.size:
            box[back] = np.asarray(self.frames.boxes)[front.frame[back]]
            front.frame[back] = np.asarray(self.frames.callers)[front.frame[back]]
        goes_on = np.flatnonzero(returns | (move == BoxMove.NEXT) | (move == BoxMove.WRITE))
        front.begin[goes_on] = boxes.following[box[goes_on]]
        front.end[goes_on] = boxes.last[box[goes_on]]
        return front

    def _end(self, rows: IntColumn, box: IntColumn, move: IntColumn) -> None:
        ends = np.flatnonzero(move == BoxMove.END)
        self.course.ended[rows[ends]] = self.plan.boxes.chosen[box[ends]]
        walks = rows[move == BoxMove.WALK]
        self.course.walked[walks] = True
        self.course.alive[walks] = False

    def _enter(self, front: _Front, box: IntColumn, move: IntColumn) -> None:
        calls = np.flatnonzero(move == BoxMove.JUMP)
        if calls.size:
            front.frame[calls] = self.frames.enter(front.frame[calls], box[calls])
        enters = np.flatnonzero((move == BoxMove.JUMP) | (move == BoxMove.GOTO))
        front.begin[enters] = self.plan.boxes.begin[box[enters]]
        front.end[enters] = self.plan.boxes.end[box[enters]]

    def _write(self, rows: IntColumn, box: IntColumn, move: IntColumn) -> None:
        writes = move == BoxMove.WRITE
        if not writes.any():
            return
        chosen = self.plan.boxes.chosen[box]
        for place, write in enumerate(self.plan.writes):
            some = rows[writes & (chosen == place)]
            if not some.size:
                continue
            values = self.course.listed[write.name]
            values[some] = write.places[values[some]]
            for table, dimension in zip(self.plan.tables, self.dimensions, strict=False):
                if table.sorters[0].name == write.name:
                    dimension.ids[some] = table.sorters[0].classes[values[some]]
