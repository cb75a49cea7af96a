"""Interfaces (protocols) for what the engine gets from outside: clock, event ids, kernel backend, verifier, stopwatch.

:mod:`adapters` implements them, except `Verifier`, which checks a plan before it is applied; :mod:`simulator.guard`
implements that. The docstring of each method names its errors. `Command` is the command line of a tool; `PlanProof` is
the result of a verifier.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.rulesets.model import Family, IpSet, Ruleset, Table
from engine.rulesets.plan import Step
from engine.rulesets.transitions import IntermediateState


class Clock(Protocol):
    """Source of the current time."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, in UTC."""
        ...


class Ids(Protocol):
    """Generator of event ids."""

    def new(self) -> str:
        """Return a new UUIDv7 in text form."""
        ...


class Kernel(Protocol):
    """Netfilter of one network namespace."""

    def observe(self) -> Ruleset:
        """Return the observed ruleset, including rules of other programs.

        Raises:
            KernelError: a tool or a privilege is missing, or a tool failed.
        """
        ...

    def run(self, step: Step) -> None:
        """Run one step of a plan.

        Raises:
            KernelRefused: the tool refused. After ``iptables-restore`` nothing changed; after ``ipset restore`` the
                lines before the offending one may have taken effect.
            ToolMissing: a tool or a privilege is missing.
            ValueError: the step has a word that the tool's input cannot express; nothing was done.
        """
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """Command line of a program, and the text for its standard input."""

    words: tuple[str, ...]
    text: str = ""


class Backend(Kernel, Protocol):
    """A kernel accessed through one family of tools: observes, renders and runs steps."""

    @property
    def name(self) -> str:
        """Name of the backend."""
        ...

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family, as part of what ``observe`` returns.

        Raises:
            KernelError: a tool or a privilege is missing, or a tool failed.
        """
        ...

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return the sets as ``observe`` does, or only the one called ``name``.

        Raises:
            KernelRefused: the set does not exist, or a tool failed.
            ToolMissing: a tool or a privilege is missing.
        """
        ...

    def render(self, step: Step) -> Command:
        """Return the command that ``run`` runs for a step.

        Raises:
            ValueError: the step has a word that the tool's input cannot express.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlanProof:
    """Result of checking a plan: objections, or nothing if the plan is proved safe.

    ``lost`` are lifeline packets that would be lost, ``broken`` invariants that would not hold. ``strays`` are packets
    that get neither their old nor their new verdict in an intermediate state. ``unproved`` says why a proof is missing.
    """

    lost: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    unproved: tuple[str, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether there are no objections."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """All objections, as clauses that complete a sentence about the plan."""
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
        """Return the objections of both, without duplicates."""
        both = zip(_fields(self), _fields(other), strict=True)
        return PlanProof(*(tuple(dict.fromkeys((*mine, *theirs))) for mine, theirs in both))


def _fields(found: PlanProof) -> tuple[tuple[str, ...], ...]:
    return (found.lost, found.broken, found.strays, found.unproved)


class Verifier(Protocol):
    """Checks a plan before it is applied."""

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:
        """Return the objections to changing ``before`` to ``after`` through these intermediate states."""
        ...

    def differing_packets(self, one: Ruleset, other: Ruleset) -> str:
        """Return which packets two rulesets treat differently, or why that is unknown; "" if they are equal."""
        ...


class Stopwatch(Protocol):
    """Measures the duration of stages, such as diff, verify and apply."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Return a context manager that records the time spent in it under ``name``."""
        ...
