"""Reconciler: brings the kernel from its observed state to the desired ruleset, with proof and rollback.

`propose` observes, diffs and plans, and asks the `Verifier`; it returns a `Proposal`. `apply_proposal` applies the
plan, reads the result back, and restores the previous state if the kernel refuses. `NodeRuleReconciler` does both
for a set of rules; `Dispatcher` routes rules to reconcilers by data plane. Errors: `UnsafePlan`, `KernelRefused`,
`ReadBackDiffers`.

Source: the reconciler interface of Antrea issue 5671.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from engine.compiler import DEFAULT_OPTIONS, CompilerOptions, Layout, compile_rules
from engine.desired.full import DesiredRuleset
from engine.errors import KernelBusy, KernelRefused, NodewallError, ReadBackDiffers, UnsafePlan
from engine.events.outcomes import FailedRule
from engine.policy.completed_rules import CompletedRule, Plane
from engine.policy.resolve import sort_rules
from engine.reconcile.interfaces import Kernel, PlanProof, Stopwatch, Verifier
from engine.reconcile.refusals import apply_unchecked, find_refused_rules
from engine.rulesets.diff import SetDestroyed, apply_changes, diff, owned_part
from engine.rulesets.model import IpSet, Ruleset
from engine.rulesets.plan import Plan, make_plan
from engine.rulesets.text.operations import op_of
from engine.rulesets.transitions import intermediate_states, make_before_break_plan


class Method(StrEnum):
    """Method of a plan for changed sets: in place, or by new sets to which the rules switch (make before break)."""

    IN_PLACE = "in-place"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The observed and desired rulesets, the plan between them, and its check."""

    observed: Ruleset
    wanted: Ruleset
    plan: Plan
    method: Method = Method.IN_PLACE
    judgement: PlanProof = field(default_factory=PlanProof)

    @property
    def reached(self) -> Ruleset:
        """The complete ruleset after the plan, including rules of other programs."""
        return apply_changes(self.observed, self.plan.changes)


def propose(wanted: Ruleset, kernel: Kernel, verifier: Verifier, watch: Stopwatch) -> Proposal:
    """Return the cheapest safe plan from the observed ruleset to ``wanted``, checked but not applied.

    Sets change in place if every packet keeps its old or new verdict in each intermediate state. Otherwise the rules
    switch to new sets.
    """
    with watch.stage("diff"):
        observed = kernel.observe()
        wanted = _with_sets_of_others(observed, wanted)
        plan = make_plan(diff(observed, wanted))
    if not _recreates_used_sets(observed, plan):
        with watch.stage("verify"):
            judgement = _judged(observed, plan, verifier)
        if not judgement.strays:
            return Proposal(observed, wanted, plan, Method.IN_PLACE, judgement)
    with watch.stage("diff"):
        plan = make_before_break_plan(observed, wanted)
    with watch.stage("verify"):
        return Proposal(observed, wanted, plan, Method.SWITCH, _judged(observed, plan, verifier))


def _with_sets_of_others(observed: Ruleset, wanted: Ruleset) -> Ruleset:
    """Add to the desired ruleset those sets of ours that other programs' rules use; the kernel cannot destroy them."""
    used = {name for _, _, c in observed.chains() if not c.owned for rule in c.rules for name in rule.set_names}
    used |= {name for item in observed.sets if not item.owned for name in item.set_names}
    names = {item.name for item in wanted.sets}
    kept = [item for item in observed.sets if item.owned and item.name in used - names]
    return replace(wanted, sets=tuple(sorted((*wanted.sets, *kept)))) if kept else wanted


def _recreates_used_sets(observed: Ruleset, plan: Plan) -> bool:
    """Return whether rules would be missing for a time, because their sets must be recreated."""
    names = {change.name for change in plan.changes if isinstance(change, SetDestroyed) and change.replaced}
    return any(not names.isdisjoint(rule.set_names) for _, _, c in observed.chains() for rule in c.rules if names)


def _judged(observed: Ruleset, plan: Plan, verifier: Verifier) -> PlanProof:
    return verifier.judge(observed, apply_changes(observed, plan.changes), tuple(intermediate_states(observed, plan)))


BeforeApply = Callable[[Proposal], None]
"""Called with the proposal before its first step; an exception prevents the apply."""


def ignore_proposal(proposal: Proposal) -> None:
    """Do nothing before the first step."""


