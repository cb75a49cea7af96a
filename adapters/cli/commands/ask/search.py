"""``nodewall search``: finds a packet that gets a given verdict at a hook.

Input: a ruleset, a hook, a verdict, and a filter expression that limits the packets. Output: an example packet, and the
number of packet headers that get the verdict; exit code 1 if there is none.

Raises ``Refused`` for bad input, and ``NoProof`` if the limits on time or memory are exceeded. Source of the filter
syntax: pcap-filter(7).
"""

import click

from adapters.application.selection import SelectionOptions, families_of, ruleset_of
from adapters.cli.options import LimitOptions, limit_options, world_options
from adapters.cli.render.decisions import decision_as_json
from adapters.cli.render.output import coloured, emit, output_option
from adapters.system.budgets import budget
from engine.errors import printable
from engine.rulesets.model import Hook
from simulator.analysis.search import SearchMode, SearchQuestion, SearchResult, search
from simulator.expression import parse
from simulator.netfilter import Verdict


@click.command("search")
@world_options
@click.option(
    "--hook", type=click.Choice([hook.value for hook in Hook]), required=True, help="Where packets are judged."
)
@click.option("--where", metavar="EXPR", default="", help="Which packets are meant, in the syntax of pcap-filter.")
@click.option(
    "--verdict", type=click.Choice([each.value for each in Verdict]), required=True, help="What is asked for."
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in SearchMode]),
    default=SearchMode.MAY.value,
    show_default=True,
    help="Whether matches that depend on more than the packet may help, or nothing may hang on them.",
)
@limit_options
@output_option
def search_command(  # one parameter per option, as in the command line reference
    world: SelectionOptions, hook: str, where: str, verdict: str, mode: str, limits: LimitOptions, output: str
) -> int:
    """Say whether any packet gets a verdict: exit 0 with one of them, 1 where none does."""
    asked = SearchQuestion(Hook(hook), parse(where), Verdict(verdict), SearchMode(mode))
    found = search(ruleset_of(world), asked, families_of(world), budget(limits.max_seconds, limits.max_memory))
    emit(output, _as_json(found), lambda: _as_text(found, asked))
    return 0 if found.count else 1


def _as_json(found: SearchResult) -> dict[str, object]:
    return {
        "found": bool(found.count),
        "count": str(found.count),
        "example": found.example.as_spec() if found.example else None,
        "decided_by": decision_as_json(found.decided_by),
        "assumptions": list(found.assumptions),
    }


def _as_text(found: SearchResult, asked: SearchQuestion) -> str:
    if found.example is None:
        return f"none: at {asked.hook} no such packet gets {coloured(asked.verdict)}"
    by = found.decided_by
    lines = [f"{coloured(asked.verdict)}  {asked.hook}  {found.example.words}"]
    lines.append(f"  one of {found.count:,} headers")
    if by is not None:
        who = f"policy {by.policy}, rule {by.policy_rule}" if by.policy else by.comment
        place = f"{by.table}/{by.chain} rule {by.rule}" if by.rule else f"the policy of {by.table}/{by.chain}"
        lines.append(printable(f"  decided by {place}" + (f"  [{who}]" if who else "")))
    return "\n".join([*lines, *(f"  assumed: {printable(text)}" for text in found.assumptions)])
