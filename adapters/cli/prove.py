"""``prove``: whether invariants hold for all packets."""

from collections.abc import Sequence

import click

from adapters.cli.options import FleetOptions, LimitOptions, fleet_options, limit_options, world_options
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
@fleet_options
@click.option("--invariants", "path", metavar="FILE", required=True, help="A YAML list of {name, hook, where, must}.")
@limit_options
@output_option
def prove_command(  # the parameters are the command line contract's
    world: WorldOptions, fleet: FleetOptions, path: str, limits: LimitOptions, output: str
) -> int:
    """Say whether invariants hold for all packets: exit 1 with a packet where one does not."""
    allowed = budget(limits.max_seconds, limits.max_memory)
    invariants = _read(path)
    if fleet.all_nodes:
        from adapters.cli.fleet import prove_all  # noqa: PLC0415 - few ask for it

        return prove_all(invariants, world, fleet, allowed, output)
    found = prove(ruleset_of(world), invariants, families_of(world), allowed)
    emit(output, proofs_as_json(found), lambda: proofs_as_text(found))
    return exit_code(found)


def exit_code(found: Sequence[Proof]) -> int:
    """Return what is told by the exit code: that all hold, that one is broken, or that something is not known."""
    if any(proof.witness for proof in found):
        return BROKEN
    return HOLD if all(proof.holds for proof in found) else UNPROVED


def _read(path: str) -> tuple[Invariant, ...]:
    document = document_of(path)
    if document is None:
        raise Refused((Fault("", "no document", "a list of invariants", Place(path)),))
    return invariants_in(document)


def proofs_as_json(found: Sequence[Proof]) -> dict[str, object]:
    """Return proofs under the keys that the reference lists."""
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


def proofs_as_text(found: Sequence[Proof]) -> str:
    """Return proofs for people, with a packet for each invariant that is broken."""
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
