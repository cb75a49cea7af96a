"""Loads the cluster state, Node or ruleset that the options of a command name.

Input: :class:`SelectionOptions`, the option values: manifests, an event log, text of iptables-save, or the running
kernel. Output: a :class:`Selection`, whose properties load a ``ClusterState``, a Node's name or a ``Ruleset`` at the
first use and cache it.

Raises ``Refused`` for missing or contradictory options and for input that does not parse. Raises ``LogError`` or
``KernelError`` if the event log or the kernel cannot be read.
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
from engine.errors import Fault, Refused, safe_text
from engine.events import MAX_SEQUENCE, ConfigDeclared, EventBody, HostObserved
from engine.objects.config import Configuration
from engine.reconcile.log_interfaces import LogReader
from engine.rulesets.model import Family, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from engine.state.admission import AdmissionResult, SubmitMode
from engine.state.fold import ClusterState, evolve

SOURCES = "-f, --log, --ipv4/--ipv6/--ipset or --live"
MAX_TEXT = 256 << 20
"""Bytes of the text of a dump, at most; 256 MiB hold about 2,500,000 rules."""

_MOMENT = "a sequence or an RFC 3339 time with zone"


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """Options that select a cluster, a node or rules; the command line reference describes each."""

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
        """True if raw text of iptables-save, ip6tables-save or ipset save is given."""
        return any((self.ipv4, self.ipv6, self.ipset))


@dataclass(frozen=True)
class Selection:
    """Selected cluster, node and rules, each loaded at the first use and then cached.

    So a command reads its files and standard input once, and compiles once. The properties raise the errors of the
    functions below that have the same purpose.
    """

    options: SelectionOptions

    @cached_property
    def state(self) -> ClusterState:
        """Cluster state from manifests or a log."""
        return state_of(self.options)

    @cached_property
    def node(self) -> str:
        """Name of the selected node."""
        return node_of(self.options)

    @property
    def config(self) -> Configuration:
        """Configuration of the cluster state."""
        return self.state.config

    @property
    def backend(self) -> BackendName:
        """Backend from the command line, else from the configuration."""
        return backend_of(self.options, self.state)

    @cached_property
    def desired(self) -> DesiredRuleset:
        """Compiled rules of the node."""
        return desired_ruleset(self.state, self.node)

    @cached_property
    def rules(self) -> tuple[Ruleset, DesiredRuleset | None]:
        """Selected ruleset, and its compilation; the latter is None for raw text and the running kernel."""
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
    """Return the cluster state from manifests or a log.

    Raises:
        Refused: neither or both are given, or the input does not parse.
        LogError: the log cannot be read or verified.
    """
    if bool(options.files) == bool(options.log) or options.raw:
        raise Refused((Fault("", "a cluster is needed", "one of -f PATH and --log PATH"),))
    if options.at and not options.log:
        raise Refused((Fault("--at", "manifests have no past", "--log PATH with --at"),))
    state = _state_at(options.log, options.at) if options.log else declared_state(options.files)
    return _configured(state, options)


def _configured(state: ClusterState, options: SelectionOptions) -> ClusterState:
    """Return the state with the user's configuration and interfaces of the node; its sequence does not change."""
    config = effective_configuration(options, state.config)
    hosts = state.hosts
    if options.interfaces and options.node:
        seen = hosts.get(options.node)
        hosts = hosts.set(options.node, host_facts(options.node, options.interfaces, seen.resolvers if seen else ()))
    return replace(state, config=config, hosts=hosts)


def effective_configuration(options: SelectionOptions, config: Configuration) -> Configuration:
    """Return a configuration with the values of the user's file and of environment variables in it."""
    return load(options.config, os.environ, config).config


def host_facts(node: str, interfaces: Sequence[str], resolvers: Sequence[str]) -> HostObserved:
    """Return the host facts of a node, with the interfaces sorted so that their input order does not matter."""
    return HostObserved(node=node, interfaces=tuple(sorted(interfaces)), resolvers=tuple(resolvers))


def config_changes(state: ClusterState, path: str | None) -> tuple[EventBody, ...]:
    """Return the event that a configuration file causes in a state, or nothing if it changes nothing."""
    config = load(path, {}).config if path else state.config
    return (ConfigDeclared(config=config),) if config != state.config else ()


