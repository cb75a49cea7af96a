"""What the engine asks of the outside, as protocols; :mod:`adapters` implements them and ships a fake of each."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from engine.events import Event, EventBody
from engine.plan import Step
from engine.ruleset import Ruleset


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

    def append(self, bodies: Sequence[EventBody], *, source: str, expected: int) -> tuple[Event, ...]:
        """Append all the events or none, if the newest event is still ``expected``; they are on disk on return.

        Raises:
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
        """
        ...


class Verifier(Protocol):
    """Judges a ruleset before it is applied."""

    def lost(self, before: Ruleset, after: Ruleset) -> tuple[str, ...]:
        """Return the lifeline packets, in words, that get through ``before`` and not ``after``; none is good."""
        ...


class Stopwatch(Protocol):
    """Measures the stages of the road."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Return a context that measures the time spent in it under ``name``."""
        ...
