"""``nodewall blame``: finds the event in a log that last changed the verdict of a packet.

Input: an event log, a Node, and packets; or a hook and a filter expression that describes many packets. Output: per
packet, the event, its object, and the rules that decided before and after it. For a filter, the last events that
changed verdicts of its packets.

Raises ``WitnessMismatch`` if the complete cluster state gives another verdict than the search, which reads only part of
the log. Raises ``LogError`` if the log cannot be read, ``UnknownNode`` if it never had the Node, and ``Refused`` for
bad packets or options.
"""

from collections.abc import Sequence
from functools import partial

import click

from adapters import wiring
from adapters.application.past.blame import Blamed, BlamedRegion, NodeHistory, blame_packets, blame_region
from adapters.application.selection import sequence_of
from adapters.cli.commands.record.log import log_option
from adapters.cli.options import LimitOptions, hook_option, limit_options
from adapters.cli.options_packets import parse_specs
from adapters.cli.render.changes import change_as_json, changes_as_lines
from adapters.cli.render.decisions import decision_as_json
from adapters.cli.render.events import edits_as_lines, event_as_json, head_as_json, head_as_text
from adapters.cli.render.output import coloured, emit_item, output_option
from adapters.system.budgets import budget
from engine.errors import Fault, Refused, printable
from engine.events import Event
from engine.rulesets.model import Hook
from engine.state.object_diff import ObjectDiff
from simulator.analysis.blame_regions import PacketRegion, RegionChange, UnchangedPackets
from simulator.expression import parse
from simulator.netfilter import Evaluation
from simulator.packets import Packet


def _blamed_as_json(found: Blamed) -> dict[str, object]:
    return {
        "packet": found.answer.packet.as_spec(),
        "verdict": found.answer.verdict.value,
        "decided_by": decision_as_json(found.answer.decided_by),
        "event": event_as_json(found.event, found.change) if found.event else None,
        "before": found.before.verdict.value if found.before else None,
        "before_decided_by": decision_as_json(found.before.decided_by) if found.before else None,
        "earlier": head_as_json(found.earlier) if found.earlier else None,
    }


def _blamed_as_text(found: Blamed) -> str:
    answer = found.answer
    lines = [f"{coloured(answer.verdict.value)}  {answer.packet.words}", f"  {_who(answer)}"]
    if found.event is None or found.before is None:
        return "\n".join([*lines, "  no event ever changed that"])
    lines += _event_lines("since", found.event, found.change)
    since = f", since {head_as_text(found.earlier)}" if found.earlier else ""
    return "\n".join([*lines, f"  before {coloured(found.before.verdict.value)} {_who(found.before)}{since}"])


def _who(answer: Evaluation) -> str:
    """Return the policy rule that decided, as text."""
    by = answer.decided_by
    return printable(f"by policy {by.policy}, rule {by.policy_rule}" if by and by.policy else "by no policy")


def _event_lines(word: str, event: Event, change: ObjectDiff | None) -> list[str]:
    lines = [f"  {word} {head_as_text(event)}", printable(f"    from {event.source}")]
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
def blame_command(  # one parameter per option, as in the command line reference
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
    past = NodeHistory(log, node, sequence_of(log, at, "--at"))
    if where is None or hook is None:
        _tell_packets(past, parse_specs(specs), output)
    else:
        region, allowed = PacketRegion(node, Hook(hook), parse(where)), budget(limits.max_seconds, limits.max_memory)
        _tell_region(blame_region(past, region, limit, allowed), limit, output)


def _tell_packets(past: NodeHistory, packets: Sequence[Packet], output: str) -> None:
    for found in blame_packets(past, packets):
        emit_item(output, _blamed_as_json(found), partial(_blamed_as_text, found))


def _tell_region(found: BlamedRegion, limit: int, output: str) -> None:
    for shift, event, change in found.events():
        data = {"event": event_as_json(event, change), "changes": [change_as_json(each) for each in shift.changes]}
        emit_item(output, data, partial(_shift_as_text, shift, event, change))
    for rest in found.rests:
        family, example = rest.family.value, rest.example.as_spec()
        left = {"event": None, "family": family, "count": str(rest.count), "example": example}
        emit_item(output, left, partial(_rest_as_text, rest, told=len(found.shifts), limit=limit))


def _shift_as_text(shift: RegionChange, event: Event, change: ObjectDiff | None) -> str:
    return "\n".join([*(line[2:] for line in _event_lines("", event, change)), *changes_as_lines(shift.changes)])


def _rest_as_text(rest: UnchangedPackets, *, told: int, limit: int) -> str:
    who = "no event ever changed" if told < limit else "none of these events changed"
    others = "the other" if told else "any of the"
    return f"{who} {others} {rest.count:,} headers of {rest.family.value}\n  as {rest.example.words}"
