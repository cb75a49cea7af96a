"""Lockout guard: refuses plans that make a lifeline unreachable, break an invariant or have unsafe intermediate states.

A lifeline is a rule for traffic that must stay accepted. `LockoutGuard.judge` takes the rulesets before and after a
plan and its `IntermediateState` values; it returns a `PlanProof`. An intermediate state is unsafe if a packet gets a
verdict there that is neither its old nor its new one. The proof covers all packets and includes the host's own rules.
Raises `Refused` for an invalid ruleset and `WitnessMismatch` if the packet simulator contradicts the proof.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from engine.errors import NoProof, Refused, printable
from engine.ip_types import Address
from engine.policy.completed_rules import CompletedRule
from engine.reconcile.interfaces import PlanProof
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.transitions import IntermediateState
from simulator.analysis.compare import compare
from simulator.analysis.invariants import ParsedInvariant
from simulator.analysis.prove import breaches, proofs, witness_of
from simulator.context import LOOPBACK
from simulator.guard.lifeline_conditions import Lifeline, lifelines_of
from simulator.matches.formula import And, Formula, NameCondition, Not, Or, Within, within
from simulator.netfilter import Verdict
from simulator.symbolic import (
    BddFunction,
    Budget,
    ChangingSet,
    SymbolicContext,
    SymbolicRuleset,
    SymbolicRulesetReader,
    count,
    is_false,
    within_limits,
)
from simulator.symbolic.context import UNLIMITED, PacketQuestion
from simulator.symbolic.slicing import RulesetSlicer, affected_conditions
from simulator.symbolic.symbolic_rules import SymbolicChain

_SIDES = {Hook.INPUT: ("dst", "src", "in_interface"), Hook.OUTPUT: ("src", "dst", "out_interface")}
"""By hook: the field with the node's own address, the field with the peer's address, and the interface field."""

_SLICE_NODES = 1 << 18
"""Node limit for diagrams of a few changed packets; beyond it the guard examines all packets."""

_MOST, _FEW = 4, 1_000
"""The guard drops its caches when they hold this many times the current rules, plus a constant."""


@dataclass(slots=True)
class LockoutGuard:
    """Judges plans by the traffic of ``lifelines``, which are rules that admit it, and by ``invariants``.

    A lifeline is lost where packets that were accepted no longer are; an invariant must hold however it was before.
    ``own`` are the node's addresses, which packets are shown with. What was read for one plan is known for the next,
    but no word of a judgement depends on it: a fault that is found with such knowledge is looked for again without.
    """

    lifelines: Sequence[CompletedRule] = ()
    own: Sequence[Address] = ()
    invariants: Sequence[ParsedInvariant] = ()
    budget: Budget = UNLIMITED
    _families: dict[Family, "_FamilyCache"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:
        """Return the objections to a plan; an empty proof if there are none.

        Raises:
            Refused: A ruleset lacks a set or chain, or has a loop.
            WitnessMismatch: The packet simulator contradicts the proof.
        """
        found = PlanProof()
        for family in Family:
            first = family not in self._families
            known = self._families.pop(family, None) or self._new(family)
            judged = self._of_family(known, before, after, passages)
            if not (first or judged.safe):
                # Which packet is an example depends on what is known of other plans, so none is shown from there.
                known = self._new(family)
                judged = self._of_family(known, before, after, passages)
            found += judged
            if known.library.size <= _MOST * (known.rows + _FEW):  # else most of it is of rules that are gone
                self._families[family] = known
        return found

    def _new(self, family: Family) -> "_FamilyCache":
        return _FamilyCache(SymbolicRulesetReader(family), self.lifelines, self.own)

    def _of_family(
        self, known: "_FamilyCache", before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]
    ) -> PlanProof:
        change = known.change(before, after, passages)
        only_members = len(passages) == 1 and bool(passages[0].moving)
        return PlanProof() if only_members and self._is_clear(known, change) else self._judged(known, change)

    def differing_packets(self, one: Ruleset, other: Ruleset) -> str:
        """Return a summary of packets that two rulesets treat differently, or an empty string; covers all packets."""
        try:
            return next((change.summary for change in compare(one, other, budget=self.budget)), "")
        except NoProof as error:
            return str(error)

    def _judged(self, known: "_FamilyCache", change: "_Change") -> PlanProof:
        same = change.old.hooks == change.new.hooks
        if same and not (change.ways or self.invariants):
            return PlanProof()
        found = PlanProof()
        try:
            atlas = known.context_of(change, [each.where for each in self.invariants], self.budget)
            for line in () if same else known.lines:
                found += PlanProof(lost=tuple(_lost_examples(atlas, change, line, known.ends[line.hook])))
            kept = self._kept(atlas, change.new)
            known.kept = change.new.hooks if kept.safe else None
            return found + kept + PlanProof(strays=tuple(_third_verdict_examples(atlas, change)))
        except NoProof as error:
            return found + PlanProof(unproved=(str(error),))

    def _is_clear(self, known: "_FamilyCache", change: "_Change") -> bool:
        """Return whether a member set delta is safe, by examining only the packets that it affects.

        False means that the guard must examine all packets.
        """
        if self.invariants and known.kept != change.old.hooks:
            return False
        about = affected_conditions(change.old, change.new)
        if about is None:
            return False
        try:
            clear = all(self._is_clear_for(packets, known, change) for packets in about)
        except NoProof:
            return False
        known.kept = change.new.hooks if clear else None
        return clear

    def _is_clear_for(self, packets: Within, known: "_FamilyCache", change: "_Change") -> bool:
        old, new, *ways = known.sieve.excerpts((change.old, change.new, *change.ways), packets)
        small = _Change(old, new, tuple(ways))
        budget = Budget(min(self.budget.nodes, _SLICE_NODES), self.budget.patience)
        asked = [packets, *known.questions, *(each.where for each in self.invariants)]
        atlas = SymbolicContext.of(known.library, [old, new, *ways], asked, budget)
        within = atlas.meant(packets)
        lines = (line for line in known.lines if old.hooks[line.hook] != new.hooks[line.hook])
        lost = (_lost_packets(atlas, small, line, known.ends[line.hook], within) for line in lines)
        broken = (breaches(atlas, new, each, within) for each in self.invariants)
        astray = (
            _third_verdicts(atlas, small, way, hook, within)
            for way in ways
            for hook in _hooks_like_neither(way, old, new)
        )
        return all(map(is_false, chain(lost, broken, astray)))

    def _kept(self, atlas: SymbolicContext, new: SymbolicRuleset) -> PlanProof:
        found = PlanProof()
        for proof in proofs(atlas, new, self.invariants):
            if proof.witness is not None:
                found += PlanProof(broken=(f"{printable(proof.invariant.name)}: {proof.witness.words}",))
            elif proof.unproved:
                found += PlanProof(unproved=(proof.unproved,))
        return found


class _FamilyCache:
    """Cached state of the guard for one family: rules read, lifeline questions, and the last packet space."""

    def __init__(self, library: SymbolicRulesetReader, rules: Sequence[CompletedRule], own: Sequence[Address]) -> None:
        self.library = library
        self.lines = tuple(lifelines_of(library, rules))
        self.ends = {hook: _end_formulas(own, sides, library.family) for hook, sides in _SIDES.items()}
        self.questions = [
            *(line.traffic for line in self.lines),
            *(each for pair in self.ends.values() for each in pair),
        ]
        self.sieve = RulesetSlicer()
        self.kept: Mapping[Hook, tuple[SymbolicChain, ...]] | None = None
        """Chains that satisfied all invariants in the last proof."""
        self.rows = 0
        """How many rules there are after the last change."""
        self._atlas: SymbolicContext | None = None

    def change(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> "_Change":
        """Read the rules before and after a plan, and in its intermediate states."""
        old, new = self.library.read(before), self.library.read(after)
        ways = (way for each in passages for way in _read(self.library, each) if _hooks_like_neither(way, old, new))
        self.rows = len(new.rows)
        return _Change(old, new, tuple(dict.fromkeys(ways)))

    def context_of(self, change: "_Change", more: Sequence[PacketQuestion], budget: Budget) -> SymbolicContext:
        """Return the symbolic context of a change, prepared for lifelines and further questions."""
        worlds = [change.old, change.new, *change.ways]
        self._atlas = SymbolicContext.of(self.library, worlds, [*self.questions, *more], budget, self._atlas)
        return self._atlas


@dataclass(frozen=True, slots=True)
class _Change:
    """Rules before a plan, after it, and in the intermediate states that equal neither."""

    old: SymbolicRuleset
    new: SymbolicRuleset
    ways: tuple[SymbolicRuleset, ...]


def _read(library: SymbolicRulesetReader, passage: IntermediateState) -> Iterator[SymbolicRuleset]:
    """Yield the rules of an intermediate state; nothing if the kernel would refuse the step that leads there."""
    sets = {each.name: each for each in passage.ruleset.sets}
    moving = {name: ChangingSet(sets[name], after) for name, after in passage.moving.items()}
    with suppress(Refused):
        yield library.read(passage.ruleset, moving)


def _hooks_like_neither(way: SymbolicRuleset, old: SymbolicRuleset, new: SymbolicRuleset) -> list[Hook]:
    return [hook for hook in Hook if way.hooks[hook] not in (old.hooks[hook], new.hooks[hook])]


EndFormulas = tuple[Formula, Formula]
"""By hook: packets exchanged with other hosts or over loopback, and packets with an own address on the node's side."""


