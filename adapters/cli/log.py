"""``log``: what was declared and what was done, recorded and checked."""

import sys
from contextlib import suppress
from functools import partial

import click

from adapters import wiring
from adapters.cli.options import ModeOptions, mode_options, wanted_options
from adapters.cli.output import counted, emit, emit_item, output_option, table
from adapters.logfilter import Wanted
from adapters.snapshots import Snapshots
from adapters.sources import followed
from adapters.transfer import branched, exported, imported
from adapters.world import config_changes, judged, sequence_of
from engine.errors import Fault, LogCorrupt, Refused, plain
from engine.events import Event, subject, timestamp
from engine.intake import Mode
from engine.state import ClusterState

log_option = click.option("--log", "path", required=True, metavar="PATH", help="Event log.")


@click.group("log")
def log_command() -> None:
    """Record manifests as events; show and verify what was recorded."""


@log_command.command("append")
@log_option
@click.option("-f", "files", multiple=True, metavar="PATH", help="Manifests; - for stdin.")
@mode_options
@click.option("-c", "--config", metavar="FILE", help="Record this configuration too, if it differs.")
@output_option
def append_command(path: str, files: tuple[str, ...], meant: ModeOptions, config: str | None, output: str) -> None:
    """Record what the manifests change; what is as it was makes no event.

    If anything is refused, nothing is changed, and the refusals are recorded.
    """
    mode = meant.mode
    if not files and (mode is Mode.SYNC or not config):
        message = "Missing option '-f'; only -c FILE may stand alone"
        raise click.UsageError(message)
    log = wiring.event_log(path)
    state = Snapshots(log).reached()[0] if log.exists else ClusterState()
    judgement = judged(state, files, mode)
    settled = (*judgement.bodies, *config_changes(state, config))
    bodies = judgement.refusals if judgement.faults else settled
    if bodies or not judgement.faults:
        log.append(bodies, source=f"nodewall log append {' '.join(files)}", expected=state.sequence)
    sequence = state.sequence + len(bodies)
    if judgement.faults:
        data = {"appended": 0, "refused": len(bodies), "sequence": sequence}
        emit(output, data, lambda: _recorded(len(bodies), sequence))
        raise Refused(judgement.faults)
    data = {"appended": len(bodies), "sequence": sequence}
    emit(output, data, lambda: f"appended {counted(len(bodies), 'event')}; the log is at sequence {sequence}")


@log_command.command("branch")
@log_option
@click.option("--at", metavar="SEQ|TIME", help="The last event that both have; by default, of all.")
@click.option("--to", "new", required=True, metavar="PATH", help="The log to make.")
@output_option
def branch_command(path: str, at: str | None, new: str, output: str) -> None:
    """Make a log that has the same events up to some moment, to go on otherwise there."""
    log = wiring.event_log(path)
    sequence = branched(log, wiring.event_log(new), sequence_of(log, at, "--at"))
    emit(output, {"sequence": sequence}, lambda: f"{new} is as {path} was at sequence {sequence}")


def _recorded(refusals: int, sequence: int) -> str:
    return f"recorded {counted(refusals, 'refusal')}; the log is at sequence {sequence}" if refusals else ""


@log_command.command("show")
@log_option
@click.option("--from", "first", type=int, default=1, metavar="SEQ", help="First sequence.")
@click.option("--to", "last", type=int, metavar="SEQ", help="Last sequence.")
@wanted_options
@click.option("--follow", is_flag=True, help="Go on with what is appended, until it is interrupted.")
@output_option
def show_command(path: str, first: int, last: int | None, wanted: Wanted, follow: bool, output: str) -> None:
    """Show events, oldest first; JSON is one line an event."""
    if follow and last is not None:
        message = "--follow and --to exclude each other"
        raise click.UsageError(message)
    log = wiring.event_log(path)
    events = followed(log, first - 1) if follow else log.read(after=first - 1, until=last)
    found = (event for event in events if wanted.takes(event))
    if output == "text" and not follow:
        click.echo(table(("sequence", "time", "type", "object", "source"), [_cells(event) for event in found]))
        return
    with suppress(KeyboardInterrupt):  # which is how one ceases to follow
        for event in found:
            emit_item(output, event.as_json(), partial(_line, event))
            sys.stdout.flush()


def _line(event: Event) -> str:
    return plain("  ".join(_cells(event)))


def _cells(event: Event) -> tuple[str, ...]:
    return str(event.sequence), timestamp(event.time), event.body.type, subject(event.body), event.source


@log_command.command("export")
@log_option
@click.option("--from", "first", type=int, default=1, metavar="SEQ", help="First sequence.")
@click.option("--to", "last", type=int, metavar="SEQ", help="Last sequence.")
def export_command(path: str, first: int, last: int | None) -> None:
    """Print events as JSON Lines, as they are stored and with their hashes, for `log import`."""
    for line in exported(wiring.event_log(path), first - 1, last):
        sys.stdout.buffer.write(line)


@log_command.command("import")
@log_option
@click.argument("file", type=click.Path(), metavar="FILE")
@output_option
def import_command(path: str, file: str, output: str) -> None:
    """Append the events of an export that the log lacks; - is stdin.

    Every hash is checked. What the log has already must be the same, so an import that was cut off can be run again.
    """
    log = wiring.event_log(path)
    try:
        with click.open_file(file, "rb") as lines:
            done = imported(log, lines, file)
    except OSError as error:
        raise Refused((Fault(file, str(error.strerror), "a file to read, or - for stdin"),)) from None
    sequence = log.last_sequence() if log.exists else 0
    data = {"imported": done.new, "known": done.known, "sequence": sequence}
    emit(output, data, lambda: f"imported {counted(done.new, 'event')}; the log is at sequence {sequence}")


@log_command.command("verify")
@log_option
@output_option
def verify_command(path: str, output: str) -> int:
    """Check the whole hash chain; exit 1 names the first sequence that cannot be trusted."""
    try:
        events = wiring.event_log(path).verify()
    except LogCorrupt as error:
        click.echo(f"error: {error}", err=True)
        emit(output, {"verified": False, "sequence": error.sequence, "reason": error.reason}, str)
        return 1
    emit(output, {"verified": True, "events": events}, lambda: f"{counted(events, 'event')}, every one vouched for")
    return 0
