"""The lockout guard: no plan may close a lifeline or break an invariant, nor lead packets astray on its way.

All packets are judged, by the host's own rules together with nodewall's.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from engine.addresses import Address
from engine.errors import NoProof, Refused
from engine.passages import Passage
from engine.ports import Judgement
from engine.rules import CompletedRule
from engine.ruleset import Family, Hook, Ruleset
from simulator.headerspace import Atlas, Budget, Function, Library, Moving, World, count, is_false, within_limits
from simulator.headerspace.atlas import UNLIMITED
from simulator.headerspace.formula import All, Formula, Not, within
from simulator.lifelines import Lifeline, lifelines_of
from simulator.netfilter import Verdict
from simulator.prove import Invariant, proofs, witness_of

_SIDES = {Hook.INPUT: ("dst", "src"), Hook.OUTPUT: ("src", "dst")}
"""Which field has the node's own address at a hook, and which that of the far end."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Judges plans by the traffic of ``lifelines``, which are rules that admit it, and by ``invariants``.

    A lifeline is lost where packets that were accepted no longer are; an invariant must hold however it was before.
    ``own`` are the node's addresses, which packets are shown with.
    """

    lifelines: Sequence[CompletedRule] = ()
    own: Sequence[Address] = ()
    invariants: Sequence[Invariant] = ()
    budget: Budget = UNLIMITED

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[Passage]) -> Judgement:
        """Return what speaks against a plan.

        Raises:
            Refused: a ruleset lacks a set or chain, or has a loop.
            Unconfirmed: the simulator of single packets does not agree.
        """
        found = Judgement()
        for family in Family:
            library = Library(family)
            old, new = library.read(before), library.read(after)
            ways = (way for passage in passages for way in _read(library, passage) if _strange_hooks(way, old, new))
            found += self._judged(_Change(library, old, new, tuple(dict.fromkeys(ways))))
        return found

    def _judged(self, change: "_Change") -> Judgement:
        same = change.old.hooks == change.new.hooks
        lines = [] if same else list(lifelines_of(change.library, self.lifelines))
        if not (lines or change.ways or self.invariants):
            return Judgement()
        usual = {hook: _between(self.own, sides, change.library.family) for hook, sides in _SIDES.items()}
        asked = [*(line.traffic for line in lines), *(each.where for each in self.invariants), *usual.values()]
        found = Judgement()
        try:
            atlas = Atlas.of(change.library, [change.old, change.new, *change.ways], asked, self.budget)
            for line in lines:
                found += Judgement(lost=tuple(_losses(atlas, change, line, usual[line.hook])))
            found += self._kept(atlas, change.new)
            return found + Judgement(strays=tuple(_strays(atlas, change)))
        except NoProof as error:
            return found + Judgement(unproved=(str(error),))

    def _kept(self, atlas: Atlas, new: World) -> Judgement:
        found = Judgement()
        for proof in proofs(atlas, new, self.invariants):
            if proof.witness is not None:
                found += Judgement(broken=(f"{proof.invariant.name}: {proof.witness.words}",))
            elif proof.unproved:
                found += Judgement(unproved=(proof.unproved,))
        return found


@dataclass(frozen=True, slots=True)
class _Change:
    """One family of what is judged: the state before, the state after, and those between that are like neither."""

    library: Library
    old: World
    new: World
    ways: tuple[World, ...]


def _read(library: Library, passage: Passage) -> Iterator[World]:
    """Yield what a kernel does meanwhile, if one can be in such a state: else it refuses the step that leads there."""
    sets = {each.name: each for each in passage.ruleset.sets}
    moving = {name: Moving(sets[name], after) for name, after in passage.moving.items()}
    with suppress(Refused):
        yield library.read(passage.ruleset, moving)


def _strange_hooks(way: World, old: World, new: World) -> list[Hook]:
    return [hook for hook in Hook if way.hooks[hook] not in (old.hooks[hook], new.hooks[hook])]


def _between(own: Sequence[Address], sides: tuple[str, str], family: Family) -> Formula:
    """Return the condition that a packet travels between an address of the node's and another one."""
    numbers = [int(address) for address in own if f"IPv{address.version}" == family]
    here, there = (within(side, *((number, number) for number in numbers)) for side in sides)
    return All((here, Not(there)))


def _losses(atlas: Atlas, change: _Change, line: Lifeline, usual: Formula) -> Iterator[str]:
    """Yield a packet of a lifeline that was accepted and is no longer, if there is one."""
    then, now = atlas.fates(change.old, line.hook), atlas.fates(change.new, line.hook)
    with within_limits():
        # What others have marked they have marked for something, as kube-proxy does what is to be dropped.
        before = atlas.meant(line.traffic) & then.verdicts[Verdict.ACCEPT] & atlas.space.unmarked
        lost = before & ~now.verdicts[Verdict.ACCEPT]
        few = line.anywhere and 2 * count(atlas.space, lost) < count(atlas.space, before)
        clear = lost & atlas.meant(usual)
    if not (few or is_false(lost)):
        shown = witness_of(atlas, change.new, line.hook, lost if is_false(clear) else clear, change.old)
        yield f"{shown.words} ({line.name})"


def _strays(atlas: Atlas, change: _Change) -> Iterator[str]:
    """Yield a packet that on the way gets a verdict which is neither its old nor its new one, if there is one."""
    for way in change.ways:
        for hook in _strange_hooks(way, change.old, change.new):
            found = _astray(atlas, change, way, hook)
            if not is_false(found):
                yield witness_of(atlas, way, hook, found).words
                return


def _astray(atlas: Atlas, change: _Change, way: World, hook: Hook) -> Function:
    then, now, between = (atlas.fates(world, hook) for world in (change.old, change.new, way))
    with within_limits():
        found = atlas.space.diagram.false
        for verdict, packets in between.verdicts.items():
            found |= packets & ~then.verdicts[verdict] & ~now.verdicts[verdict]
        return found


class TrustingVerifier:
    """Finds no fault in anything: for tests, and for taking nodewall off a node."""

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[Passage]) -> Judgement:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return Judgement()
