"""``replay``: walks history and says what each event changed for a node."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import click

from adapters import wiring
from adapters.application.selection import SelectionOptions, configured, sequence_of
from adapters.cli.commands.record.log import log_option
from adapters.cli.options import config_option, followed_options
from adapters.cli.options_packets import PacketOptions
from adapters.cli.render.events import head_as_json, head_as_text
from adapters.cli.render.moments import HistoryStep, HistoryWalk, RulesetEvaluator, judge_of, moments
from adapters.cli.render.output import counted, emit_item, output_option
from adapters.cli.render.progress import progressing
from engine.errors import Fault, Refused
from engine.events import Event
from engine.events.outcomes import ApplyProposed, RulesetApplied
from engine.reconcile.interfaces import LogReader
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState
from engine.status.replay_check import ReplayCheck, ReplayChecker
from simulator.conntrack import ConnectionTracker
from simulator.netfilter import Evaluation, Walker
from simulator.packets import Packet


@click.command("replay")
@log_option
@click.option("--node", required=True, metavar="NAME", help="The node whose rules are followed.")
@click.option("--from", "first", default="1", metavar="SEQ|TIME", show_default=True, help="First event to show.")
@click.option("--to", "last", metavar="SEQ|TIME", help="Last event to show.")
@followed_options
@click.option("--changes", is_flag=True, help="Leave out events that changed neither rules nor verdicts.")
@click.option("--check", is_flag=True, help="Compare what was in force with what would be now; exit 1 if it differs.")
@config_option
@output_option
def replay_command(  # the parameters are the command line contract's
    path: str,
    node: str,
    first: str,
    last: str | None,
    asked: PacketOptions,
    changes: bool,
    check: bool,
    config: str | None,
    output: str,
) -> int:
    """Show for every event what it changed in a node's rules, and in what becomes of packets."""
    if check and (asked.specs or asked.pcap or changes):
        raise Refused((Fault("--check", "compares outcomes, not packets", "--check without packets and --changes"),))
    if config and not check:
        raise Refused((Fault("--config", "history has its own configuration", "-c FILE with --check"),))
    log = wiring.event_log(path)
    walk = HistoryWalk(log, node, first_of(log, first), sequence_of(log, last, "--to"))
    total = max(0, (walk.last or log.last_sequence()) - walk.first + 1)
    if check:
        world = SelectionOptions(config=config)
        checker = ReplayChecker(node, partial(configured, world) if config else lambda known: known)
        return _checked(walk, checker, total, output)
    steps = progressing(walk.steps(), total, "replay")
    for moment in moments(steps, _judge(asked), captured=bool(asked.pcap)):
        if moment.changed or not changes:
            emit_item(output, moment.as_json(), moment.as_text)
    walk.check()
    return 0


def first_of(log: LogReader, moment: str) -> int:
    """Return the first sequence that is meant: of a time, that of the first event after it."""
    found = sequence_of(log, moment, "--from") or 0
    return max(1, found if moment.isdecimal() else found + 1)


def _judge(asked: PacketOptions) -> RulesetEvaluator:
    """Return what tells what becomes of the packets that are followed."""
    packets = list(asked.packets()) if asked.specs or asked.pcap else []
    if asked.pcap:
        return partial(_captured, packets, stateless=asked.stateless)
    return judge_of(packets)


def _captured(packets: Sequence[Packet], ruleset: Ruleset, *, stateless: bool) -> Sequence[Evaluation]:
    walker = Walker(ruleset)
    if stateless:
        from simulator.batch import answers  # noqa: PLC0415 - numpy is slow to load, and captures alone need it

        return list(answers(walker, packets))
    tracker = ConnectionTracker()
    return [tracker.answer(walker, packet) for packet in packets]


@dataclass(frozen=True, slots=True)
class _Checked:
    """An outcome, and what became of the comparison; of a state without the node there is none."""

    event: Event
    found: ReplayCheck | None

    def as_json(self) -> dict[str, object]:
        found = self.found
        if found is None:
            return {**head_as_json(self.event), "same": False}
        hashes = {"recorded": found.recorded, "compiled": found.compiled}
        return {**head_as_json(self.event), "wanted": found.wanted, **hashes, "same": found.same}

    def as_text(self) -> str:
        if self.found is None:
            return f"{head_as_text(self.event)}\n    the node is not in that state"
        if self.found.same:
            return f"{head_as_text(self.event)}\n    as recorded, from state {self.found.wanted}"
        lines = f"recorded {self.found.recorded}", f"compiled {self.found.compiled}, from state {self.found.wanted}"
        return "\n".join([head_as_text(self.event), *(f"    {line}" for line in lines)])


def _checked(asked: HistoryWalk, checker: ReplayChecker, total: int, output: str) -> int:
    """Compare every outcome of a node with what its state compiles to now."""
    wanted = {_wanted(outcome) for outcome in _outcomes(asked)}
    walk = replace(asked, first=min([asked.first, *(sequence + 1 for sequence in wanted)]))
    steps = progressing(walk.steps(), total + asked.first - walk.first, "check")
    checks = differences = 0
    for checked in _comparisons(steps, checker, wanted):
        if checked.event.sequence >= asked.first:
            checks += 1
            differences += not (checked.found and checked.found.same)
            emit_item(output, checked.as_json(), checked.as_text)
    walk.check()
    click.echo(f"{counted(checks, 'outcome')} compared, {counted(differences, 'difference')}", err=True)
    return int(bool(differences))


def _outcomes(walk: HistoryWalk) -> Iterator[ApplyProposed | RulesetApplied]:
    for row in walk.log.some(lambda kind, _: kind in _OUTCOMES, walk.last):
        body = walk.log.said(row)
        if row.sequence >= walk.first and isinstance(body, ApplyProposed | RulesetApplied) and body.node == walk.node:
            yield body


_OUTCOMES = (b"apply.proposed", b"ruleset.applied")


def _wanted(outcome: ApplyProposed | RulesetApplied) -> int:
    return outcome.wanted if isinstance(outcome, ApplyProposed) else outcome.realized


def _comparisons(steps: Iterator[HistoryStep], checker: ReplayChecker, wanted: set[int]) -> Iterator[_Checked]:
    states: dict[int, ClusterState] = {}
    for step in steps:
        before, body = step.before.state, step.event.body
        if before.sequence in wanted:
            states[before.sequence] = before
        if isinstance(body, ApplyProposed | RulesetApplied) and body.node == checker.node:
            state = states.get(_wanted(body))
            there = state is not None and checker.node in state.nodes
            yield _Checked(step.event, checker.check(state, body, before) if state and there else None)
