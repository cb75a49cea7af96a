"""Three Nodes in namespaces, each with an agent of its own on a real API server, and a partner outside."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.lab.netns import DeliveryOutcome, Lab, LabHost
from tests.support.kernel.agent_processes import AgentProcess
from tests.support.kubernetes.api_objects import POLICIES, Json, documents
from tests.support.kubernetes.api_server import ApiServer

NODES = {"cp-1": "192.168.77.1", "worker-1": "192.168.77.2", "worker-2": "192.168.77.3"}
PARTNER, ADDRESS, PORT, TCP = "partner", "203.0.113.7", 6443, 6


@dataclass(frozen=True)
class Site:
    """Three Nodes with agents, a partner outside the cluster, and the API server."""

    server: ApiServer
    lab: Lab
    agents: dict[str, AgentProcess]
    folder: Path

    def outcome(self, node: str = "cp-1", source: str = PARTNER) -> DeliveryOutcome:
        """Return the outcome of a connection to a Node."""
        return self.lab.connect(source, NODES[node], PORT, TCP, timeout=0.2)

    def takes(self, wanted: DeliveryOutcome, node: str = "cp-1", seconds: float = 30) -> float:
        """Wait until connections have an outcome, and return the seconds."""
        begun = time.monotonic()
        while self.outcome(node) is not wanted:
            assert time.monotonic() < begun + seconds, "not in time"
        return time.monotonic() - begun

    def declare(self, path: str) -> None:
        """Apply the policy in a file."""
        for document in documents(path):
            self.server.apply(POLICIES, {**document, "apiVersion": "crd.antrea.io/v1beta1"})

    @contextmanager
    def controlled(self, identity: str = "one") -> Iterator["subprocess.Popen[bytes]"]:
        """Run a controller."""
        words = ["controller", "--kubeconfig", self.server.kubeconfig("nodewall-controller"), "--identity", identity]
        with process("-v", *words, said=self.folder / f"{identity}.said") as running:
            yield running


@contextmanager
def process(*words: str, said: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run nodewall, and check at the end that it terminates without an error."""
    with said.open("ab") as errors:
        running = subprocess.Popen([sys.executable, "-m", "adapters.cli", *words], stderr=errors)
    try:
        yield running
    finally:
        running.terminate()
        assert running.wait(10) in {0, -9}, said.read_text()


@contextmanager
def site_of(cluster: ApiServer, folder: Path, url: str = "") -> Iterator[Site]:
    """Create the cluster of the issue as namespaces, with an agent for each Node; ``url`` is that of a proxy, if any."""
    hosts = [*(LabHost(name, (address,)) for name, address in NODES.items()), LabHost(PARTNER, (ADDRESS,))]
    with ExitStack() as open_things:
        lab = open_things.enter_context(Lab(tuple(hosts)))
        agents = {}
        for name in NODES:
            told = ("--kubernetes", "--kubeconfig", cluster.kubeconfig("nodewall", url))
            agents[name] = AgentProcess(lab.netns(name), "nft", folder / f"{name}.log", name, *told)
            open_things.callback(agents[name].kill)
        yield Site(cluster, lab, agents, folder)


def status_of(server: ApiServer, policy: str = "node-policy") -> Json:
    """Return the status of a policy; empty if it has none."""
    found = server.ask("GET", f"{POLICIES}/{policy}").json().get("status")
    return found if isinstance(found, dict) else {}


def comes(wanted: Callable[[], bool], seconds: float = 30) -> float:
    """Wait until a condition is true, and return the seconds."""
    begun = time.monotonic()
    while not wanted():
        assert time.monotonic() < begun + seconds, "not in time"
        time.sleep(0.05)
    return time.monotonic() - begun


def realized(server: ApiServer, current: int, desired: int, policy: str = "node-policy") -> Callable[[], bool]:
    """Return a condition: the current version of a policy is realized on ``current`` of ``desired`` Nodes."""

    def so() -> bool:
        item = server.ask("GET", f"{POLICIES}/{policy}").json()
        status = item.get("status", {})
        counts = (status.get("currentNodesRealized"), status.get("desiredNodesRealized"))
        generation = item["metadata"]["generation"]
        return counts == (current, desired) and status.get("observedGeneration") == generation

    return so


def kubectl(server: ApiServer, *words: str, given: object = None, user: str = "admin") -> str:
    """Return what kubectl prints."""
    done = subprocess.run(
        ["kubectl", "--kubeconfig", server.kubeconfig(user), *words],
        input=None if given is None else given if isinstance(given, str) else json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(server.folder), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def certificate(folder: Path) -> tuple[Path, Path]:
    """Create a certificate for loopback and its key."""
    files = folder / "tls.crt", folder / "tls.key"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    outputs = ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run([*words.split(), *outputs], check=True, capture_output=True)
    return files
