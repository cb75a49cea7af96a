"""Policies are pending, realizing, realized or failed, and notes say what is not as one might think."""

from dataclasses import replace

from engine.compiler import compile_rules
from engine.desired.full import desired_ruleset, linear_ruleset
from engine.events import ConfigDeclared, EventBody, ObjectRefused, Refusal
from engine.events.outcomes import ApplyFailed, ApplyProposed, FailedRule, RulesetApplied
from engine.objects import KINDS
from engine.objects.config import Configuration
from engine.rulesets.digest import ruleset_digest
from engine.state.fold import ClusterState, evolve
from engine.status.policy_status import Phase, PolicyStatus, node_policy_statuses, version_of
from tests.support.rulesets.ruleset_builders import cidr, node, policy, world

POLICY = policy("p", ingress=[{"action": "Drop", "from": [cidr("10.0.0.0/8")]}])
STATE = world(node("n1", "192.0.2.1"), POLICY)


def after(*bodies: EventBody, state: ClusterState = STATE) -> PolicyStatus:
    """Return how far the only policy is after events."""
    for body in bodies:
        state = evolve(state, body)
    (status,) = unversioned(state)
    return status


def unversioned(state: ClusterState) -> list[PolicyStatus]:
    """Return how far all policies are; that each tells its version is seen to here."""
    found = node_policy_statuses(state, "n1")
    for each in found:
        known = state.policies.get(each.policy)
        assert each.version == (version_of(known) if known else "")
    return [replace(each, version="") for each in found]


def test_versions_differ_where_policies_do() -> None:
    """And are the same of what says the same, whoever read it."""
    again = POLICY.model_validate(POLICY.model_dump(by_alias=True))
    other = policy("p", ingress=[{"action": "Drop", "from": [cidr("10.0.0.0/9")]}])
    assert version_of(again) == version_of(POLICY) != version_of(other)


def applied(state: ClusterState) -> RulesetApplied:
    """Return the event that says a state is in force."""
    digest = ruleset_digest(desired_ruleset(state, "n1").ruleset)
    return RulesetApplied(node="n1", realized=state.sequence, ruleset=digest, operations=1)


def test_a_policy_goes_from_pending_by_realizing_to_realized() -> None:
    """Before any apply it is pending, in force realized, and realizing once the state wants something else."""
    assert after() == PolicyStatus("p", Phase.PENDING)
    assert after(applied(STATE)) == PolicyStatus("p", Phase.REALIZED, STATE.sequence)
    changed = after(applied(STATE), ConfigDeclared(config=Configuration.model_validate({"families": ["IPv4"]})))
    assert changed == PolicyStatus("p", Phase.REALIZING, STATE.sequence)


def test_rules_that_are_in_force_by_the_other_layout_are_in_force() -> None:
    """Where the optimised one could not be, the linear one is, and that is noted."""
    rule = {"action": "Drop", "from": [cidr("10.0.0.0/8")], "ports": [{"protocol": "TCP", "port": 22}]}
    state = world(node("n1", "192.0.2.1"), policy("p", ingress=[rule]))
    state = evolve(state, ConfigDeclared(config=Configuration.model_validate({"layout": "Optimised"})))
    linear_one = ruleset_digest(linear_ruleset(desired_ruleset(state, "n1")))
    found = after(RulesetApplied(node="n1", realized=2, ruleset=linear_one, operations=1), state=state)
    assert found.phase is Phase.REALIZED
    assert any("not by the optimised layout" in note for note in found.notes)
    assert after(applied(state), state=state) == PolicyStatus("p", Phase.REALIZED, state.sequence)


def test_what_the_kernel_refused_has_failed_in_its_words() -> None:
    """An apply that failed leaves the kernel's words."""
    failed = after(ApplyFailed(node="n1", wanted=2, words="iptables refused"))
    assert failed == PolicyStatus("p", Phase.FAILED, None, ("iptables refused",))


def test_a_rule_that_the_kernel_refused_fails_its_policy_and_no_other() -> None:
    """Its policy has failed in the kernel's words, the rest of the node is realized."""
    other = policy("q", ingress=[{"action": "Drop", "ports": [{"port": 22}]}], priority=6.0)
    state = world(node("n1", "192.0.2.1"), POLICY, other)
    wanted = desired_ruleset(state, "n1")
    (rule,) = (rule for rule in wanted.rules if rule.policy == "p")
    rest = compile_rules([rule for rule in wanted.rules if rule.policy != "p"], wanted.options)
    failed = FailedRule(policy="p", rule=rule.name, words="no such match")
    applied_but_one = RulesetApplied(
        node="n1", realized=state.sequence, ruleset=ruleset_digest(rest), operations=3, failed=(failed,)
    )

    first, second = unversioned(evolve(state, applied_but_one))

    told = f"rule {rule.name} is not in force: no such match"
    assert first == PolicyStatus("p", Phase.FAILED, state.sequence, (told,))
    assert second == PolicyStatus("q", Phase.REALIZED, state.sequence)


def test_an_apply_that_was_cut_off_is_told() -> None:
    """While a proposal has no outcome its policies are realizing; an outcome ends that."""
    begun = ApplyProposed(node="n1", wanted=2, ruleset="0" * 64, operations=7, method="switch")
    told = ("an apply of the state at 2 was begun",)
    assert after(begun) == PolicyStatus("p", Phase.REALIZING, None, told)
    assert after(applied(STATE), begun) == PolicyStatus("p", Phase.REALIZING, STATE.sequence, told)
    assert after(begun, applied(STATE)) == PolicyStatus("p", Phase.REALIZED, STATE.sequence)


def test_a_refused_version_has_failed_and_the_good_one_stays_in_force() -> None:
    """A refusal is told beside the sequence that is in force; a policy that never was good has none."""
    faults = (Refusal(path="spec.tier", problem='found "x"', expected="a tier"),)
    told = 'refused: spec.tier: found "x"; expected a tier'
    refused = ObjectRefused(kind="ClusterNetworkPolicy", name="p", faults=faults)
    assert after(applied(STATE), refused) == PolicyStatus("p", Phase.FAILED, STATE.sequence, (told,))
    assert after(refused, state=world(node("n1"))) == PolicyStatus("p", Phase.FAILED, None, (told,))


def test_notes_tell_what_means_nobody_what_is_not_ours_and_what_is_cut() -> None:
    """Missing groups and children, entries for Pods, labels without room and absent interfaces are told."""
    group = KINDS["ClusterGroup"].model_validate(
        {
            "apiVersion": "crd.antrea.io/v1beta1",
            "kind": "ClusterGroup",
            "metadata": {"name": "g"},
            "spec": {"childGroups": ["c"]},
        }
    )
    rule = {
        "action": "Drop",
        "from": [{"group": "g"}, {"group": "h"}],
        "enableLogging": True,
        "logLabel": "a" * 20,
        "name": "r",
    }
    both = policy("p", ingress=[rule], appliedTo=[{"nodeSelector": {}}, {"podSelector": {}}])
    config = Configuration.model_validate({"logging": {"target": "kernel"}, "interfaces": ["en?"]})
    state = evolve(world(node("n1", "192.0.2.1"), group, both), ConfigDeclared(config=config))

    assert after(state=state).notes == (
        "entries of appliedTo that select Pods are left to the data plane of Pods",
        "child group c of g is not there, so it means nobody",
        "group h is not there, so it means nobody",
        "logLabel aaaaaaaaaaaaaaaaaaaa of rule r does not fit; it logs as nodewall:I:Drop:aaaaaaa~4533:",
        "the node has no interface that the configuration names, so nothing is judged",
    )
