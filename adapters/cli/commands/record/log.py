"""``nodewall log``: appends to, shows, exports, imports, branches, signs, compacts and verifies event logs.

An event log holds the changes of a cluster and the outcomes on its Nodes, chained by hashes. Input: a log, and
manifests, an export or key files. Output: events, or the result of the change.

Raises ``Refused`` for bad input, and ``LogError`` for a log that cannot be read, written or verified.
"""

import sys
from contextlib import suppress
from functools import partial
from uuid import UUID

import click

from adapters import wiring
from adapters.application.record_manifests import record_manifests
from adapters.application.selection import sequence_of
from adapters.cli.options import ModeOptions, mode_options, wanted_options
from adapters.cli.render.output import emit, emit_item, output_option, plural, table
from adapters.eventlog.checkpoints import keep
from adapters.eventlog.compaction import compacted
from adapters.eventlog.compaction import judged as checked
from adapters.eventlog.filter import EventFilter
from adapters.eventlog.jsonl import branched, exported, imported
from adapters.eventlog.snapshots import Snapshots
from adapters.eventlog.sources import followed
from adapters.system.clock import SystemClock
from engine.bounded_json import parse_json
from engine.errors import Fault, LogCorrupt, Refused, printable, safe_text
from engine.events import Event, subject, timestamp
from engine.state.admission import SubmitMode

log_option = click.option("--log", "path", required=True, metavar="PATH", help="Event log.")
key_option = click.option("--key", required=True, metavar="FILE", help="The private key to sign with.")
checkpoints_option = click.option(
    "--checkpoints", metavar="FILE", help="Where checkpoints stand; by default beside the log, in LOG-checkpoints."
)


