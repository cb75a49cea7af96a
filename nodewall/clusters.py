"""Cluster states from manifests or an event log, and the rules that they compile to.

Input: paths. Output: :class:`Cluster`. Raises :class:`engine.errors.Refused` for input that does not parse and
:class:`engine.errors.LogError` for a log that cannot be trusted.
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
            UnknownNode: the cluster has no such node.
            Refused: a policy names a tier that the cluster lacks.
        """
        return compiled(self._state, node)


def load(path: str | PathLike[str], *more: str | PathLike[str], config: str | PathLike[str] | None = None) -> Cluster:
    """Read the manifests of a cluster: Nodes, policies and whatever else the policies refer to.

    Args:
        path: File of YAML or JSON, or a folder, which is read with all folders in it.
        more: Further files and folders.
        config: ``nodewall.yaml`` of the node. Variables ``NODEWALL_…`` of the environment come before it.

    Raises:
        Refused: for every fault of every file.
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
        config: As for :func:`load`; it comes before what the log declares.

    Raises:
        Refused: ``at`` is neither, or the configuration has faults.
        LogError: the log cannot be read or trusted.
    """
    moment = at.isoformat() if isinstance(at, datetime) else None if at is None else str(at)
    options = SelectionOptions(log=fspath(path), at=moment, config=None if config is None else fspath(config))
    return Cluster(state_of(options))