def _end_formulas(own: Sequence[Address], sides: tuple[str, str, str], family: Family) -> EndFormulas:
    numbers = [int(address) for address in own if f"IPv{address.version}" == family]
    here, there = (within(side, *((number, number) for number in numbers)) for side in sides[:2])
    return Or((Not(there), NameCondition(sides[2], LOOPBACK))), And((here, Not(there)))


def _lost_examples(atlas: SymbolicContext, change: _Change, line: Lifeline, ends: EndFormulas) -> Iterator[str]:
    """Yield an example packet of a lifeline that was accepted and no longer is, if there is one."""
    lost = _lost_packets(atlas, change, line, ends)
    if is_false(lost):
        return
    with within_limits():
        before = _accepted_lifeline(atlas, change.old, line, ends)
        few = line.anywhere and 2 * count(atlas.space, lost) < count(atlas.space, before)
        clear = lost & atlas.meant(ends[1])
    if not few:
        shown = witness_of(atlas, change.new, line.hook, lost if is_false(clear) else clear, change.old)
        yield f"{shown.words} ({printable(line.name)})"


def _lost_packets(
    atlas: SymbolicContext, change: _Change, line: Lifeline, ends: EndFormulas, within: BddFunction | None = None
) -> BddFunction:
    """Return the packets of a lifeline that were accepted and no longer are, limited to ``within`` if given."""
    now = atlas.fates(change.new, line.hook, within)
    with within_limits():
        return _accepted_lifeline(atlas, change.old, line, ends, within) & ~now.verdicts[Verdict.ACCEPT]


