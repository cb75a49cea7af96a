"""The errors nodewall raises, as one tree; each carries data and words its message itself.

::

    NodewallError
    ├── Refused             what a user gave cannot be used; one or more faults
    │   ├── UnknownNode     the node is not in the world
    │   ├── TextRefused     text of iptables-save, ipset save or a packet does not parse
    │   └── WordsRefused    words of a filter expression do not parse
    ├── NoProof             memory or time did not do to find out about all packets
    ├── Unconfirmed         two ways to judge a packet disagree, which is a fault of nodewall's
    ├── Unsafe              a plan that would cut the node off
    ├── SwitchedOff         somebody on the node wants no rules there
    ├── LogError
    │   ├── LogBusy         another writer holds the log
    │   ├── LogConflict     the log grew since it was read
    │   ├── LogCorrupt      the hash chain is broken
    │   ├── IdTaken         another event has the id
    │   └── EventTooLarge   an object has too many bytes for an event
    └── KernelError
        ├── ToolMissing     a program or a privilege is not there
        ├── KernelRefused   a tool refused what it was given
        │   └── KernelBusy  others held the kernel's rules for too long
        └── NotInForce      what was read back is not what was applied
"""

import json
from dataclasses import dataclass


def shown(value: object) -> str:
    """Return a value as one safe line of ASCII: quotes, newlines and direction marks are escaped."""
    if isinstance(value, str) or value is None or isinstance(value, bool | int | float):
        text = json.dumps(value)
    else:
        text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def plain(text: str) -> str:
    """Return text as it can stand in a line for people: where not all of it can be printed, all such is escaped."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


@dataclass(frozen=True, slots=True, order=True)
class SourceLocation:
    """Where in the input something stands: source name, document (from 1), line and column (from 1, 0 unknown)."""

    source: str
    document: int = 0
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return ``file:line:column: document n``, leaving out what is not known."""
        text = self.source
        if self.line:
            text += f":{self.line}"
        if self.line and self.column:
            text += f":{self.column}"
        return f"{text}: document {self.document}" if self.document else text


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong with an input: where, what was found, what was expected."""

    path: str
    problem: str
    expected: str = ""
    place: SourceLocation | None = None

    def __str__(self) -> str:
        """Return the fault as one line."""
        parts = [str(self.place)] if self.place else []
        if self.path:
            parts.append(self.path)
        parts.append(f"{self.problem}; expected {self.expected}" if self.expected else self.problem)
        return ": ".join(parts)


class NodewallError(Exception):
    """The root of every error nodewall raises on purpose; ``lines`` is what a user is shown."""

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per fault."""
        return (str(self),)


@dataclass(eq=False)
class Refused(NodewallError):
    """What a user gave cannot be used, for every reason in ``faults``."""

    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """Return all faults, a line each."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per fault, in the order of the input."""
        return tuple(str(fault) for fault in self.faults)


