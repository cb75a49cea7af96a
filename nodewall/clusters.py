"""Public API that loads the state of a cluster from manifests or an event log, and compiles the rules of its nodes.

Input: paths of files. Output: a :class:`Cluster`, whose ``compile`` returns a :class:`CompiledNode` (rules of one
node). Raises :class:`engine.errors.Refused` for input that does not parse, and :class:`engine.errors.LogError` for an
event log that cannot be read or verified.
"""

from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike, fspath

from adapters.application.selection import SelectionOptions, state_of
from engine.state.fold import ClusterState
from nodewall.node_rules import CompiledNode, compiled


@dataclass(frozen=True, slots=True)
class Cluster:
    """Declared state of a cluster at one moment, from :func:`load` or :func:`load_log`."""

    _state: ClusterState = field(repr=False)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes, sorted."""
        return tuple(sorted(self._state.nodes))

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the policies, sorted."""
        return tuple(sorted(self._state.policies))

    def compile(self, node: str) -> CompiledNode:
        """Return the rules of a node.

        Raises:
            UnknownNode: The cluster has no such node.
            Refused: A policy names a tier that the cluster lacks.
        """
        return compiled(self._state, node)


def load(path: str | PathLike[str], *more: str | PathLike[str], config: str | PathLike[str] | None = None) -> Cluster:
    """Read the manifests of a cluster: Nodes, policies, and the objects to which the policies refer.

    Args:
        path: YAML or JSON file, or a folder, which is read with its subfolders.
        more: Further files and folders.
        config: ``nodewall.yaml`` of the node. Environment variables ``NODEWALL_…`` take precedence over it.

    Raises:
        Refused: A file has faults; the error lists all faults of all files.
    """
    files = tuple(fspath(each) for each in (path, *more))
    return Cluster(state_of(SelectionOptions(files=files, config=None if config is None else fspath(config))))


def load_log(
    path: str | PathLike[str],
    *,
    at: int | str | datetime | None = None,
    config: str | PathLike[str] | None = None,
) -> Cluster:
    """Read the state of a cluster from an event log.

    Args:
        path: SQLite file of the log.
        at: Sequence, or a time with time zone (as text: RFC 3339). By default the end of the log.
        config: As for :func:`load`; it takes precedence over the configuration that the log declares.

    Raises:
        Refused: ``at`` is neither a sequence nor such a time, or the configuration has faults.
        LogError: The log cannot be read or verified.
    """
    moment = at.isoformat() if isinstance(at, datetime) else None if at is None else str(at)
    options = SelectionOptions(log=fspath(path), at=moment, config=None if config is None else fspath(config))
    return Cluster(state_of(options))
