"""``compile`` and ``simulate``: what would be in force, and what it would do to packets."""

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import click

from adapters.cli.options import cluster_options, world_options
from adapters.cli.output import coloured, emit, output_option
from adapters.world import WorldOptions, node_of, ruleset_of, state_of
from engine.desired import desired
from engine.errors import Fault, Refused
from engine.plan import Tool, full_text
from engine.ruleset import Hook
from simulator.conntrack import Tracker
from simulator.netfilter import Answer, Step, Walker
from simulator.packets import Packet, Skipped, parse_spec, read_pcap
from simulator.semantics import Explanation, evaluate

TEXT_KEYS = {Tool.IPTABLES: "ipv4", Tool.IP6TABLES: "ipv6", Tool.IPSET: "ipset"}


@click.command("compile")
@cluster_options
@output_option
def compile_command(world: WorldOptions, output: str) -> None:
    """Print the ruleset of a node as the text of ipset restore, iptables-restore and ip6tables-restore."""
    texts = full_text(desired(state_of(world), node_of(world)).ruleset)
    data = {TEXT_KEYS[tool]: texts[tool] for tool in TEXT_KEYS}
    emit(output, data, lambda: "\n".join(f"# {tool} restore\n{texts[tool]}" for tool in Tool).rstrip())


@click.command("simulate")
@world_options
@click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet in SPEC words; repeatable.")
@click.option("--pcap", metavar="FILE", help="A capture; connection state follows it.")
@click.option("--in", "in_interface", default="", metavar="IF", help="Where the capture's packets come in.")
@click.option("--out", "out_interface", default="", metavar="IF", help="Where the capture's packets go out.")
@click.option("--stateless", is_flag=True, help="Take every packet of the capture as new.")
@click.option("--hook", type=click.Choice([hook.value for hook in Hook]), help="Instead of the one that IF implies.")
@click.option("--no-trace", is_flag=True, help="Leave the path out.")
@click.option("--explain", is_flag=True, help="Show what the policies themselves say; exit 1 where the rules differ.")
@output_option
def simulate_command(  # the parameters are the command line contract's
    world: WorldOptions,
    specs: tuple[str, ...],
    pcap: str | None,
    in_interface: str,
    out_interface: str,
    stateless: bool,
    hook: str | None,
    no_trace: bool,
    explain: bool,
    output: str,
) -> int:
    """Say what becomes of packets, and by which rules."""
    if bool(specs) == bool(pcap):
        raise Refused((Fault("", "packets are needed", "one of --packet SPEC and --pcap FILE"),))
    oracle = _oracle(world) if explain else None
    walker = Walker(ruleset_of(world))
    at = Hook(hook) if hook else None
    if pcap is None:
        packets = parsed(specs)
        answers: Iterator[Answer] = (walker.verdict(packet, at) for packet in packets)
    else:
        capture = _captured(pcap, in_interface, out_interface)
        tracker = Tracker()
        follow = walker.verdict if stateless else lambda packet, hook: tracker.answer(walker, packet, hook)
        answers = (follow(packet, at) for packet in capture)
    differ = False
    for answer in answers:
        said = oracle(answer.packet) if oracle else None
        differ |= said is not None and said.verdict != answer.verdict
        _write(answer, said, output, trace=not no_trace)
    return int(differ)


def _oracle(world: WorldOptions) -> Callable[[Packet], Explanation]:
    """Return what the policies of a world say of a packet; a raw ruleset has none."""
    if world.raw or world.live:
        raise Refused((Fault("--explain", "rules alone do not tell their policies", "manifests or a log"),))
    state, node = state_of(world), node_of(world)
    return lambda packet: evaluate(packet, state, node)


def summary(said: Explanation) -> str:
    """Return what the policies say of a packet, and which rule does."""
    by = said.decided_by
    if by is None:
        return f"{coloured(said.verdict)}, for no policy decides: the host's own rules do"
    how = f" with {said.reject_with}" if said.reject_with else ""
    return f"{coloured(said.verdict)}{how} by {by.policy} {by.place}"


def parsed(specs: tuple[str, ...]) -> list[Packet]:
    """Return the packets of all SPECs; the faults of all are raised together."""
    packets: list[Packet] = []
    faults: list[Fault] = []
    for number, spec in enumerate(specs, 1):
        try:
            packets.append(parse_spec(spec, number))
        except Refused as error:
            faults += error.faults
    if faults:
        raise Refused(tuple(faults))
    return packets


def _captured(path: str, in_interface: str, out_interface: str) -> Iterator[Packet]:
    for item in read_pcap(Path(path), in_interface=in_interface, out_interface=out_interface):
        if isinstance(item, Skipped):
            click.echo(f"skipped: frame {item.number}: {item.reason}", err=True)
        else:
            yield item


def _write(answer: Answer, said: Explanation | None, output: str, *, trace: bool) -> None:
    data = answer.as_json(trace=trace)
    if said is not None:
        by = said.decided_by
        data["policy"] = {
            "verdict": said.verdict,
            "policy": by.policy if by else None,
            "rule": by.place if by else None,
            "agrees": said.verdict == answer.verdict,
        }
    if output == "yaml":
        click.echo("---")
    emit(output, data, lambda: _as_text(answer, said, trace=trace))


def _as_text(answer: Answer, said: Explanation | None, *, trace: bool) -> str:
    how = f" ({answer.reject_with})" if answer.reject_with else ""
    lines = [f"{coloured(answer.verdict.value)}{how}  {answer.hook.value}  {answer.packet.words}"]
    if trace:
        for table, steps in groupby(answer.trace, key=lambda step: step.table):
            lines.append(f"  {table}")
            lines += (_step(step) for step in steps)
    if answer.decided_by and answer.decided_by.rule == 0:
        lines.append(f"  decided by the policy of {answer.decided_by.table}/{answer.decided_by.chain}")
    lines += (f"  logged by {policy}/{rule}" for policy, rule in answer.logged_by)
    lines += (f"  assumed: {json.dumps(text)}" for text in answer.assumptions)
    if said is not None:
        lines.append(
            f"  {'the policies say' if said.verdict == answer.verdict else 'THE POLICIES SAY'}: {summary(said)}"
        )
    return "\n".join(lines)


def _step(step: Step) -> str:
    note = f"  [{step.comment}]" if step.comment else ""
    return f"  {'  ' * (step.depth + 1)}{step.chain} {step.rule} -> {step.target or 'count'}{note}"
