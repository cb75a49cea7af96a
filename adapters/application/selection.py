"""Loads the state or the ruleset that a command works on, from manifests, a log, raw text or the running kernel.

Input: :class:`SelectionOptions`, the values of the command-line options. Output: a ``ClusterState``, a Node's name, or
a ``Ruleset``.

Raises ``Refused`` for missing or contradictory options and for input that does not parse, ``LogError`` and
``KernelError``.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from adapters import wiring
from adapters.eventlog.filter import time_of
from adapters.eventlog.snapshots import Snapshots
from adapters.inputs.configfile import load
from adapters.inputs.manifests import scan
from adapters.netfilter.backend_name import BackendName
from engine.desired.full import DesiredRuleset, desired_ruleset
from engine.errors import Fault, Refused
from engine.events import ConfigDeclared, EventBody, HostObserved
from engine.objects.config import Configuration
from engine.reconcile.log_interfaces import LogReader
from engine.rulesets.model import Family, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from engine.state.admission import AdmissionResult, SubmitMode
from engine.state.fold import ClusterState, evolve

SOURCES = "-f, --log, --ipv4/--ipv6/--ipset or --live"
_MOMENT = "a sequence or an RFC 3339 time with zone"


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """What a user said about the world; see the command line contract for each."""

    files: tuple[str, ...] = ()
    log: str | None = None
    at: str | None = None
    ipv4: str | None = None
    ipv6: str | None = None
    ipset: str | None = None
    live: bool = False
    netns: str = ""
    backend: BackendName | None = None
    node: str | None = None
    config: str | None = None
    interfaces: tuple[str, ...] = ()

    @property
    def raw(self) -> bool:
        """Whether raw text was given."""
        return any((self.ipv4, self.ipv6, self.ipset))


@dataclass(frozen=True)
class Selection:
    """Cluster, node and rules that a user selected, each loaded when first asked for and then kept.

    So a command reads its files and standard input once, and compiles once, however often it asks. The properties raise
    what the functions of the same purpose below raise.
    """

    options: SelectionOptions

    @cached_property
    def state(self) -> ClusterState:
        """The cluster state that manifests or a log give."""
        return state_of(self.options)

    @cached_property
    def node(self) -> str:
        """The node that was named."""
        return node_of(self.options)

    @property
    def config(self) -> Configuration:
        """The configuration of the cluster state."""
        return self.state.config

    @property
    def backend(self) -> BackendName:
        """The backend that was asked for, on the command line or else by the configuration."""
        return backend_of(self.options, self.state)

    @cached_property
    def desired(self) -> DesiredRuleset:
        """The rules that the cluster state gives the node, compiled."""
        return desired_ruleset(self.state, self.node)

    @cached_property
    def rules(self) -> tuple[Ruleset, DesiredRuleset | None]:
        """The selected ruleset, and what it is compiled from unless it is text or observed."""
        options = self.options
        given = [bool(options.files), bool(options.log), options.raw, options.live]
        if sum(given) != 1:
            raise Refused((Fault("", "a world is needed", f"one of {SOURCES}"),))
        if options.live:
            return wiring.kernel(options.netns, options.backend or BackendName.AUTO).observe(), None
        if options.raw:
            return _read_raw(options), None
        return self.desired.ruleset, self.desired


def state_of(options: SelectionOptions) -> ClusterState:
    """Return the cluster state that manifests or a log give.

    Raises:
        Refused: none or both were given, or what was given does not parse.
        LogError: the log cannot be read or trusted.
    """
    if bool(options.files) == bool(options.log) or options.raw:
        raise Refused((Fault("", "a cluster is needed", "one of -f PATH and --log PATH"),))
    if options.at and not options.log:
        raise Refused((Fault("--at", "manifests have no past", "--log PATH with --at"),))
    state = _state_at(options.log, options.at) if options.log else declared_state(options.files)
    return _configured(state, options)


def _configured(state: ClusterState, options: SelectionOptions) -> ClusterState:
    """Return the state with what the user said of the node; it remains the state at its sequence."""
    config = configured(options, state.config)
    hosts = state.hosts
    if options.interfaces and options.node:
        seen = hosts.get(options.node)
        hosts = hosts.set(options.node, told(options.node, options.interfaces, seen.resolvers if seen else ()))
    return replace(state, config=config, hosts=hosts)


def configured(options: SelectionOptions, config: Configuration) -> Configuration:
    """Return what a configuration amounts to with what the user and the environment say."""
    return load(options.config, os.environ, config).config


def told(node: str, interfaces: Sequence[str], resolvers: Sequence[str]) -> HostObserved:
    """Return what is known of a node's host, interfaces in an order that does not depend on how they were told."""
    return HostObserved(node=node, interfaces=tuple(sorted(interfaces)), resolvers=tuple(resolvers))


def config_changes(state: ClusterState, path: str | None) -> tuple[EventBody, ...]:
    """Return the event by which a configuration file changes a state, if it does."""
    config = load(path, {}).config if path else state.config
    return (ConfigDeclared(config=config),) if config != state.config else ()