def backend_of(options: SelectionOptions, state: ClusterState) -> BackendName:
    """Return the backend from the command line, else from the configuration."""
    return options.backend or BackendName(state.config.backend)


def declared_state(files: Iterable[str]) -> ClusterState:
    """Return the state of a cluster that holds only the objects of the manifests."""
    state = ClusterState()
    for body in changes_of(state, files):
        state = evolve(state, body)
    return state


def changes_of(
    state: ClusterState, files: Iterable[str], mode: SubmitMode = SubmitMode.DECLARE
) -> tuple[EventBody, ...]:
    """Return the events that manifests cause in a state; the file ``-`` is standard input.

    Raises:
        Refused: the manifests have faults; the error lists them.
    """
    judgement = admission_of(state, files, mode)
    if judgement.faults:
        raise Refused(judgement.faults)
    return judgement.bodies


def admission_of(state: ClusterState, files: Iterable[str], mode: SubmitMode) -> AdmissionResult:
    """Return the events that manifests cause in a state, or all their faults; the file ``-`` is standard input."""
    return scan(tuple(files), sys.stdin).judged(state, mode)


def _state_at(path: str, at: str | None) -> ClusterState:
    """Return the state of a log after a sequence or at a time; None means the current state."""
    log = wiring.event_log(path)
    return Snapshots(log).reached(sequence_of(log, at, "--at"))[0]


def sequence_of(log: LogReader, moment: str | None, option: str) -> int | None:
    """Return the sequence that an option names directly or by a time; None if the option is not given.

    Args:
        log: the log that converts a time to a sequence.
        moment: a sequence, or an RFC 3339 time with zone.
        option: the name of the option, for errors.

    Raises:
        Refused: the text is neither a sequence nor such a time.
    """
    if moment is None:
        return None
    if moment.isdecimal() and len(moment) < len(str(MAX_SEQUENCE)):
        return int(moment)
    return log.sequence_at(time_of(moment, option, _MOMENT))


def node_of(options: SelectionOptions) -> str:
    """Return the name of the selected node; raise ``Refused`` if none is given."""
    if not options.node:
        raise Refused((Fault("--node", "missing", "the name of the node whose rules are meant"),))
    return options.node


def ruleset_of(options: SelectionOptions) -> Ruleset:
    """Return the selected ruleset: compiled for a node, read from raw text, or observed in the kernel."""
    return Selection(options).rules[0]


def families_of(options: SelectionOptions) -> tuple[Family, ...]:
    """Return the address families that a selection covers; raw text of one family does not cover the other."""
    if not options.raw:
        return tuple(Family)
    texts = {Family.IPV4: options.ipv4, Family.IPV6: options.ipv6}
    return tuple(family for family, text in texts.items() if text)


def families_at(*sides: str) -> tuple[Family, ...]:
    """Return the address families that all sides of a comparison cover; `ruleset_at` describes the syntax of a side."""
    other = {"ipv4:": Family.IPV6, "ipv6:": Family.IPV4}
    lacking = {other[side[:5]] for side in sides if side[:5] in other}
    return tuple(family for family in Family if family not in lacking)


def state_at(where: str, options: SelectionOptions) -> ClusterState:
    """Return the cluster of one side of a comparison: ``LOG@SEQ`` or the path of manifests.

    Raises:
        Refused: the side is the rules of one node, or the input does not parse.
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

    Args:
        where: ``ipv4:FILE``, ``ipv6:FILE``, ``live:``, ``live:NETNS``, ``LOG@SEQ``, or the path of manifests.
        ipset: path of a file with the text of ipset save, allowed only with ``ipv4:`` and ``ipv6:``.
        options: the node and its configuration.

    Raises:
        Refused: the input does not parse, or ``ipset`` is given for another kind of side.
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
    """Return the text of a file; bytes that are not valid UTF-8 become lone surrogates.

    Raises:
        Refused: the file cannot be read, or it is larger than `MAX_TEXT`, as a device without end is.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_TEXT + 1)
    except OSError as error:
        raise Refused((Fault("", f"{path}: {error.strerror}", "a readable file"),)) from None
    except ValueError:  # a path with a NUL character
        raise Refused((Fault("", f"{safe_text(path)}: no such file", "a readable file"),)) from None
    if len(data) > MAX_TEXT:
        raise Refused((Fault("", f"{path}: too large", f"at most {MAX_TEXT:,} bytes in one file"),))
    return data.decode("utf-8", errors="surrogateescape")
