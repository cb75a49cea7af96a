"""What the engine asks of the outside, as protocols; :mod:`adapters` implements them and ships a fake of each."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.events import Event, EventBody
from engine.rulesets.model import Family, IpSet, Ruleset, Table
from engine.rulesets.plan import Step
from engine.rulesets.transitions import IntermediateState


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        ...


class Ids(Protocol):
    """Makes ids for events."""

    def new(self) -> str:
        """Return a UUIDv7 that was never returned before, in its usual text form."""
        ...


class EventLog(Protocol):
    """An append-only, hash-chained sequence of events."""

    def last_sequence(self) -> int:
        """Return the sequence of the newest event, 0 where there is none; it is not verified."""
        ...

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        """Yield the events with ``after < sequence <= until``, oldest first.

        Raises:
            LogCorrupt: at the first event, from the very first on, that the chain does not vouch for.
        """
        ...

    def append(
        self, bodies: Sequence[EventBody], *, source: str, expected: int, known_by: str | None = None
    ) -> tuple[Event, ...]:
        """Append all the events or none, if the newest event is still ``expected``; they are on disk on return.

        The first one bears the id ``known_by`` where there is one. If the log has that already, nothing is appended,
        whatever is expected, and the events that were appended then are returned: who cannot know whether an append
        came through can try it again.

        Raises:
            EventTooLarge: an event has too many bytes.
            IdTaken: what was appended under that id says something else.
            LogBusy: another writer held the log for too long.
            LogConflict: the newest event is not ``expected``.
            LogCorrupt: the newest event is damaged.
        """
        ...


class Kernel(Protocol):
    """One network namespace's netfilter."""

    def observe(self) -> Ruleset:
        """Return everything in force, nodewall's and others'.

        Raises:
            KernelError: a tool or a privilege is missing, or a tool failed.
        """
        ...

    def run(self, step: Step) -> None:
        """Carry out one step of a plan.

        Raises:
            KernelRefused: the tool refused; an ``iptables-restore`` then changed nothing, an ``ipset restore`` may
                have carried out the lines before the offending one.
            ToolMissing: a tool or a privilege is missing.
            ValueError: the step has a word that the tool's input cannot carry; nothing of it was done.
        """
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """Words that start a program, and the text that it reads from its standard input."""

    words: tuple[str, ...]
    text: str = ""


class Backend(Kernel, Protocol):
    """A kernel by one family of tools: observes, renders and runs steps."""

    @property
    def name(self) -> str:
        """The name of the backend."""
        ...

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family, which is a part of what ``observe`` returns.

        Raises:
            KernelError: a tool or a privilege is missing, or a tool failed.
        """
        ...

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return the sets as ``observe`` returns them, or only the one of a name.

        Raises:
            KernelRefused: there is no set of that name, or a tool failed.
            ToolMissing: a tool or a privilege is missing.
        """
        ...

    def render(self, step: Step) -> Command:
        """Return the command that ``run`` runs for a step.

        Raises:
            ValueError: the step has a word that the tool's input cannot carry.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlanProof:
    """What speaks against a plan, each in words: nothing where the plan is proved safe.

    ``lost`` are packets that would be lost for good, ``broken`` invariants that would not hold, ``strays`` packets
    that on the way get neither their old verdict nor their new one; ``unproved`` says why there is no more proof.
    """

    lost: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    unproved: tuple[str, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """All that speaks against it, in half sentences that end what is said of the plan."""
        return (
            *(f"the node would lose {packet}" for packet in self.lost),
            *(f"an invariant would not hold: {packet}" for packet in self.broken),
            *(
                f"on the way there would be neither the old verdict nor the new one for {packet}"
                for packet in self.strays
            ),
            *self.unproved,
        )

    def __add__(self, other: "PlanProof") -> "PlanProof":
        """Return all that either says, each once."""
        both = zip(_fields(self), _fields(other), strict=True)
        return PlanProof(*(tuple(dict.fromkeys((*mine, *theirs))) for mine, theirs in both))


def _fields(found: PlanProof) -> tuple[tuple[str, ...], ...]:
    return (found.lost, found.broken, found.strays, found.unproved)


class Verifier(Protocol):
    """Judges a plan before it is carried out."""

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:
        """Return what speaks against going from ``before`` to ``after`` by these passages."""
        ...

    def differing(self, one: Ruleset, other: Ruleset) -> str:
        """Return which packets two rulesets treat differently, or why that cannot be told; nothing where none are."""
        ...


class Stopwatch(Protocol):
    """Measures the stages of the road."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Return a context that measures the time spent in it under ``name``."""
        ...
