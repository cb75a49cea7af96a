"""``blame``: the event that made a packet's verdict what it is, or the events that made those of many packets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import click

from adapters import wiring
from adapters.application.selection import sequence_of
from adapters.cli.commands.record.log import log_option
from adapters.cli.options import LimitOptions, hook_option, limit_options
from adapters.cli.options_packets import parsed
from adapters.cli.render.changes import change_as_json, changes_as_lines
from adapters.cli.render.decisions import decision_as_json
from adapters.cli.render.events import edits_as_lines, event_as_json, head_as_json, head_as_text
from adapters.cli.render.output import coloured, emit_item, output_option
from adapters.eventlog.relevant import RelevantEvents, abridged
from adapters.eventlog.snapshots import Snapshots
from adapters.system.budgets import budget
from engine.desired.incremental import derived
from engine.errors import Fault, Refused, UnknownNode, WitnessMismatch, plain
from engine.events import Event, EventBody, NodeObserved, StoredEvent
from engine.policy.relevance import PacketScope
from engine.reconcile.interfaces import SnapshotLog
from engine.rulesets.model import Hook
from engine.state.fold import ClusterState, effect_of
from engine.state.object_diff import ObjectDiff, edited
from simulator.analysis.blame import BlameResult, concern_of, fates, rulesets
from simulator.analysis.blame_regions import PacketRegion, RegionChange, UnchangedPackets, concerns_of, shifts
from simulator.expression import parse
from simulator.netfilter import Evaluation, Walker
from simulator.packets import Packet


@dataclass(slots=True)
class _Past:
    """The history of a node up to a sequence, and the events of it that were told."""

    log: SnapshotLog
    node: str
    until: int | None
    _rows: dict[int, StoredEvent] = field(default_factory=dict)
    _seen: bool = False

    def told(self, concerns: Sequence[PacketScope]) -> tuple[Iterator[tuple[int, EventBody]], ClusterState]:
        """Return the history as far as some packets can hang on it, and the state that it begins with."""
        found = abridged(self.log, concerns, self.until)
        self._seen = self.node in found.start.nodes
        return self._events(found), found.start

    def _events(self, found: RelevantEvents) -> Iterator[tuple[int, EventBody]]:
        for row, body in found.events:
            self._rows[row.sequence] = row
            self._seen |= isinstance(body, NodeObserved) and body.node.metadata.name == self.node
            yield row.sequence, body

    def event(self, sequence: int) -> Event:
        return self._rows[sequence].event()

    def state(self, until: int | None) -> ClusterState:
        return Snapshots(self.log).reached(until)[0]

    def checked(self) -> ClusterState:
        """Return the last state; refuse a node that never was."""
        state = self.state(self.until)
        if not self._seen:
            raise UnknownNode(self.node, tuple(sorted(state.nodes)))
        return state

    def edited(self, sequence: int) -> ObjectDiff | None:
        return edited(effect_of(self.state(sequence - 1), self.event(sequence).body))

    def confirmed(self, answer: Evaluation, state: ClusterState) -> Evaluation:
        """Return what becomes of a packet by the whole of a state, as was found out by a part of it."""
        whole = Walker(derived(state, self.node).ruleset).verdict(answer.packet)
        if whole.verdict is not answer.verdict:
            raise WitnessMismatch(answer.packet.words, answer.verdict.value, whole.verdict.value)
        return whole


@dataclass(frozen=True, slots=True)
class _Blamed:
    """What became of a packet, with the event that changed its verdict last and the one that gave it the one before."""

    fate: BlameResult
    event: Event | None = None
    change: ObjectDiff | None = None
    before: Evaluation | None = None
    earlier: Event | None = None

    @classmethod
    def of(cls, past: _Past, fate: BlameResult, state: ClusterState) -> "_Blamed":
        present = replace(fate, answer=past.confirmed(fate.answer, state))
        if fate.last is None:
            return cls(present)
        event, state = past.event(fate.last.sequence), past.state(fate.last.sequence - 1)
        before = past.confirmed(fate.last.before, state)
        earlier = past.event(fate.earlier.sequence) if fate.earlier else None
        return cls(present, event, edited(effect_of(state, event.body)), before, earlier)

    def as_json(self) -> dict[str, object]:
        answer = self.fate.answer
        return {
            "packet": answer.packet.as_spec(),
            "verdict": answer.verdict.value,
            "decided_by": decision_as_json(answer.decided_by),
            "event": event_as_json(self.event, self.change) if self.event else None,
            "before": self.before.verdict.value if self.before else None,
            "before_decided_by": decision_as_json(self.before.decided_by) if self.before else None,
            "earlier": head_as_json(self.earlier) if self.earlier else None,
        }

    def as_text(self) -> str:
        answer = self.fate.answer
        lines = [f"{coloured(answer.verdict.value)}  {answer.packet.words}", f"  {_who(answer)}"]
        if self.event is None or self.before is None:
            return "\n".join([*lines, "  no event ever changed that"])
        lines += _event_lines("since", self.event, self.change)
        since = f", since {head_as_text(self.earlier)}" if self.earlier else ""
        return "\n".join([*lines, f"  before {coloured(self.before.verdict.value)} {_who(self.before)}{since}"])


def _who(answer: Evaluation) -> str:
    by = answer.decided_by
    return plain(f"by policy {by.policy}, rule {by.policy_rule}" if by and by.policy else "by no policy")


def _event_lines(word: str, event: Event, change: ObjectDiff | None) -> list[str]:
    lines = [f"  {word} {head_as_text(event)}", plain(f"    from {event.source}")]
    return [*lines, *(f"    {line}" for line in edits_as_lines(change))]


@click.command("blame")
@log_option
@click.option("--node", required=True, metavar="NAME", help="The node whose rules are followed.")
@click.option("--at", metavar="SEQ|TIME", help="Blame as of a past state.")
@click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet; repeatable.")
@click.option("--where", metavar="EXPR", help="All packets that are meant, instead of single ones; with --hook.")
@hook_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="With --where: so many events at most."
)
@limit_options
@output_option
def blame_command(  # the parameters are the command line contract's
    path: str,
    node: str,
    at: str | None,
    specs: tuple[str, ...],
    where: str | None,
    hook: str | None,
    limit: int,
    limits: LimitOptions,
    output: str,
) -> None:
    """Name the event that made the verdict on a packet what it is, or on each of all packets that are meant."""
    if bool(specs) == (where is not None):
        raise Refused((Fault("", "packets are needed", "one of --packet SPEC and --where EXPR"),))
    if (where is None) != (hook is None):
        raise Refused((Fault("--hook", "goes with --where, and that with it", "both, or neither"),))
    log = wiring.event_log(path)
    past = _Past(log, node, sequence_of(log, at, "--at"))
    if where is None or hook is None:
        _blame_packets(past, parsed(specs), output)
    else:
        _blame_region(past, PacketRegion(node, Hook(hook), parse(where)), limit, limits, output)


def _blame_packets(past: _Past, packets: Sequence[Packet], output: str) -> None:
    told, start = past.told([concern_of(packet, past.node) for packet in packets])
    found = fates(told, past.node, packets, start)
    state = past.checked()
    for fate in found:
        blamed = _Blamed.of(past, fate, state)
        emit_item(output, blamed.as_json(), blamed.as_text)


def _blame_region(past: _Past, region: PacketRegion, limit: int, limits: LimitOptions, output: str) -> None:
    allowed = budget(limits.max_seconds, limits.max_memory)
    told, start = past.told(concerns_of(region, allowed))
    known = list(rulesets(told, past.node, start))
    past.checked()
    found, rests = shifts(known, region, limit, allowed)
    for shift in found:
        event, change = past.event(shift.sequence), past.edited(shift.sequence)
        data = {"event": event_as_json(event, change), "changes": [change_as_json(each) for each in shift.changes]}
        emit_item(output, data, partial(_shift_as_text, shift, event, change))
    for rest in rests:
        family, example = rest.family.value, rest.example.as_spec()
        left = {"event": None, "family": family, "count": str(rest.count), "example": example}
        emit_item(output, left, partial(_rest_as_text, rest, told=len(found), limit=limit))


def _shift_as_text(shift: RegionChange, event: Event, change: ObjectDiff | None) -> str:
    return "\n".join([*(line[2:] for line in _event_lines("", event, change)), *changes_as_lines(shift.changes)])


def _rest_as_text(rest: UnchangedPackets, *, told: int, limit: int) -> str:
    who = "no event ever changed" if told < limit else "none of these events changed"
    others = "the other" if told else "any of the"
    return f"{who} {others} {rest.count:,} headers of {rest.family.value}\n  as {rest.example.words}"
