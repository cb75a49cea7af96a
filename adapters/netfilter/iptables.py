"""The kernel of one network namespace, reached by iptables, ip6tables and ipset; and a fake of it.

Sources: iptables-restore(8), ip6tables-restore(8), ipset(8). Everything is read by the tools' ``save`` and written by
their ``restore``, one process a step whatever its size.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar, cast

from adapters.system.process import FinishedProcess, Runner
from engine.errors import KernelBusy, KernelRefused, ToolMissing
from engine.rulesets.diff import apply_changes
from engine.rulesets.model import Family, IpSet, Ruleset, Table
from engine.rulesets.ownership import SET_PREFIX, comment_of
from engine.rulesets.plan import FAMILY_TOOL, Step, Tool
from engine.rulesets.text import parse_sets, parse_tables

_LOCK_SECONDS = "10"  # how long iptables-legacy waits for the lock that all its writers share
_LOCKED = "holding the xtables lock"
_LINE = re.compile(r"line:? (\d+)")
_CHANGING = re.compile(r"^#.*\n|(?<=^:)(\S+ \S+) \[[0-9:]+\]$", re.MULTILINE)
"""What iptables-save prints anew each time: when it ran, and how many packets reached a policy."""

T = TypeVar("T")


class Backend(StrEnum):
    """Which of iptables' two backends writes the rules; ``auto`` finds out."""

    AUTO = "auto"
    NFT = "nft"
    LEGACY = "legacy"


class NetfilterKernel:
    """A network namespace's netfilter, through the programs that ``runner`` starts.

    What a program printed last is kept with what it meant, so that reading the same again costs no parsing.
    """

    def __init__(self, runner: Runner, backend: Backend = Backend.AUTO) -> None:
        self._runner = runner
        self._backend = backend
        self._known: dict[str, tuple[str, object]] = {}

    @property
    def backend(self) -> Backend:
        """The backend in use: the one asked for, else the one that others use more, else the one that holds ours.

        Where neither tells them apart it is nft.
        """
        if self._backend is Backend.AUTO:
            self._backend = max((Backend.NFT, Backend.LEGACY), key=lambda each: self._with(each).held())
        return self._backend

    @property
    def other(self) -> "NetfilterKernel":
        """The same netfilter by the backend that is not in use."""
        return self._with(Backend.LEGACY if self.backend is Backend.NFT else Backend.NFT)

    def _with(self, backend: Backend) -> "NetfilterKernel":
        return NetfilterKernel(self._runner, backend)

    def observe(self) -> Ruleset:
        """Return everything in force."""
        ipv4, ipv6 = map(self.tables, Family)
        return Ruleset(ipv4, ipv6, self.sets())

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        program = f"{FAMILY_TOOL[family]}-{self.backend}-save"
        text = _without_counters(self._run([program]).out)
        return self._read(program, text, lambda: parse_tables(text, program, family))

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return the sets, or only the one of a name.

        Raises:
            KernelRefused: there is none of that name.
        """
        text = _uncounted(self._run(["ipset", "save", *([name] if name else [])]).out)
        if name:
            return parse_sets(text)
        return self._read("ipset", text, lambda: tuple(sorted(parse_sets(text))))

    def run(self, step: Step) -> None:
        """Carry out one step by one process."""
        self._run(self._command(step.tool), step.text)

    def held(self) -> tuple[int, int]:
        """Return how many rules of others and of ours are held, -1 and 0 where the backend is not on this machine."""
        try:
            rules = [
                rule for family in Family for table in self.tables(family) for c in table.chains for rule in c.rules
            ]
        except (ToolMissing, KernelRefused):
            return -1, 0  # if it is the one we end up with, the next call says why
        comments = [rule.comment.partition(" ")[0] for rule in rules]
        ours = comments.count(comment_of())
        return len(comments) - ours, ours

    def _read(self, program: str, text: str, parse: Callable[[], T]) -> T:
        known = self._known.get(program)
        if known is not None and known[0] == text:
            return cast("T", known[1])  # what this very text meant
        found = parse()
        self._known[program] = (text, found)
        return found

    def _command(self, tool: Tool) -> list[str]:
        if tool is Tool.IPSET:
            return ["ipset", "restore"]
        wait = ["-w", _LOCK_SECONDS] if self.backend is Backend.LEGACY else []
        return [f"{tool}-{self.backend}-restore", "--noflush", *wait]

    def _run(self, words: list[str], text: str = "") -> FinishedProcess:
        finished = self._runner.run(words, text)
        if finished.status == 0:
            return finished
        finished.check_privileges(words[0])
        kind = KernelBusy if _LOCKED in finished.err else KernelRefused
        raise kind(words[0], finished.status, finished.err, _offending(finished.err, text))


def mixture(kernel: NetfilterKernel) -> str:
    """Return what is to be said where others write by both backends, which then both judge packets; else nothing."""
    there = [each.backend for each in (kernel, kernel.other) if each.held()[0] > 0]
    if len(there) < 2:
        return ""
    return f"others have rules in both backends of iptables; nodewall writes by {there[0]}, and {there[1]} judges too"


_COUNTED = re.compile(rf"^(add {SET_PREFIX}\S+ \S+(?: nomatch)?) packets \d+ bytes \d+", re.MULTILINE)
"""A member of ours with what it counted, which is no part of what is wanted."""


def _uncounted(text: str) -> str:
    return _COUNTED.sub(r"\1", text) if " packets " in text else text  # most sets do not count, and are large


def _without_counters(text: str) -> str:
    return _CHANGING.sub(lambda found: f"{found[1]} [0:0]" if found[1] else "", text)


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