class UnknownNode(Refused):
    """The node asked for is not among the nodes of the world."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        """Name the node asked for and those there are."""
        there = ", ".join(known) if known else "no node at all"
        super().__init__((Fault("--node", f"no node {shown(name)} in this world", f"one of: {there}"),))


class TextRefused(Refused):
    """Text of a tool or of a packet does not parse, at ``line`` (from 1) of ``source``."""

    def __init__(self, source: str, line: int, problem: str, expected: str = "") -> None:
        """Say which line of which text, what stands there and what may."""
        super().__init__((Fault("", problem, expected, SourceLocation(source, line=line)),))


class WordsRefused(Refused):
    """Words of one line do not parse: ``text`` from ``at`` on (from 0); ``source`` says what the words are."""

    def __init__(self, source: str, text: str, at: int, problem: str, expected: str = "") -> None:
        """Say where, what stands there and what may."""
        super().__init__((Fault("", problem, expected, SourceLocation(source, line=1, column=at + 1)),))
        self._text, self._at = text, at

    @property
    def lines(self) -> tuple[str, ...]:
        """The fault, the words around its place as plain ASCII, and a mark under the place."""
        first = max(0, self._at - 60)
        around = self._text[first : self._at + 40]
        plain = "".join(each if " " <= each <= "~" else " " if each.isspace() else "?" for each in around)
        return (*super().lines, f"  {plain.rstrip()}", f"  {' ' * (self._at - first)}^")


@dataclass(eq=False)
class NoProof(NodewallError):
    """Memory or time, whichever is the ``limit``, did not do to find out about all packets."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        """Return what did not do, and what to do."""
        return f"no proof: out of {self.limit}; allow more by --max-{_LIMITS.get(self.limit, self.limit)}"


_LIMITS = {"time": "seconds"}


class WitnessMismatch(NodewallError):
    """What was found out about a ``packet`` among all packets is not what becomes of it alone."""

    def __init__(self, packet: str, claimed: str, judged: str) -> None:
        super().__init__(packet, claimed, judged)
        self.packet, self.claimed, self.judged = packet, claimed, judged

    def __str__(self) -> str:
        """Return the packet and both judgements."""
        return f"a fault of nodewall's: {self.packet} was found to get {self.claimed}, but alone gets {self.judged}"


@dataclass(eq=False)
class UnsafePlan(NodewallError):
    """A plan against which there are ``reasons``, such as packets that would be lost; nothing was applied."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Return all reasons, a line each."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each reason."""
        return tuple(f"refused, {reason}" for reason in self.reasons)


@dataclass(eq=False)
class EnforcementDisabled(NodewallError):
    """The rules are off a node as long as there is a file."""

    path: str

    def __str__(self) -> str:
        """Say what to do."""
        return f"the rules are off this node as long as {self.path} is there"


class LogError(NodewallError):
    """The event log cannot be used."""


@dataclass(eq=False)
class LogUnusable(LogError):
    """The log cannot be opened at all: it is not there, not a log, too new, or not accessible."""

    path: str
    reason: str

    def __str__(self) -> str:
        """Say why."""
        return f"{self.path}: {self.reason}"


@dataclass(eq=False)
class EventsCompacted(LogError):
    """What was asked for lies before the event at ``sequence``, up to which the log was compacted."""

    path: str
    sequence: int

    def __str__(self) -> str:
        """Say how far back the log goes."""
        return f"{self.path}: what was before event {self.sequence} was compacted; ask for {self.sequence} or later"


@dataclass(eq=False)
class LogBusy(LogError):
    """Another writer held the log for longer than the ``waited`` seconds allowed."""

    path: str
    waited: float
    holder: str

    def __str__(self) -> str:
        """Say who holds the log."""
        return f"{self.path}: waited {self.waited:g} s for the event log; it is held by {self.holder}"


@dataclass(eq=False)
class LogConflict(LogError):
    """The log stood at ``found`` when events for after ``expected`` were to be appended."""

    path: str
    expected: int
    found: int

    def __str__(self) -> str:
        """Say both sequences."""
        return (
            f"{self.path}: another writer appended meanwhile: expected sequence {self.expected}, "
            f"found {self.found}; nothing was appended, run the command again"
        )


@dataclass(eq=False)
class LogCorrupt(LogError):
    """The event at ``sequence`` is not what was once appended there."""

    path: str
    sequence: int
    reason: str

    def __str__(self) -> str:
        """Say where the chain breaks and how."""
        return f"{self.path}: event {self.sequence} cannot be trusted: {self.reason}"


@dataclass(eq=False)
class IdTaken(LogError):
    """An event cannot be appended, because another one has its id: that at ``sequence``."""

    path: str
    id: str
    sequence: int

    def __str__(self) -> str:
        """Say which."""
        return f"{self.path}: event {self.sequence} has the id {shown(self.id)} already, and says something else"


@dataclass(eq=False)
class EventTooLarge(LogError):
    """An event about an object takes so many bytes, and none may take more than ``most``; nothing was appended."""

    about: str
    size: int
    most: int

    def __str__(self) -> str:
        """Say of what, and how much."""
        return (
            f"{plain(self.about)} takes {self.size:,} bytes in the log; expected at most {self.most:,}: "
            "split it; nothing was appended"
        )


class KernelError(NodewallError):
    """The kernel, or a tool on the way to it, did not do what was asked."""


@dataclass(eq=False)
class ToolMissing(KernelError):
    """A program or a privilege that the kernel adapter needs is not there."""

    what: str
    remedy: str

    def __str__(self) -> str:
        """Say what is missing and what to do."""
        return f"{self.what}; {self.remedy}"


@dataclass(eq=False)
class KernelRefused(KernelError):
    """A tool refused its input: ``words`` are its own, ``offending`` the input line it named, if any."""

    tool: str
    status: int
    words: str
    offending: str = ""
    aftermath: str = "nothing was changed"

    def __str__(self) -> str:
        """Return the tool's words, the line, and what state the node is in."""
        words = " / ".join(line.strip() for line in self.words.splitlines() if line.strip()) or "no words"
        line = f" (at: {shown(self.offending)})" if self.offending else ""
        return f"{self.tool} refused with status {self.status}: {words}{line}; {self.aftermath}"


class KernelBusy(KernelRefused):
    """Others held the lock on the kernel's rules for longer than a tool waits; the same may succeed later."""


@dataclass(eq=False)
class ReadBackDiffers(KernelError):
    """What was read back after an apply differs from what was wanted in ``differences`` operations."""

    differences: tuple[str, ...]

    def __str__(self) -> str:
        """Return the first differences."""
        shown_some = "; ".join(self.differences[:3])
        return f"read back {len(self.differences)} differences after the apply: {shown_some}"
