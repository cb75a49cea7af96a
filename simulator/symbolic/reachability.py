"""Evaluates all packets at once through the tables of a hook, with binary decision diagrams.

Input: a `SymbolicRuleset` (rules with their conditions as formulas) and a hook. Output: a `HookOutcome` with the
packets of each verdict. A chain is evaluated once for the packets of all its callers; each caller then takes its part.

If a rule rewrites a field, its new value is a function of the arriving packet. So a packet set always contains packets
as they arrive. Raises `NoProof` if the limit of memory or time is exceeded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from engine.errors import NoProof
from engine.rulesets.model import Hook
from simulator.context import LOOPBACK
from simulator.matches.formula import STATES, NameCondition, state_condition
from simulator.netfilter.answer import Decision, Verdict
from simulator.netfilter.effects import FieldWrite, TargetAction
from simulator.netfilter.walker import INTERFACES
from simulator.packet_sets.bdd import TIME, BddFunction, TimeCheck, is_false
from simulator.packet_sets.space import UNCHANGED, BddWord, FieldWords, PacketSpace
from simulator.packets import ConnState
from simulator.symbolic.composition import RuleSequence, compose
from simulator.symbolic.symbolic_rules import SymbolicChain, SymbolicRule, SymbolicRuleset
from simulator.symbolic.topological import callers_first

FieldWordsKey = tuple[tuple[str, BddWord], ...]


@dataclass(frozen=True, eq=False, slots=True)
class ChainOutcome:
    """Result of a chain for all packets that may enter it.

    Attributes:
        ends: Packets by verdict.
        returned: Packets that return to the caller.
        scene: Values of rewritten fields after the chain.
        rows: Rules in order, each with the packets that match it and the outcome of the chain that it calls.
    """

    ends: Mapping[Verdict, BddFunction]
    returned: BddFunction
    scene: FieldWords
    rows: tuple[tuple[SymbolicRule, BddFunction, "ChainOutcome | None"], ...]


@dataclass(frozen=True, eq=False, slots=True)
class TableReach:
    """One table at a hook: the packets that reach it, and the result of its base chain."""

    block: SymbolicChain
    seen: BddFunction
    outcome: ChainOutcome


@dataclass(frozen=True, eq=False, slots=True)
class HookOutcome:
    """Packets at a hook, partitioned by verdict.

    ``stages`` holds the evaluation of each table, for questions about the deciding rule.
    """

    packets: BddFunction
    verdicts: Mapping[Verdict, BddFunction]
    stages: tuple[TableReach, ...]


@dataclass(frozen=True, eq=False, slots=True)
class DecidedPackets:
    """Packets decided by one rule or by a chain's policy.

    ``decision`` is None if the hook has no chain.
    """

    packets: BddFunction
    verdict: Verdict
    decision: Decision | None
    reject_with: str | None = None


@dataclass(eq=False)
class Reachability:
    """Evaluator of rulesets in one packet space, with a cache of chains."""

    space: PacketSpace
    patience: TimeCheck = lambda: True
    _known: dict[tuple[SymbolicChain, FieldWordsKey, BddFunction], ChainOutcome] = field(default_factory=dict)
    _fates: dict[tuple[SymbolicRuleset, Hook, BddFunction], HookOutcome] = field(default_factory=dict)

    def fates(self, world: SymbolicRuleset, hook: Hook, within: BddFunction | None = None) -> HookOutcome:
        """Return the outcome of all packets at a hook, or only of those in ``within``.

        Raises:
            NoProof: the time ran out.
        """
        whole = self.space.diagram.true if within is None else within
        if (world, hook, whole) not in self._fates:
            self._fates[world, hook, whole] = self._worked_out(world, hook, whole)
        return self._fates[world, hook, whole]

    def _worked_out(self, world: SymbolicRuleset, hook: Hook, within: BddFunction) -> HookOutcome:
        space = self.space
        has_in, has_out = INTERFACES[hook]
        packets = alive = space.packets(in_interface=has_in, out_interface=has_out) & within
        scene, stages = UNCHANGED, []
        ends = dict.fromkeys(Verdict, space.diagram.false)
        for block in world.hooks[hook]:
            begun = self._untracked(scene, hook) if block.table == "raw" else scene
            seen = alive
            if block.table == "nat":  # the nat table sees only the first packet of a connection
                seen = alive & space.function(state_condition(ConnState.NEW), scene)
            outcome = self._outcome(block, begun, self._callers(block, begun, within))
            stages.append(TableReach(block, seen, outcome))
            policy = Verdict((block.policy or "ACCEPT").lower())
            for verdict in (Verdict.DROP, Verdict.REJECT):
                found = outcome.ends[verdict]
                lost = seen & (found | outcome.returned if policy is verdict else found)
                ends[verdict] |= lost
                alive &= ~lost
            left = self._retracked(scene, outcome.scene) if block.table == "raw" else outcome.scene
            scene = self._merged(scene, left, seen)
        ends[Verdict.ACCEPT] = alive
        return HookOutcome(packets, ends, tuple(stages))

    def _untracked(self, scene: FieldWords, hook: Hook) -> FieldWords:
        """Return the field values for the raw table, where packets have no connection state yet.

        The raw table precedes connection tracking. Packets that return over loopback keep their state.
        """
        invalid = self.space.word("state", STATES.index(ConnState.INVALID))
        if hook is Hook.PREROUTING:
            returns = self.space.function(NameCondition("in_interface", LOOPBACK), scene)
            now = scene.get("state", self.space.axes["state"].variables)
            invalid = tuple(returns.ite(kept, new) for kept, new in zip(now, invalid, strict=True))
        return {**scene, "state": invalid}

    def _retracked(self, before: FieldWords, after: FieldWords) -> FieldWords:
        untracked = self.space.function(state_condition(ConnState.UNTRACKED), after)
        now = before.get("state", self.space.axes["state"].variables)
        state = tuple(untracked.ite(new, kept) for new, kept in zip(after["state"], now, strict=True))
        return {**after, "state": state}

    def _callers(
        self, root: SymbolicChain, scene: FieldWords, within: BddFunction
    ) -> Mapping[SymbolicChain, BddFunction]:
        """Return for each called chain the packets that its callers can send to it."""
        everything, nothing = self.space.diagram.true, self.space.diagram.false
        blocks = below(root)
        if _writing(root):  # the conditions of callers then depend on rewrites that are not known yet
            return dict.fromkeys(blocks, everything)
        found = dict.fromkeys(blocks, nothing) | {root: within}
        for block in blocks:
            for row in block.rows:
                if row.into is not None:
                    about = self.space.function(row.condition, scene, row.occurrence)
                    found[row.into] |= found[block] & about
        return found

    def _outcome(
        self, block: SymbolicChain, scene: FieldWords, callers: Mapping[SymbolicChain, BddFunction]
    ) -> ChainOutcome:
        key = block, tuple(sorted(scene.items(), key=lambda item: item[0])), callers[block]
        if key not in self._known:
            if not self.patience():
                raise NoProof(TIME)
            walk = self._in_order if _writing(block) else self._in_halves
            self._known[key] = walk(block, scene, callers)
        return self._known[key]

    def _in_halves(
        self, block: SymbolicChain, scene: FieldWords, callers: Mapping[SymbolicChain, BddFunction]
    ) -> ChainOutcome:
        """Evaluate a chain whose rules rewrite nothing, by combining rules in pairs.

        Most operations then work on small sets, and only the last ones on those of the whole chain.
        """
        rows, parts = [], []
        for row in block.rows:
            if row.idle:
                continue
            holds = self.space.function(row.condition, scene, row.occurrence)
            hit = callers[block] & holds
            into = None if row.into is None or is_false(hit) else self._outcome(row.into, scene, callers)
            rows.append((row, holds, into))
            if not is_false(hit):
                parts.append(_part(row, hit, into))
        nothing = self.space.diagram.false
        whole = compose(parts) or RuleSequence(nothing, {})
        ends = {verdict: whole.ends.get(verdict, nothing) for verdict in Verdict}
        returned = whole.ends.get(None, nothing) | (callers[block] & ~whole.taken)
        return ChainOutcome(ends, returned, scene, tuple(rows))

    def _in_order(
        self, block: SymbolicChain, scene: FieldWords, callers: Mapping[SymbolicChain, BddFunction]
    ) -> ChainOutcome:
        nothing = self.space.diagram.false
        rest, returned = callers[block], nothing
        ends = dict.fromkeys(Verdict, nothing)
        rows = []
        for row in block.rows:
            if row.idle:
                continue
            holds = self.space.function(row.condition, scene, row.occurrence)
            hit = rest & holds
            into = None if row.into is None or is_false(hit) else self._outcome(row.into, scene, callers)
            rows.append((row, holds, into))
            if is_false(hit):
                continue
            if row.act is not TargetAction.NEXT:
                rest &= ~holds
            if row.verdict is not None:
                ends[row.verdict] |= hit
            elif row.act is TargetAction.RETURN:
                returned |= hit
            elif into is not None:
                ends = {verdict: found | (hit & into.ends[verdict]) for verdict, found in ends.items()}
                back = hit & into.returned
                rest, returned = (rest | back, returned) if row.act is TargetAction.JUMP else (rest, returned | back)
                scene = self._merged(scene, into.scene, hit)
            for write in row.writes:
                scene = self._written(scene, write, hit, row)
        return ChainOutcome(ends, returned | rest, scene, tuple(rows))

    def _merged(self, before: FieldWords, after: FieldWords, whose: BddFunction) -> FieldWords:
        """Return the field values after rewrites that apply only to the packets ``whose``."""
        if before is after:
            return before
        found = dict(before)
        for name, word in after.items():
            now = before.get(name, self.space.axes[name].variables)
            if now is not word:
                found[name] = tuple(whose.ite(new, old) for new, old in zip(word, now, strict=True))
        return found

    def _written(self, scene: FieldWords, write: FieldWrite, hit: BddFunction, row: SymbolicRule) -> FieldWords:
        axis = self.space.axes[write.name]
        if not axis.variables:
            return scene  # no condition depends on the field
        if write.where is not None:
            hit &= self.space.function(write.where, scene)
        now = scene.get(write.name, axis.variables)
        if write.value is None:
            keys = ((*row.occurrence, write.name, place) for place in range(len(now)))
            new: BddWord = tuple(self.space.free(key) for key in keys)
        else:
            new = self.space.word(write.name, write.value)
            if axis.bits:
                new = tuple(
                    (~bit if write.value >> place & 1 else bit) if write.keep >> place & 1 else fresh
                    for bit, fresh, place in zip(now, new, axis.bits, strict=True)
                )
        return {**scene, write.name: tuple(hit.ite(bit, old) for bit, old in zip(new, now, strict=True))}


def _part(row: SymbolicRule, hit: BddFunction, into: ChainOutcome | None) -> RuleSequence:
    if row.verdict is not None:
        return RuleSequence(hit, {row.verdict: hit})
    if into is None:
        return RuleSequence(hit, {None: hit})
    ends: dict[Verdict | None, BddFunction] = {
        end: hit & found for end, found in into.ends.items() if not is_false(found)
    }
    back = hit & into.returned
    if row.act is TargetAction.GOTO:
        return RuleSequence(hit, {**ends, None: back})
    return RuleSequence(hit & ~back, ends)


def _writing(block: SymbolicChain) -> bool:
    """Return whether rules of a chain, or of chains that it calls, rewrite packets."""
    return any(row.writes for each in below(block) for row in each.rows)


def below(root: SymbolicChain) -> list[SymbolicChain]:
    """Return a chain and all chains that it calls, callers first."""
    return callers_first((root,), lambda block: (row.into for row in block.rows if row.into is not None))


def deciders(fates: HookOutcome, whose: BddFunction) -> list[DecidedPackets]:
    """Split packets by the rule that decides them; the rule is the same as in an `Evaluation` of one packet."""
    found: dict[Decision | None, DecidedPackets] = {}
    groups: list[tuple[BddFunction, Decision | None]] = [(whose & fates.packets, None)]
    filtered = False
    for stage in fates.stages:
        fresh: list[tuple[BddFunction, Decision | None]] = []
        for packets, before in groups:
            beside = packets & ~stage.seen
            if not is_false(beside):
                fresh.append((beside, before))
            for end in _ends(stage, packets & stage.seen):
                if end.verdict is not Verdict.ACCEPT:
                    known = found.get(end.decision)
                    found[end.decision] = replace(end, packets=end.packets | known.packets) if known else end
                elif filtered:
                    fresh.append((end.packets, before))
                else:
                    fresh.append((end.packets, end.decision))
        groups = _joined(fresh)
        filtered |= stage.block.table == "filter"
    accepted = (DecidedPackets(packets, Verdict.ACCEPT, decision) for packets, decision in groups)
    return [*found.values(), *(end for end in accepted if not is_false(end.packets))]


def _joined(groups: list[tuple[BddFunction, Decision | None]]) -> list[tuple[BddFunction, Decision | None]]:
    found: dict[Decision | None, BddFunction] = {}
    for packets, decision in groups:
        found[decision] = found[decision] | packets if decision in found else packets
    return [(packets, decision) for decision, packets in found.items()]


def _ends(stage: TableReach, packets: BddFunction) -> Iterator[DecidedPackets]:
    """Yield the packets that one table decides, by deciding rule; the last is the chain policy."""
    if is_false(packets):
        return
    ends: dict[Decision, DecidedPackets] = {}
    left = followed(stage.outcome, packets, ends)
    yield from ends.values()
    if not is_false(left):
        block = stage.block
        yield DecidedPackets(left, Verdict((block.policy or "ACCEPT").lower()), Decision(block.table, block.name, 0))


def followed(outcome: ChainOutcome, packets: BddFunction, ends: dict[Decision, DecidedPackets]) -> BddFunction:
    """Send packets through a chain, add the decided ones to ``ends``, and return those that return to the caller."""
    rest, returned = packets, packets & ~packets
    for row, holds, into in outcome.rows:
        hit = rest & holds
        if is_false(hit):
            continue
        if row.act is not TargetAction.NEXT:
            rest &= ~holds
        if row.verdict is not None:
            known = ends.get(row.decision)
            whole = hit if known is None else hit | known.packets
            ends[row.decision] = DecidedPackets(whole, row.verdict, row.decision, row.reject_with)
        elif row.act is TargetAction.RETURN:
            returned |= hit
        elif into is not None:
            back = followed(into, hit, ends)
            rest, returned = (rest | back, returned) if row.act is TargetAction.JUMP else (rest, returned | back)
        if is_false(rest):
            break
    return returned | rest
