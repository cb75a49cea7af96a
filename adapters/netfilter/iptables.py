"""Backend by the programs of iptables, in their nft and legacy variants, and of ipset.

Input: steps of a plan, each one run of a ``restore`` program. Output: rulesets, read by the ``save`` programs. Raises
``KernelError``. Sources: iptables-restore(8), ip6tables-restore(8), iptables-save(8), ipset(8).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from adapters.netfilter.backend_name import BackendName
from adapters.system.process import FinishedProcess, Runner
from engine.errors import KernelBusy, KernelRefused
from engine.reconcile.interfaces import Command
from engine.rulesets.model import Family, IpSet, Ruleset, Table
from engine.rulesets.ownership import SET_PREFIX
from engine.rulesets.plan import FAMILY_TOOL, Step, Tool
from engine.rulesets.text import parse_sets, parse_tables
from engine.rulesets.text.steps import portable, render_step

_LOCK_SECONDS = "10"  # how long iptables-legacy waits for the lock that all its writers share
_LOCKED = "holding the xtables lock"
_LINE = re.compile(r"line:? (\d+)")
_CHANGING = re.compile(r"^#.*\n|(?<=^:)(\S+ \S+) \[[0-9:]+\]$", re.MULTILINE)
"""What iptables-save prints anew each time: when it ran, and how many packets reached a policy."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of iptables: the name in its programs' names, and the options of its ``restore`` programs."""

    name: BackendName
    options: tuple[str, ...] = ("--noflush",)


NFT = Variant(BackendName.NFT)
LEGACY = Variant(BackendName.LEGACY, ("--noflush", "-w", _LOCK_SECONDS))


class IptablesBackend:
    """Reads and writes a network namespace's rules by one variant of iptables, and its sets by ipset.

    What a program printed last is kept with what it meant, so that reading the same again costs no parsing.
    """

    def __init__(self, runner: Runner, variant: Variant) -> None:
        self.runner = runner
        self._variant = variant
        self._known: dict[str, tuple[str, object]] = {}

    @property
    def name(self) -> BackendName:
        """The name of the variant."""
        return self._variant.name

    def observe(self) -> Ruleset:
        """Return everything in force."""
        ipv4, ipv6 = map(self.tables, Family)
        return Ruleset(ipv4, ipv6, self.sets())

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        program = f"{FAMILY_TOOL[family]}-{self.name}-save"
        text = without_counters(self._run(Command((program,))).out)
        return self._read(program, text, lambda: parse_tables(text, program, family))

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return the sets, or only the one of a name.

        Raises:
            KernelRefused: there is none of that name.
        """
        text = without_counts(self._run(Command(("ipset", "save", *([name] if name else [])))).out)
        if name:
            return parse_sets(text)
        return self._read("ipset", text, lambda: tuple(sorted(parse_sets(text))))

    def render(self, step: Step) -> Command:
        """Return the ``restore`` program of a step and its input."""
        if step.tool is Tool.IPSET:
            return Command(("ipset", "restore"), render_step(step))
        return Command((f"{step.tool}-{self.name}-restore", *self._variant.options), render_step(portable(step)))

    def run(self, step: Step) -> None:
        """Carry out one step by one process."""
        command = self.render(step)
        finished = self.runner.run(command.words, command.text)
        if finished.status:
            # Errors name lines as users are shown them, not as they are spelled for releases that know fewer names.
            raise refusal(Command(command.words, render_step(step)), finished)

    def _read(self, program: str, text: str, parse: Callable[[], T]) -> T:
        known = self._known.get(program)
        if known is not None and known[0] == text:
            return cast("T", known[1])  # what this very text meant
        found = parse()
        self._known[program] = (text, found)
        return found

    def _run(self, command: Command) -> FinishedProcess:
        finished = self.runner.run(command.words, command.text)
        if finished.status:
            raise refusal(command, finished)
        return finished


def refusal(command: Command, finished: FinishedProcess) -> KernelRefused:
    """Return the error of a command that failed, with the line of its input that the program named.

    Raises:
        ToolMissing: it lacked a privilege.
    """
    program = command.words[0]
    finished.check_privileges(program)
    kind = KernelBusy if _LOCKED in finished.err else KernelRefused
    return kind(program, finished.status, finished.err, offending_line(finished.err, command.text))


def offending_line(words: str, text: str) -> str:
    """Return the line of the input that a tool's words name by its number, or nothing."""
    found = _LINE.search(words)
    lines = text.splitlines()
    number = int(found[1]) if found else 0
    return lines[number - 1] if 0 < number <= len(lines) else ""


def without_counters(text: str) -> str:
    """Return what iptables-save printed, without the time and the counters of policies."""
    return _CHANGING.sub(lambda found: f"{found[1]} [0:0]" if found[1] else "", text)


_COUNTED = re.compile(rf"^(add {SET_PREFIX}\S+ \S+(?: nomatch)?) packets \d+ bytes \d+", re.MULTILINE)
"""A member of ours with what it counted, which is no part of what is wanted."""


def without_counts(text: str) -> str:
    """Return what ``ipset save`` printed, without what members of our sets counted."""
    return _COUNTED.sub(r"\1", text) if " packets " in text else text  # most sets do not count, and are large
