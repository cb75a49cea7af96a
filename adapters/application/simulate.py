"""Simulates packets against the rules that the options select; used by ``nodewall simulate``.

Input: a :class:`Selection` (compiled policies, rule text or the running kernel), packets, and one hook or all hooks on
their path. Output: an iterator of one :class:`Evaluation` per packet: the verdict, and the rules that the packet
passed. :func:`oracle_of` explains a packet by the policies alone, without compiled rules.

Raises ``Refused`` for options that contradict each other. With ``--all-hooks``, it is also raised for a packet with a
connection state other than NEW, because there the earlier packets determine the state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from adapters import wiring
from adapters.application.selection import Selection, read_text
from adapters.netfilter.hostfacts import IpOutput, host_of
from engine.compiler import Layout
from engine.desired.full import linear_ruleset
from engine.errors import Fault, Refused
from engine.rulesets.model import Family, Hook
from simulator.analysis.attribution import Attribution
from simulator.conntrack import ConnectionTracker
from simulator.context import Host
from simulator.netfilter import Evaluation, Walker
from simulator.oracle import Explanation, evaluate
from simulator.packets import ConnState, Packet
from simulator.traversal import arrive, send


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Paths of files with the addresses and routes of a node, as ``ip -json`` prints them."""

    addresses: str | None = None
    routes: str | None = None
    routes6: str | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """Options of a simulation: hooks, connection tracking, trace and host facts."""

    hook: Hook | None = None
    """Hook at which to judge; None means the hook that the interfaces of a packet imply."""
    all_hooks: bool = False
    """Judge at every hook on the path of a packet, with connection tracking, NAT and routing."""
    single: bool = False
    """Judge each packet independently, with the connection state that it names."""
    stateless: bool = False
    """Judge each packet as the first of its connection."""
    trace: bool = True
    """Include the path through the rules in the answers."""
    files: HostFiles = HostFiles()

    def answers(self, selection: Selection, packets: Iterator[Packet]) -> Iterator[Evaluation]:
        """Yield the answer for each packet, in order.

        Raises:
            Refused: the options contradict each other, or a packet does not fit ``all_hooks``.
        """
        self._check()
        ruleset, wanted = selection.rules
        found = self._judged(Walker(ruleset), packets, partial(self._host, selection))
        if wanted is None or wanted.options.layout is Layout.LINEAR:
            return found  # each rule serves one policy rule, or the policies are unknown
        return map(Attribution(linear_ruleset(wanted)).of, found)

    def _check(self) -> None:
        """Raise ``Refused`` for options that contradict each other."""
        if self.all_hooks and (self.hook or self.stateless):
            problem = "a packet's whole way passes every hook, and tracks connections"
            raise Refused((Fault("", problem, "--all-hooks without --hook and --stateless"),))
        if self.files.addresses and not self.all_hooks:
            problem = "one hook asks for no addresses of the node"
            raise Refused((Fault("--addresses", problem, "--all-hooks with it"),))
        if (self.files.routes or self.files.routes6) and not self.files.addresses:
            raise Refused((Fault("--routes", "routes need the node's addresses", "--addresses FILE with it"),))

    def _judged(
        self, walker: Walker, packets: Iterator[Packet], host: Callable[[], Host | None]
    ) -> Iterator[Evaluation]:
        if self.all_hooks:
            return _on_whole_paths(walker, ConnectionTracker(host()), packets)
        if self.stateless and not self.trace:
            from simulator.batch import answers  # noqa: PLC0415 - numpy is slow to load, which few packets need not wait for

            return answers(walker, packets, self.hook)
        if self.single or self.stateless:
            return (walker.verdict(packet, self.hook) for packet in packets)
        tracker = ConnectionTracker()
        return (tracker.answer(walker, packet, self.hook) for packet in packets)

    def _host(self, selection: Selection) -> Host | None:
        """Return addresses and routes of the node, from files or the running system; None if neither is given."""
        files, options = self.files, selection.options
        if files.addresses is None:
            return wiring.host(options.netns) if options.live else None
        routes = ((files.routes, Family.IPV4), (files.routes6, Family.IPV6))
        return host_of(
            IpOutput(read_text(files.addresses), files.addresses),
            *(IpOutput(read_text(path), path, family) for path, family in routes if path),
        )


def oracle_of(selection: Selection) -> Callable[[Packet], Explanation]:
    """Return a function that explains the verdict of a cluster's policies on a packet.

    Raises:
        Refused: the selection is raw text or the running kernel, which have no policies.
    """
    if selection.options.raw or selection.options.live:
        raise Refused((Fault("--explain", "rules alone do not tell their policies", "manifests or a log"),))
    state, node = selection.state, selection.node
    return lambda packet: evaluate(packet, state, node)


def _on_whole_paths(walker: Walker, tracker: ConnectionTracker, packets: Iterator[Packet]) -> Iterator[Evaluation]:
    for number, packet in enumerate(packets, 1):
        if packet.state is not ConnState.NEW:
            problem = f"found state={packet.state.lower()}, but with --all-hooks states follow from the packets before"
            raise Refused((Fault(f"packet {number}", problem, "those packets first, and no state"),))
        sent = packet.out_interface and not packet.in_interface
        yield (send if sent else arrive)(walker, tracker, packet)
