"""``simulate``: what a ruleset does to packets."""

from collections.abc import Callable, Iterator
from functools import partial

import click

from adapters import wiring
from adapters.application.selection import SelectionOptions, node_of, read_text, rules_of, state_of
from adapters.cli.options import HookOptions, packet_options, way_options, world_options
from adapters.cli.options_packets import PacketOptions, split
from adapters.cli.render.answers import write
from adapters.cli.render.output import output_option
from adapters.netfilter.hostfacts import IpOutput, host_of
from engine.compiler import Layout
from engine.desired.full import linear
from engine.errors import Fault, Refused
from engine.rulesets.model import Family, Hook
from simulator.analysis.attribution import Attribution
from simulator.conntrack import ConnectionTracker
from simulator.context import Host
from simulator.netfilter import Evaluation, Walker
from simulator.oracle import Explanation, evaluate
from simulator.packets import ConnState, Packet
from simulator.traversal import arrive, send


@click.command("simulate")
@world_options
@packet_options
@way_options
@click.option("--no-trace", is_flag=True, help="Leave the path out.")
@click.option("--explain", is_flag=True, help="Show what the policies themselves say; exit 1 where the rules differ.")
@output_option
def simulate_command(  # the parameters are the command line contract's
    world: SelectionOptions, asked: PacketOptions, way: HookOptions, no_trace: bool, explain: bool, output: str
) -> int:
    """Say what becomes of packets, and by which rules."""
    packets = asked.packets()
    oracle = _oracle(world) if explain else None
    found = _answers(world, packets, asked, way, trace=not no_trace)
    differ = False
    for answer in split(found, asked.split) if asked.split else found:
        said = oracle(answer.packet) if oracle else None
        differ |= said is not None and said.verdict != answer.verdict
        write(answer, said, output, trace=not no_trace)
    return int(differ)


def _answers(
    world: SelectionOptions, packets: Iterator[Packet], asked: PacketOptions, way: HookOptions, *, trace: bool
) -> Iterator[Evaluation]:
    _check(asked, way)
    ruleset, wanted = rules_of(world)
    found = _judged(Walker(ruleset), asked, way, packets, trace=trace, host=partial(_host, world, way))
    if wanted is None or wanted.options.layout is Layout.LINEAR:
        return found  # rules alone do not tell whose they are, if they serve many
    return map(Attribution(linear(wanted)).of, found)


def _judged(
    walker: Walker,
    asked: PacketOptions,
    way: HookOptions,
    packets: Iterator[Packet],
    *,
    trace: bool,
    host: Callable[[], Host | None],
) -> Iterator[Evaluation]:
    if way.all_hooks:
        return _on_their_whole_way(walker, ConnectionTracker(host()), packets)
    at = Hook(way.hook) if way.hook else None
    if asked.stateless and not trace:
        from simulator.batch import answers  # noqa: PLC0415 - numpy is slow to load, which a few packets need not wait for

        return answers(walker, packets, at)
    if asked.specs or asked.stateless:
        return (walker.verdict(packet, at) for packet in packets)
    tracker = ConnectionTracker()
    return (tracker.answer(walker, packet, at) for packet in packets)


def _check(asked: PacketOptions, way: HookOptions) -> None:
    """Refuse options that contradict each other."""
    if way.all_hooks and (way.hook or asked.stateless):
        problem = "a packet's whole way passes every hook, and tracks connections"
        raise Refused((Fault("", problem, "--all-hooks without --hook and --stateless"),))
    if way.addresses and not way.all_hooks:
        raise Refused((Fault("--addresses", "one hook asks for no addresses of the node", "--all-hooks with it"),))
    if (way.routes or way.routes6) and not way.addresses:
        raise Refused((Fault("--routes", "routes need the node's addresses", "--addresses FILE with it"),))


def _on_their_whole_way(walker: Walker, tracker: ConnectionTracker, packets: Iterator[Packet]) -> Iterator[Evaluation]:
    for number, packet in enumerate(packets, 1):
        if packet.state is not ConnState.NEW:
            problem = f"found state={packet.state.lower()}, but with --all-hooks states follow from the packets before"
            raise Refused((Fault(f"packet {number}", problem, "those packets first, and no state"),))
        sent = packet.out_interface and not packet.in_interface
        yield (send if sent else arrive)(walker, tracker, packet)


def _host(world: SelectionOptions, way: HookOptions) -> Host | None:
    """Return what is known of the node: as told, or of the running one, as it is; None where nothing is."""
    if way.addresses is None:
        return wiring.host(world.netns) if world.live else None
    routes = ((way.routes, Family.IPV4), (way.routes6, Family.IPV6))
    return host_of(
        IpOutput(read_text(way.addresses), way.addresses),
        *(IpOutput(read_text(path), path, family) for path, family in routes if path),
    )


def _oracle(world: SelectionOptions) -> Callable[[Packet], Explanation]:
    """Return what the policies of a world say of a packet; a raw ruleset has none."""
    if world.raw or world.live:
        raise Refused((Fault("--explain", "rules alone do not tell their policies", "manifests or a log"),))
    state, node = state_of(world), node_of(world)
    return lambda packet: evaluate(packet, state, node)
