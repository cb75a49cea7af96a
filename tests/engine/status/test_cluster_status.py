"""What nodes report is gathered policy by policy, and only the present version counts."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.events import ObjectRefused, Refusal
from engine.state.fold import evolve
from engine.status.cluster_status import ClusterStatus, PolicySummary
from engine.status.policy_status import Phase, PolicyStatus, version_of
from tests.support.rulesets.ruleset_builders import cidr, node, policy, world

NODES = [f"n{number}" for number in range(4)]
POLICY = policy("p", ingress=[{"action": "Drop", "from": [cidr("10.0.0.0/8")]}])
STATE = world(*(node(name, f"192.0.2.{number + 1}") for number, name in enumerate(NODES)), POLICY)
VERSION = version_of(POLICY)


def summary(**phases: Phase) -> PolicySummary | None:
    """What comes of reports by node."""
    reports = {name: {"p": PolicyStatus("p", phase, 1, (), VERSION)} for name, phase in phases.items()}
    return ClusterStatus().of(STATE, "p", reports)


def test_a_policy_is_realized_once_all_its_nodes_say_so() -> None:
    """Until then it is pending, or being realized, and the nodes that are waited for are named."""
    assert summary() == PolicySummary(Phase.PENDING, 0, 4, message="not yet on n0, n1, n2, n3")
    assert summary(n0=Phase.REALIZED) == PolicySummary(Phase.REALIZING, 1, 4, message="not yet on n1, n2, n3")
    assert summary(**dict.fromkeys(NODES, Phase.REALIZED)) == PolicySummary(Phase.REALIZED, 4, 4)


def test_an_older_version_that_is_in_force_does_not_count() -> None:
    """A version is told by what it says; one that says the same again counts at once."""
    reports = {name: {"p": PolicyStatus("p", Phase.REALIZED, 1, (), "older")} for name in NODES}
    found = ClusterStatus().of(STATE, "p", reports)
    assert found is not None
    assert (found.phase, found.current) == (Phase.REALIZING, 0)


def test_a_node_that_failed_is_named_with_its_words() -> None:
    """And the policy has failed, whatever the others say."""
    failed = {"n2": {"p": PolicyStatus("p", Phase.FAILED, None, ("iptables refused",), VERSION)}}
    found = ClusterStatus().of(STATE, "p", failed)
    assert found == PolicySummary(Phase.FAILED, 0, 4, message="n2: iptables refused; not yet on n0, n1, n3")


def test_a_version_that_is_refused_is_in_force_nowhere() -> None:
    """The reasons are told; what nodes say is of the version before."""
    faults = tuple(Refusal(path=f"spec.{n}", problem="no good", expected="") for n in range(7))
    refused = ObjectRefused(kind="ClusterNetworkPolicy", name="p", faults=faults)
    reports = {name: {"p": PolicyStatus("p", Phase.REALIZED, 1, (), VERSION)} for name in NODES}
    found = ClusterStatus().of(evolve(STATE, refused), "p", reports)
    assert found is not None
    assert (found.phase, found.current, found.desired) == (Phase.FAILED, 0, 4)
    assert found.refused.count("no good") == 5
    assert found.refused.endswith("; 2 more reasons")
    assert ClusterStatus().of(replace(STATE, policies=STATE.policies.delete("p")), "p", reports) == PolicySummary(
        Phase.FAILED, 0, 0, "refused"
    )


@given(st.dictionaries(st.sampled_from([*NODES, "gone"]), st.sampled_from(Phase)))
def test_counts_fit_and_realized_means_all(phases: dict[str, Phase]) -> None:
    """Nodes that are not the policy's do not count; all of them and only they make it realized."""
    found = summary(**phases)
    assert found is not None
    assert found.current == sum(phases.get(name) is Phase.REALIZED for name in NODES)
    assert found.desired == 4
    assert (found.phase is Phase.REALIZED) == (found.current == found.desired)
    assert (found.phase is Phase.FAILED) == any(phases.get(name) is Phase.FAILED for name in NODES)
