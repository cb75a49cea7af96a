"""Lint checks: find rules that have no effect on any packet, whatever the results of unmodelled matches are.

Input: a `Ruleset`. Output: a `LintFinding` per rule or chain without effect. A rule has no effect if no packet reaches
and matches it. It also has no effect if its packets get the same verdict from later rules.

If packets may reach a rule twice, or if rules rewrite packets, the ruleset is evaluated again without the rule. Raises
`Refused` if a rule refers to a missing set or chain, or if jumps form a loop. Raises `NoProof` if the budget of memory
or time is exceeded, and `WitnessMismatch` if the packet simulator computes another verdict for an example.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_

from engine.policy.completed_rules import STATIC_POLICY
from engine.rulesets.model import Chain, Family, Hook, Ruleset, Table
from engine.rulesets.ownership import comment_of
from simulator.analysis.lint.downstream import DownstreamRules
from simulator.analysis.lint.finding import LintFinding, LintKind
from simulator.analysis.lint.set_cover import smallest
from simulator.analysis.prove import witness_of
from simulator.netfilter import Decision, Verdict
from simulator.netfilter.effects import TargetAction
from simulator.symbolic import (
    BddFunction,
    Budget,
    SymbolicContext,
    SymbolicRuleset,
    SymbolicRulesetReader,
    deciders,
    is_false,
    within_limits,
)
from simulator.symbolic.context import UNLIMITED
from simulator.symbolic.rule_visits import ChainTail, ChainVisit, RuleVisit, tails, visits
from simulator.symbolic.symbolic_rules import SymbolicChain, SymbolicRule

_FILTER = "filter"
"""The only table whose rules exist for verdicts alone."""


def lint(
    ruleset: Ruleset, families: Sequence[Family] = tuple(Family), budget: Budget = UNLIMITED
) -> tuple[LintFinding, ...]:
    """Return the findings, ordered by family, table, chain and rule.

    Raises:
        Refused: The ruleset lacks a set or chain, or has a loop.
        NoProof: The budget of memory or time is exceeded.
        WitnessMismatch: The packet simulator disagrees.
    """
    return tuple(finding for family in families for finding in _of_family(ruleset, family, budget))


def _of_family(ruleset: Ruleset, family: Family, budget: Budget) -> Iterator[LintFinding]:
    library = SymbolicRulesetReader(family)
    world = library.read(ruleset)
    if not world.blocks:
        return
    atlas = SymbolicContext.of(library, [world], budget=budget)
    fates = {hook: atlas.fates(world, hook) for hook in Hook}
    with within_limits():
        met = _RuleVisits(atlas, world)
        for hook in Hook:
            met.add(hook, visits(fates[hook]))
        never = list(_never_matching(met))
        yield from sorted([*never, *_without_effect(met, {finding.place for finding in never})], key=_order)


def _order(finding: LintFinding) -> tuple[str, str, int]:
    return (finding.place.table, finding.place.chain, finding.place.rule)


@dataclass(slots=True)
class _RuleVisits:
    """Visits of each chain by packets, per hook."""

    atlas: SymbolicContext
    world: SymbolicRuleset
    visits: dict[Hook, list[ChainVisit]] = field(default_factory=dict)
    chains: dict[SymbolicChain, list[tuple[Hook, ChainVisit]]] = field(default_factory=dict)

    def add(self, hook: Hook, found: list[ChainVisit]) -> None:
        """Add the visits of a hook, without those that no packet makes."""
        self.visits[hook] = found
        for visit in found:
            if not is_false(visit.come):
                self.chains.setdefault(visit.block, []).append((hook, visit))

    def stops(self, block: SymbolicChain) -> dict[SymbolicRule, list[tuple[Hook, ChainVisit, RuleVisit]]]:
        """Return the visits of each rule of a chain, without rules that only count."""
        found: dict[SymbolicRule, list[tuple[Hook, ChainVisit, RuleVisit]]] = {}
        for hook, visit in self.chains[block]:
            for stop in visit.stops:
                found.setdefault(stop.row, []).append((hook, visit, stop))
        return found


# Rules that never match


def _never_matching(met: _RuleVisits) -> Iterator[LintFinding]:
    """Yield chains that are never entered, and rules of other chains that never match."""
    family = met.atlas.space.family
    for block in met.world.blocks.values():
        if block not in met.chains:
            yield LintFinding(LintKind.UNREACHABLE, family, Decision(block.table, block.name, 0))
            continue
        for row, stops in met.stops(block).items():
            if not _is_builtin(row) and all(is_false(stop.hit) for _, _, stop in stops):
                yield _unmatched_finding(met, row, stops)


def _is_builtin(row: SymbolicRule) -> bool:
    """Return whether nodewall always creates this rule, so that it is no finding."""
    return row.decision.policy == STATIC_POLICY or row.decision.comment == comment_of()


def _unmatched_finding(
    met: _RuleVisits, row: SymbolicRule, stops: Sequence[tuple[Hook, ChainVisit, RuleVisit]]
) -> LintFinding:
    family = met.atlas.space.family
    aimed = [(hook, visit, visit.come & stop.holds) for hook, visit, stop in stops]
    aimed = [each for each in aimed if not is_false(each[2])]
    if not aimed:
        return LintFinding(LintKind.UNREACHABLE, family, row.decision, row.rule)
    before = _earlier_rules(row, [visit for _, visit, _ in aimed])
    whole = tuple(wanted for _, _, wanted in aimed)
    chosen = smallest(whole, [tuple(stop.taken for stop in stops) for stops in before])
    causes = tuple(before[place][0].row.decision for place in chosen)
    taken = [
        (hook, reduce(or_, (wanted & before[place][at].come & before[place][at].taken for place in chosen)))
        for at, (hook, _, wanted) in enumerate(aimed)
    ]
    # If rules before the causes take all these packets, the causes' own effect is not visible.
    seen = [each for each in taken if not is_false(each[1])] or [(hook, wanted) for hook, _, wanted in aimed]
    kind = LintKind.CONTRADICTORY if _contradicted(met, row, seen) else LintKind.SHADOWED
    return LintFinding(kind, family, row.decision, row.rule, causes, witness_of(met.atlas, met.world, *seen[0]))


def _earlier_rules(row: SymbolicRule, found: Sequence[ChainVisit]) -> list[tuple[RuleVisit, ...]]:
    """Return the earlier rules of the chain, each with its visits."""
    each = [{stop.row: stop for stop in visit.stops} for visit in found]
    rows = [stop.row for stop in found[0].stops]
    return [tuple(stops[other] for stops in each) for other in rows[: rows.index(row)]]


def _contradicted(met: _RuleVisits, row: SymbolicRule, taken: Sequence[tuple[Hook, BddFunction]]) -> bool:
    """Return whether none of the packets that earlier rules take gets this rule's verdict."""
    verdict = row.verdict
    if verdict is None:
        return False
    return all(is_false(packets & met.atlas.fates(met.world, hook).verdicts[verdict]) for hook, packets in taken)


