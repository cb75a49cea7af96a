"""``what-if``: manifests laid over a state of a log, present or past, which stays as it is."""

from dataclasses import dataclass, replace

import click

from adapters.application.selection import SelectionOptions, judged, node_of, state_of
from adapters.cli.options import LimitOptions, ModeOptions, cluster_options, limit_options, mode_options
from adapters.cli.options_packets import parsed
from adapters.cli.render.changes import effect_as_json, effect_as_text
from adapters.cli.render.events import edits_as_lines
from adapters.cli.render.moments import PacketGroup
from adapters.cli.render.object_diffs import edited_as_json
from adapters.cli.render.output import counted, emit, output_option
from adapters.cli.render.plans import ops_as_json
from adapters.system.budgets import budget
from engine.desired.incremental import derived
from engine.errors import Fault, Refused, UnknownNode, plain
from engine.events import EventBody, subject
from engine.rulesets.diff import diff
from engine.rulesets.plan import make_plan
from engine.rulesets.text.operations import Op, ops_of
from engine.state.fold import effect_of
from engine.state.object_diff import ObjectDiff, edited
from simulator.analysis.compare import VerdictChange, compare
from simulator.netfilter import Walker


@dataclass(frozen=True, slots=True)
class _WhatIf:
    """The events that there would be, each with its changes; and what they would change for a node."""

    events: tuple[tuple[EventBody, ObjectDiff | None], ...]
    ops: tuple[Op, ...]
    effect: tuple[VerdictChange, ...]
    groups: tuple[PacketGroup, ...]

    def as_json(self) -> dict[str, object]:
        return {
            "events": [
                {"type": body.type, "object": subject(body), "change": edited_as_json(found)}
                for body, found in self.events
            ],
            "ops": ops_as_json(self.ops),
            **effect_as_json(self.effect),
            "verdicts": [group.as_json() for group in self.groups],
        }

    def as_text(self) -> str:
        lines = [f"{counted(len(self.events), 'event')} there would be"]
        for body, found in self.events:
            lines.append(plain(f"  {body.type}  {subject(body)}"))
            lines += (f"    {line}" for line in edits_as_lines(found))
        lines += [counted(len(self.ops), "op"), *(f"  {op}" for op in self.ops)]
        lines += [group.as_text() for group in self.groups]
        return "\n".join([*lines, effect_as_text(self.effect)])


@click.command("what-if")
@cluster_options
@mode_options
@click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet to follow; repeatable.")
@limit_options
@output_option
def what_if_command(  # the parameters are the command line contract's
    world: SelectionOptions, meant: ModeOptions, specs: tuple[str, ...], limits: LimitOptions, output: str
) -> int:
    """Say what manifests would change in a state of a log, which stays: exit 1 where packets would fare otherwise."""
    if not (world.files and world.log):
        raise Refused((Fault("", "a log and manifests are needed", "--log PATH and -f PATH"),))
    packets, node = parsed(specs), node_of(world)
    before = derived(state_of(replace(world, files=())), node)
    judgement = judged(before.state, world.files, meant.mode)
    if judgement.faults:
        raise Refused(judgement.faults)
    after, state, events = before.through(judgement.bodies), before.state, list[tuple[EventBody, ObjectDiff | None]]()
    for body in judgement.bodies:
        change = effect_of(state, body)
        events.append((body, edited(change)))
        state = state.with_effect(change)
    if node not in after.state.nodes:
        raise UnknownNode(node, tuple(sorted(after.state.nodes)))
    then, now = Walker(before.ruleset), Walker(after.ruleset)
    groups = tuple(PacketGroup(then.verdict(packet), now.verdict(packet)) for packet in packets)
    effect = compare(before.ruleset, after.ruleset, budget=budget(limits.max_seconds, limits.max_memory))
    found = _WhatIf(tuple(events), ops_of(make_plan(diff(before.ruleset, after.ruleset))), effect, groups)
    emit(output, found.as_json(), found.as_text)
    return int(bool(effect))
