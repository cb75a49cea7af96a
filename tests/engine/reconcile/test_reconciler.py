"""The whole road, with a kernel in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.netfilter.memory import MemoryBackend
from engine.compiler import compile_rules
from engine.errors import KernelRefused, ReadBackDiffers, ToolMissing, UnsafePlan
from engine.policy.completed_rules import Action, CompletedRule, Direction, Plane, Protocol, Traffic
from engine.reconcile.interfaces import PlanProof
from engine.reconcile.reconciler import Dispatcher, Method, NodeRuleReconciler, Reconciler, apply_proposal, propose
from engine.rulesets.diff import apply_changes, owned_part
from engine.rulesets.model import Chain, Family, IpSet, Ruleset, Table
from engine.rulesets.plan import Step
from engine.rulesets.transitions import IntermediateState, intermediate_states, make_before_break_plan
from simulator.guard.guard import TrustingVerifier
from tests.support.rulesets.reconciled_rulesets import WATCH, in_force, wanted
from tests.support.rulesets.ruleset_builders import FOREIGN, arranged, completed

A = completed("a", "10.0.0.0/8", "fd00::/8", priority=1.0)
A_AGAIN = completed("a", "10.0.0.0/8", "10.9.0.0/16", priority=3.0, action=Action.ALLOW)
B = completed("b", priority=2.0, services=(Traffic(Protocol.TCP, (22, 22)),), action=Action.REJECT)
C = completed("c", "192.0.2.0/24", priority=2.0, direction=Direction.EGRESS)
D = completed("d", "10.0.0.0/8", priority=2.5)

STATES: dict[str, tuple[CompletedRule, ...]] = {
    "empty": (),
    "a": (A,),
    "a again": (A_AGAIN,),
    "a and b": (A, B),
    "b, c and d": (B, C, D),
    "all": (A_AGAIN, B, C, D),
}

OTHERS = Ruleset(
    (Table("filter", (Chain("INPUT", FOREIGN, "DROP"), Chain("OTHER", FOREIGN[:1]))),),
    (),
    (IpSet("other", "hash:ip", Family.IPV4, (("192.0.2.9",),)),),
)


class GuardingVerifier(TrustingVerifier):
    """Says that a packet is lost where a rule of a policy named ``d`` comes into force."""

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:  # noqa: ARG002 - the names are the port's
        """Return the packet."""
        comments = {rule.comment for _, _, chain in after.chains() for rule in chain.rules}
        return PlanProof(lost=("ssh from 192.0.2.1",) if "nodewall d/r" in comments else ())


class PickyVerifier(TrustingVerifier):
    """Says that packets go astray while rules look into a set that changes."""

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:  # noqa: ARG002 - the names are the port's
        """Return the sets that change under the eyes of rules."""
        asked = (
            name
            for passage in passages
            for _, _, chain in passage.ruleset.chains()
            for rule in chain.rules
            for name in rule.set_names
            if name in passage.moving
        )
        return PlanProof(strays=tuple(dict.fromkeys(asked)))


def reconciler_of(kernel: MemoryBackend) -> NodeRuleReconciler:
    """A reconciler that trusts."""
    return NodeRuleReconciler(kernel, TrustingVerifier(), WATCH)


def moved(reconciler: Reconciler, before: Sequence[CompletedRule], after: Sequence[CompletedRule], how: str) -> None:
    """Go from one state to the next: at once, rule by rule, or backwards."""
    gone = {rule.id for rule in before} - {rule.id for rule in after}
    order = tuple(reversed(after)) if how == "reversed" else tuple(after)
    forgotten = sorted(gone, reverse=how == "reversed")
    if how == "squashed":
        reconciler.batch_reconcile(order)
    elif how == "split":
        for rule in order:
            reconciler.reconcile(rule)
    for rule_id in forgotten:
        reconciler.forget(rule_id)
    if how == "reversed":
        for rule in order:
            reconciler.reconcile(rule)


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STATES)), st.sampled_from(["squashed", "split", "reversed"])), max_size=6
    ),
    st.sampled_from(sorted(STATES)),
    st.booleans(),
)
def test_from_any_state_to_any_state(path: list[tuple[str, str]], last: str, empties: bool) -> None:  # noqa: FBT001  # drawn
    """Whatever the states on the way, and whether with empty ones between, only the last one counts."""
    kernel = MemoryBackend(OTHERS)
    reconciler = reconciler_of(kernel)
    current: tuple[CompletedRule, ...] = ()
    steps = [step for named in path for step in ([("empty", "squashed"), named] if empties else [named])]
    for name, how in [*steps, (last, "squashed")]:
        moved(reconciler, current, STATES[name], how)
        current = STATES[name]
        if current:
            assert in_force(kernel) == wanted(current)
    reconciler.batch_reconcile(())
    assert in_force(kernel) == wanted(current)
    (kept,) = (chain for chain in kernel.ruleset.ipv4[0].chains if chain.name == "INPUT")
    assert kept.rules[1:] == FOREIGN
    assert kept.policy == "DROP"
    assert OTHERS.sets[0] in kernel.ruleset.sets


@given(st.permutations(STATES["all"]))
def test_the_order_of_arrival_says_nothing(rules: list[CompletedRule]) -> None:
    """Rules that come one by one in any order end as they do at once."""
    one_by_one, at_once = MemoryBackend(), MemoryBackend()
    reconciler = reconciler_of(one_by_one)
    for rule in rules:
        reconciler.reconcile(rule)
    reconciler_of(at_once).batch_reconcile(rules)
    assert in_force(one_by_one) == in_force(at_once) == wanted(rules)


def test_what_is_in_force_takes_no_steps() -> None:
    """Reconciling again what is in force does nothing."""
    kernel = MemoryBackend(OTHERS)
    reconciler = reconciler_of(kernel)
    reconciler.batch_reconcile(STATES["all"])
    kernel.steps.clear()
    reconciler.batch_reconcile(STATES["all"])
    reconciler.reconcile(B)
    reconciler.forget("unknown/r")
    assert kernel.steps == []


def test_drift_is_repaired() -> None:
    """What somebody changed of ours is put right by the next reconciliation, even of nothing."""
    kernel = MemoryBackend(OTHERS)
    reconciler = reconciler_of(kernel)
    reconciler.batch_reconcile(STATES["all"])
    sound = kernel.ruleset
    tables = tuple(replace(t, chains=tuple(replace(c, rules=c.rules[::-1]) for c in t.chains)) for t in sound.ipv4)
    sets = tuple(replace(item, members=item.members[1:]) if item.owned else item for item in sound.sets)
    kernel.ruleset = Ruleset(tables, (), sets)
    reconciler.batch_reconcile(())
    assert in_force(kernel) == arranged(owned_part(sound))


class Refusing:
    """Refuses the step of one index, counted over all steps, once or for good."""

    def __init__(self, index: int, *, for_good: bool = False) -> None:
        self.index = index
        self.for_good = for_good
        self.seen = -1

    def __call__(self, step: Step) -> str:  # noqa: ARG002  # whatever the step is
        """Return the kernel's words at that index."""
        self.seen += 1
        refused = self.seen >= self.index if self.for_good else self.seen == self.index
        return "iptables-restore: line 2 failed" if refused else ""


