"""Intermediate kernel states of a plan, and make-before-break plans where in-place changes are unsafe.

An intermediate state is safe if every packet gets its old or its new verdict; the `Verifier` checks that. In a
make-before-break plan, rules first switch to new sets, so that no rule uses a set while it changes.

Input: the observed `Ruleset` and a `Plan`, or the desired `Ruleset`. Output: `IntermediateState` values (the ruleset
between two steps, and the sets that change meanwhile), or a `Plan`. A restore commits table by table; ipset changes
members one by one (iptables-restore(8), ipset(8)).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from engine.rulesets.diff import RulesetChange, SetEdit, apply_changes, diff
from engine.rulesets.model import Chain, IpSet, Match, Rule, Ruleset, Table
from engine.rulesets.ownership import SET_PREFIX
from engine.rulesets.plan import Plan, Step, Tool, make_plan


@dataclass(frozen=True, slots=True)
class IntermediateState:
    """State of the kernel between two steps: the ruleset, and the sets that change meanwhile.

    ``moving`` maps set names to their new contents; each member may already have changed or not.
    """

    ruleset: Ruleset
    moving: Mapping[str, IpSet]


def intermediate_states(observed: Ruleset, plan: Plan) -> Iterator[IntermediateState]:
    """Yield the intermediate states of a plan, from before the first step to before the last change."""
    for step in plan.steps:
        for changes in _transactions(step):
            after = apply_changes(observed, changes)
            yield IntermediateState(observed, _moving(observed, after) if step.tool is Tool.IPSET else {})
            observed = after


def _transactions(step: Step) -> Iterator[tuple[RulesetChange, ...]]:
    """Yield the changes that take effect together: a restore commits table by table."""
    if step.tool is Tool.IPSET:
        yield step.changes
        return
    edits = [change for change in step.changes if not isinstance(change, SetEdit)]
    for table in sorted({edit.table for edit in edits}):
        yield tuple(edit for edit in edits if edit.table == table)


def _moving(before: Ruleset, after: Ruleset) -> dict[str, IpSet]:
    known = {item.name: item for item in before.sets}
    return {item.name: item for item in after.sets if item.name in known and known[item.name] != item}


def make_before_break_plan(observed: Ruleset, wanted: Ruleset) -> Plan:
    """Return a make-before-break plan, during which no rule uses a set that changes.

    Changed sets are created under temporary names, and the rules switch to these at once. Then the original sets are
    changed, and the rules switch back.
    """
    renamed = _renamed(observed, wanted)
    there = {item.name: item for item in observed.sets}
    rules = _with_names(wanted, renamed)
    fresh = [replace(item, name=renamed[item.name]) for item in wanted.sets if item.name in renamed]
    same = [item for item in wanted.sets if item.name not in renamed]
    # First the rules switch to new sets, then the original sets change, then the rules switch back.
    around = replace(rules, sets=tuple(sorted([*same, *fresh, *(there[name] for name in renamed)])))
    ready = replace(rules, sets=tuple(sorted([*wanted.sets, *fresh])))
    steps: list[Step] = []
    for aim in (around, ready, wanted):
        part = make_plan(diff(observed, aim))
        observed = apply_changes(observed, part.changes)
        steps += part.steps
    return Plan(tuple(steps))


def _renamed(observed: Ruleset, wanted: Ruleset) -> dict[str, str]:
    """Return set name -> temporary name for our existing sets that have to change."""
    there = {item.name: item for item in observed.sets if item.owned}
    names = [item.name for item in wanted.sets if item.name in there and _differ(there[item.name], item)]
    taken = {item.name for ruleset in (observed, wanted) for item in ruleset.sets}
    return {name: _free(name, taken) for name in names}


def _differ(before: IpSet, after: IpSet) -> bool:
    return (before.kind, before.options, before.members) != (after.kind, after.options, after.members)


def _free(name: str, taken: set[str]) -> str:
    stem = f"{SET_PREFIX}next-{name.removeprefix(SET_PREFIX)}"
    found, number = stem, 1
    while found in taken:
        number += 1
        found = f"{stem}-{number}"
    return found


def _with_names(ruleset: Ruleset, renamed: Mapping[str, str]) -> Ruleset:
    """Return a ruleset whose rules use renamed sets."""

    def match(each: Match) -> Match:
        if each.option != "match-set" or each.values[0] not in renamed:
            return each
        return replace(each, values=(renamed[each.values[0]], *each.values[1:]))

    def rule(each: Rule) -> Rule:
        return replace(each, matches=tuple(map(match, each.matches))) if renamed.keys() & each.set_names else each

    def chain(each: Chain) -> Chain:
        return replace(each, rules=tuple(map(rule, each.rules)))

    def table(each: Table) -> Table:
        return replace(each, chains=tuple(map(chain, each.chains)))

    return replace(ruleset, ipv4=tuple(map(table, ruleset.ipv4)), ipv6=tuple(map(table, ruleset.ipv6)))