def _accepted_lifeline(
    atlas: SymbolicContext, world: SymbolicRuleset, line: Lifeline, ends: EndFormulas, within: BddFunction | None = None
) -> BddFunction:
    accepted = atlas.fates(world, line.hook, within).verdicts[Verdict.ACCEPT]
    with within_limits():
        # What others have marked they have marked for something, as kube-proxy does what is to be dropped.
        return atlas.meant(line.traffic) & atlas.meant(ends[0]) & accepted & atlas.space.unmarked


def _third_verdict_examples(atlas: SymbolicContext, change: _Change) -> Iterator[str]:
    """Yield an example packet whose verdict in an intermediate state is neither the old nor the new one."""
    for way in change.ways:
        for hook in _hooks_like_neither(way, change.old, change.new):
            found = _third_verdicts(atlas, change, way, hook)
            if not is_false(found):
                yield witness_of(atlas, way, hook, found).words
                return


def _third_verdicts(
    atlas: SymbolicContext, change: _Change, way: SymbolicRuleset, hook: Hook, within: BddFunction | None = None
) -> BddFunction:
    then, now, between = (atlas.fates(world, hook, within) for world in (change.old, change.new, way))
    with within_limits():
        found = atlas.space.diagram.false
        for verdict, packets in between.verdicts.items():
            found |= packets & ~then.verdicts[verdict] & ~now.verdicts[verdict]
        return found


class TrustingVerifier:
    """Verifier that accepts every plan: for tests, and for removing nodewall from a node."""

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:  # noqa: ARG002 - the port's signature
        """Return an empty proof."""
        return PlanProof()

    def differing_packets(self, one: Ruleset, other: Ruleset) -> str:  # noqa: ARG002 - as above
        """Return an empty string."""
        return ""