def way(before: str, after: str) -> tuple[Ruleset, int]:
    """What is in force for one state, and how many steps lead from there to another."""
    kernel = MemoryBackend(OTHERS)
    reconciler = reconciler_of(kernel)
    reconciler.batch_reconcile(STATES[before])
    there = kernel.ruleset
    kernel.steps.clear()
    wanted_rules = STATES[after]
    apply_proposal(propose(wanted(wanted_rules), kernel, TrustingVerifier(), WATCH), kernel, WATCH)
    return there, len(kernel.steps)


@pytest.mark.parametrize("before,after", [("a and b", "b, c and d"), ("empty", "all"), ("all", "a"), ("a", "a again")])
def test_a_refused_step_leaves_the_old_state(before: str, after: str) -> None:
    """Whichever step the kernel refuses, the state before is back, and the error says so."""
    there, steps = way(before, after)
    assert steps > 1
    for index in range(steps):
        kernel = MemoryBackend(there, Refusing(index))
        proposal = propose(wanted(STATES[after]), kernel, TrustingVerifier(), WATCH)
        with pytest.raises(KernelRefused, match="line 2 failed") as refused:
            apply_proposal(proposal, kernel, WATCH)
        assert arranged(kernel.ruleset) == arranged(there)
        undone = index > 0 or not proposal.plan.steps[0].atomic
        assert refused.value.aftermath == ("the previous state is back" if undone else "nothing was changed")


