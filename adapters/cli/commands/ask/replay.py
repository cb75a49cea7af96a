"""``nodewall replay``: shows for each event of a log what it changed in the rules of a Node and in verdicts.

Input: an event log, a Node, and packets to follow. With ``--check``, compares each recorded outcome with the rules that
this nodewall compiles; exit code 1 means that they differ.

Raises ``Refused`` for options that contradict each other, ``LogError`` if the log cannot be read, and ``UnknownNode``
if the log has no such Node.
"""

from functools import partial

import click

from adapters import wiring
from adapters.application.past.replay_check import Checked, checked_outcomes
from adapters.application.past.steps import HistoryWalk, RulesetEvaluator, capture_evaluator, packet_evaluator
from adapters.application.selection import SelectionOptions, effective_configuration
from adapters.cli.commands.record.log import log_option
from adapters.cli.history.moments import moments
from adapters.cli.options import config_option, followed_options
from adapters.cli.options_packets import PacketOptions
from adapters.cli.render.events import head_as_json, head_as_text
from adapters.cli.render.output import emit_item, output_option, plural
from adapters.cli.render.progress import progressing
from engine.errors import Fault, Refused
from engine.status.replay_check import ReplayChecker


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
def replay_command(  # one parameter per option, as in the command line reference
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
    walk = HistoryWalk.between(wiring.event_log(path), node, first, last)
    if check:
        world = SelectionOptions(config=config)
        checker = ReplayChecker(node, partial(effective_configuration, world) if config else lambda known: known)
        return _checked(walk, checker, output)
    steps = progressing(walk.steps(), walk.total, "replay")
    for moment in moments(steps, _judge(asked), captured=bool(asked.pcap)):
        if moment.changed or not changes:
            emit_item(output, moment.as_json(), moment.as_text)
    walk.check()
    return 0


def _judge(asked: PacketOptions) -> RulesetEvaluator:
    """Return the evaluator for the packets that the user wants to follow."""
    packets = list(asked.packets()) if asked.specs or asked.pcap else []
    if asked.pcap:
        return capture_evaluator(packets, stateless=asked.stateless)
    return packet_evaluator(packets)


def _checked(walk: HistoryWalk, checker: ReplayChecker, output: str) -> int:
    """Compare every recorded outcome with the rules compiled now; return 1 if any differ, else 0."""
    checks = differences = 0
    for checked in checked_outcomes(walk, checker, partial(progressing, what="check")):
        checks += 1
        differences += not checked.same
        emit_item(output, _checked_as_json(checked), partial(_checked_as_text, checked))
    click.echo(f"{plural(checks, 'outcome')} compared, {plural(differences, 'difference')}", err=True)
    return int(bool(differences))


def _checked_as_json(checked: Checked) -> dict[str, object]:
    found = checked.found
    if found is None:
        return {**head_as_json(checked.event), "same": False}
    hashes = {"recorded": found.recorded, "compiled": found.compiled}
    return {**head_as_json(checked.event), "wanted": found.wanted, **hashes, "same": found.same}


def _checked_as_text(checked: Checked) -> str:
    head, found = head_as_text(checked.event), checked.found
    if found is None:
        return f"{head}\n    the node is not in that state"
    if found.same:
        return f"{head}\n    as recorded, from state {found.wanted}"
    lines = f"recorded {found.recorded}", f"compiled {found.compiled}, from state {found.wanted}"
    return "\n".join([head, *(f"    {line}" for line in lines)])
