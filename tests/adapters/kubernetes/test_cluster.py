"""A real API server: it takes nodewall's definitions, and what becomes of its objects comes on record."""

import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from adapters import wiring
from adapters.cli import main
from adapters.eventlog.snapshots import Snapshots
from adapters.kubernetes.api.resources import RESOURCES
from engine.events import ObjectRefused, subject
from tests.support.kubernetes.api_objects import (
    NODES_AT,
    PATHS,
    POLICIES,
    compact,
    documents,
    policy_with,
    port_of,
    put,
    reached,
    recording,
    remove,
)
from tests.support.kubernetes.api_server import ApiServer
from tests.support.policies.issue_5671 import ISSUE, NODES, POLICY

pytestmark = pytest.mark.cluster


def test_the_server_takes_the_definitions_and_keeps_what_they_do_not_name(cluster: ApiServer) -> None:
    """The issue's policy comes back as it was given; an unknown field stays, to be refused by who reads it."""
    found = cluster.ask("GET", f"{POLICIES}/node-policy").json()
    (given,) = documents(POLICY)
    assert isinstance(given["spec"], dict)
    assert found["spec"]["priority"] == given["spec"]["priority"]
    assert found["spec"]["ingress"] == given["spec"]["ingress"]
    bad = policy_with(6443)
    assert isinstance(bad["spec"], dict)
    cluster.apply(POLICIES, {**bad, "spec": {**bad["spec"], "toServices": [{"name": "x"}]}})
    assert "toServices" in cluster.ask("GET", f"{POLICIES}/node-policy").json()["spec"]
    for wrong in (policy_with("https"), {**bad, "spec": {"priority": "high"}}):
        with pytest.raises(httpx2.HTTPStatusError):
            cluster.apply(POLICIES, wrong)


def test_a_cluster_comes_on_record_and_goes_on_to(cluster: ApiServer, tmp_path: Path) -> None:
    """What there is, what changes, and what is gone, each once and soon; what makes no difference makes no event."""
    log = tmp_path / "log"
    with recording(cluster, log):
        reached(log, lambda state: len(state.nodes) == 3 and port_of(state) == 6443)
        events = wiring.event_log(str(log))
        before = events.last_sequence()
        for number in range(3):  # a kubelet's heartbeat
            status = {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": str(number)}]}}
            cluster.ask("PATCH", f"{NODES_AT}/cp-1/status", status)
        for port in (6444, 6445, 6446, 6447):
            cluster.apply(POLICIES, policy_with(port))
            reached(log, lambda state, port=port: port_of(state) == port)  # type: ignore[misc] # bound now
        remove(cluster, POLICIES, {"metadata": {"name": "node-policy"}})
        reached(log, lambda state: port_of(state) is None)
        changed = [subject(event.body) for event in events.read(before)]
        assert changed == ["ClusterNetworkPolicy/node-policy"] * 5
    assert events.verify() == events.last_sequence()


def test_one_bad_object_holds_up_no_other(cluster: ApiServer, tmp_path: Path) -> None:
    """It is refused on record with its reasons and keeps its last version, and a good one settles that."""
    log = tmp_path / "log"
    with recording(cluster, log):
        reached(log, lambda state: port_of(state) == 6443)
        bad = policy_with(7000)
        assert isinstance(bad["spec"], dict)
        cluster.apply(POLICIES, {**bad, "spec": {**bad["spec"], "tier": "nowhere"}})
        put(cluster, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-9"}})
        reached(log, lambda state: "worker-9" in state.nodes and bool(state.refusals))
        state = Snapshots(wiring.event_log(str(log))).reached()[0]
        assert port_of(state) == 6443
        (refusal,) = state.refusals.values()
        assert (refusal.name, "nowhere" in refusal.faults[0].problem) == ("node-policy", True)
        cluster.apply(
            PATHS["Tier"],
            {
                "apiVersion": "crd.antrea.io/v1beta1",
                "kind": "Tier",
                "metadata": {"name": "nowhere"},
                "spec": {"priority": 77},
            },
        )
        reached(log, lambda state: port_of(state) == 7000 and not state.refusals)
        remove(cluster, POLICIES, {"metadata": {"name": "node-policy"}})


def test_a_server_that_goes_and_comes_back_is_caught_up_with(cluster: ApiServer, tmp_path: Path) -> None:
    """The changes of the meantime are recorded, also where the server's history was compacted."""
    log = tmp_path / "log"
    with recording(cluster, log) as said:
        reached(log, lambda state: port_of(state) == 6443)
        cluster.stop("api", "etcd")
        time.sleep(1)
        cluster.start()
        remove(cluster, NODES_AT, {"metadata": {"name": "worker-2"}})
        cluster.apply(POLICIES, policy_with(8000))
        compact(cluster)
        reached(log, lambda state: "worker-2" not in state.nodes and port_of(state) == 8000, 30)
        assert "cluster not heard" in said.read_text()
        assert "cluster heard again" in said.read_text()


def test_a_recorder_that_was_away_records_what_is_gone(cluster: ApiServer, tmp_path: Path) -> None:
    """Once it is back, by comparing all there is with its log; ``--once`` does just that."""
    log, words = tmp_path / "log", ["record", "--once"]
    for gone in ("", "worker-1"):
        if gone:
            remove(cluster, NODES_AT, {"metadata": {"name": gone}})
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "adapters.cli",
                *words,
                "--log",
                str(log),
                "--kubeconfig",
                cluster.kubeconfig("nodewall"),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr.startswith("the log is at sequence ")
    events = [event.body for event in wiring.event_log(str(log)).read()]
    assert [body.type for body in events if subject(body) == "Node/worker-1"] == ["node.observed", "node.deleted"]
    assert not [body for body in events if isinstance(body, ObjectRefused)]


def test_a_right_that_is_missing_is_named(cluster: ApiServer, tmp_path: Path) -> None:
    """In one line for each kind: the verb, the resource, its group; nothing is put on record."""
    log = tmp_path / "log"
    with recording(cluster, log, "nobody") as said:
        end = time.monotonic() + 10
        while said.read_text().count("cluster not heard") < len(RESOURCES) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(1)
        text = said.read_text()
    assert text.count("may not list pods: grant verb list on resource pods of API group") == 1
    assert text.count("may not list clusternetworkpolicies: grant verb list") == 1
    assert not wiring.event_log(str(log)).exists


def test_credentials_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kubeconfig that is not there, is no kubeconfig, or has no such context."""
    junk = tmp_path / "junk"
    junk.write_text("[")
    for path in (tmp_path / "none", junk, ISSUE / "manifests" / "nodes.yaml"):
        assert main(["record", "--log", str(tmp_path / "log"), "--kubeconfig", str(path)]) == 2
        assert capsys.readouterr().err.startswith("error: --kubeconfig: no credentials for a cluster")


def test_an_agent_needs_a_log_for_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    """What the API tells has to be recorded somewhere."""
    assert main(["agent", "--kubernetes", "--node", "cp-1", "-f", NODES]) == 2
    assert "error: --kubernetes: what is told has to be recorded" in capsys.readouterr().err