def _uuid(_context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Return a UUID in canonical form; this is a click callback, and raises ``Refused`` for other text."""
    try:
        return value and str(UUID(value))
    except ValueError:
        raise Refused((Fault(option.opts[0], f"found {safe_text(value)}", "a UUID"),)) from None


@click.group("log")
def log_command() -> None:
    """Record manifests as events; show and verify what was recorded."""


@log_command.command("append")
@log_option
@click.option("-f", "files", multiple=True, metavar="PATH", help="Manifests; - for stdin.")
@mode_options
@click.option("-c", "--config", metavar="FILE", help="Record this configuration too, if it differs.")
@click.option("--id", "known_by", metavar="UUID", callback=_uuid, help="Appended once, however often it is tried.")
@output_option
def append_command(
    path: str, files: tuple[str, ...], meant: ModeOptions, config: str | None, known_by: str | None, output: str
) -> None:
    """Record what the manifests change; what is as it was makes no event.

    If anything is refused, nothing is changed, and the refusals are recorded.
    """
    mode = meant.mode
    if not files and (mode is SubmitMode.SYNC or not config):
        message = "Missing option '-f'; only -c FILE may stand alone"
        raise click.UsageError(message)
    done = record_manifests(wiring.event_log(path), files, mode, config, known_by)
    if done.known is not None:
        data = {"appended": 0, "sequence": done.sequence, "known": done.known}
        emit(output, data, lambda: f"appended before, from event {done.known} on")
    elif done.faults:
        data = {"appended": 0, "refused": done.events, "sequence": done.sequence}
        emit(output, data, lambda: _recorded(done.events, done.sequence))
        raise Refused(done.faults)
    else:
        data = {"appended": done.events, "sequence": done.sequence}
        emit(
            output,
            data,
            lambda: f"appended {plural(done.events, 'event')}; the log is at sequence {done.sequence}",
        )


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
    return f"recorded {plural(refusals, 'refusal')}; the log is at sequence {sequence}" if refusals else ""


@log_command.command("show")
@log_option
@click.option("--from", "first", type=int, default=1, metavar="SEQ", help="First sequence.")
@click.option("--to", "last", type=int, metavar="SEQ", help="Last sequence.")
@wanted_options
@click.option("--follow", is_flag=True, help="Go on with what is appended, until it is interrupted.")
@output_option
def show_command(path: str, first: int, last: int | None, wanted: EventFilter, follow: bool, output: str) -> None:
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
    with suppress(KeyboardInterrupt):  # Ctrl-C ends --follow
        for event in found:
            emit_item(output, event.as_json(), partial(_line, event))
            sys.stdout.flush()


def _line(event: Event) -> str:
    return printable("  ".join(_cells(event)))


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
    emit(output, data, lambda: f"imported {plural(done.new, 'event')}; the log is at sequence {sequence}")


@log_command.command("keygen")
@click.option("--key", required=True, metavar="FILE", help="Where the private key is to be; the public one: FILE.pub.")
@output_option
def keygen_command(key: str, output: str) -> None:
    """Make a key to sign checkpoints and compactions with; one of openssl's will do as well."""
    name = wiring.new_key(key)
    emit(output, {"key": name, "private": key, "public": f"{key}.pub"}, lambda: f"key {name}: {key}, {key}.pub")


@log_command.command("checkpoint")
@log_option
@key_option
@checkpoints_option
@output_option
def checkpoint_command(path: str, key: str, checkpoints: str | None, output: str) -> None:
    """Sign that the log has its newest event, so that nobody without the key can rewrite or shorten it unseen."""
    log = wiring.event_log(path)
    made = wiring.signer(key).checkpoint(Snapshots(log).reached()[1], SystemClock().now())
    keep(checkpoints or f"{path}-checkpoints", made)
    emit(output, parse_json(made.line()), lambda: f"signed: event {made.sequence} is {made.hash}")


@log_command.command("compact")
@log_option
@click.option("--before", required=True, metavar="SEQ|TIME", help="Events up to then become one state.")
@click.option("--key", metavar="FILE", help="The private key to sign with.")
@click.option("--unsigned", is_flag=True, help="Without a signature: whoever can write the log could forge it.")
@output_option
def compact_command(path: str, before: str, key: str | None, unsigned: bool, output: str) -> None:
    """Have a state stand for the oldest events, which then are gone; the chain of the others stays as it is."""
    if bool(key) == unsigned:
        raise Refused((Fault("--key", "how is it to be vouched for?", "one of --key FILE and --unsigned"),))
    log = wiring.event_log(path)
    until = sequence_of(log, before, "--before") or 0
    done = compacted(log, until, wiring.signer(key) if key else None, "nodewall log compact")
    data = {"compacted": done.events, "until": done.until}
    emit(
        output,
        data,
        lambda: f"compacted {plural(done.events, 'event')}; the log begins behind event {done.until}",
    )


@log_command.command("verify")
@log_option
@click.option("--public-key", metavar="FILE", help="Check what was signed, too.")
@checkpoints_option
@output_option
def verify_command(path: str, public_key: str | None, checkpoints: str | None, output: str) -> int:
    """Check the whole hash chain; exit 1 names the first sequence that cannot be trusted."""
    if checkpoints and not public_key:
        raise Refused((Fault("--checkpoints", "nothing to judge signatures by", "--public-key FILE with it"),))
    log = wiring.event_log(path)
    trust = wiring.trust(public_key) if public_key else None
    try:
        events = log.verify()
        signed = checked(log, trust, checkpoints or f"{path}-checkpoints") if trust else None
        if signed is None:
            Snapshots(log).verify()
    except LogCorrupt as error:
        click.echo(f"error: {error}", err=True)
        emit(output, {"verified": False, "sequence": error.sequence, "reason": error.reason}, str)
        return 1
    data = {"verified": True, "events": events}
    if signed is None:
        emit(output, data, lambda: f"{plural(events, 'event')}, every one vouched for")
    else:
        data |= {"checkpoints": signed.checkpoints, "signed_until": signed.until}
        words = f"{plural(signed.checkpoints, 'checkpoint')} up to event {signed.until}"
        emit(output, data, lambda: f"{plural(events, 'event')}, every one vouched for; {words}")
    return 0
