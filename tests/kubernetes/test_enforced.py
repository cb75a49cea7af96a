"""Policies of a real API server decide on real connections between Nodes, each of which has an agent."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.lab import Host, Lab, Outcome
from adapters.process import SystemRunner
from tests.adapters.issue import CHANGED, POLICY
from tests.kernel.agents import AgentProcess
from tests.kernel.conftest import lacking
from tests.kubernetes.objects import NODES_AT, POLICIES, documents, put, remove
from tests.kubernetes.server import ApiServer

pytestmark = pytest.mark.cluster

NODES = {"cp-1": "192.168.77.1", "worker-1": "192.168.77.2", "worker-2": "192.168.77.3"}
PARTNER, ADDRESS, PORT, TCP = "partner", "203.0.113.7", 6443, 6


@dataclass(frozen=True)
class Site:
    """Three Nodes with agents, a partner outside, and the API server that all hear of."""

    server: ApiServer
    lab: Lab
    agents: dict[str, AgentProcess]

    def outcome(self, node: str = "cp-1", source: str = PARTNER) -> Outcome:
        """What becomes of a connection to a Node."""
        return self.lab.connect(source, NODES[node], PORT, TCP, timeout=0.2)

    def takes(self, wanted: Outcome, node: str = "cp-1", seconds: float = 10) -> float:
        """Return after how many seconds connections have another outcome."""
        begun = time.monotonic()
        while self.outcome(node) is not wanted:
            assert time.monotonic() < begun + seconds, "not in time"
        return time.monotonic() - begun


@pytest.fixture
def site(cluster: ApiServer, tmp_path: Path) -> Iterator[Site]:
    """The cluster of the issue as namespaces, with an agent for each Node."""
    if reason := lacking():
        pytest.fail(reason)
    hosts = [*(Host(name, (address,)) for name, address in NODES.items()), Host(PARTNER, (ADDRESS,))]
    with ExitStack() as open_things:
        lab = open_things.enter_context(Lab(tuple(hosts)))
        agents = {}
        for name in NODES:
            told = ("--kubernetes", "--kubeconfig", cluster.kubeconfig("recorder"))
            agents[name] = AgentProcess(lab.netns(name), "nft", tmp_path / f"{name}.log", name, *told)
            open_things.callback(agents[name].kill)
        yield Site(cluster, lab, agents)


def declared(site: Site, path: str) -> None:
    """Have the policy of a file."""
    for document in documents(path):
        site.server.apply(POLICIES, {**document, "apiVersion": "crd.antrea.io/v1beta1"})


def test_policies_of_the_api_decide_on_connections_within_a_second(site: Site) -> None:
    """The partner is let in and kept out as the policy changes; the other Nodes are nobody's business."""
    site.takes(Outcome.DROP)
    assert site.outcome("worker-1") is Outcome.ACCEPT
    took = []
    for number in range(10):
        declared(site, CHANGED if number % 2 == 0 else POLICY)
        took.append(site.takes(Outcome.ACCEPT if number % 2 == 0 else Outcome.DROP))
    # What a connection that is dropped waits for is counted in.
    assert statistics.quantiles(took, n=20)[-1] < 1.0, took


def test_labels_and_deletions_decide_too(site: Site) -> None:
    """A Node that becomes one of the control plane is closed, and without the policy all are open."""
    site.takes(Outcome.DROP)
    labels = {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}
    site.server.ask("PATCH", f"{NODES_AT}/worker-1", labels)
    site.takes(Outcome.DROP, "worker-1")
    assert site.outcome("worker-1", source="worker-2") is Outcome.ACCEPT
    remove(site.server, POLICIES, {"metadata": {"name": "node-policy"}})
    site.takes(Outcome.ACCEPT)
    site.takes(Outcome.ACCEPT, "worker-1")
    for document in documents(POLICY):
        put(site.server, document)


def test_without_the_api_enforcement_and_repairs_go_on(site: Site) -> None:
    """Nothing that is forbidden gets through meanwhile; within 5 s of its return the Nodes are as it says."""
    site.takes(Outcome.DROP)
    site.server.stop("api")
    begun = time.monotonic()
    for number in range(4):
        SystemRunner(site.lab.netns("cp-1")).run(["iptables-nft", "-F", "NW-INPUT"]).or_refused("iptables")
        site.takes(Outcome.DROP, seconds=5)
        assert site.outcome(("worker-1", "worker-2")[number % 2]) is Outcome.ACCEPT
    assert time.monotonic() - begun < 30
    site.server.start()
    declared(site, CHANGED)
    assert site.takes(Outcome.ACCEPT, seconds=20) < 5


def test_an_agent_that_begins_again_leaves_no_gap(site: Site) -> None:
    """Killed and started again, also where the API is away, it goes on from its log; as it ends all stays in force."""
    site.takes(Outcome.DROP)
    agent = site.agents["cp-1"]
    agent.kill()
    assert site.outcome() is Outcome.DROP
    site.server.stop("api")
    agent.restart()
    SystemRunner(site.lab.netns("cp-1")).run(["iptables-nft", "-F", "NW-INPUT"]).or_refused("iptables")
    site.takes(Outcome.DROP)
    site.server.start()
    declared(site, CHANGED)
    assert site.takes(Outcome.ACCEPT, seconds=20) < 5
    declared(site, POLICY)
    site.takes(Outcome.DROP)
    assert agent.ends() == 0
    assert site.outcome() is Outcome.DROP
