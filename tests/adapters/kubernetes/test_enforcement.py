"""Policies of a real API server decide on real connections between Nodes, each of which has an agent."""

import pytest

from adapters.lab.netns import DeliveryOutcome
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.counters import counted
from adapters.system.process import SystemRunner
from tests.support.kubernetes.api_objects import NODES_AT, POLICIES, documents, put, remove
from tests.support.kubernetes.three_nodes import Site
from tests.support.policies.issue_5671 import CHANGED, POLICY

pytestmark = pytest.mark.cluster


def test_policies_of_the_api_decide_on_connections(site: Site) -> None:
    """The partner may connect, or not, as the policy changes; the other Nodes stay as they are."""
    site.takes(DeliveryOutcome.DROP)
    assert site.outcome("worker-1") is DeliveryOutcome.ACCEPT
    for number in range(10):
        site.declare(CHANGED if number % 2 == 0 else POLICY)
        site.takes(DeliveryOutcome.ACCEPT if number % 2 == 0 else DeliveryOutcome.DROP)
    dropped = [
        each for each in counted(SystemRunner(site.lab.netns("cp-1")), BackendName.NFT) if each.policy == "node-policy"
    ]
    assert sum(each.packets for each in dropped) > 0


def test_labels_and_deletions_decide_too(site: Site) -> None:
    """A Node that becomes one of the control plane is closed, and without the policy all are open."""
    site.takes(DeliveryOutcome.DROP)
    labels = {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}
    site.server.ask("PATCH", f"{NODES_AT}/worker-1", labels)
    site.takes(DeliveryOutcome.DROP, "worker-1")
    assert site.outcome("worker-1", source="worker-2") is DeliveryOutcome.ACCEPT
    remove(site.server, POLICIES, {"metadata": {"name": "node-policy"}})
    site.takes(DeliveryOutcome.ACCEPT)
    site.takes(DeliveryOutcome.ACCEPT, "worker-1")
    for document in documents(POLICY):
        put(site.server, document)


def test_without_the_api_enforcement_and_repairs_go_on(site: Site) -> None:
    """Nodes enforce the old policy meanwhile, and the new one when the API is back."""
    site.takes(DeliveryOutcome.DROP)
    site.server.stop("api")
    for number in range(4):
        SystemRunner(site.lab.netns("cp-1")).run(["iptables-nft", "-F", "NW-INPUT"]).or_refused("iptables")
        site.takes(DeliveryOutcome.DROP)
        assert site.outcome(("worker-1", "worker-2")[number % 2]) is DeliveryOutcome.ACCEPT
    site.server.start()
    site.declare(CHANGED)
    site.takes(DeliveryOutcome.ACCEPT, seconds=30)


def test_an_agent_that_begins_again_leaves_no_gap(site: Site) -> None:
    """Killed and started again, also where the API is away, it goes on from its log; as it ends all stays in force."""
    site.takes(DeliveryOutcome.DROP)
    agent = site.agents["cp-1"]
    agent.kill()
    assert site.outcome() is DeliveryOutcome.DROP
    site.server.stop("api")
    agent.restart()
    SystemRunner(site.lab.netns("cp-1")).run(["iptables-nft", "-F", "NW-INPUT"]).or_refused("iptables")
    site.takes(DeliveryOutcome.DROP)
    site.server.start()
    site.declare(CHANGED)
    site.takes(DeliveryOutcome.ACCEPT, seconds=30)
    site.declare(POLICY)
    site.takes(DeliveryOutcome.DROP)
    assert agent.ends() == 0
    assert site.outcome() is DeliveryOutcome.DROP