def test_what_cannot_be_undone_is_said() -> None:
    """Where the kernel refuses the way back too, the error says that the state before is not back."""
    there, steps = way("a and b", "b, c and d")
    kernel = MemoryBackend(there, Refusing(steps - 1, for_good=True))
    with pytest.raises(KernelRefused) as refused:
        apply_proposal(propose(wanted(STATES["b, c and d"]), kernel, TrustingVerifier(), WATCH), kernel, WATCH)
    assert refused.value.aftermath.startswith("the previous state could not be put back: ")


@pytest.mark.parametrize(
    "error", [ToolMissing("no program", "install it"), ValueError("no name: 'a b'")], ids=["missing", "unwritable"]
)
def test_an_error_half_way_is_undone(error: Exception) -> None:
    """Where a tool is missing in the middle, or a step cannot be written, what was done is undone as well."""
    there, steps = way("a and b", "b, c and d")
    kernel = MemoryBackend(there)
    run, seen = kernel.run, Refusing(steps - 1)

    def fails(step: Step) -> None:
        if seen(step):
            raise error
        run(step)

    kernel.run = fails  # type: ignore[method-assign]  # the fake knows no other way to be without a tool
    with pytest.raises(type(error)):
        apply_proposal(propose(wanted(STATES["b, c and d"]), kernel, TrustingVerifier(), WATCH), kernel, WATCH)
    assert arranged(kernel.ruleset) == arranged(there)


def test_a_refused_rule_is_not_held() -> None:
    """After a refusal the reconciler starts from the rules that are in force, and the rule can be tried again."""
    kernel = MemoryBackend(OTHERS, Refusing(3))
    reconciler = reconciler_of(kernel)
    reconciler.reconcile(B)  # both families: two steps
    kernel.steps.clear()
    with pytest.raises(KernelRefused):
        reconciler.reconcile(A)
    assert in_force(kernel) == wanted([B])
    reconciler.reconcile(C)
    assert in_force(kernel) == wanted([B, C])
    reconciler.reconcile(A)
    assert in_force(kernel) == wanted([A, B, C])


def test_a_lost_lifeline_is_refused() -> None:
    """A plan that would lose a packet of the lifelines is not carried out, unless it is forced."""
    kernel = MemoryBackend(OTHERS)
    reconciler = NodeRuleReconciler(kernel, GuardingVerifier(), WATCH)
    reconciler.reconcile(A)
    before = kernel.ruleset
    with pytest.raises(UnsafePlan, match=r"refused, the node would lose ssh from 192\.0\.2\.1"):
        reconciler.reconcile(D)
    assert kernel.ruleset == before
    assert reconciler.latest is not None
    assert reconciler.latest.judgement.lost == ("ssh from 192.0.2.1",)
    reconciler.reconcile(B)
    assert in_force(kernel) == wanted([A, B])
    forced = NodeRuleReconciler(kernel, GuardingVerifier(), WATCH, force_unsafe=True)
    forced.batch_reconcile((A, D))
    assert in_force(kernel) == wanted([A, D])


def test_sets_that_may_not_change_in_place_are_made_anew() -> None:
    """Rules switch to other sets and back, so that no set changes while a rule looks into it, and none is left over."""
    kernel = MemoryBackend(OTHERS)
    reconciler = NodeRuleReconciler(kernel, PickyVerifier(), WATCH)
    reconciler.batch_reconcile((A, C))
    methods = [reconciler.latest.method]
    reconciler.batch_reconcile((A_AGAIN, C))
    assert [*methods, reconciler.latest.method] == [Method.IN_PLACE, Method.SWITCH]
    assert reconciler.latest.judgement.safe
    assert in_force(kernel) == wanted([A_AGAIN, C])


