"""Compares the recorded rules of a Node with those that this nodewall compiles; used by ``replay --check``.

Input: a :class:`HistoryWalk` (event log and Node) and a :class:`ReplayChecker`, which compares one outcome. An outcome
is an event for a proposed or applied ruleset, with its digest. Output: a :class:`Checked` for each outcome, with the
recorded and the compiled digest, oldest first.

Raises ``LogError`` if the log cannot be read or verified, and ``UnknownNode`` if no event or state has the Node.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from adapters.application.past.steps import HistoryStep, HistoryWalk
from engine.events import Event
from engine.events.outcomes import ApplyProposed, RulesetApplied
from engine.state.fold import ClusterState
from engine.status.replay_check import ReplayCheck, ReplayChecker

_OUTCOMES = (b"apply.proposed", b"ruleset.applied")

Progress = Callable[[Iterator[HistoryStep], int], Iterator[HistoryStep]]
"""Yields the given steps unchanged, and shows the user how many of the total number were read."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Event of an outcome, and its comparison; ``found`` is None if the state that was applied lacks the node."""

    event: Event
    found: ReplayCheck | None

    @property
    def same(self) -> bool:
        """True if the history compiles to the recorded rules."""
        return self.found is not None and self.found.same


def checked_outcomes(walk: HistoryWalk, checker: ReplayChecker, progress: Progress) -> Iterator[Checked]:
    """Yield the comparison of every outcome in the walk, in order.

    The walk begins earlier where an outcome refers to an earlier state.

    Raises:
        LogError: the log cannot be read or verified.
        UnknownNode: after the last comparison, if no state or event of the walk has the node.
    """
    wanted = {_wanted(outcome) for outcome in _outcomes(walk)}
    whole = replace(walk, first=min([walk.first, *(sequence + 1 for sequence in wanted)]))
    for checked in _comparisons(progress(whole.steps(), whole.total), checker, wanted):
        if checked.event.sequence >= walk.first:
            yield checked
    whole.check()


def _outcomes(walk: HistoryWalk) -> Iterator[ApplyProposed | RulesetApplied]:
    for row in walk.log.some(lambda kind, _: kind in _OUTCOMES, walk.last):
        body = walk.log.said(row)
        if row.sequence >= walk.first and isinstance(body, ApplyProposed | RulesetApplied) and body.node == walk.node:
            yield body


def _wanted(outcome: ApplyProposed | RulesetApplied) -> int:
    """Return the sequence of the state to which an outcome refers."""
    return outcome.wanted if isinstance(outcome, ApplyProposed) else outcome.realized


def _comparisons(steps: Iterator[HistoryStep], checker: ReplayChecker, wanted: set[int]) -> Iterator[Checked]:
    states: dict[int, ClusterState] = {}
    for step in steps:
        before, body = step.before.state, step.event.body
        if before.sequence in wanted:
            states[before.sequence] = before
        if isinstance(body, ApplyProposed | RulesetApplied) and body.node == checker.node:
            state = states.get(_wanted(body))
            there = state is not None and checker.node in state.nodes
            yield Checked(step.event, checker.check(state, body, before) if state and there else None)
