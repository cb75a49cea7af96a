"""Isolates the policy rules that made a restore fail, by bisection, so that the rest can be applied.

Input: the `KernelRefused` error, the `Plan` and the desired `Ruleset`. Output: `RefusedRules`, with the refused rules
and the sets that the kernel cannot destroy. If the tool names the line of the fault, that rule is refused. Otherwise
the rules are tested in a chain that no rule jumps to, so no packet is affected. Raises `KernelError` if a test cannot
be undone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.compiler.assemble import TABLE
from engine.errors import KernelBusy, KernelRefused
from engine.reconcile.interfaces import Kernel
from engine.rulesets.diff import RuleInserted, SetDestroyed, diff, owned_part
from engine.rulesets.model import Chain, Family, Rule, Ruleset, Table
from engine.rulesets.ownership import CHAIN_PREFIX, owner_of
from engine.rulesets.plan import Plan, Tool, make_plan
from engine.rulesets.text import render_rule

RuleOwner = tuple[str, str]
"""Policy name and rule name."""

_CHAIN = f"{CHAIN_PREFIX}PROBE"


@dataclass(frozen=True, slots=True)
class RefusedRules:
    """Rules that the kernel refuses on their own, and sets of ours that it cannot destroy."""

    owners: frozenset[RuleOwner] = frozenset()
    sets: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.owners or self.sets)


def find_refused_rules(error: KernelRefused, plan: Plan, wanted: Ruleset, kernel: Kernel) -> RefusedRules:
    """Return the rules that made a step of ``plan`` fail; empty if they cannot be told apart.

    The kernel must be in the state before the plan, and is in it again on return.

    Raises:
        KernelError: a test could not be undone.
    """
    if error.status < 0 or isinstance(error, KernelBusy):
        return RefusedRules()  # the error is not about rules
    if error.tool == Tool.IPSET:
        return _of_sets(error.offending, plan, wanted)
    new = [(c.family, c.rule) for c in plan.changes if isinstance(c, RuleInserted) and _is_plain(c.rule)]
    named = frozenset(_owners(rule for _, rule in new if error.offending.endswith(render_rule(rule))))
    if named:
        return RefusedRules(named)
    trial = _Trial(kernel, wanted, new)
    return (
        RefusedRules()
        if trial.refused(())
        else RefusedRules(frozenset(trial.found(tuple(dict.fromkeys(trial.owners)))))
    )


def apply_unchecked(wanted: Ruleset, kernel: Kernel) -> None:
    """Apply the changes from the observed state to ``wanted`` (our part only), without checks.

    Raises:
        KernelError: a step failed; the steps before it took effect.
    """
    for step in make_plan(diff(kernel.observe(), wanted)).steps:
        kernel.run(step)


def _of_sets(line: str, plan: Plan, wanted: Ruleset) -> RefusedRules:
    _, _, rest = line.partition(" ")
    name = rest.partition(" ")[0]
    rules = (rule for _, _, chain in wanted.chains() for rule in chain.rules if name in rule.set_names)
    gone = {change.name for change in plan.changes if isinstance(change, SetDestroyed) and not change.replaced}
    return RefusedRules(frozenset(_owners(rules)), frozenset({name} & gone))


def _owners(rules: Iterator[Rule]) -> Iterator[RuleOwner]:
    return (owner for rule in rules if (owner := owner_of(rule.comment)) is not None)


def _is_plain(rule: Rule) -> bool:
    """Return whether a rule belongs to a policy and works in any chain; jumps to our chains are never refused."""
    return owner_of(rule.comment) is not None and not (rule.target is not None and rule.target.owned)


class _Trial:
    """Tests rules in an unreferenced chain."""

    def __init__(self, kernel: Kernel, wanted: Ruleset, rules: Sequence[tuple[Family, Rule]]) -> None:
        self._kernel = kernel
        self._before = owned_part(kernel.observe())
        self._sets = {item.name: replace(item, members=()) for item in wanted.sets}
        self._rules = [(owner_of(rule.comment), family, rule) for family, rule in rules]
        self.owners = [owner for owner, _, _ in self._rules if owner is not None]

    def found(self, owners: tuple[RuleOwner, ...]) -> Iterator[RuleOwner]:
        """Yield the owners whose rules are refused, by bisection."""
        if not owners or not self.refused(owners):
            return
        if len(owners) == 1:
            yield owners[0]
            return
        half = len(owners) // 2
        yield from self.found(owners[:half])
        yield from self.found(owners[half:])

    def refused(self, owners: tuple[RuleOwner, ...]) -> bool:
        """Return whether the kernel refuses the rules of these owners; restores the previous state."""
        chosen = set(owners)
        rules = [(family, rule) for owner, family, rule in self._rules if owner in chosen]
        try:
            apply_unchecked(self._with(rules), self._kernel)
        except KernelRefused:
            return True
        finally:
            apply_unchecked(self._before, self._kernel)
        return False

    def _with(self, rules: Sequence[tuple[Family, Rule]]) -> Ruleset:
        there = {item.name for item in self._before.sets}
        names = sorted({name for _, rule in rules for name in rule.set_names} - there)
        ipv4, ipv6 = (_joined(self._before.tables(family), rules, family) for family in Family)
        return Ruleset(ipv4, ipv6, (*self._before.sets, *(self._sets[name] for name in names)))


def _joined(tables: tuple[Table, ...], rules: Sequence[tuple[Family, Rule]], family: Family) -> tuple[Table, ...]:
    """Return the tables with the test chain added beside the compiled chains."""
    ours = tuple(rule for each, rule in rules if each is family)
    known = {table.name: table for table in tables}
    mine = known.get(TABLE, Table(TABLE))
    known[TABLE] = replace(mine, chains=(*mine.chains, Chain(_CHAIN, ours)))
    return tuple(known.values())
