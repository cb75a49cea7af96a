"""Proof of invariants (required verdicts) over all packets, or a counterexample.

Input: a `Ruleset` and `ParsedInvariant` values. Output: an `InvariantProof` for each invariant and address family. If
the budget of memory or time is exceeded, the invariant is reported as unproved.

Raises `Refused` if a rule refers to a missing set or chain, or if jumps form a loop. Raises `WitnessMismatch` if the
packet simulator computes another verdict for a counterexample.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.errors import NoProof, printable
from engine.rulesets.model import Family, Hook, Ruleset
from simulator.analysis.invariants import InvariantKind, ParsedInvariant
from simulator.analysis.witness import assumed_results, confirm_example
from simulator.netfilter import Decision, Verdict
from simulator.packets import Packet
from simulator.symbolic import (
    BddFunction,
    Budget,
    SymbolicContext,
    SymbolicRuleset,
    SymbolicRulesetReader,
    count,
    example,
    is_false,
    within_limits,
)
from simulator.symbolic.context import UNLIMITED


@dataclass(frozen=True, slots=True)
class Witness:
    """Packet as evidence: its verdict, its deciding rule, and the assumed results of unmodelled matches."""

    packet: Packet
    verdict: Verdict
    decided_by: Decision | None
    assumptions: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The evidence on one line."""
        by = self.decided_by
        where = printable(f" by {by.table}/{by.chain} rule {by.rule}") if by else ""
        return "; ".join((f"{self.packet.words}: {self.verdict.value}{where}", *map(printable, self.assumptions)))


@dataclass(frozen=True, slots=True)
class InvariantProof:
    """Result for one invariant in one family.

    Attributes:
        count: Number of headers that break the invariant.
        witness: One packet that breaks it.
        unproved: Reason if there is neither a proof nor a witness.
    """

    invariant: ParsedInvariant
    family: Family
    count: int = 0
    witness: Witness | None = None
    unproved: str = ""

    @property
    def holds(self) -> bool:
        """Whether the invariant is proved."""
        return self.witness is None and not self.unproved


def prove(
    ruleset: Ruleset,
    invariants: Sequence[ParsedInvariant],
    families: Sequence[Family] = tuple(Family),
    budget: Budget = UNLIMITED,
) -> tuple[InvariantProof, ...]:
    """Return the result for each invariant and family; it is unproved if the budget is exceeded.

    Raises:
        Refused: The ruleset lacks a set or chain, or has a loop.
        Unconfirmed: the simulator of single packets does not agree.
    """
    found = [proof for family in families for proof in _of_family(ruleset, invariants, family, budget)]
    return tuple(sorted(found, key=lambda proof: invariants.index(proof.invariant)))


def _of_family(
    ruleset: Ruleset, invariants: Sequence[ParsedInvariant], family: Family, budget: Budget
) -> Iterator[InvariantProof]:
    library = SymbolicRulesetReader(family)
    world = library.read(ruleset)
    try:
        atlas = SymbolicContext.of(library, [world], [each.where for each in invariants], budget)
    except NoProof as error:
        yield from (InvariantProof(each, family, unproved=str(error)) for each in invariants)
        return
    yield from proofs(atlas, world, invariants)


def proofs(
    atlas: SymbolicContext, world: SymbolicRuleset, invariants: Sequence[ParsedInvariant]
) -> Iterator[InvariantProof]:
    """Yield the result for each invariant; the symbolic context must be built for their expressions."""
    for invariant in invariants:
        try:
            yield _proof(atlas, world, invariant)
        except NoProof as error:
            yield InvariantProof(invariant, atlas.space.family, unproved=str(error))


def breaches(
    atlas: SymbolicContext, world: SymbolicRuleset, invariant: ParsedInvariant, within: BddFunction | None = None
) -> BddFunction:
    """Return the packets that break an invariant, limited to ``within`` if given.

    Raises:
        NoProof: The budget of memory or time is exceeded.
    """
    fates = atlas.fates(world, invariant.hook, within)
    with within_limits():
        accepted = fates.verdicts[Verdict.ACCEPT]
        meant = atlas.meant(invariant.where) & fates.packets
        return meant & (~accepted if invariant.must is InvariantKind.ACCEPT else accepted)


def _proof(atlas: SymbolicContext, world: SymbolicRuleset, invariant: ParsedInvariant) -> InvariantProof:
    family, broken = atlas.space.family, breaches(atlas, world, invariant)
    with within_limits():
        if is_false(broken):
            return InvariantProof(invariant, family)
        surely = atlas.space.anyhow(broken)
        return InvariantProof(
            invariant,
            family,
            count(atlas.space, broken),
            witness_of(atlas, world, invariant.hook, broken if is_false(surely) else surely & broken),
        )


def witness_of(
    atlas: SymbolicContext,
    world: SymbolicRuleset,
    hook: Hook,
    found: BddFunction,
    before: SymbolicRuleset | None = None,
) -> Witness:
    """Return one packet of a non-empty set as evidence of its verdict in a ruleset.

    The packet simulator must confirm the verdict. With ``before``, it must also accept the packet in that ruleset.

    Raises:
        WitnessMismatch: The packet simulator disagrees.
        NoProof: The memory limit is exceeded.
    """
    with within_limits():
        end = atlas.decided(world, hook, found)
        shown = example(atlas.space, end.packets)
    if shown is None:
        raise ValueError(found)
    confirm_example(world.ruleset, hook, shown, end.verdict, end)
    if before is not None:
        confirm_example(before.ruleset, hook, shown, Verdict.ACCEPT)
    return Witness(shown.packet, end.verdict, end.decision, assumed_results(world.ruleset, shown))
