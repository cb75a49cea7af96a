"""Helpers that create, change and delete objects of a real API server, and wait for them in a log."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from adapters import wiring
from adapters.eventlog.snapshots import Snapshots
from adapters.kubernetes.api.resources import RESOURCES
from engine.state.fold import ClusterState
from tests.support.kubernetes.api_server import ApiServer
from tests.support.policies.issue_5671 import POLICY

PATHS = {resource.kind: resource.paths[-1] for resource in RESOURCES}
POLICIES, NODES_AT = PATHS["ClusterNetworkPolicy"], PATHS["Node"]

Json = dict[str, object]


def documents(path: str) -> list[Json]:
    """Return the documents of a manifest file."""
    return [each for each in yaml.safe_load_all(Path(path).read_text()) if each]


def items(server: ApiServer, path: str) -> list[Json]:
    """Return the objects of a collection."""
    return list(server.ask("GET", path).json()["items"])


def put(server: ApiServer, document: Json) -> None:
    """Create an object with its status; apply it if it is a policy."""
    kind, metadata = str(document["kind"]), document["metadata"]
    assert isinstance(metadata, dict)
    path = PATHS[kind]
    if namespace := metadata.get("namespace"):
        path = path.replace("/api/v1/", f"/api/v1/namespaces/{namespace}/")
    if path == POLICIES:
        server.apply(f"/apis/{document['apiVersion']}/clusternetworkpolicies", document)
        return
    # Not by server-side apply, which refuses two addresses of one type in a Node.
    server.ask("POST", path, document)
    if "status" in document:
        server.ask("PUT", f"{path}/{metadata['name']}/status", document)


def remove(server: ApiServer, path: str, item: Json) -> None:
    """Delete an object."""
    metadata = item["metadata"]
    assert isinstance(metadata, dict)
    if namespace := metadata.get("namespace"):
        path = path.replace("/api/v1/", f"/api/v1/namespaces/{namespace}/")
    server.ask("DELETE", f"{path}/{metadata['name']}?gracePeriodSeconds=0")


@contextmanager
def recording(server: ApiServer, log: Path, user: str = "nodewall") -> Iterator[Path]:
    """Record the cluster by a separate process; yield the file with its standard error."""
    said = log.with_suffix(".said")
    words = [
        sys.executable,
        "-m",
        "adapters.cli",
        "-v",
        "record",
        "--log",
        str(log),
        "--kubeconfig",
        server.kubeconfig(user),
    ]
    with said.open("wb") as errors:
        process = subprocess.Popen(words, stderr=errors)
    try:
        yield said
    finally:
        process.terminate()
        assert process.wait(10) == 0, said.read_text()


def reached(log: Path, wanted: Callable[[ClusterState], bool], seconds: float = 30) -> float:
    """Wait until ``wanted`` accepts the log's state, and return the seconds that passed."""
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        events = wiring.event_log(str(log))
        if events.exists and wanted(Snapshots(events).reached()[0]):
            return time.monotonic() - begun
        time.sleep(0.01)
    raise AssertionError("not in time")


def port_of(state: ClusterState) -> int | None:
    """Return the port in the first rule of the issue's policy; None if the policy does not exist."""
    policy = state.policies.get("node-policy")
    return policy.spec.ingress[0].ports[0].port if policy else None


def policy_with(port: object) -> Json:
    """Return the issue's policy with another port."""
    (document,) = documents(POLICY)
    text = json.dumps(document).replace('"port": 6443', f'"port": {json.dumps(port)}')
    return {**json.loads(text), "apiVersion": "crd.antrea.io/v1beta1"}


def compact(server: ApiServer) -> None:
    """Compact etcd, so that it forgets all past versions."""
    version = server.ask("GET", NODES_AT).json()["metadata"]["resourceVersion"]
    server.etcd("/v3/kv/compaction", {"revision": version, "physical": True})
