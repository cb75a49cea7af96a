"""``nodewall explain``: shows which policy rules match a packet, and why the others do not match.

Input: a cluster state (manifests or an event log), a Node and packets. Output: an :class:`Explanation` per packet, as a
tree or JSON. The explanation comes from the policies themselves, not from compiled rules.

Raises ``Refused`` for bad input, ``UnknownNode`` if the cluster lacks the Node, and ``LogError`` if the event log
cannot be read.
"""

from collections.abc import Iterator
from functools import partial
from itertools import groupby

import click

from adapters.application.selection import SelectionOptions, node_of, state_of
from adapters.cli.options import cluster_options
from adapters.cli.options_packets import parse_specs
from adapters.cli.render.answers import summary
from adapters.cli.render.explanations import explanation_as_json
from adapters.cli.render.output import emit_item, output_option
from simulator.oracle import Explanation, RuleConsideration, evaluate


@click.command("explain")
@cluster_options
@click.option("--packet", "specs", multiple=True, required=True, metavar="SPEC", help="A packet; repeatable.")
@output_option
def explain_command(world: SelectionOptions, specs: tuple[str, ...], output: str) -> None:
    """Say what the policies make of packets: every rule in order, whether it matched, and why."""
    state, node = state_of(world), node_of(world)
    for packet in parse_specs(specs):
        explanation = evaluate(packet, state, node)
        emit_item(output, explanation_as_json(explanation), partial(as_text, explanation))


def as_text(explanation: Explanation) -> str:
    """Return an explanation as a tree: the verdict, then policies with their rules."""
    lines = [f"{summary(explanation)}  {explanation.packet.words}"]
    for policy, some in groupby(explanation.considered, key=lambda each: each.policy):
        lines.append(f"  {policy}")
        lines += (line for each in some for line in _considered(each))
    return "\n".join(lines)


def _considered(each: RuleConsideration) -> Iterator[str]:
    logs = ", logged" if each.matched and each.logs else ""
    outcome = f"matches: {each.action}{logs}" if each.matched else "does not match"
    yield f"    {each.place}: {outcome}"
    yield from (f"      {reason}" for reason in each.why if reason)
