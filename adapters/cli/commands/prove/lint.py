"""``nodewall lint``: lists rules that never match or make no difference, with the rules that cause it.

Input: a ruleset, compiled, as text of iptables-save, or from the running kernel. Output: :class:`LintFinding` values as
text or JSON; the exit code is 1 if there are any.

Raises ``Refused`` for bad input, and ``NoProof`` if the limits on time or memory are exceeded. Raises ``LogError`` or
``KernelError`` if the event log or the kernel cannot be read.
"""

from collections.abc import Sequence

import click

from adapters.application.selection import SelectionOptions, families_of, ruleset_of
from adapters.cli.options import LimitOptions, limit_options, world_options
from adapters.cli.render.findings import finding_as_json, rule_text, summary
from adapters.cli.render.output import emit, output_option, plural
from adapters.system.budgets import budget
from simulator.analysis.lint import LintFinding, LintKind, lint


@click.command("lint")
@world_options
@limit_options
@output_option
def lint_command(world: SelectionOptions, limits: LimitOptions, output: str) -> int:
    """Name rules that are never matched or make no difference: exit 1 where there are any."""
    found = lint(ruleset_of(world), families_of(world), budget(limits.max_seconds, limits.max_memory))
    data = {"clean": not found, "findings": [finding_as_json(finding) for finding in found]}
    emit(output, data, lambda: _as_text(found))
    return int(bool(found))


_COLOURS = {
    LintKind.CONTRADICTORY: "red",
    LintKind.SHADOWED: "yellow",
    LintKind.REDUNDANT: "cyan",
    LintKind.UNREACHABLE: "yellow",
}


def _as_text(found: Sequence[LintFinding]) -> str:
    if not found:
        return "clean: every rule makes a difference"
    lines = []
    for finding in found:
        kind = click.style(finding.kind.value, fg=_COLOURS[finding.kind], bold=True)
        lines.append(f"{kind}  {finding.family.value} {summary(finding)}")
        if text := rule_text(finding):
            lines.append(f"  {text}")
        if finding.witness is not None:
            lines.append(f"  as {finding.witness.words}")
    return "\n".join([*lines, plural(len(found), "finding")])