def apply_proposal(
    proposal: Proposal,
    kernel: Kernel,
    watch: Stopwatch,
    *,
    force_unsafe: bool = False,
    begin: BeforeApply = ignore_proposal,
) -> None:
    """Apply the proposed plan and verify that the kernel then holds the desired ruleset.

    Args:
        proposal: the plan and its check.
        kernel: the kernel to change.
        watch: measures the stage ``apply``.
        force_unsafe: apply in spite of objections.
        begin: called before the first step, if there is one.

    Raises:
        UnsafePlan: there are objections and ``force_unsafe`` is not set; nothing was done.
        KernelRefused: a tool refused; the previous state is restored, or the error says why not.
        ReadBackDiffers: all tools succeeded, but the rules read back differ.
    """
    if not (proposal.judgement.safe or force_unsafe):
        raise UnsafePlan(proposal.judgement.reasons)
    if proposal.plan.steps:
        begin(proposal)
    with watch.stage("apply"):
        for done, step in enumerate(proposal.plan.steps):
            try:
                kernel.run(step)
            except Exception as error:
                aftermath = _undo(proposal, kernel) if done or not step.atomic else ""
                if isinstance(error, KernelRefused):
                    error.aftermath = aftermath or error.aftermath
                raise
        if proposal.plan.steps and (rest := diff(_read_back(proposal, kernel), proposal.wanted)):
            raise ReadBackDiffers(tuple(str(op_of(change)) for change in rest))


def _read_back(proposal: Proposal, kernel: Kernel) -> Ruleset:
    try:
        return kernel.observe()
    except KernelRefused:
        raise  # a retry starts from the observed state
    except NodewallError:
        _undo(proposal, kernel)
        raise


def _undo(proposal: Proposal, kernel: Kernel) -> str:
    """Restore the observed state, whatever the kernel holds now; return the result as text."""
    try:
        apply_unchecked(owned_part(proposal.observed), kernel)
    except NodewallError as error:
        return f"the previous state could not be put back: {error}"
    return "the previous state is back"


class Reconciler(Protocol):
    """Enforces the rules it is given; the interface of Antrea issue 5671."""

    def reconcile(self, rule: CompletedRule) -> None:
        """Enforce one rule, or a new version of it."""
        ...

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Enforce many rules at once."""
        ...

    def forget(self, rule_id: str) -> None:
        """Stop enforcing the rule with that id; an unknown id is no error."""
        ...


class NodeRuleReconciler:
    """Reconciles rules that are applied to the node itself, with iptables and ipset.

    The kernel always holds the ruleset compiled from all held rules. If the kernel refuses a rule, only that rule
    fails, and its previous version stays enforced if there is one. If nothing could be applied, the held rules stay
    unchanged. The next attempt then starts from them and from the observed state.
    """

    def __init__(
        self,
        kernel: Kernel,
        verifier: Verifier,
        watch: Stopwatch,
        options: CompilerOptions = DEFAULT_OPTIONS,
        *,
        force_unsafe: bool = False,
        begin: BeforeApply = ignore_proposal,
    ) -> None:
        self._options = options
        self._kernel = kernel
        self._verifier = verifier
        self._watch = watch
        self._force_unsafe = force_unsafe
        self._begin = begin
        self._rules: dict[str, CompletedRule] = {}
        self.latest = Proposal(Ruleset(), Ruleset(), Plan())
        """The last applied proposal; empty before the first."""
        self.failed: tuple[FailedRule, ...] = ()
        """Rules of the last attempt that the kernel refused."""
        self.kept_sets: frozenset[str] = frozenset()
        """Sets of ours that stay although no rule needs them, because other programs use them."""
        self.in_force = Ruleset()
        """The ruleset compiled from the held rules."""
        self.not_optimised = ""
        """Reason for the linear layout if the optimised layout was requested; "" if there is none."""

    def reconcile(self, rule: CompletedRule) -> None:
        """Enforce one rule."""
        self.batch_reconcile((rule,))

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Enforce many rules at once, except those that the kernel refuses."""
        self._realize({**self._rules, **{rule.id: rule for rule in rules}})

    def forget(self, rule_id: str) -> None:
        """Stop enforcing a rule."""
        if rule_id in self._rules:
            self._realize({known: rule for known, rule in self._rules.items() if known != rule_id})

    def replace_rules(self, wanted: DesiredRuleset) -> None:
        """Replace the held rules and options by those of a compiled ruleset, and apply it."""
        before, self._options = self._options, wanted.options
        try:
            self._realize({rule.id: rule for rule in wanted.rules if rule.plane is Plane.NODES}, wanted.ruleset)
        except BaseException:
            self._options = before
            raise

    def _realize(self, rules: dict[str, CompletedRule], compiled: Ruleset | None = None) -> None:
        attempt = _Attempt(rules, self._rules)
        while True:
            with self._watch.stage("compile"):
                known = compiled if attempt.rules is rules else None
                wanted = known or compile_rules(sort_rules(attempt.rules.values()), self._options)
            if self._options.layout is Layout.OPTIMISED:
                wanted = self._proved(wanted, attempt)
            self.latest = propose(attempt.with_kept_sets(wanted), self._kernel, self._verifier, self._watch)
            try:
                apply_proposal(
                    self.latest, self._kernel, self._watch, force_unsafe=self._force_unsafe, begin=self._begin
                )
            except (KernelRefused, ReadBackDiffers) as error:
                if not attempt.can_go_on(error, self.latest, self._kernel):
                    if self._options.layout is Layout.LINEAR or attempt.refused or isinstance(error, KernelBusy):
                        raise
                    attempt.refused = str(error)  # merged rules have no owner; linear rules do
            else:
                self._rules, self.in_force = attempt.rules, wanted
                self.failed = tuple(attempt.failed[key] for key in sorted(attempt.failed))
                self.kept_sets = _names(self.latest.wanted) - _names(wanted)
                return

    def _proved(self, wanted: Ruleset, attempt: "_Attempt") -> Ruleset:
        """Return the optimised layout if it is proved equal to the linear one, else the linear one."""
        with self._watch.stage("compile"):
            linear = compile_rules(sort_rules(attempt.rules.values()), replace(self._options, layout=Layout.LINEAR))
        if attempt.refused:
            self.not_optimised = attempt.refused
            return linear
        with self._watch.stage("verify"):
            self.not_optimised = self._verifier.differing_packets(linear, wanted)
        return linear if self.not_optimised else wanted


