"""Writes the simulator's answer for a packet to stdout, as JSON, YAML or a text tree.

Input: an :class:`Evaluation` (the verdict of the rules on a packet), and optionally an :class:`Explanation` (the
verdict of the policies on the same packet). Output: the verdict, the rules that the packet passed, and whether rules
and policies agree.
"""

import json
from itertools import groupby

import click

from adapters.cli.render.decisions import answer_as_json
from adapters.cli.render.output import coloured, emit
from engine.errors import printable
from simulator.netfilter import Evaluation, TraceStep
from simulator.oracle import Explanation


def write(answer: Evaluation, said: Explanation | None, output: str, *, trace: bool) -> None:
    """Write one answer to stdout, with the policy oracle's verdict if there is one.

    Args:
        answer: the simulator's answer.
        said: the policy oracle's explanation of the same packet, or None.
        output: ``text``, ``json`` or ``yaml``.
        trace: include the rules that the packet passed.
    """
    data = answer_as_json(answer, trace=trace)
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


def summary(said: Explanation) -> str:
    """Return the verdict of the policies on one line, with the deciding policy rule."""
    by = said.decided_by
    if by is None:
        return f"{coloured(said.verdict)}, for no policy decides: the host's own rules do"
    how = f" with {said.reject_with}" if said.reject_with else ""
    return f"{coloured(said.verdict)}{how} by {by.policy} {by.place}"


def _as_text(answer: Evaluation, said: Explanation | None, *, trace: bool) -> str:
    how = f" ({answer.reject_with})" if answer.reject_with else ""
    lines = [f"{coloured(answer.verdict.value)}{how}  {answer.hook.value}  {answer.packet.words}"]
    if trace:
        for table, steps in groupby(answer.trace, key=lambda step: step.table):
            lines.append(f"  {table}")
            lines += (_step(step) for step in steps)
    if answer.decided_by and answer.decided_by.rule == 0:
        lines.append(f"  decided by the policy of {answer.decided_by.table}/{answer.decided_by.chain}")
    if answer.became:
        lines.append("  became: " + " ".join(f"{key}={word}" for key, word in answer.became.items()))
    lines += (f"  logged by {policy}/{rule}" for policy, rule in answer.logged_by)
    lines += (f"  assumed: {json.dumps(text)}" for text in answer.assumptions)
    if said is not None:
        lines.append(
            f"  {'the policies say' if said.verdict == answer.verdict else 'THE POLICIES SAY'}: {summary(said)}"
        )
    return "\n".join(lines)


def _step(step: TraceStep) -> str:
    """Return one step of a trace as a line, indented by the depth of its chain."""
    note = f"  [{printable(step.comment)}]" if step.comment else ""
    does = (step.target or "count") if step.matched else "drop, as the packet ends inside what it reads"
    return f"  {'  ' * (step.depth + 1)}{step.chain} {step.rule} -> {does}{note}"
