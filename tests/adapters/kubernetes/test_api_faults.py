"""Whatever a cluster does to agents, nothing that is forbidden gets through, and Nodes come to be as they should."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from adapters.lab.netns import DeliveryOutcome
from tests.support.kernel.agent_processes import NODEWALL
from tests.support.kubernetes.api_objects import NODES_AT, POLICIES, Json, compact, documents, put, remove
from tests.support.kubernetes.api_server import ApiServer
from tests.support.kubernetes.faulty_proxy import BROKEN, CUT, FINE, SLOW, TOO_MANY, Proxy
from tests.support.kubernetes.three_nodes import ADDRESS, NODES, PARTNER, PORT, TCP, Site, comes, site_of
from tests.support.policies.issue_5671 import CHANGED, POLICY

pytestmark = pytest.mark.cluster

AWAY = 600.0 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 15.0
"""Seconds for which the API server is away."""

CLOSED = 7443
"""A port that no version of the policy opens to anybody outside."""


@contextmanager
def never_let_in(site: Site) -> Iterator[None]:
    """See that the partner never gets through to a port that stays closed."""
    over, got = threading.Event(), list[DeliveryOutcome]()

    def knock() -> None:
        while not over.is_set():
            got.append(site.lab.connect(PARTNER, NODES["cp-1"], CLOSED, TCP, timeout=0.05))

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert set(got) == {DeliveryOutcome.DROP}
    assert len(got) > 10


def deciding(outcome: DeliveryOutcome, mark: int = 0) -> Json:
    """The issue's policy with a rule that decides on the partner, another each time by its ``mark``."""
    (document,) = documents(POLICY)
    spec = document["spec"]
    assert isinstance(spec, dict)
    action = "Allow" if outcome is DeliveryOutcome.ACCEPT else "Drop"
    ports = [{"protocol": "TCP", "port": PORT}, {"protocol": "TCP", "port": 10_000 + mark}]
    rule = {"action": action, "name": "partner", "from": [{"ipBlock": {"cidr": f"{ADDRESS}/32"}}], "ports": ports}
    spec["ingress"] = [rule, *spec["ingress"]]
    return {**document, "apiVersion": "crd.antrea.io/v1beta1"}


@pytest.fixture
def proxied(cluster: ApiServer, tmp_path: Path) -> Iterator[tuple[Site, Proxy]]:
    """Agents that reach the API by a proxy."""
    cluster.apply(POLICIES, deciding(DeliveryOutcome.DROP))
    with Proxy(cluster).running() as proxy, site_of(cluster, tmp_path, proxy.url) as site:
        site.takes(DeliveryOutcome.DROP, seconds=20)
        yield site, proxy


def test_a_server_that_fails_is_slow_or_cuts_off_is_caught_up_with(proxied: tuple[Site, Proxy]) -> None:
    """Status 429, status 500, slow answers, watches that end within a line: afterwards the policy is enforced."""
    site, proxy = proxied
    with never_let_in(site):
        for number, mode in enumerate((TOO_MANY, BROKEN, SLOW, CUT)):
            proxy.mode = mode
            wanted = DeliveryOutcome.DROP if number % 2 else DeliveryOutcome.ACCEPT
            for mark in (1, 2):  # while it goes wrong, so that watches have something to be cut off at
                site.server.apply(POLICIES, deciding(wanted, mark))
                time.sleep(0.7)
            site.server.apply(POLICIES, deciding(wanted))
            time.sleep(2)
            proxy.mode = FINE
            site.takes(wanted, seconds=30)
    assert proxy.cuts > 0


def test_a_long_absence_of_the_server_changes_nothing(site: Site) -> None:
    """Agents enforce the old policy meanwhile, and the new one when the server is back with another history."""
    site.server.apply(POLICIES, deciding(DeliveryOutcome.DROP))
    site.takes(DeliveryOutcome.DROP)
    comes(lambda: site.lab.connect(PARTNER, NODES["cp-1"], CLOSED, TCP, timeout=0.05) is DeliveryOutcome.DROP)
    with never_let_in(site):
        site.server.stop("api", "etcd")
        end = time.monotonic() + AWAY
        while time.monotonic() < end:
            time.sleep(1)
            assert site.outcome("worker-1") is DeliveryOutcome.ACCEPT
        site.server.start()
        site.server.apply(POLICIES, deciding(DeliveryOutcome.ACCEPT))
        compact(site.server)
        site.takes(DeliveryOutcome.ACCEPT, seconds=30)


def test_a_storm_of_changes_ends_in_the_last(site: Site) -> None:
    """One policy changes up to a hundred times a second; the last version is enforced."""
    site.server.apply(POLICIES, deciding(DeliveryOutcome.DROP))
    site.takes(DeliveryOutcome.DROP)
    comes(lambda: site.lab.connect(PARTNER, NODES["cp-1"], CLOSED, TCP, timeout=0.05) is DeliveryOutcome.DROP)
    with never_let_in(site):
        begun = time.monotonic()
        for count in range(300):
            site.server.apply(POLICIES, deciding((DeliveryOutcome.ACCEPT, DeliveryOutcome.DROP)[count % 2], count % 3))
            time.sleep(max(0.0, begun + count / 100 - time.monotonic()))
        site.server.apply(POLICIES, deciding(DeliveryOutcome.ACCEPT))
        site.takes(DeliveryOutcome.ACCEPT)
        site.server.apply(POLICIES, deciding(DeliveryOutcome.DROP))
        site.takes(DeliveryOutcome.DROP)


def test_a_second_agent_of_a_node_gives_up(site: Site, tmp_path: Path) -> None:
    """It names who keeps the Node, and changes nothing."""
    site.takes(DeliveryOutcome.DROP)
    words = [*NODEWALL, "agent", "--kubernetes", "--kubeconfig", site.server.kubeconfig("nodewall"), "--node", "cp-1"]
    words += ["--netns", site.lab.netns("cp-1"), "--log", str(tmp_path / "second.log")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"error: process {site.agents['cp-1'].pid} " in done.stderr
    assert site.outcome() is DeliveryOutcome.DROP


def test_a_node_without_an_object_keeps_its_rules(site: Site) -> None:
    """Until its object is back, also through a restart of its agent."""
    site.takes(DeliveryOutcome.DROP)
    document = site.server.ask("GET", f"{NODES_AT}/cp-1").json()
    remove(site.server, NODES_AT, document)
    time.sleep(1)
    site.agents["cp-1"].kill()
    site.agents["cp-1"].restart()
    time.sleep(2)
    assert site.outcome() is DeliveryOutcome.DROP
    metadata = {key: document["metadata"][key] for key in ("name", "labels")}
    put(site.server, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": document["status"]})
    site.declare(CHANGED)
    site.takes(DeliveryOutcome.ACCEPT)
    site.declare(POLICY)


def test_etcd_that_restarts_is_no_matter(site: Site) -> None:
    """Changes made after it is back come into force."""
    site.takes(DeliveryOutcome.DROP)
    site.server.stop("etcd")
    time.sleep(1)
    assert site.outcome() is DeliveryOutcome.DROP
    site.server.start()

    def changed() -> bool:
        try:
            site.declare(CHANGED)
        except httpx2.HTTPError:
            return False
        return True

    comes(changed, 30)
    site.takes(DeliveryOutcome.ACCEPT, seconds=30)
    site.declare(POLICY)
