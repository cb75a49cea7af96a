"""Renders the results of ``nodewall prove`` as JSON values, as text, and as an exit code.

Input: :class:`InvariantProof` values (an invariant, and whether it holds). Output: dictionaries, or lines with a
counterexample for each broken invariant. The exit code is 0 if all hold, 1 if one is broken, else 2.
"""

from collections.abc import Sequence

import click

from adapters.cli.render.decisions import decision_as_json
from adapters.cli.render.output import coloured, plural
from engine.errors import printable
from simulator.analysis.prove import InvariantProof

HOLD, BROKEN, UNPROVED = 0, 1, 2
"""Exit codes for proofs."""


def exit_code(found: Sequence[InvariantProof]) -> int:
    """Return the exit code: 0 if all hold, 1 if one is broken, else 2."""
    if any(proof.witness for proof in found):
        return BROKEN
    return HOLD if all(proof.holds for proof in found) else UNPROVED


def proofs_as_json(found: Sequence[InvariantProof]) -> dict[str, object]:
    """Return proofs with the keys of the command line reference."""
    return {
        "holds": all(proof.holds for proof in found),
        "invariants": [_proof_as_json(proof) for proof in found],
    }


def _proof_as_json(proof: InvariantProof) -> dict[str, object]:
    witness = proof.witness
    return {
        "name": proof.invariant.name,
        "family": proof.family.value,
        "hook": proof.invariant.hook.value,
        "must": proof.invariant.must.value,
        "holds": proof.holds,
        "count": str(proof.count),
        "counterexample": witness.packet.as_spec() if witness else None,
        "verdict": witness.verdict.value if witness else None,
        "decided_by": decision_as_json(witness.decided_by) if witness else None,
        "assumptions": list(witness.assumptions) if witness else [],
        "unproved": proof.unproved or None,
    }


def proofs_as_text(found: Sequence[InvariantProof]) -> str:
    """Return proofs as text, with a counterexample for each broken invariant."""
    lines = []
    for proof in found:
        told = f"{printable(proof.invariant.name)}  {proof.family.value} {proof.invariant.hook.value}"
        if proof.holds:
            lines.append(f"{click.style('holds', fg='green', bold=True)}  {told}")
        elif proof.witness is None:
            lines.append(f"{click.style('unproved', fg='yellow', bold=True)}  {told}: {proof.unproved}")
        else:
            lines.append(f"{click.style('broken', fg='red', bold=True)}  {told}")
            lines.append(f"  {proof.witness.packet.words} gets {coloured(proof.witness.verdict.value)}")
            lines += _reasons(proof)
    return "\n".join([*lines, plural(len(found), "invariant")])


def _reasons(proof: InvariantProof) -> list[str]:
    witness, lines = proof.witness, [f"  one of {proof.count:,} headers"]
    if witness is not None:
        by = witness.decided_by
        if by is not None:
            place = f"{by.table}/{by.chain} rule {by.rule}" if by.rule else f"the policy of {by.table}/{by.chain}"
            lines.append(printable(f"  decided by {place}" + (f"  [{by.comment}]" if by.comment else "")))
        lines += (f"  assumed: {printable(text)}" for text in witness.assumptions)
    return lines
