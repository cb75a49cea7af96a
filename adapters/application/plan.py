"""Makes the plan of a Node: compiled rules, kernel operations, proof, and the packets whose verdict changes.

Input: a :class:`Selection` (cluster state and Node) and a :class:`NodeAccess` (kernel and host of the Node). Output: a
:class:`Planned` (plan, proof and verdict changes). ``nodewall plan`` prints it; ``nodewall apply`` shows it before it
asks for consent. :meth:`ApplyTarget.of` compiles the rules once, and apply then writes the same rules.

Raises ``Refused`` and ``UnknownNode`` if the options select no Node of the cluster, ``KernelError`` if its kernel
cannot be read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from adapters import wiring
from adapters.application.node_access import NodeAccess
from adapters.application.selection import Selection
from adapters.netfilter.backends import mixed_backends_note
from engine.compiler import Layout
from engine.desired.full import DesiredRuleset, desired_ruleset, linear_ruleset, options_of
from engine.errors import NoProof
from engine.events import HostObserved
from engine.policy.completed_rules import Plane
from engine.policy.resolve import resolve
from engine.reconcile.interfaces import Kernel, Stopwatch, Verifier
from engine.reconcile.reconciler import Proposal, propose
from engine.rulesets.diff import apply_changes, diff
from engine.state.fold import ClusterState
from engine.status.policy_status import notes_of
from simulator.analysis.compare import VerdictChange, compare
from simulator.symbolic import Budget

Note = Callable[[str], object]
"""Shows the user a note, as soon as it is known."""


@dataclass(frozen=True, slots=True)
class ApplyTarget:
    """A node and its desired rules, compiled from the declared state and the observed host."""

    node: str
    declared: ClusterState
    seen: ClusterState
    """The declared state with the observed host, unless the user named the interfaces."""
    desired: DesiredRuleset

    @classmethod
    def of(cls, selection: Selection, access: NodeAccess, watch: Stopwatch) -> "ApplyTarget":
        """Compile the desired rules of the selected node; the time is measured as stage ``compile``."""
        declared, node, seen = selection.state, selection.node, selection.state
        if not selection.options.interfaces:
            seen = replace(declared, hosts=declared.hosts.set(node, access.observe_host(node)))
        with watch.stage("compile"):
            return cls(node, declared, seen, desired_ruleset(seen, node))

    @property
    def host(self) -> HostObserved | None:
        """Observed host facts, if the desired rules depend on facts that the declared state lacks; else None."""
        if self.seen is self.declared or not self.desired.options.enabled:
            return None
        known = resolve(self.declared, self.node), options_of(self.declared, self.node)
        return None if known == (self.desired.rules, self.desired.options) else self.seen.hosts[self.node]

    def notes(self) -> Iterator[str]:
        """Yield notes on limits of the policies that an operator should know before they are applied."""
        names = {rule.policy for rule in self.desired.rules if rule.plane is Plane.NODES}
        for name in sorted(names & {*self.declared.policies}):
            for note in notes_of(self.declared, self.desired, name):
                yield f"{name}: {note}"


@dataclass(frozen=True, slots=True)
class Planned:
    """A proposal, and its effect on verdicts; the effect is None if the budget was too small to compute it."""

    proposal: Proposal
    effect: tuple[VerdictChange, ...] | None


def plan(selection: Selection, access: NodeAccess, budget: Callable[[], Budget], note: Note) -> Planned:
    """Return the plan for the selected node without applying it; pass notes for the user to ``note``."""
    target = ApplyTarget.of(selection, access, wiring.SystemStopwatch())
    tell_notes(target, note)
    allowed = budget()
    guard = access.guard(target.declared, target.node, allowed)
    kernel = access.kernel(selection.backend)
    if found := mixed_backends_note(kernel):
        note(found)
    proposal = proposal_of(target.desired, kernel, guard)
    return Planned(proposal, effect_of(proposal, target.desired, allowed))


def tell_notes(target: ApplyTarget, note: Note) -> None:
    """Pass the notes of a target to ``note``."""
    for each in target.notes():
        note(each)


def proposal_of(wanted: DesiredRuleset, kernel: Kernel, guard: Verifier) -> Proposal:
    """Return the plan from the rules in the kernel to the desired rules, with its proof."""
    return propose(wanted.ruleset, kernel, guard, wiring.SystemStopwatch())


def effect_of(proposal: Proposal, wanted: DesiredRuleset, allowed: Budget) -> tuple[VerdictChange, ...] | None:
    """Return the verdict changes of a plan, or None if the budget is too small to compute them.

    Each change names the deciding policy rule, even if one kernel rule serves several policy rules.
    """
    reached = proposal.reached
    if wanted.options.layout is not Layout.LINEAR:
        reached = apply_changes(proposal.observed, diff(proposal.observed, linear_ruleset(wanted)))
    try:
        return compare(proposal.observed, reached, budget=allowed)
    except NoProof:
        return None