def backend_of(options: SelectionOptions, state: ClusterState) -> BackendName:
    """Return the backend that was asked for, on the command line or else by the configuration."""
    return options.backend or BackendName(state.config.backend)


def declared_state(files: Iterable[str]) -> ClusterState:
    """Return the state of a cluster that consists of what the manifests declare."""
    state = ClusterState()
    for body in changes_of(state, files):
        state = evolve(state, body)
    return state


def changes_of(
    state: ClusterState, files: Iterable[str], mode: SubmitMode = SubmitMode.DECLARE
) -> tuple[EventBody, ...]:
    """Return the events by which manifests change a state; ``-`` among the files is standard input."""
    judgement = judged(state, files, mode)
    if judgement.faults:
        raise Refused(judgement.faults)
    return judgement.bodies


def judged(state: ClusterState, files: Iterable[str], mode: SubmitMode) -> AdmissionResult:
    """Return what manifests change in a state, or every reason why not; ``-`` is standard input."""
    return scan(tuple(files), sys.stdin).judged(state, mode)


def _state_at(path: str, at: str | None) -> ClusterState:
    """Return the state of a log after a sequence or at a time, the present one where none is given."""
    log = wiring.event_log(path)
    return Snapshots(log).reached(sequence_of(log, at, "--at"))[0]


def sequence_of(log: LogReader, moment: str | None, option: str) -> int | None:
    """Return the sequence that an option gives, or that of the time it gives; None where it gives nothing.

    Raises:
        Refused: it is neither.
    """
    if moment is None:
        return None
    return int(moment) if moment.isdecimal() else log.sequence_at(time_of(moment, option, _MOMENT))


def node_of(options: SelectionOptions) -> str:
    """Return the node asked for; raise ``Refused`` where none was named."""
    if not options.node:
        raise Refused((Fault("--node", "missing", "the name of the node whose rules are meant"),))
    return options.node


def ruleset_of(options: SelectionOptions) -> Ruleset:
    """Return the ruleset the world amounts to: compiled for a node, read from text, or observed."""
    return Selection(options).rules[0]


def families_of(options: SelectionOptions) -> tuple[Family, ...]:
    """Return the families whose rules a world tells; raw text of one says nothing of the other."""
    if not options.raw:
        return tuple(Family)
    texts = {Family.IPV4: options.ipv4, Family.IPV6: options.ipv6}
    return tuple(family for family, text in texts.items() if text)


def families_at(*sides: str) -> tuple[Family, ...]:
    """Return the families that all sides of a comparison tell, each as `ruleset_at` takes it."""
    other = {"ipv4:": Family.IPV6, "ipv6:": Family.IPV4}
    lacking = {other[side[:5]] for side in sides if side[:5] in other}
    return tuple(family for family in Family if family not in lacking)


def state_at(where: str, options: SelectionOptions) -> ClusterState:
    """Return the cluster of one side of a comparison: ``LOG@SEQ`` or the path of manifests.

    Raises:
        Refused: it is neither, or what is there does not parse.
    """
    kind, colon, _ = where.partition(":")
    if colon and kind in {"ipv4", "ipv6", "live"}:
        raise Refused((Fault(where, "is one node's rules, not a cluster", "manifests or LOG@SEQ"),))
    return state_of(_cluster_at(where, options))


def _cluster_at(where: str, options: SelectionOptions) -> SelectionOptions:
    log, at, sequence = where.rpartition("@")
    if at and not Path(where).exists():
        return replace(options, log=log, at=sequence)
    return replace(options, files=(where,))


def ruleset_at(where: str, ipset: str | None, options: SelectionOptions) -> Ruleset:
    """Return the ruleset of one side of a comparison.

    ``where`` is ``ipv4:FILE``, ``ipv6:FILE`` (sets from ``ipset``), ``live:`` or ``live:NETNS``, ``LOG@SEQ`` or the
    path of manifests.
    """
    kind, colon, rest = where.partition(":")
    if colon and kind in {"ipv4", "ipv6"}:
        text = replace(options, ipset=ipset)
        return ruleset_of(replace(text, ipv4=rest) if kind == "ipv4" else replace(text, ipv6=rest))
    if ipset:
        raise Refused((Fault(where, "has no use for the text of ipset save", "ipv4:FILE or ipv6:FILE with it"),))
    if colon and kind == "live":
        return ruleset_of(replace(options, live=True, netns=rest))
    return ruleset_of(_cluster_at(where, options))


def _read_raw(options: SelectionOptions) -> Ruleset:
    return Ruleset(
        ipv4=parse_tables(read_text(options.ipv4), options.ipv4, Family.IPV4) if options.ipv4 else (),
        ipv6=parse_tables(read_text(options.ipv6), options.ipv6, Family.IPV6) if options.ipv6 else (),
        sets=parse_sets(read_text(options.ipset), options.ipset) if options.ipset else (),
    )


def read_text(path: str) -> str:
    """Return the text of a file; bytes that are no UTF-8 are kept as lone surrogates.

    Raises:
        Refused: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise Refused((Fault("", f"{path}: {error.strerror}", "a readable file"),)) from None
