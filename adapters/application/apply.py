"""Applies the desired rules of a Node to its kernel; used by ``nodewall apply``.

Steps: compile, lock the Node, plan, prove that the plan is safe, write, read back, and record the result in the event
log.

Input: a :class:`Selection` (cluster state and Node), a :class:`NodeAccess` (kernel and host of the Node) and
:class:`ApplyOptions`. Output: :class:`Applied`, with the plan and the rules that the kernel refused.

Raises ``Refused`` for input that cannot be applied, ``UnsafePlan`` for a plan that is not proved safe, and
``KernelRefused`` if a tool fails. Raises ``ReadBackDiffers`` if the kernel holds other rules than those written. If an
event log is given, it records the last three errors as a failed apply.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from adapters import wiring
from adapters.application.node_access import NodeAccess
from adapters.application.plan import ApplyTarget, Note, Planned, effect_of, proposal_of, tell_notes
from adapters.application.selection import Selection
from adapters.netfilter.backends import ToolBackend, mixed_backends_note
from adapters.node.journal import Journal
from adapters.node.removal import clear_others
from adapters.system.process import NetnsHold
from engine.desired.full import DesiredRuleset
from engine.errors import Fault, KernelRefused, ReadBackDiffers, Refused, UnsafePlan
from engine.events.outcomes import FailedRule
from engine.policy.completed_rules import Plane
from engine.reconcile.interfaces import Stopwatch, Verifier
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.rulesets.plan import Plan
from simulator.symbolic import Budget

_LOG = structlog.get_logger(__name__)

Ask = Callable[[str, Planned], object]
"""Shows the user a node and its plan, and asks for consent; raises an exception if the user declines."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """Options of an apply: limits, consent and output."""

    budget: Callable[[], Budget]
    """Returns the limits on time and memory for one proof."""
    confirm_timeout: float | None = None
    """Seconds after which the apply is rolled back unless it is confirmed."""
    force_unsafe: bool = False
    """Apply the plan even if it is not proved safe."""
    note: Note = lambda _: None
    ask: Ask | None = None
    """Called before a plan with operations is applied; None applies without a question."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Result of an apply; ``sequence`` is that of the applied state, None if it did not come from a log."""

    plan: Plan
    failed: tuple[FailedRule, ...]
    """Rules that the kernel refused; all others are enforced."""
    kept_sets: frozenset[str]
    """Sets of nodewall that no rule needs, but that stay because rules of other programs use them."""
    seconds: Mapping[str, float]
    """Stage name -> duration."""
    sequence: int | None


@dataclass(slots=True)
class Apply:
    """One apply of a selection to a node."""

    selection: Selection
    access: NodeAccess
    options: ApplyOptions
    _watch: wiring.SystemStopwatch = field(default_factory=wiring.SystemStopwatch, init=False)

    def run(self) -> Applied:
        """Apply the desired rules, and read them back to verify them.

        Raises:
            Refused: the options contradict each other, another nodewall holds the lock, or an apply awaits
                confirmation.
            UnsafePlan: the plan is not proved safe.
            KernelRefused: a tool failed.
            ReadBackDiffers: the kernel holds other rules after the apply.
        """
        state, node, given = self.selection.state, self.selection.node, self.selection.options
        if given.log and given.at:
            raise Refused((Fault("--at", "a past state cannot be applied", "apply without --at"),))
        target = ApplyTarget.of(self.selection, self.access, self._watch)
        tell_notes(target, self.options.note)
        journal = Journal(node, state, wiring.event_log(given.log) if given.log else None)
        with self.access.lock() as held:
            self.access.check_settled()
            nodes = self._enforced(target, journal, held)
        self._conclude(target, journal, nodes)
        plan, sequence = nodes.latest.plan, state.sequence if given.log else None
        _LOG.info("applied", node=node, netns=self.access.netns, ops=len(plan.changes), sequence=state.sequence)
        return Applied(plan, nodes.failed, nodes.kept_sets, self._watch.seconds, sequence)

    def _enforced(self, target: ApplyTarget, journal: Journal, held: NetnsHold) -> NodeRuleReconciler:
        """Plan, ask and apply while the lock is held; return the reconciler, which holds the result."""
        kernel, options, given = self.access.kernel(self.selection.backend, held), self.options, self.selection.options
        if found := mixed_backends_note(kernel):
            options.note(found)
        allowed = options.budget()
        guard = self.access.guard(target.declared, target.node, allowed)
        self._ask(target, kernel, guard, allowed)
        nodes = NodeRuleReconciler(
            kernel, guard, self._watch, target.desired.options, force_unsafe=options.force_unsafe, begin=journal.begun
        )
        record = (given.log, target.node, str(target.declared.sequence)) if given.log else ()
        with _recorded(journal), self.access.confirmed_within(options.confirm_timeout, kernel.name, record):
            _enforce(target.desired, nodes, kernel, self._watch)
        return nodes

    def _ask(self, target: ApplyTarget, kernel: ToolBackend, guard: Verifier, allowed: Budget) -> None:
        """Ask for consent if the plan has operations; raise what the ``ask`` option raises."""
        if self.options.ask is None:
            return
        proposal = proposal_of(target.desired, kernel, guard)
        if proposal.plan.changes:
            self.options.ask(target.node, Planned(proposal, effect_of(proposal, target.desired, allowed)))

    def _conclude(self, target: ApplyTarget, journal: Journal, nodes: NodeRuleReconciler) -> None:
        """Delete tracked connections that the rules no longer admit, if configured; record what was applied."""
        if target.declared.config.enforce_established:
            forgotten = self.access.forget_connections(nodes.in_force)
            _LOG.info("connections forgotten", node=target.node, connections=forgotten)
        if self.selection.options.log and (host := target.host):
            journal.append(host)  # without these facts, the log would compile to other rules than those applied
        journal.applied(nodes)


@contextmanager
def _recorded(journal: Journal) -> Iterator[None]:
    """Record a failed apply if the block raises an error of the plan or the kernel."""
    try:
        yield
    except (KernelRefused, ReadBackDiffers, UnsafePlan) as error:
        journal.failed(error)
        raise


def _enforce(wanted: DesiredRuleset, nodes: NodeRuleReconciler, kernel: ToolBackend, watch: Stopwatch) -> None:
    """Apply the rules of the node, and only then remove rules that an earlier run left in the other backend."""
    if left := sum(rule.plane is not Plane.NODES for rule in wanted.rules):
        _LOG.info("rules left to other data planes", rules=left)
    nodes.replace_rules(wanted)
    if clear_others(kernel, watch):
        nodes.replace_rules(wanted)  # sets that only those rules used can now be destroyed
