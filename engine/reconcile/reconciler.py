"""The whole road from effective rules to a kernel that keeps them, and the interface of Antrea issue 5671.

``propose`` observes, diffs, plans and asks the verifier; ``realize`` applies and reads back, and puts the previous
state back where the kernel refuses. The reconcilers below walk that road for the rules they are given.
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
from engine.policy.resolve import in_order
from engine.reconcile.interfaces import Kernel, PlanProof, Stopwatch, Verifier
from engine.reconcile.refusals import culprits, reach
from engine.rulesets.diff import SetDestroyed, apply_changes, diff, owned
from engine.rulesets.model import IpSet, Ruleset
from engine.rulesets.plan import Plan, make_plan
from engine.rulesets.text.operations import op_of
from engine.rulesets.transitions import passages, round_plan


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
    judgement: PlanProof = field(default_factory=PlanProof)

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
        wanted = _with_sets_of_others(observed, wanted)
        plan = make_plan(diff(observed, wanted))
    if not _tears_out(observed, plan):
        with watch.stage("verify"):
            judgement = _judged(observed, plan, verifier)
        if not judgement.strays:
            return Proposal(observed, wanted, plan, Method.IN_PLACE, judgement)
    with watch.stage("diff"):
        plan = round_plan(observed, wanted)
    with watch.stage("verify"):
        return Proposal(observed, wanted, plan, Method.SWITCH, _judged(observed, plan, verifier))


def _with_sets_of_others(observed: Ruleset, wanted: Ruleset) -> Ruleset:
    """Return what is wanted and the sets under our names that others look into, which no kernel takes away."""
    used = {name for _, _, c in observed.chains() if not c.owned for rule in c.rules for name in rule.set_names}
    used |= {name for item in observed.sets if not item.owned for name in item.set_names}
    names = {item.name for item in wanted.sets}
    kept = [item for item in observed.sets if item.owned and item.name in used - names]
    return replace(wanted, sets=tuple(sorted((*wanted.sets, *kept)))) if kept else wanted


def _tears_out(observed: Ruleset, plan: Plan) -> bool:
    """Return whether rules would have to go for a while, because sets that they look into are made anew."""
    names = {change.name for change in plan.changes if isinstance(change, SetDestroyed) and change.replaced}
    return any(not names.isdisjoint(rule.set_names) for _, _, c in observed.chains() for rule in c.rules if names)


def _judged(observed: Ruleset, plan: Plan, verifier: Verifier) -> PlanProof:
    return verifier.judge(observed, apply_changes(observed, plan.changes), tuple(passages(observed, plan)))


Begin = Callable[[Proposal], None]
"""Told of a way just before its first step is taken; what it raises keeps that from happening."""


def silently(proposal: Proposal) -> None:
    """Begin without telling anybody."""


def realize(
    proposal: Proposal, kernel: Kernel, watch: Stopwatch, *, force_unsafe: bool = False, begin: Begin = silently
) -> None:
    """Take the proposed way and read back that the kernel holds what was wanted.

    Raises:
        Unsafe: something speaks against the way and ``force_unsafe`` is not set; nothing was done.
        KernelRefused: a tool refused; what had been done is undone, or the error says that it could not be.
        NotInForce: every tool said yes, yet what is read back differs.
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
        raise  # whoever tries again begins with what is there
    except NodewallError:
        _undo(proposal, kernel)
        raise


