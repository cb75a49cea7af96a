"""In-memory backend for tests: a replacement for a kernel that holds a ruleset and applies changes to it.

Input: steps of a plan. Output: the ruleset after the steps. Raises ``KernelRefused``, as the real tools do, for a rule
that refers to a missing set or chain. The removal of a set in use raises it too.

:func:`engine.rulesets.diff.apply_changes` defines the effect of a step.
"""

from collections.abc import Callable, Iterator

from engine.errors import KernelRefused
from engine.reconcile.interfaces import Command
from engine.rulesets.diff import JumpPlaced, RuleInserted, SetDestroyed, apply_changes
from engine.rulesets.model import Family, IpSet, Ruleset, Table
from engine.rulesets.plan import Step, Tool
from engine.rulesets.text.steps import render_step


class MemoryBackend:
    """Backend that holds a ruleset in memory; ``refuse`` may return an error message, which makes a step fail."""

    def __init__(self, ruleset: Ruleset | None = None, refuse: Callable[[Step], str] = lambda _: "") -> None:
        self.ruleset = ruleset or Ruleset()
        self.steps: list[Step] = []
        self._refuse = refuse

    @property
    def name(self) -> str:
        """Name of the backend."""
        return "memory"

    def observe(self) -> Ruleset:
        """Return the held ruleset."""
        return self.ruleset

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        return self.ruleset.tables(family)

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return all sets, or only the set called ``name``; raise ``KernelRefused`` if it is missing."""
        found = tuple(item for item in self.ruleset.sets if name in {"", item.name})
        if name and not found:
            raise KernelRefused(Tool.IPSET, 1, f"the set {name} does not exist")
        return found

    def render(self, step: Step) -> Command:
        """Return the text of a step; no program reads it."""
        return Command((step.tool,), render_step(step))

    def run(self, step: Step) -> None:
        """Apply a step, or raise ``KernelRefused``."""
        self.render(step)  # raises for a step that no tool can express
        if words := self._refuse(step) or next(_objections(self.ruleset, step), ""):
            raise KernelRefused(step.tool, 1, words)
        self.steps.append(step)
        self.ruleset = apply_changes(self.ruleset, step.changes)


def _objections(before: Ruleset, step: Step) -> Iterator[str]:
    """Yield the reasons why the kernel's tools would refuse a step."""
    after = apply_changes(before, step.changes)
    sets = {item.name for item in after.sets}
    chains = {(family, table.name, chain.name) for family, table, chain in after.chains()}
    used = {name for _, _, chain in before.chains() for rule in chain.rules for name in rule.set_names}
    for change in step.changes:
        if isinstance(change, RuleInserted | JumpPlaced):
            target = change.rule.target
            if missing := set(change.rule.set_names) - sets:
                yield f"the set {min(missing)} does not exist"
            if target is not None and target.owned and (change.family, change.table, target.name) not in chains:
                yield f"the chain {target.name} does not exist"
        elif isinstance(change, SetDestroyed) and change.name in used:
            yield f"the set {change.name} is in use"
