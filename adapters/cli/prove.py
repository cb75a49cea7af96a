"""``prove``: whether invariants hold for all packets."""

from collections.abc import Sequence

import click

from adapters.cli.options import LimitOptions, limit_options, world_options
from adapters.cli.output import coloured, counted, emit, output_option
from adapters.configfile import document_of
from adapters.invariants import invariants_in
from adapters.limits import budget
from adapters.world import WorldOptions, families_of, ruleset_of
from engine.errors import Fault, Place, Refused
from simulator.prove import Invariant, Proof, prove

HOLD, BROKEN, UNPROVED = 0, 1, 2
"""Exit codes."""


@click.command("prove")
@world_options
@click.option("--invariants", "path", metavar="FILE", required=True, help="A YAML list of {name, hook, where, must}.")
@limit_options
@output_option
def prove_command(world: WorldOptions, path: str, limits: LimitOptions, output: str) -> int:
    """Say whether invariants hold for all packets: exit 1 with a packet where one does not."""
    allowed = budget(limits.max_seconds, limits.max_memory)
    found = prove(ruleset_of(world), _read(path), families_of(world), allowed)
    emit(output, _as_json(found), lambda: _as_text(found))
    if any(proof.witness for proof in found):
        return BROKEN
    return HOLD if all(proof.holds for proof in found) else UNPROVED


def _read(path: str) -> tuple[Invariant, ...]:
    document = document_of(path)
    if document is None:
        raise Refused((Fault("", "no document", "a list of invariants", Place(path)),))
    return invariants_in(document)


def _as_json(found: Sequence[Proof]) -> dict[str, object]:
    return {
        "holds": all(proof.holds for proof in found),
        "invariants": [_proof_as_json(proof) for proof in found],
    }


def _proof_as_json(proof: Proof) -> dict[str, object]:
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
        "decided_by": witness.decided_by.as_json() if witness and witness.decided_by else None,
        "assumptions": list(witness.assumptions) if witness else [],
        "unproved": proof.unproved or None,
    }


def _as_text(found: Sequence[Proof]) -> str:
    lines = []
    for proof in found:
        told = f"{proof.invariant.name}  {proof.family.value} {proof.invariant.hook.value}"
        if proof.holds:
            lines.append(f"{click.style('holds', fg='green', bold=True)}  {told}")
        elif proof.witness is None:
            lines.append(f"{click.style('unproved', fg='yellow', bold=True)}  {told}: {proof.unproved}")
        else:
            lines.append(f"{click.style('broken', fg='red', bold=True)}  {told}")
            lines.append(f"  {proof.witness.packet.words} gets {coloured(proof.witness.verdict.value)}")
            lines += _reasons(proof)
    return "\n".join([*lines, counted(len(found), "invariant")])


def _reasons(proof: Proof) -> list[str]:
    witness, lines = proof.witness, [f"  one of {proof.count:,} headers"]
    if witness is not None:
        by = witness.decided_by
        if by is not None:
            place = f"{by.table}/{by.chain} rule {by.rule}" if by.rule else f"the policy of {by.table}/{by.chain}"
            lines.append(f"  decided by {place}" + (f"  [{by.comment}]" if by.comment else ""))
        lines += (f"  assumed: {text}" for text in witness.assumptions)
    return lines