class _Attempt:
    """One attempt to apply rules, with what earlier refusals of the kernel revealed."""

    def __init__(self, rules: dict[str, CompletedRule], before: dict[str, CompletedRule]) -> None:
        self.rules = rules
        self.failed: dict[str, FailedRule] = {}
        self.refused = ""
        """Message of the kernel about rules without an identifiable owner."""
        self._before = before
        self._spared: dict[str, IpSet] = {}
        self._races = 0

    def with_kept_sets(self, wanted: Ruleset) -> Ruleset:
        """Return the desired ruleset plus the sets that cannot be destroyed."""
        names = {item.name for item in wanted.sets}
        kept = [item for name, item in self._spared.items() if name not in names]
        return replace(wanted, sets=tuple(sorted((*wanted.sets, *kept)))) if kept else wanted

    def can_go_on(self, error: KernelRefused | ReadBackDiffers, taken: Proposal, kernel: Kernel) -> bool:
        """Return whether to retry: another program interfered, or the rules to leave out are known."""
        if isinstance(error, ReadBackDiffers) or _changed_since(taken, kernel):
            self._races += 1
            return self._races < _RACES and not isinstance(error, KernelBusy)
        found = find_refused_rules(error, taken.plan, taken.wanted, kernel)
        ids = {rule.id for rule in self.rules.values() if (rule.policy, rule.name) in found.owners}
        for key in ids:
            self._leave_out(key, str(error))
        self._spared.update({item.name: item for item in taken.observed.sets if item.name in found.sets})
        return bool(ids or found.sets)

    def _leave_out(self, key: str, words: str) -> None:
        rule, known = self.rules[key], self._before.get(key)
        self.failed.setdefault(key, FailedRule(policy=rule.policy, rule=rule.name, words=words))
        rest = {other: each for other, each in self.rules.items() if other != key}
        self.rules = rest if known is None or known == rule else {**rest, key: known}


def _names(ruleset: Ruleset) -> frozenset[str]:
    return frozenset(item.name for item in ruleset.sets)


_RACES = 5
"""Maximum number of attempts when another program changes nodewall's rules during an apply."""


def _changed_since(taken: Proposal, kernel: Kernel) -> bool:
    """Return whether our part of the kernel's ruleset changed since the proposal."""
    return bool(diff(kernel.observe(), owned_part(taken.observed)))


class Dispatcher:
    """Passes each rule to the reconciler of its data plane."""

    def __init__(self) -> None:
        self._planes: dict[Plane, Reconciler] = {}
        self._plane_of: dict[str, set[Plane]] = {}

    def register(self, plane: Plane, reconciler: Reconciler) -> None:
        """Set the reconciler of a data plane."""
        self._planes[plane] = reconciler

    def reconcile(self, rule: CompletedRule) -> None:
        """Enforce one rule."""
        self.batch_reconcile((rule,))

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Pass the rules to every registered plane, even if it gets none; rules of other planes are skipped."""
        for rule in rules:
            self._plane_of.setdefault(rule.id, set()).add(rule.plane)
        for plane, reconciler in self._planes.items():
            reconciler.batch_reconcile(tuple(rule for rule in rules if rule.plane is plane))

    def forget(self, rule_id: str) -> None:
        """Stop enforcing the rule on every plane that has it."""
        for plane in sorted(self._plane_of.get(rule_id, ()), key=lambda plane: plane.value):
            if plane in self._planes:
                self._planes[plane].forget(rule_id)
        self._plane_of.pop(rule_id, None)  # last, so that a failed removal can be repeated
