"""What a kernel holds on the way through a plan, and the way round for plans whose ways are not safe.

Between two states a packet must always get the verdict of one of them. Whether it does is the verifier's to say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from engine.rulesets.diff import RulesetChange, SetEdit, apply_changes, diff
from engine.rulesets.model import Chain, IpSet, Match, Rule, Ruleset, Table
from engine.rulesets.ownership import SET_PREFIX
from engine.rulesets.plan import Plan, Step, Tool, make_plan


@dataclass(frozen=True, slots=True)
class IntermediateState:
    """A while in which a kernel has the rules of ``ruleset``, and its sets but for what moves.

    ``moving`` gives by name what those sets become, member by member: an address is in one as it was or as it will be.
    """

    ruleset: Ruleset
    moving: Mapping[str, IpSet]


def passages(observed: Ruleset, plan: Plan) -> Iterator[IntermediateState]:
    """Yield what the kernel holds on the way, from before the first step to before the last change is made."""
    for step in plan.steps:
        for changes in _transactions(step):
            after = apply_changes(observed, changes)
            yield IntermediateState(observed, _moving(observed, after) if step.tool is Tool.IPSET else {})
            observed = after


def _transactions(step: Step) -> Iterator[tuple[RulesetChange, ...]]:
    """Yield the changes that happen at once: a restore commits table by table."""
    if step.tool is Tool.IPSET:
        yield step.changes
        return
    edits = [change for change in step.changes if not isinstance(change, SetEdit)]
    for table in sorted({edit.table for edit in edits}):
        yield tuple(edit for edit in edits if edit.table == table)


def _moving(before: Ruleset, after: Ruleset) -> dict[str, IpSet]:
    known = {item.name: item for item in before.sets}
    return {item.name: item for item in after.sets if item.name in known and known[item.name] != item}


def round_plan(observed: Ruleset, wanted: Ruleset) -> Plan:
    """Return a plan during which no rule looks into a set that changes.

    Sets that change are made anew under other names, to which the rules switch at once as they become what is wanted.
    Behind their backs the sets become what is wanted too, and the rules go back to their names.
    """
    renamed = _renamed(observed, wanted)
    there = {item.name: item for item in observed.sets}
    rules = _with_names(wanted, renamed)
    fresh = [replace(item, name=renamed[item.name]) for item in wanted.sets if item.name in renamed]
    same = [item for item in wanted.sets if item.name not in renamed]
    # First the rules turn to fresh sets, then the old ones become what is wanted, and then the rules turn back.
    around = replace(rules, sets=tuple(sorted([*same, *fresh, *(there[name] for name in renamed)])))
    ready = replace(rules, sets=tuple(sorted([*wanted.sets, *fresh])))
    steps: list[Step] = []
    for aim in (around, ready, wanted):
        part = make_plan(diff(observed, aim))
        observed = apply_changes(observed, part.changes)
        steps += part.steps
    return Plan(tuple(steps))


def _renamed(observed: Ruleset, wanted: Ruleset) -> dict[str, str]:
    """Return other names for the sets of ours that are there and have to change."""
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
    """Return a ruleset whose rules look into sets by other names."""

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
