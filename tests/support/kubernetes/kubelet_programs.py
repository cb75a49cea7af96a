"""Runs the programs of nodewall's installation, in place of kubelets and workload controllers.

Agents run in the network namespaces of a lab, with the account and the command line of their workload. Paths and
loopback ports, which would need a machine of its own, are replaced.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx2

from adapters.lab.netns import Lab
from tests.support.kubernetes.api_server import ApiServer, free_port

_APPS = "/apis/apps/v1/namespaces/kube-system"
_LOG = "/var/lib/nodewall/events.db"


@dataclass
class Kubelet:
    """Runs the DaemonSet's container for each Node, and the controller's once; a thread watches the workloads."""

    server: ApiServer
    lab: Lab
    nodes: tuple[str, ...]
    folder: Path
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for name in list(self._running):
            self._stop(name)

    def _run(self) -> None:
        seen: dict[str, int] = {}
        while not self._ended.wait(0.1):
            for path, names in (
                ("daemonsets/nodewall", self.nodes),
                ("deployments/nodewall-controller", ("controller",)),
            ):
                with contextlib.suppress(httpx2.HTTPStatusError, httpx2.TransportError):
                    self._bring(path, names, seen)

    def _bring(self, path: str, names: tuple[str, ...], seen: dict[str, int]) -> None:
        """Start the programs of a workload one after the other, and write the workload's status."""
        answer = self.server.client.get(f"{self.server.url}{_APPS}/{path}", headers={"Authorization": "Bearer admin"})
        if answer.status_code == 404:
            for name in names:
                self._stop(name)
            seen.pop(path, None)
            return
        item = answer.json()
        generation = item["metadata"]["generation"]
        if seen.get(path) == generation:
            return
        pod = item["spec"]["template"]["spec"]
        self.server.account(pod["serviceAccountName"])
        for name in names:
            self._stop(name)
            self._start(name, pod["serviceAccountName"], pod["containers"][0])
        count = len(names)
        told = (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberReady",
        )
        status = {"observedGeneration": generation, "numberMisscheduled": 0, **dict.fromkeys(told, count)}
        if path.startswith("daemonsets"):
            self.server.ask("PATCH", f"{_APPS}/{path}/status", {"status": status})
        seen[path] = generation

    def _start(self, name: str, account: str, container: Mapping[str, object]) -> None:
        agent, port = name in self.nodes, str(free_port())
        words = [str(word) for word in container["command"]]  # type: ignore[attr-defined] # is a list
        assert words[0] == "nodewall"
        replaced = {_LOG: str(self.folder / f"{name}.db"), "9471": port, "*:9472": port}
        words = [replaced.get(word, word) for word in words[1:]]
        words += ["--kubeconfig", self.server.kubeconfig(account)]
        words += ["--netns", self.lab.netns(name), "--backend", "nft"] if agent else []
        environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "NODE_NAME": name, "POD_NAME": name}
        for each in container.get("env", ()):  # type: ignore[attr-defined] # is a list
            if "value" in each:
                environment[each["name"]] = each["value"]
        with (self.folder / f"{name}.said").open("ab") as errors:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "adapters.cli", *words], stderr=errors, env=environment
            )
        end = time.monotonic() + 30
        while time.monotonic() < end and not _ready(port):
            time.sleep(0.05)

    def _stop(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.terminate()
            process.wait(20)


def _ready(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
