"""A kernel that is looked at again only where something may have changed since the last look."""

from contextlib import suppress

from adapters.kernel import Backend, NetfilterKernel
from adapters.notifications import RuleNotifications
from engine.diff import SetEdit
from engine.errors import KernelRefused
from engine.plan import FAMILY_TOOL, Step, Tool, set_name_of
from engine.ruleset import Family, IpSet, Ruleset, Table

_FEW = 8
"""Sets that are read one by one; more are read all together."""


class RememberedKernel:
    """A network namespace's netfilter, and what is known of it.

    By nftables the rules of a family are read when it was told of a change, by iptables-legacy, which tells nothing,
    at every look. A set is read once it was written, and all of them as often as :meth:`distrust_sets` is called.
    """

    def __init__(self, kernel: NetfilterKernel, notifications: RuleNotifications | None = None) -> None:
        self._kernel = kernel
        self._told_by = notifications if kernel.backend is Backend.NFT else None
        self._tables: dict[Family, tuple[Table, ...]] = {}
        self._unknown: set[str] | None = None  # names of sets, or any
        self._last = Ruleset()

    def distrust_sets(self) -> None:
        """Read all sets anew at the next look, as the kernel tells nothing of them."""
        self._unknown = None

    def _distrust(self) -> None:
        self._tables = {}
        self.distrust_sets()

    def hear(self) -> None:
        """Take note of what the kernel tells of."""
        for family in self._told_by.families() if self._told_by else Family:
            self._tables.pop(family, None)

    def observe(self) -> Ruleset:
        """Return everything in force; the same object as before where nothing is new."""
        self.hear()
        for family in Family:
            if family not in self._tables:
                self._tables[family] = self._kernel.tables(family)
        ipv4, ipv6 = (self._tables[family] for family in Family)
        sets = self._read_sets()
        if not (ipv4 is self._last.ipv4 and ipv6 is self._last.ipv6 and sets is self._last.sets):
            self._last = Ruleset(ipv4, ipv6, sets)
        return self._last

    def _read_sets(self) -> tuple[IpSet, ...]:
        if self._unknown is None or len(self._unknown) > _FEW:
            found = self._kernel.sets()
        elif self._unknown:
            known = {item.name: item for item in self._last.sets if item.name not in self._unknown}
            for name in self._unknown:
                with suppress(KernelRefused):  # there is none of that name any more
                    known[name] = self._kernel.sets(name)[0]
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