@given(before=st.sampled_from(sorted(STATES)), after=st.sampled_from(sorted(STATES)))
def test_a_plan_that_goes_round_ends_where_it_shall(before: str, after: str) -> None:
    """Whatever is in force, the round way leads to what is wanted, and no rule looks into a set that changes."""
    observed, aim = compile_rules(STATES[before]), compile_rules(STATES[after])
    plan = make_before_break_plan(observed, aim)
    assert arranged(apply_changes(observed, plan.changes)) == arranged(aim)
    assert PickyVerifier().judge(observed, aim, tuple(intermediate_states(observed, plan))).safe


class ForgetfulKernel(MemoryBackend):
    """Says yes to every step and does none."""

    def run(self, step: Step) -> None:
        """Do nothing."""


def test_what_is_not_in_force_afterwards_is_said() -> None:
    """Where the tools agree and nothing changed, the error names what is missing."""
    with pytest.raises(
        ReadBackDiffers, match=r"read back \d+ differences after the apply: ipset create nw-4-"
    ) as missing:
        reconciler_of(ForgetfulKernel()).reconcile(A)
    assert "ip6tables new-chain filter/NW-INPUT" in missing.value.differences


class Noting:
    """A reconciler that notes what it is asked, and refuses what it is told to."""

    def __init__(self, refuse: Callable[[str], bool] = lambda _: False) -> None:
        self.asked: list[object] = []
        self._refuse = refuse

    def reconcile(self, rule: CompletedRule) -> None:
        """Note one rule."""
        self.batch_reconcile((rule,))

    def batch_reconcile(self, rules: Sequence[CompletedRule]) -> None:
        """Note rules."""
        self.asked.append(tuple(rules))

    def forget(self, rule_id: str) -> None:
        """Note an id."""
        if self._refuse(rule_id):
            raise KernelRefused("iptables", 1, "no")
        self.asked.append(rule_id)


def on(plane: Plane, rule: CompletedRule) -> CompletedRule:
    """The rule for a plane."""
    return replace(rule, plane=plane)


def test_rules_go_to_their_plane() -> None:
    """Each data plane gets its own rules, an empty batch too, and forgets only what it was given."""
    nodes, pods = Noting(), Noting()
    dispatcher = Dispatcher()
    dispatcher.register(Plane.NODES, nodes)
    dispatcher.register(Plane.PODS, pods)
    on_pods = on(Plane.PODS, B)
    both = on(Plane.PODS, C)
    dispatcher.batch_reconcile((A, on_pods, C, both))
    dispatcher.reconcile(D)
    for rule in (A, B, C):
        dispatcher.forget(rule.id)
    dispatcher.forget("unknown/r")
    assert nodes.asked == [(A, C), (D,), "a/r", "c/r"]
    assert pods.asked == [(on_pods, both), (), "b/r", "c/r"]


def test_rules_of_other_planes_are_ignored() -> None:
    """Rules of a plane that nobody registered for go nowhere."""
    nodes = Noting()
    dispatcher = Dispatcher()
    dispatcher.register(Plane.NODES, nodes)
    dispatcher.reconcile(on(Plane.PODS, A))
    dispatcher.forget(A.id)
    assert nodes.asked == [()]


def test_a_rule_that_could_not_be_forgotten_can_be_forgotten_again() -> None:
    """Where a plane refuses to forget a rule, the next attempt asks it again."""
    answers = iter([True, False])
    nodes = Noting(lambda _: next(answers))
    dispatcher = Dispatcher()
    dispatcher.register(Plane.NODES, nodes)
    dispatcher.reconcile(A)
    with pytest.raises(KernelRefused):
        dispatcher.forget(A.id)
    dispatcher.forget(A.id)
    assert nodes.asked == [(A,), "a/r"]
