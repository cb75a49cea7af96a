"""The kernel of one network namespace, reached by iptables, ip6tables and ipset; and a fake of it.

Sources: iptables-restore(8), ip6tables-restore(8), ipset(8). Everything is read by the tools' ``save`` and written by
their ``restore``, one process a step whatever its size.
"""

import re
from collections.abc import Callable
from enum import StrEnum

from adapters.process import Finished, Runner
from engine.diff import apply_changes
from engine.errors import KernelRefused, ToolMissing
from engine.plan import FAMILY_TOOL, Step, Tool
from engine.restore import parse_sets, parse_tables
from engine.ruleset import Family, Ruleset, Table

_LOCK_SECONDS = "10"  # how long iptables-legacy waits for the lock that all its writers share
_LINE = re.compile(r"line:? (\d+)")


class Backend(StrEnum):
    """Which of iptables' two backends writes the rules; ``auto`` finds out."""

    AUTO = "auto"
    NFT = "nft"
    LEGACY = "legacy"


class NetfilterKernel:
    """A network namespace's netfilter, through the programs that ``runner`` starts."""

    def __init__(self, runner: Runner, backend: Backend = Backend.AUTO) -> None:
        self._runner = runner
        self._backend = backend

    @property
    def backend(self) -> Backend:
        """The backend in use: the one asked for, else the one that holds more rules, else nft."""
        if self._backend is Backend.AUTO:
            self._backend = max((Backend.NFT, Backend.LEGACY), key=self._rules_held)
        return self._backend

    def observe(self) -> Ruleset:
        """Return everything in force."""
        ipv4, ipv6 = (self._tables(family, self.backend) for family in Family)
        sets = parse_sets(self._run(["ipset", "save"]).out)
        return Ruleset(ipv4, ipv6, tuple(sorted(sets)))

    def run(self, step: Step) -> None:
        """Carry out one step by one process."""
        self._run(self._command(step.tool), step.text)

    def _command(self, tool: Tool) -> list[str]:
        if tool is Tool.IPSET:
            return ["ipset", "restore"]
        wait = ["-w", _LOCK_SECONDS] if self.backend is Backend.LEGACY else []
        return [f"{tool}-{self.backend}-restore", "--noflush", *wait]

    def _tables(self, family: Family, backend: Backend) -> tuple[Table, ...]:
        program = f"{FAMILY_TOOL[family]}-{backend}-save"
        return parse_tables(self._run([program]).out, program, family)

    def _rules_held(self, backend: Backend) -> int:
        """Return how many rules a backend holds, -1 for one that is not on this machine."""
        try:
            tables = [table for family in Family for table in self._tables(family, backend)]
        except (ToolMissing, KernelRefused):
            return -1  # if it is the one we end up with, the next call says why
        return sum(len(chain.rules) for table in tables for chain in table.chains)

    def _run(self, words: list[str], text: str = "") -> Finished:
        finished = self._runner.run(words, text)
        if finished.status == 0:
            return finished
        finished.check_privileges(words[0])
        raise KernelRefused(words[0], finished.status, finished.err, _offending(finished.err, text))


def _offending(words: str, text: str) -> str:
    """Return the line of the input that a tool's words name by its number, or nothing."""
    found = _LINE.search(words)
    lines = text.splitlines()
    number = int(found[1]) if found else 0
    return lines[number - 1] if 0 < number <= len(lines) else ""


class MemoryKernel:
    """A kernel that holds a ruleset in memory; ``refuse`` may name the words with which a step fails."""

    def __init__(self, ruleset: Ruleset | None = None, refuse: Callable[[Step], str] = lambda _: "") -> None:
        self.ruleset = ruleset or Ruleset()
        self.steps: list[Step] = []
        self._refuse = refuse

    def observe(self) -> Ruleset:
        """Return what it holds."""
        return self.ruleset

    def run(self, step: Step) -> None:
        """Carry out a step, unless it is to be refused."""
        if words := self._refuse(step):
            raise KernelRefused(step.tool, 1, words)
        self.steps.append(step)
        self.ruleset = apply_changes(self.ruleset, step.changes)
