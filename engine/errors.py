"""Tree of the errors that nodewall raises on purpose; each carries data and formats its own message.

::

    NodewallError
    ├── Refused                 user input is not accepted; one or more faults
    │   ├── UnknownNode         the requested node does not exist
    │   ├── TextRefused         iptables-save text, ipset-save text or a packet does not parse
    │   └── WordsRefused        a filter expression does not parse
    ├── NoProof                 memory or time ran out before all packets were examined
    ├── WitnessMismatch         two engines disagree about a packet: a bug in nodewall
    ├── UnsafePlan              the check of a plan failed, for example because the node would be cut off
    ├── EnforcementDisabled     an operator switched the rules off on this node
    ├── LogError
    │   ├── LogUnusable         the log cannot be opened: missing, not a log, too new or not accessible
    │   ├── EventsCompacted     a compaction replaced the requested events
    │   ├── LogBusy             another writer holds the log
    │   ├── LogConflict         the log grew since it was read
    │   ├── LogCorrupt          the hash chain is broken
    │   ├── IdTaken             another event has the same id
    │   └── EventTooLarge       an object exceeds the size limit of an event
    └── KernelError
        ├── ToolMissing         a program or a privilege is missing
        ├── KernelRefused       a tool refused its input
        │   └── KernelBusy      another process held the xtables lock too long
        └── ReadBackDiffers     the rules read back differ from the rules applied

`Fault` is one reason of a refusal, `SourceLocation` its place in the input.
"""

import json
from dataclasses import dataclass


def safe_text(value: object) -> str:
    """Return a value as one safe line of ASCII, at most 120 characters; quotes, newlines and bidi marks are escaped."""
    if isinstance(value, str) or value is None or isinstance(value, bool | int | float):
        text = json.dumps(value)
    else:
        text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def printable(text: str) -> str:
    """Return text for a line of output; if any character is not printable, escape the text as in JSON."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


FieldPath = tuple[int | str, ...]
"""Path of a field in a document: keys, and indices from 0."""


@dataclass(frozen=True, slots=True, order=True)
class SourceLocation:
    """Place in an input: source name, document (from 1), line and column (from 1; 0 is unknown)."""

    source: str
    document: int = 0
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return ``file:line:column: document n``, without the unknown parts."""
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
    """Root of all errors that nodewall raises on purpose; ``lines`` is the text for the user."""

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per fault."""
        return (str(self),)


@dataclass(eq=False)
class Refused(NodewallError):
    """User input is not accepted; ``faults`` holds every reason."""

    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """Return all faults, one a line."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per fault, in the order of the input."""
        return tuple(str(fault) for fault in self.faults)


