"""Cache of the rules and sets observed in the kernel; it reads again only the parts that may have changed.

Input: a backend, which reads the kernel, and a :class:`RuleChanges` detector, which reports changes of rules. Output:
the observed :class:`Ruleset`; it is the same object as long as nothing changed.

The kernel does not report changes of sets, so the caller decides when to read all sets again. Raises the
``KernelError`` of the backend.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from engine.errors import KernelRefused
from engine.reconcile.interfaces import Backend
from engine.rulesets.diff import SetEdit
from engine.rulesets.model import Chain, Family, IpSet, Rule, Ruleset, Table
from engine.rulesets.plan import FAMILY_TOOL, Step, Tool, set_name_of

_FEW = 8
"""Most sets that are read one by one; beyond that, all sets are read at once."""


class RuleChanges(Protocol):
    """Detector of rule changes by any program."""

    def families(self) -> frozenset[Family]:
        """Return the families whose rules may have changed since the last call."""
        ...


class CachedKernel:
    """Backend of one network namespace, with a cache of its rules and sets.

    The rules of a family are read again after ``changes`` reports the family. A set is read again after a step wrote
    it; all sets are read again after :meth:`distrust_sets`.
    """

    def __init__(self, kernel: Backend, changes: RuleChanges) -> None:
        self._kernel = kernel
        self._changes = changes
        self._tables: dict[Family, tuple[Table, ...]] = {}
        self._unknown: set[str] | None = None  # names of sets to read again; None means all sets
        self._last = Ruleset()
        self._expected: dict[str, IpSet] = {}
        self._expected_rules: dict[tuple[Family, str, str], tuple[Rule, ...]] = {}

    def expect(self, wanted: Ruleset) -> None:
        """Replace cached parts by equal parts of the desired ruleset, because identical objects compare fastest."""
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
        """Read all sets again at the next ``observe``, because the kernel reports no changes of sets."""
        self._unknown = None

    def _distrust(self) -> None:
        self._tables = {}
        self.distrust_sets()

    def hear(self) -> bool:
        """Drop the cached rules of changed families, and return whether any were cached."""
        gone = [self._tables.pop(family, None) for family in self._changes.families()]
        return any(tables is not None for tables in gone)

    def observe(self) -> Ruleset:
        """Return the observed ruleset; the same object as before if nothing changed."""
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
                with suppress(KernelRefused):  # the set no longer exists
                    known[name] = self._set_as_expected(self._kernel.sets(name)[0])
            found = tuple(sorted(known.values(), key=lambda item: item.name))
        else:
            found = self._last.sets
        self._unknown = set()
        return found

    def run(self, step: Step) -> None:
        """Run one step; the parts that it wrote are read again at the next ``observe``."""
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
