"""A kernel that is looked at again only where something may have changed since the last look."""

from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from engine.errors import KernelRefused
from engine.reconcile.interfaces import Backend
from engine.rulesets.diff import SetEdit
from engine.rulesets.model import Chain, Family, IpSet, Rule, Ruleset, Table
from engine.rulesets.plan import FAMILY_TOOL, Step, Tool, set_name_of

_FEW = 8
"""Sets that are read one by one; more are read all together."""


class RuleChanges(Protocol):
    """Tells whose rules have changed, whoever changed them."""

    def families(self) -> frozenset[Family]:
        """Return the families whose rules may have changed since this was asked last."""
        ...


class CachedKernel:
    """A network namespace's netfilter, and what is known of it.

    The rules of a family are read where ``changes`` tells of any. A set is read once it was written, and all of them
    as often as :meth:`distrust_sets` is called.
    """

    def __init__(self, kernel: Backend, changes: RuleChanges) -> None:
        self._kernel = kernel
        self._changes = changes
        self._tables: dict[Family, tuple[Table, ...]] = {}
        self._unknown: set[str] | None = None  # names of sets, or any
        self._last = Ruleset()
        self._expected: dict[str, IpSet] = {}
        self._expected_rules: dict[tuple[Family, str, str], tuple[Rule, ...]] = {}

    def expect(self, wanted: Ruleset) -> None:
        """Give what is wanted for what is equal to it, as the same objects are compared fastest."""
        self._expected = {item.name: item for item in wanted.sets}
        self._expected_rules = {
            (family, table.name, c.name): c.rules for family, table, c in wanted.chains() if c.owned
        }
        self._tables = {family: self._as_expected(family, tables) for family, tables in self._tables.items()}
        self._last = replace(self._last, sets=tuple(map(self._set_as_expected, self._last.sets)))

    def _as_expected(self, family: Family, tables: tuple[Table, ...]) -> tuple[Table, ...]:
        def chain(table: str, found: Chain) -> Chain:
            rules = self._expected_rules.get((family, table, found.name), found.rules)
            return found if rules is found.rules or rules != found.rules else replace(found, rules=rules)

        return tuple(replace(each, chains=tuple(chain(each.name, found) for found in each.chains)) for each in tables)

    def _set_as_expected(self, found: IpSet) -> IpSet:
        expected = self._expected.get(found.name, found)
        return expected if expected == found else found

    def distrust_sets(self) -> None:
        """Read all sets anew at the next look, as the kernel tells nothing of them."""
        self._unknown = None

    def _distrust(self) -> None:
        self._tables = {}
        self.distrust_sets()

    def hear(self) -> bool:
        """Take note of what has changed, and return whether anything that was known has."""
        gone = [self._tables.pop(family, None) for family in self._changes.families()]
        return any(tables is not None for tables in gone)

    def observe(self) -> Ruleset:
        """Return everything in force; the same object as before where nothing is new."""
        self.hear()
        for family in Family:
            if family not in self._tables:
                self._tables[family] = self._as_expected(family, self._kernel.tables(family))
        ipv4, ipv6 = (self._tables[family] for family in Family)
        sets = self._read_sets()
        if not (ipv4 is self._last.ipv4 and ipv6 is self._last.ipv6 and sets is self._last.sets):
            self._last = Ruleset(ipv4, ipv6, sets)
        return self._last

    def _read_sets(self) -> tuple[IpSet, ...]:
        if self._unknown is None or len(self._unknown) > _FEW:
            found = tuple(map(self._set_as_expected, self._kernel.sets()))
        elif self._unknown:
            known = {item.name: item for item in self._last.sets if item.name not in self._unknown}
            for name in self._unknown:
                with suppress(KernelRefused):  # there is none of that name any more
                    known[name] = self._set_as_expected(self._kernel.sets(name)[0])
            found = tuple(sorted(known.values(), key=lambda item: item.name))
        else:
            found = self._last.sets
        self._unknown = set()
        return found

    def run(self, step: Step) -> None:
        """Carry out one step; what it wrote is read again at the next look."""
        try:
            self._kernel.run(step)
        except BaseException:
            self._distrust()
            raise
        for family in Family:
            if FAMILY_TOOL[family] is step.tool:
                self._tables.pop(family, None)
        if step.tool is Tool.IPSET and self._unknown is not None:
            self._unknown |= {set_name_of(each) for each in step.changes if isinstance(each, SetEdit)}