class UnknownNode(Refused):
    """The requested node is not among the known nodes."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        """Report the requested name and the known names."""
        there = ", ".join(known) if known else "no node at all"
        super().__init__((Fault("--node", f"no node {safe_text(name)} in this world", f"one of: {there}"),))


class TextRefused(Refused):
    """Text of a tool or of a packet does not parse at ``line`` (from 1) of ``source``."""

    def __init__(self, source: str, line: int, problem: str, expected: str = "") -> None:
        """Report the line, the problem and the expected text."""
        super().__init__((Fault("", problem, expected, SourceLocation(source, line=line)),))


class WordsRefused(Refused):
    """One line of words does not parse at offset ``at`` (from 0) of ``text``; ``source`` names the input."""

    def __init__(self, source: str, text: str, at: int, problem: str, expected: str = "") -> None:
        """Report the offset, the problem and the expected words."""
        super().__init__((Fault("", problem, expected, SourceLocation(source, line=1, column=at + 1)),))
        self._text, self._at = text, at

    @property
    def lines(self) -> tuple[str, ...]:
        """The fault, an ASCII excerpt of the text around the offset, and a caret below the offset."""
        first = max(0, self._at - 60)
        around = self._text[first : self._at + 40]
        plain = "".join(each if " " <= each <= "~" else " " if each.isspace() else "?" for each in around)
        return (*super().lines, f"  {plain.rstrip()}", f"  {' ' * (self._at - first)}^")


@dataclass(eq=False)
class NoProof(NodewallError):
    """The limit on memory or on time (``limit``) was reached before all packets were examined."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        """Return the exhausted limit and the option that raises it."""
        return f"no proof: out of {self.limit}; allow more by --max-{_LIMIT_OPTIONS.get(self.limit, self.limit)}"


_LIMIT_OPTIONS = {"time": "seconds"}


class WitnessMismatch(NodewallError):
    """The verdict computed for a packet as part of a packet set differs from its verdict when simulated alone.

    ``packet`` is the packet, ``claimed`` the verdict from the set, ``judged`` the verdict alone.
    """

    def __init__(self, packet: str, claimed: str, judged: str) -> None:
        super().__init__(packet, claimed, judged)
        self.packet, self.claimed, self.judged = packet, claimed, judged

    def __str__(self) -> str:
        """Return the packet and both verdicts."""
        return f"a fault of nodewall's: {self.packet} was found to get {self.claimed}, but alone gets {self.judged}"


@dataclass(eq=False)
class UnsafePlan(NodewallError):
    """A plan was refused for ``reasons``, such as lost lifeline packets; nothing was applied."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Return all reasons, one a line."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per reason."""
        return tuple(f"refused, {reason}" for reason in self.reasons)


@dataclass(eq=False)
class EnforcementDisabled(NodewallError):
    """Enforcement is off on the node while the file at ``path`` exists."""

    path: str

    def __str__(self) -> str:
        """Return the path of the file that disables enforcement."""
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
    """The requested events lie before the event at ``sequence``, up to which the log was compacted."""

    path: str
    sequence: int

    def __str__(self) -> str:
        """Say how far back the log goes."""
        return f"{self.path}: what was before event {self.sequence} was compacted; ask for {self.sequence} or later"


@dataclass(eq=False)
class LogBusy(LogError):
    """Another writer held the log for longer than the ``waited`` seconds."""

    path: str
    waited: float
    holder: str

    def __str__(self) -> str:
        """Return the waiting time and the holder of the lock."""
        return f"{self.path}: waited {self.waited:g} s for the event log; it is held by {self.holder}"


@dataclass(eq=False)
class LogConflict(LogError):
    """The log ended at sequence ``found`` instead of ``expected`` when events were appended."""

    path: str
    expected: int
    found: int

    def __str__(self) -> str:
        """Return both sequences and the remedy."""
        return (
            f"{self.path}: another writer appended meanwhile: expected sequence {self.expected}, "
            f"found {self.found}; nothing was appended, run the command again"
        )


@dataclass(eq=False)
class LogCorrupt(LogError):
    """The event at ``sequence`` does not match the hash chain."""

    path: str
    sequence: int
    reason: str

    def __str__(self) -> str:
        """Return the sequence and the reason."""
        return f"{self.path}: event {self.sequence} cannot be trusted: {self.reason}"


@dataclass(eq=False)
class IdTaken(LogError):
    """An event cannot be appended: the event at ``sequence`` already has its id."""

    path: str
    id: str
    sequence: int

    def __str__(self) -> str:
        """Return the id and the sequence."""
        return f"{self.path}: event {self.sequence} has the id {safe_text(self.id)} already, and says something else"


@dataclass(eq=False)
class EventTooLarge(LogError):
    """The event about an object has ``size`` bytes, more than the limit ``most``; nothing was appended."""

    about: str
    size: int
    most: int

    def __str__(self) -> str:
        """Return the object, its size and the limit."""
        return (
            f"{printable(self.about)} takes {self.size:,} bytes in the log; expected at most {self.most:,}: "
            "split it; nothing was appended"
        )


class KernelError(NodewallError):
    """The kernel, or a tool that talks to it, did not do what was asked."""


@dataclass(eq=False)
class ToolMissing(KernelError):
    """A program or a privilege that the netfilter adapter needs is missing."""

    what: str
    remedy: str

    def __str__(self) -> str:
        """Return what is missing and the remedy."""
        return f"{self.what}; {self.remedy}"


@dataclass(eq=False)
class KernelRefused(KernelError):
    """A tool refused its input.

    ``words`` is the tool's message, ``offending`` the input line that the message names, if any. ``aftermath`` says in
    which state the node is.
    """

    tool: str
    status: int
    words: str
    offending: str = ""
    aftermath: str = "nothing was changed"

    def __str__(self) -> str:
        """Return the tool's message, the offending line and the state of the node."""
        words = " / ".join(line.strip() for line in self.words.splitlines() if line.strip()) or "no words"
        line = f" (at: {safe_text(self.offending)})" if self.offending else ""
        return f"{self.tool} refused with status {self.status}: {words}{line}; {self.aftermath}"


class KernelBusy(KernelRefused):
    """Another process held the lock on the kernel's rules longer than the tool waits; a retry may succeed."""


@dataclass(eq=False)
class ReadBackDiffers(KernelError):
    """The rules read back after an apply differ from the desired ones by the operations in ``differences``."""

    differences: tuple[str, ...]

    def __str__(self) -> str:
        """Return the first differences."""
        shown_some = "; ".join(self.differences[:3])
        return f"read back {len(self.differences)} differences after the apply: {shown_some}"