# Rules that match without effect


def _without_effect(met: _RuleVisits, never: set[Decision]) -> Iterator[LintFinding]:
    """Yield rules whose packets get the same verdict without them."""
    family = met.atlas.space.family
    ways = DownstreamRules(met.visits.values())
    for row, hits in list(_effectless_candidates(met)):
        causes = ways.deciders_without(row)
        if causes is None:
            changed = met.atlas.library.read(_ruleset_without(met.world.ruleset, family, row.decision))
            causes = _deciders_after_removal(met, changed, row, hits)
        if causes and not never & set(causes):
            hook, packets = next(iter(hits.items()))
            witness = witness_of(met.atlas, met.world, hook, packets)
            yield LintFinding(LintKind.REDUNDANT, family, row.decision, row.rule, causes, witness)


RuleHits = dict[Hook, BddFunction]
"""Packets that a rule takes, by hook."""


def _effectless_candidates(met: _RuleVisits) -> Iterator[tuple[SymbolicRule, RuleHits]]:
    """Yield rules whose packets seem to get the same verdict later, with those packets."""
    taken: dict[SymbolicRule, RuleHits] = {}
    wrong: set[SymbolicRule] = set()
    for hook, found in met.visits.items():
        after = _verdicts_after_return(found)
        for visit in found:
            if visit.block.table != _FILTER or is_false(visit.come):
                continue
            ends, watched = tails(visit), _rules_before_logs(visit.block)
            for place, stop in enumerate(visit.stops):
                verdict = stop.row.verdict
                if verdict is None or stop.row in wrong or is_false(hit := stop.hit):
                    continue
                if stop.row in watched or _differs(hit, ends[place + 1], after[visit], verdict):
                    wrong.add(stop.row)
                hits = taken.setdefault(stop.row, {})
                hits[hook] = hits[hook] | hit if hook in hits else hit
    return ((row, hits) for row, hits in taken.items() if row not in wrong and not _is_builtin(row))


