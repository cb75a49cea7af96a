"""Whether invariants hold, proved of all packets or refuted by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.errors import NoProof, plain
from engine.rulesets.model import Family, Hook, Ruleset
from simulator.analysis.invariants import Invariant, InvariantKind
from simulator.analysis.witness import confirmed, taken
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
    """A packet as evidence: what becomes of it, who decides so, and how matches have to turn out for it."""

    packet: Packet
    verdict: Verdict
    decided_by: Decision | None
    assumptions: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The evidence on one line."""
        by = self.decided_by
        where = plain(f" by {by.table}/{by.chain} rule {by.rule}") if by else ""
        return "; ".join((f"{self.packet.words}: {self.verdict.value}{where}", *map(plain, self.assumptions)))


@dataclass(frozen=True, slots=True)
class InvariantProof:
    """What was found out about an invariant in one family: broken by so many headers, one of them in the witness.

    Where there is neither proof nor witness, ``unproved`` says why.
    """

    invariant: Invariant
    family: Family
    count: int = 0
    witness: Witness | None = None
    unproved: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is proved."""
        return self.witness is None and not self.unproved


def prove(
    ruleset: Ruleset,
    invariants: Sequence[Invariant],
    families: Sequence[Family] = tuple(Family),
    budget: Budget = UNLIMITED,
) -> tuple[InvariantProof, ...]:
    """Return what was found out about each invariant in each family; what the budget does not do for is unproved.

    Raises:
        Refused: the ruleset lacks a set or chain, or has a loop.
        Unconfirmed: the simulator of single packets does not agree.
    """
    found = [proof for family in families for proof in _of_family(ruleset, invariants, family, budget)]
    return tuple(sorted(found, key=lambda proof: invariants.index(proof.invariant)))


def _of_family(
    ruleset: Ruleset, invariants: Sequence[Invariant], family: Family, budget: Budget
) -> Iterator[InvariantProof]:
    library = SymbolicRulesetReader(family)
    world = library.read(ruleset)
    try:
        atlas = SymbolicContext.of(library, [world], [each.where for each in invariants], budget)
    except NoProof as error:
        yield from (InvariantProof(each, family, unproved=str(error)) for each in invariants)
        return
    yield from proofs(atlas, world, invariants)


def proofs(atlas: SymbolicContext, world: SymbolicRuleset, invariants: Sequence[Invariant]) -> Iterator[InvariantProof]:
    """Yield what was found out about invariants in a world of an atlas that was made for their expressions."""
    for invariant in invariants:
        try:
            yield _proof(atlas, world, invariant)
        except NoProof as error:
            yield InvariantProof(invariant, atlas.space.family, unproved=str(error))


def breaches(
    atlas: SymbolicContext, world: SymbolicRuleset, invariant: Invariant, within: BddFunction | None = None
) -> BddFunction:
    """Return the packets that break an invariant, or those ``within`` a set alone.

    Raises:
        NoProof: memory or time did not do.
    """
    fates = atlas.fates(world, invariant.hook, within)
    with within_limits():
        accepted = fates.verdicts[Verdict.ACCEPT]
        meant = atlas.meant(invariant.where) & fates.packets
        return meant & (~accepted if invariant.must is InvariantKind.ACCEPT else accepted)


def _proof(atlas: SymbolicContext, world: SymbolicRuleset, invariant: Invariant) -> InvariantProof:
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
    """Return one of the packets found, of which there are some, as evidence of what becomes of it in a world.

    It is confirmed to get that verdict alone too, and to have been accepted ``before``, where that is claimed.

    Raises:
        Unconfirmed: the simulator of single packets does not agree.
        NoProof: the memory did not do.
    """
    with within_limits():
        end = atlas.decided(world, hook, found)
        shown = example(atlas.space, end.packets)
    if shown is None:
        raise ValueError(found)
    confirmed(world.ruleset, hook, shown, end.verdict, end)
    if before is not None:
        confirmed(before.ruleset, hook, shown, Verdict.ACCEPT)
    return Witness(shown.packet, end.verdict, end.decision, taken(world.ruleset, shown))
