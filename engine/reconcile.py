"""The whole road from effective rules to a kernel that keeps them, and the interface of Antrea issue 5671.

``propose`` observes, diffs, plans and asks the verifier; ``realize`` applies and reads back, and puts the previous
state back where the kernel refuses. The reconcilers below walk that road for the rules they are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from engine.compiler import DEFAULT_OPTIONS, Options, compile_rules
from engine.diff import apply_changes, diff, owned
from engine.errors import KernelError, KernelRefused, NotInForce, Unsafe
from engine.passages import passages, round_plan
from engine.plan import Plan, make_plan, op_of
from engine.ports import Judgement, Kernel, Stopwatch, Verifier
from engine.resolve import in_order
from engine.rules import CompletedRule, Plane
from engine.ruleset import Ruleset


class Method(StrEnum):
    """How a plan goes about sets that change: in place, or under other names to which the rules switch."""

    IN_PLACE = "in-place"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is in force, what shall be, the way there, and what speaks against it."""

    observed: Ruleset
    wanted: Ruleset
    plan: Plan
    method: Method = Method.IN_PLACE
    judgement: Judgement = field(default_factory=Judgement)

    @property
    def reached(self) -> Ruleset:
        """Everything that will be in force, with what others put there."""
        return apply_changes(self.observed, self.plan.changes)


def propose(wanted: Ruleset, kernel: Kernel, verifier: Verifier, watch: Stopwatch) -> Proposal:
    """Return the cheapest safe way from what the kernel holds to ``wanted``, judged but not yet taken.

    Where sets cannot change in place, because packets would get a verdict on the way that is neither their old one nor
    their new one, the rules switch to other sets.
    """
    with watch.stage("diff"):
        observed = kernel.observe()
        plan = make_plan(diff(observed, wanted))
    with watch.stage("verify"):
        judgement = _judged(observed, plan, verifier)
    if not judgement.strays:
        return Proposal(observed, wanted, plan, Method.IN_PLACE, judgement)
    with watch.stage("diff"):
        plan = round_plan(observed, wanted)
    with watch.stage("verify"):
        return Proposal(observed, wanted, plan, Method.SWITCH, _judged(observed, plan, verifier))


def _judged(observed: Ruleset, plan: Plan, verifier: Verifier) -> Judgement:
    return verifier.judge(observed, apply_changes(observed, plan.changes), tuple(passages(observed, plan)))


def realize(proposal: Proposal, kernel: Kernel, watch: Stopwatch, *, force_unsafe: bool = False) -> None:
    """Take the proposed way and read back that the kernel holds what was wanted.

    Raises:
        Unsafe: something speaks against the way and ``force_unsafe`` is not set; nothing was done.
        KernelRefused: a tool refused; what had been done is undone, or the error says that it could not be.
        NotInForce: every tool said yes, yet what is read back differs.
    """
    if not (proposal.judgement.safe or force_unsafe):
        raise Unsafe(proposal.judgement.reasons)
    with watch.stage("apply"):
        for done, step in enumerate(proposal.plan.steps):
            try:
                kernel.run(step)
            except KernelError as error:
                aftermath = _undo(proposal, kernel) if done or not step.atomic else ""
                if isinstance(error, KernelRefused):
                    error.aftermath = aftermath or error.aftermath
                raise
        if proposal.plan.steps and (rest := diff(kernel.observe(), proposal.wanted)):
            raise NotInForce(tuple(str(op_of(change)) for change in rest))


def _undo(proposal: Proposal, kernel: Kernel) -> str:
    """Put the observed state back, from whatever state the node is in now; return what came of it."""
    try:
        for step in make_plan(diff(kernel.observe(), owned(proposal.observed))).steps:
            kernel.run(step)
    except KernelError as error:
        return f"the previous state could not be put back: {error}"
    return "the previous state is back"


class Reconciler(Protocol):
    """Knows how to bring the rules it is given into force; the interface of Antrea issue 5671."""

    def reconcile(self, rule: CompletedRule) -> None:
        """Bring one rule into force, or a new version of it."""
        ...

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Bring many rules into force at once."""
        ...

    def forget(self, rule_id: str) -> None:
        """Take the rule of that id out of force; an unknown one is no error."""
        ...


class NodeRuleReconciler:
    """Reconciles rules applied to the node itself, by iptables and ipset.

    What is in force is always the outcome of all rules it holds. A rule that could not be brought into force is not
    held, so the next attempt starts from the rules that are.
    """

    def __init__(
        self,
        kernel: Kernel,
        verifier: Verifier,
        watch: Stopwatch,
        options: Options = DEFAULT_OPTIONS,
        *,
        force_unsafe: bool = False,
    ) -> None:
        self._options = options
        self._kernel = kernel
        self._verifier = verifier
        self._watch = watch
        self._force_unsafe = force_unsafe
        self._rules: dict[str, CompletedRule] = {}
        self.latest = Proposal(Ruleset(), Ruleset(), Plan())
        """The way taken last, an empty one before the first."""

    def reconcile(self, rule: CompletedRule) -> None:
        """Bring one rule into force."""
        self.batch_reconcile((rule,))

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Bring many rules into force at once, or none of them."""
        self._realize({**self._rules, **{rule.id: rule for rule in rules}})

    def forget(self, rule_id: str) -> None:
        """Take a rule out of force."""
        if rule_id in self._rules:
            self._realize({known: rule for known, rule in self._rules.items() if known != rule_id})

    def _realize(self, rules: dict[str, CompletedRule]) -> None:
        with self._watch.stage("compile"):
            wanted = compile_rules(in_order(rules.values()), self._options)
        self.latest = propose(wanted, self._kernel, self._verifier, self._watch)
        realize(self.latest, self._kernel, self._watch, force_unsafe=self._force_unsafe)
        self._rules = rules


class Dispatcher:
    """Passes each rule to the data plane it is for, by what its policy is applied to."""

    def __init__(self) -> None:
        self._planes: dict[Plane, Reconciler] = {}
        self._plane_of: dict[str, set[Plane]] = {}

    def register(self, plane: Plane, reconciler: Reconciler) -> None:
        """Make ``reconciler`` the one for the rules of a data plane."""
        self._planes[plane] = reconciler

    def reconcile(self, rule: CompletedRule) -> None:
        """Bring one rule into force."""
        self.batch_reconcile((rule,))

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Pass on the rules of every registered plane, an empty batch too; those of other planes are not ours."""
        for rule in rules:
            self._plane_of.setdefault(rule.id, set()).add(rule.plane)
        for plane, reconciler in self._planes.items():
            reconciler.batch_reconcile(tuple(rule for rule in rules if rule.plane is plane))

    def forget(self, rule_id: str) -> None:
        """Take the rule out of force in every plane that has it."""
        for plane in sorted(self._plane_of.get(rule_id, ()), key=lambda plane: plane.value):
            if plane in self._planes:
                self._planes[plane].forget(rule_id)
        self._plane_of.pop(rule_id, None)  # last, so that a rule whose removal was refused can be forgotten again