def _differs(packets: BddFunction, tail: ChainTail, after: Mapping[Verdict, BddFunction], verdict: Verdict) -> bool:
    others = [other for other in Verdict if other is not verdict]
    back = packets & tail.returned
    return any(not is_false((packets & tail.ends[other]) | (back & after[other])) for other in others)


def _rules_before_logs(block: SymbolicChain) -> frozenset[SymbolicRule]:
    """Return rules that precede a rule with a non-terminating target, such as LOG; they matter beyond verdicts."""
    places = [
        place for place, row in enumerate(block.rows) if row.act is TargetAction.NEXT and row.rule.target is not None
    ]
    return frozenset(block.rows[: places[-1]] if places else ())


def _verdicts_after_return(found: Sequence[ChainVisit]) -> dict[ChainVisit, dict[Verdict, BddFunction]]:
    """Return for each visit the verdicts of packets that return from its chain."""
    by_outcome = {visit.outcome: visit for visit in found}
    after: dict[ChainVisit, dict[Verdict, BddFunction]] = {}
    for visit in found:
        nothing = visit.come & ~visit.come
        if visit not in after:  # the chain of the hook itself
            after[visit] = {verdict: ~nothing if verdict is visit.policy else nothing for verdict in Verdict}
        ends = tails(visit)
        for place, stop in enumerate(visit.stops):
            into = by_outcome.get(stop.into) if stop.into is not None else None
            if into is not None:
                mine = after.setdefault(into, dict.fromkeys(Verdict, nothing))
                for verdict in Verdict:
                    back = after[visit][verdict]
                    if stop.row.act is TargetAction.JUMP:
                        back = ends[place + 1].ends[verdict] | (ends[place + 1].returned & back)
                    mine[verdict] |= stop.hit & back
    return after


def _deciders_after_removal(
    met: _RuleVisits, changed: SymbolicRuleset, row: SymbolicRule, hits: RuleHits
) -> tuple[Decision, ...]:
    """Return the rules that decide once the rule is removed; empty if any verdict differs then."""
    causes: dict[Decision, None] = {}
    for hook in Hook:
        if changed.hooks[hook] == met.world.hooks[hook]:
            continue
        old, new = met.atlas.fates(met.world, hook), met.atlas.fates(changed, hook)
        if dict(old.verdicts) != dict(new.verdicts):
            return ()
        for end in deciders(new, hits[hook]) if hook in hits else ():
            if end.decision is None or end.reject_with != row.reject_with:
                return ()
            causes[_renumbered(end.decision, row.decision)] = None
    return tuple(causes)


def _renumbered(found: Decision, gone: Decision) -> Decision:
    """Return a rule with the number it had before another rule was removed."""
    same = (found.table, found.chain) == (gone.table, gone.chain)
    return replace(found, rule=found.rule + 1) if same and found.rule >= gone.rule else found


def _ruleset_without(ruleset: Ruleset, family: Family, gone: Decision) -> Ruleset:
    """Return the ruleset without one rule."""

    def chain(table: Table, each: Chain) -> Chain:
        if (table.name, each.name) != (gone.table, gone.chain):
            return each
        return replace(each, rules=each.rules[: gone.rule - 1] + each.rules[gone.rule :])

    tables = tuple(Table(t.name, tuple(chain(t, each) for each in t.chains)) for t in ruleset.tables(family))
    return replace(ruleset, ipv4=tables) if family is Family.IPV4 else replace(ruleset, ipv6=tables)