def _undo(proposal: Proposal, kernel: Kernel) -> str:
    """Put the observed state back, from whatever state the node is in now; return what came of it."""
    try:
        reach(owned(proposal.observed), kernel)
    except NodewallError as error:
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

    What is in force is always the outcome of all rules it holds. A rule that the kernel refuses fails alone: the one
    before it under its id stays in force where there was one. Where nothing could be brought into force, the rules
    held stay those of before, so the next attempt starts from them, and from what the kernel holds then.
    """

    def __init__(
        self,
        kernel: Kernel,
        verifier: Verifier,
        watch: Stopwatch,
        options: CompilerOptions = DEFAULT_OPTIONS,
        *,
        force_unsafe: bool = False,
        begin: Begin = silently,
    ) -> None:
        self._options = options
        self._kernel = kernel
        self._verifier = verifier
        self._watch = watch
        self._force_unsafe = force_unsafe
        self._begin = begin
        self._rules: dict[str, CompletedRule] = {}
        self.latest = Proposal(Ruleset(), Ruleset(), Plan())
        """The way taken last, an empty one before the first."""
        self.failed: tuple[FailedRule, ...] = ()
        """The rules that the kernel refused of those it was given last."""
        self.spared: frozenset[str] = frozenset()
        """Sets of ours that stay though no rule needs them, because others use them."""
        self.in_force = Ruleset()
        """What the rules held compile to."""
        self.not_optimised = ""
        """Why the rules are laid out one after the other though the optimised layout is wanted, if they are."""

    def reconcile(self, rule: CompletedRule) -> None:
        """Bring one rule into force."""
        self.batch_reconcile((rule,))

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Bring many rules into force at once, but for those that the kernel refuses."""
        self._realize({**self._rules, **{rule.id: rule for rule in rules}})

    def forget(self, rule_id: str) -> None:
        """Take a rule out of force."""
        if rule_id in self._rules:
            self._realize({known: rule for known, rule in self._rules.items() if known != rule_id})

    def hold(self, wanted: DesiredRuleset) -> None:
        """Hold just these rules from now on, which are compiled already, enforced by their options."""
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
                wanted = known or compile_rules(in_order(attempt.rules.values()), self._options)
            if self._options.layout is Layout.OPTIMISED:
                wanted = self._proved(wanted, attempt)
            self.latest = propose(attempt.sparing(wanted), self._kernel, self._verifier, self._watch)
            try:
                realize(self.latest, self._kernel, self._watch, force_unsafe=self._force_unsafe, begin=self._begin)
            except (KernelRefused, ReadBackDiffers) as error:
                if not attempt.can_go_on(error, self.latest, self._kernel):
                    if self._options.layout is Layout.LINEAR or attempt.refused or isinstance(error, KernelBusy):
                        raise
                    attempt.refused = str(error)  # a rule for many has no owner, but one by one each has
            else:
                self._rules, self.in_force = attempt.rules, wanted
                self.failed = tuple(attempt.failed[key] for key in sorted(attempt.failed))
                self.spared = _names(self.latest.wanted) - _names(wanted)
                return

    def _proved(self, wanted: Ruleset, attempt: "_Attempt") -> Ruleset:
        """Return the optimised layout where it is proved to be equal to the linear one, else that."""
        with self._watch.stage("compile"):
            linear = compile_rules(in_order(attempt.rules.values()), replace(self._options, layout=Layout.LINEAR))
        if attempt.refused:
            self.not_optimised = attempt.refused
            return linear
        with self._watch.stage("verify"):
            self.not_optimised = self._verifier.differing(linear, wanted)
        return linear if self.not_optimised else wanted


class _Attempt:
    """An attempt to bring rules into force, and what was learnt from refusals so far."""

    def __init__(self, rules: dict[str, CompletedRule], before: dict[str, CompletedRule]) -> None:
        self.rules = rules
        self.failed: dict[str, FailedRule] = {}
        self.refused = ""
        """What the kernel said of rules of which nobody could be told to be to blame."""
        self._before = before
        self._spared: dict[str, IpSet] = {}
        self._races = 0

    def sparing(self, wanted: Ruleset) -> Ruleset:
        """Return what is wanted, with the sets that cannot be taken away."""
        names = {item.name for item in wanted.sets}
        kept = [item for name, item in self._spared.items() if name not in names]
        return replace(wanted, sets=tuple(sorted((*wanted.sets, *kept)))) if kept else wanted

    def can_go_on(self, error: KernelRefused | ReadBackDiffers, taken: Proposal, kernel: Kernel) -> bool:
        """Return whether it is worth trying again: others interfered, or it is known who is to be left out."""
        if isinstance(error, ReadBackDiffers) or _moved(taken, kernel):
            self._races += 1
            return self._races < _RACES and not isinstance(error, KernelBusy)
        found = culprits(error, taken.plan, taken.wanted, kernel)
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
"""How often an apply begins anew because others changed what is nodewall's in the middle of it."""


def _moved(taken: Proposal, kernel: Kernel) -> bool:
    """Return whether a kernel holds something else of ours than as a way was proposed."""
    return bool(diff(kernel.observe(), owned(taken.observed)))


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
