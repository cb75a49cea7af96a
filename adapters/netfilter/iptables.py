"""Backend that reads and writes rules with the iptables programs (nft or legacy variant), and sets with ipset.

Input: steps of a plan; each step is one run of a ``restore`` program, such as iptables-restore. Output: tables and
sets, parsed from the output of the ``save`` programs, such as iptables-save.

Raises ``KernelBusy`` if another process holds the lock, ``KernelRefused`` with the offending line if a program fails,
and ``ToolMissing`` if it is not installed. Sources: iptables-restore(8), ip6tables-restore(8), iptables-save(8),
ipset(8).
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

_LOCK_SECONDS = "10"  # time that iptables-legacy waits for the xtables lock
_LOCKED = "holding the xtables lock"
_LINE = re.compile(r"line:? (\d+)")
_SET_GONE = re.compile(r"Set with index \d+ in kernel doesn't exist")
_SET_IN_USE = "Set cannot be destroyed: it is in use by a kernel component"
_ATTEMPTS = 100  # runs of a program that another program disturbs; each takes about 4 ms
_CHANGING = re.compile(r"^#.*\n|(?<=^:)(\S+ \S+) \[[0-9:]+\]$", re.MULTILINE)
"""Parts of the output of iptables-save that change each time: comments with times, and policy counters."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Variant:
    """Variant of iptables: the part of its program names, and the options of its ``restore`` programs."""

    name: BackendName
    options: tuple[str, ...] = ("--noflush",)


NFT = Variant(BackendName.NFT)
LEGACY = Variant(BackendName.LEGACY, ("--noflush", "-w", _LOCK_SECONDS))


class IptablesBackend:
    """Reads and writes the rules of a network namespace by one variant of iptables, and its sets by ipset.

    The last output of each program is cached with its parsed value, so that equal output is not parsed again.
    """

    def __init__(self, runner: Runner, variant: Variant) -> None:
        self.runner = runner
        self._variant = variant
        self._known: dict[str, tuple[str, object]] = {}

    @property
    def name(self) -> BackendName:
        """Name of the variant."""
        return self._variant.name

    def observe(self) -> Ruleset:
        """Return the observed ruleset, including foreign rules."""
        ipv4, ipv6 = map(self.tables, Family)
        return Ruleset(ipv4, ipv6, self.sets())

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        program = f"{FAMILY_TOOL[family]}-{self.name}-save"
        text = without_counters(save_output(self.runner, program))
        return self._read(program, text, lambda: parse_tables(text, program, family))

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return all sets, or only the set called ``name``.

        Raises:
            KernelRefused: there is no set with that name.
        """
        text = without_counts(save_output(self.runner, "ipset", "save", *([name] if name else [])))
        if name:
            return parse_sets(text)
        return self._read("ipset", text, lambda: tuple(sorted(parse_sets(text))))

    def render(self, step: Step) -> Command:
        """Return the ``restore`` command of a step, with its input."""
        if step.tool is Tool.IPSET:
            return Command(("ipset", "restore"), render_step(step))
        return Command((f"{step.tool}-{self.name}-restore", *self._variant.options), render_step(portable(step)))

    def run(self, step: Step) -> None:
        """Run one step as one process; raise ``KernelRefused`` if it fails.

        A set cannot be destroyed while another program lists or saves it, so the rest of the step is then run again.
        """
        command = self.render(step)
        finished = self.runner.run(command.words, command.text)
        for _ in range(_ATTEMPTS):
            rest = _from_offending_line(finished.err, command.text)
            if not (finished.status and _SET_IN_USE in finished.err and rest):
                break
            command = Command(command.words, rest)
            finished = self.runner.run(command.words, command.text)
        if finished.status:
            # Errors quote the text that users see, not the portable text for older releases.
            shown = command.text if step.tool is Tool.IPSET else render_step(step)
            raise refusal(Command(command.words, shown), finished)

    def _read(self, program: str, text: str, parse: Callable[[], T]) -> T:
        known = self._known.get(program)
        if known is not None and known[0] == text:
            return cast("T", known[1])  # the cached value of equal text
        found = parse()
        self._known[program] = (text, found)
        return found


def save_output(runner: Runner, *words: str) -> str:
    """Return the output of a ``save`` program.

    iptables-legacy-save takes no lock: it reads the rules, then asks for the name of each set in them. It fails if
    another program removed a rule and its set in between, and is then run again.

    Raises:
        KernelRefused: the program failed.
        ToolMissing: the program is not installed, or lacked a privilege.
    """
    finished = runner.run(words)
    for _ in range(_ATTEMPTS):
        if not (finished.status and _SET_GONE.search(finished.err)):
            break
        finished = runner.run(words)
    if finished.status:
        raise refusal(Command(words), finished)
    return finished.out


def refusal(command: Command, finished: FinishedProcess) -> KernelRefused:
    """Return the error for a failed command, with the input line that the program complained about.

    Raises:
        ToolMissing: the command lacked a privilege.
    """
    program = command.words[0]
    finished.check_privileges(program)
    kind = KernelBusy if _LOCKED in finished.err else KernelRefused
    return kind(program, finished.status, finished.err, offending_line(finished.err, command.text))


def offending_line(words: str, text: str) -> str:
    """Return the input line whose number is in a tool's error message, or an empty string."""
    return next(iter(_from_offending_line(words, text).splitlines()), "")


def _from_offending_line(words: str, text: str) -> str:
    """Return the part of the input that a tool did not carry out: from the line in its error message to the end."""
    found = _LINE.search(words)
    lines = text.splitlines(keepends=True)
    number = int(found[1]) if found else 0
    return "".join(lines[number - 1 :]) if number > 0 else ""


def without_counters(text: str) -> str:
    """Return output of iptables-save without comments and with zero policy counters."""
    return _CHANGING.sub(lambda found: f"{found[1]} [0:0]" if found[1] else "", text)


_COUNTED = re.compile(rf"^(add {SET_PREFIX}\S+ \S+(?: nomatch)?) packets \d+ bytes \d+", re.MULTILINE)
"""Member of an own set with its counters, which are not part of the desired state."""


def without_counts(text: str) -> str:
    """Return output of ``ipset save`` without the counters of own members."""
    return _COUNTED.sub(r"\1", text) if " packets " in text else text  # most sets are large and have no counters
