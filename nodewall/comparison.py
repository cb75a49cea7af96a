"""Public API to compare two rulesets, and to prove invariants of one, for all packets.

Input: :class:`nodewall.node_rules.NodeRules` (rules of a node); for a proof also invariants (required verdicts for some
packets). Output: :class:`VerdictDifference` or :class:`Proof` values.

Raises :class:`engine.errors.Refused` for invariants that do not parse, and for rules that refer to a missing chain or
set. ``diff`` raises :class:`engine.errors.NoProof` if a limit of time or memory is reached.
"""

from collections.abc import Iterable
from os import PathLike, fspath

from adapters.inputs.configfile import invariants_at
from adapters.system.budgets import budget
from engine.errors import Fault, Refused
from engine.rulesets.model import Hook
from nodewall.node_rules import NodeRules
from nodewall.results import Invariant, Proof, VerdictDifference, one_of
from simulator.analysis import invariants as checked
from simulator.analysis import prove as proofs
from simulator.analysis.compare import VerdictChange, compare
from simulator.expression import parse


def diff(
    old: NodeRules, new: NodeRules, *, max_seconds: float | None = None, max_memory: int | None = None
) -> tuple[VerdictDifference, ...]:
    """Return all packets to which two rulesets give different verdicts, grouped by deciding rules.

    An empty result proves that both rulesets give every packet the same verdict, in the families that both cover.

    Args:
        old: Rules before the change.
        new: Rules after the change.
        max_seconds: Time limit in seconds.
        max_memory: Memory limit in MiB.

    Raises:
        Refused: A rule refers to a chain or set that does not exist, or no family is covered by both.
        NoProof: A limit was reached.
    """
    families = tuple(family for family in old.families if family in new.families)
    if not families:
        raise Refused((Fault("diff", "IPv4 rules and IPv6 rules", "rules that cover the same family"),))
    found = compare(old.ruleset, new.ruleset, families, budget(max_seconds, max_memory))
    return tuple(_difference(change) for change in found)


def _difference(change: VerdictChange) -> VerdictDifference:
    return VerdictDifference(
        hook=change.hook,
        family=change.family,
        old=change.was,
        new=change.now,
        count=change.count,
        example=change.example.words,
        old_decided_by=change.old_decided_by,
        new_decided_by=change.new_decided_by,
        summary=change.summary,
        assumptions=change.assumptions,
    )


def prove(
    rules: NodeRules,
    invariants: str | PathLike[str] | Iterable[Invariant],
    *,
    max_seconds: float | None = None,
    max_memory: int | None = None,
) -> tuple[Proof, ...]:
    """Prove invariants for all packets, or find a counterexample.

    Args:
        rules: Rules of a node.
        invariants: YAML file with a list of ``{name, hook, where, must}``, or the invariants themselves.
        max_seconds: Time limit in seconds. An invariant that needs more time is reported as unproved.
        max_memory: Memory limit in MiB. An invariant that needs more memory is reported as unproved.

    Returns:
        One proof for each invariant and address family, in the order of the invariants.

    Raises:
        Refused: An invariant does not parse, or a rule refers to a chain or set that does not exist.
    """
    asked = (
        invariants_at(fspath(invariants))
        if isinstance(invariants, str | PathLike)
        else tuple(_checked(each) for each in invariants)
    )
    found = proofs.prove(rules.ruleset, asked, rules.families, budget(max_seconds, max_memory))
    return tuple(_proof(each) for each in found)


def _checked(given: Invariant) -> checked.ParsedInvariant:
    must = one_of(checked.InvariantKind, given.must, "must")
    return checked.ParsedInvariant(given.name, one_of(Hook, given.hook, "hook"), parse(given.where), must)


def _proof(found: proofs.InvariantProof) -> Proof:
    witness = found.witness
    return Proof(
        name=found.invariant.name,
        family=found.family,
        hook=found.invariant.hook,
        must=found.invariant.must,
        holds=found.holds,
        count=found.count,
        counterexample=witness.packet.words if witness else None,
        verdict=witness.verdict if witness else None,
        decided_by=witness.decided_by if witness else None,
        assumptions=witness.assumptions if witness else (),
        unproved=found.unproved,
    )
