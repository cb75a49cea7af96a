"""Records manifests in an event log: appends the changes that they declare; used by ``nodewall log append``.

Input: an event log, paths of manifests, and a :class:`SubmitMode` (declare, delete or sync). Output: :class:`Recorded`,
with the number of appended events and the faults of the manifests. If there are faults, the log gets only events that
record the refused objects, and no change.

Raises ``LogError`` if the log cannot be read or written, and ``Refused`` for a bad configuration file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.application.selection import admission_of, config_changes
from adapters.eventlog.snapshots import Snapshots
from engine.errors import Fault
from engine.reconcile.log_interfaces import RecordedLog
from engine.state.admission import SubmitMode
from engine.state.fold import ClusterState


@dataclass(frozen=True, slots=True)
class Recorded:
    """Result of a recording.

    ``events`` is the number of appended events; if there are faults, that of recorded refusals. ``sequence`` is the
    newest sequence of the log.
    """

    events: int
    sequence: int
    faults: tuple[Fault, ...] = ()
    known: int | None = None
    """First sequence of an earlier append with the same id, which is not repeated; None if there was none."""


def record_manifests(
    log: RecordedLog, files: Sequence[str], mode: SubmitMode, config: str | None, known_by: str | None
) -> Recorded:
    """Append all changes that manifests and a configuration file declare; if there are faults, only the refusals.

    Args:
        log: the event log.
        files: paths of manifests; ``-`` is standard input.
        mode: the effect of the manifests: declare, delete or sync.
        config: path of a configuration file to record too, if any.
        known_by: id of the append. An append with an id that the log holds already is not repeated.

    Raises:
        LogError: the log cannot be read or written.
    """
    if known_by and log.exists and (known := log.sequence_of(known_by)):
        return Recorded(0, log.last_sequence(), known=known)
    state = Snapshots(log).reached()[0] if log.exists else ClusterState()
    judgement = admission_of(state, files, mode)
    changes = (*judgement.bodies, *config_changes(state, config))
    bodies = judgement.refusals if judgement.faults else changes
    if bodies or not judgement.faults:
        source = f"nodewall log append {' '.join(files)}"
        log.append(bodies, source=source, expected=state.sequence, known_by=known_by)
    return Recorded(len(bodies), state.sequence + len(bodies), judgement.faults)
