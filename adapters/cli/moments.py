"""History as commands walk it: event by event, with what each changed for a node."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import click

from adapters.cli.events import head_as_json, head_as_text
from adapters.cli.output import coloured, counted
from adapters.eventlog import SqliteLog
from adapters.snapshots import Snapshots
from engine.derive import Derivation, derived
from engine.diff import diff
from engine.errors import UnknownNode
from engine.events import Event, NodeObserved
from engine.plan import Op, make_plan
from engine.ruleset import Ruleset
from simulator.netfilter import Answer, Verdict

Judge = Callable[[Ruleset], Sequence[Answer]]
"""What becomes of some packets by a ruleset, in their order."""


@dataclass(frozen=True, slots=True)
class Step:
    """An event, and what a node shall have in force before it and after it."""

    event: Event
    before: Derivation
    after: Derivation

    @property
    def ops(self) -> tuple[Op, ...]:
        """What it changed in the rules."""
        if self.before.ruleset is self.after.ruleset:
            return ()
        return make_plan(diff(self.before.ruleset, self.after.ruleset)).ops


@dataclass(slots=True)
class Walk:
    """The way through a log from one sequence to another, from the nearest state that is kept on."""

    log: SqliteLog
    node: str
    first: int = 1
    last: int | None = None
    _seen: set[str] = field(default_factory=set)

    def steps(self) -> Iterator[Step]:
        """Yield each event from the first on.

        Raises:
            LogError: the log cannot be read, or an event cannot be trusted.
        """
        state, mark = Snapshots(self.log).reached(max(0, self.first - 1))
        self._seen.update(state.nodes)
        now = derived(state, self.node)
        for row in self.log.rows(until=self.last, known=mark):
            event = row.event()
            if isinstance(event.body, NodeObserved):
                self._seen.add(event.body.node.metadata.name)
            before, now = now, now.after(event.body)
            yield Step(event, before, now)

    def check(self) -> None:
        """Refuse a node that never was on the way."""
        if self.node not in self._seen:
            raise UnknownNode(self.node, tuple(sorted(self._seen)))


@dataclass(frozen=True, slots=True)
class Group:
    """Packets of a capture that fare alike before an event and alike after it, with the first of them."""

    before: Answer
    after: Answer
    count: int


@dataclass(frozen=True, slots=True)
class Moment:
    """An event, what it changed in the rules, and packets' answers before and after, one by one or in groups."""

    event: Event
    ops: tuple[Op, ...]
    groups: tuple[Group, ...]
    captured: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything became otherwise."""
        return bool(self.ops) or any(each.before.verdict is not each.after.verdict for each in self.groups)

    def as_json(self) -> dict[str, object]:
        """Return it under the keys of the command line contract."""
        return {
            **head_as_json(self.event),
            "ops": [op.as_json() for op in self.ops],
            "verdicts": [
                {
                    "packet": each.after.packet.as_spec(),
                    "from": each.before.verdict.value,
                    "to": each.after.verdict.value,
                    "decided_by": each.after.decided_by.as_json() if each.after.decided_by else None,
                    **({"packets": each.count} if self.captured else {}),
                }
                for each in self.groups
            ],
        }

    def as_text(self) -> str:
        """Return it for people: the event, the ops and what became of packets."""
        lines = [click.style(head_as_text(self.event), bold=True), *(f"    {op}" for op in self.ops)]
        for each in self.groups:
            moved = each.before.verdict is not each.after.verdict
            verdicts = f"{coloured(each.before.verdict.value)} -> " if moved else "still "
            many = f"{counted(each.count, 'packet')}, as " if self.captured else ""
            lines.append(f"    {verdicts}{coloured(each.after.verdict.value)}  {many}{each.after.packet.words}")
        return "\n".join(lines)


def moments(steps: Iterator[Step], judge: Judge, *, captured: bool = False) -> Iterator[Moment]:
    """Yield a moment per step; of a capture, which packets fare otherwise, by verdicts before and after."""
    last: Sequence[Answer] | None = None
    for step in steps:
        before = judge(step.before.ruleset) if last is None else last
        same = step.before.ruleset is step.after.ruleset or step.before.ruleset == step.after.ruleset
        last = before if same else judge(step.after.ruleset)
        pairs = list(zip(before, last, strict=True))
        groups = _grouped(pairs) if captured else [Group(was, now, 1) for was, now in pairs]
        yield Moment(step.event, step.ops, tuple(groups), captured)


def _grouped(pairs: Sequence[tuple[Answer, Answer]]) -> list[Group]:
    found: dict[tuple[Verdict, Verdict], Group] = {}
    for was, now in pairs:
        key = was.verdict, now.verdict
        if was.verdict is not now.verdict:
            known = found.get(key)
            found[key] = Group(known.before, known.after, known.count + 1) if known else Group(was, now, 1)
    return list(found.values())
