"""What agents report becomes the status of policies in a real API server, and what goes wrong is told."""

import pytest

from adapters.kubernetes.api.resources import NODE_FIREWALLS
from adapters.lab.netns import DeliveryOutcome
from adapters.system.process import SystemRunner
from tests.support.kubernetes.api_objects import (
    NODES_AT,
    PATHS,
    POLICIES,
    Json,
    documents,
    items,
    policy_with,
    put,
    remove,
)
from tests.support.kubernetes.api_server import ApiServer
from tests.support.kubernetes.three_nodes import NODES, Site, comes, kubectl, realized, status_of
from tests.support.policies.issue_5671 import CHANGED, POLICY
from tests.support.policies.issue_5671 import NODES as CLUSTER

pytestmark = pytest.mark.cluster

LABEL = "node-role.kubernetes.io/control-plane"


def events(server: ApiServer, reason: str) -> list[Json]:
    """The Events of a reason."""
    found = server.ask("GET", "/api/v1/namespaces/default/events").json()["items"]
    return [event for event in found if event["reason"] == reason]


def labelled(site: Site, node: str, value: str | None) -> None:
    """Have a Node be one of the control plane, or no longer."""
    site.server.ask("PATCH", f"{NODES_AT}/{node}", {"metadata": {"labels": {LABEL: value}}})


def name_of(item: Json) -> object:
    """The name of an object."""
    metadata = item["metadata"]
    return metadata["name"] if isinstance(metadata, dict) else None


def test_status_goes_to_realized_on_all_nodes(site: Site) -> None:
    """By kubectl apply of the issue's policy, its change, relabelled Nodes, and back; Nodes report what is in force."""
    with site.controlled():
        comes(realized(site.server, 1, 1))
        for node in ("worker-1", "worker-2"):
            labelled(site, node, "")
        comes(realized(site.server, 3, 3))
        kubectl(site.server, "apply", "--server-side", "--force-conflicts", "-f", CHANGED)
        comes(realized(site.server, 3, 3))
        assert all(site.outcome(node) is DeliveryOutcome.ACCEPT for node in NODES)
        status = status_of(site.server)
        assert status["phase"] == "Realized"
        conditions = status["conditions"]
        assert isinstance(conditions, list)
        assert [(each["type"], each["status"]) for each in conditions] == [("Accepted", "True"), ("Realized", "True")]
        reports = items(site.server, NODE_FIREWALLS.paths[0])
        assert [name_of(report) for report in reports] == list(NODES)
        assert "True" in kubectl(site.server, "get", "nwf", "cp-1")
        labelled(site, "worker-1", None)
        comes(realized(site.server, 2, 2))


def test_a_refused_policy_has_failed_and_people_hear_why(site: Site) -> None:
    """Once, from the controller; the last good version stays in force, and a good one is realized again."""
    with site.controlled():
        comes(realized(site.server, 1, 1))
        bad = policy_with(7000)
        assert isinstance(bad["spec"], dict)
        site.server.apply(POLICIES, {**bad, "spec": {**bad["spec"], "tier": "nowhere"}})
        comes(lambda: status_of(site.server).get("phase") == "Failed")
        assert "nowhere" in str(status_of(site.server)["conditions"])
        comes(lambda: len(events(site.server, "Refused")) == 1)
        (event,) = events(site.server, "Refused")
        assert event["involvedObject"]["name"] == "node-policy"  # type: ignore[index] # has one
        assert "nowhere" in str(event["message"])
        assert site.outcome() is DeliveryOutcome.DROP
        site.declare(POLICY)
        comes(realized(site.server, 1, 1))
        assert status_of(site.server)["phase"] == "Realized"


def test_drift_is_told_with_the_node(site: Site) -> None:
    """As an Event that kubectl shows with it; the same once more is counted."""
    site.takes(DeliveryOutcome.DROP)
    for _ in range(2):
        SystemRunner(site.lab.netns("cp-1")).run(["iptables-nft", "-F", "NW-INPUT"]).or_refused("iptables")
        site.takes(DeliveryOutcome.DROP)
    comes(lambda: [event["count"] for event in events(site.server, "FirewallDriftRepaired")] == [2])
    assert "FirewallDriftRepaired" in kubectl(site.server, "describe", "node", "cp-1")


def test_a_node_that_goes_takes_its_report_with_it(site: Site) -> None:
    """Its rules stay in force meanwhile; once it is back it reports again, and is counted."""
    with site.controlled():
        comes(realized(site.server, 1, 1))
        remove(site.server, NODES_AT, {"metadata": {"name": "cp-1"}})
        comes(realized(site.server, 0, 0))
        comes(lambda: len(items(site.server, NODE_FIREWALLS.paths[0])) == 2)
        assert site.outcome() is DeliveryOutcome.DROP
        (node,) = (each for each in documents(CLUSTER) if name_of(each) == "cp-1")
        put(site.server, node)
        comes(realized(site.server, 1, 1))
        assert len(items(site.server, NODE_FIREWALLS.paths[0])) == 3
        site.declare(CHANGED)
        site.takes(DeliveryOutcome.ACCEPT)
        site.declare(POLICY)


def test_a_controller_that_dies_is_followed_by_another(site: Site) -> None:
    """One alone writes; when it ends well the other takes over at once, and status goes on."""
    with site.controlled("two") as second:
        comes(realized(site.server, 1, 1))
        with site.controlled("one"):
            second.terminate()
            second.wait(10)
            site.declare(CHANGED)
            comes(realized(site.server, 1, 1), 20)
        lease = site.server.ask("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/nodewall-controller")
        assert lease.json()["spec"]["holderIdentity"] == ""
        assert lease.json()["spec"]["leaseTransitions"] >= 2


def test_a_changed_group_decides_and_is_realized(site: Site) -> None:
    """A policy by a ClusterGroup follows the group's members."""
    group: Json = {
        "apiVersion": "crd.antrea.io/v1beta1",
        "kind": "ClusterGroup",
        "metadata": {"name": "partners"},
        "spec": {"ipBlocks": [{"cidr": "203.0.113.7/32"}]},
    }
    site.takes(DeliveryOutcome.DROP)
    site.server.apply(PATHS["ClusterGroup"], group)
    changed = policy_with(6443)
    assert isinstance(changed["spec"], dict)
    rules = [{"action": "Allow", "from": [{"group": "partners"}], "ports": [{"protocol": "TCP", "port": 6443}]}]
    changed["spec"]["ingress"] = [*rules, *changed["spec"]["ingress"]]
    with site.controlled():
        site.server.apply(POLICIES, changed)
        site.takes(DeliveryOutcome.ACCEPT)
        site.server.apply(PATHS["ClusterGroup"], {**group, "spec": {"ipBlocks": [{"cidr": "203.0.113.8/32"}]}})
        site.takes(DeliveryOutcome.DROP)
        comes(realized(site.server, 1, 1))
