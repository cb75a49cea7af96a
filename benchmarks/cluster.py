"""Benchmark of an agent on the API server of a large cluster: start-up, memory and delay of changes.

The cluster has 2,000 Nodes, 10,000 Pods and 500 policies, each for the Pods of one app. The output shows a target
beside each result.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from adapters import wiring
from adapters.eventlog.snapshots import Snapshots
from adapters.kubernetes.api.resources import RESOURCES
from adapters.lab.netns import Lab, LabHost
from adapters.system.child_python import child_python
from adapters.system.process import SystemRunner
from benchmarks.support.clusters import NODE, node_of, pod_of, selecting_policy_of
from engine.desired.full import desired_ruleset
from engine.events.outcomes import RulesetApplied
from engine.objects import ClusterObject
from engine.rulesets.ownership import SET_PREFIX, digest
from tests.support.kubernetes.api_server import ApiServer, built, free_port, lacking
from tests.support.kubernetes.installed_server import prepare

NODES, PODS, POLICIES = 2_000, 10_000, 500
RATE, SECONDS, SAMPLED = 100, 10, 10
"""Pod changes per second, seconds of changes, and number of changes per measured latency."""

_AT_ONCE = 24
_ASKED = 0.04
"""Seconds between two reads of the kernel; each read starts a process, so more of them would distort the result."""

_IDLE = 20.0
_PATHS = {resource.kind: resource.paths[-1] for resource in RESOURCES}
_TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print seconds, memory, share of a core, and latencies, each with its target."""
    print(f"cluster: {NODES:,} Nodes, {PODS:,} Pods, {POLICIES:,} policies in a real API server")
    if reason := lacking():
        print(f"  left out: {reason}")
        return
    with TemporaryDirectory() as folder, contextlib.closing(ApiServer(Path(folder), built())) as server:
        server.start()
        prepare(server)
        begin = time.perf_counter()
        asyncio.run(_filled(server))
        print(f"  (filled in {time.perf_counter() - begin:.0f} s)")
        with Lab((LabHost("node", ("192.168.0.1", "fd00::1")),)) as lab:
            _agent(server, Path(folder), lab.netns("node"))


def _agent(server: ApiServer, folder: Path, netns: str) -> None:
    log = folder / "events.db"
    words = ["agent", "--kubernetes", "--kubeconfig", server.kubeconfig("nodewall"), "--log", str(log)]
    words += ["--node", NODE, "--netns", netns, "--backend", "nft", "--listen", str(free_port())]
    begin = time.perf_counter()
    child = child_python("adapters.cli", *words)
    with subprocess.Popen(child.words, env=child.environment, cwd=child.folder) as agent:
        try:
            while not _applied(log):
                time.sleep(0.05)
            print(f"  ready in {time.perf_counter() - begin:5.1f} s   (wanted: 30)")
            time.sleep(5)
            used = _ticks(agent.pid)
            time.sleep(_IDLE)
            share, memory = (_ticks(agent.pid) - used) / _TICK / _IDLE * 100, _resident(agent.pid)
            print(f"  idle, {share:4.1f} % of a core   (wanted: 2), {memory:.0f} MB resident   (wanted: 250)")
            took = sorted(asyncio.run(_followed(server, log, netns)))
            late = statistics.quantiles(took, n=20)[-1]
            print(
                f"  {RATE} changes of Pods a second: from the API to the kernel median "
                f"{statistics.median(took) * 1000:.0f} ms, 95 of 100 within {late * 1000:.0f} ms   (wanted: 500), "
                f"then {_resident(agent.pid):.0f} MB"
            )
        finally:
            agent.terminate()


def _applied(log: Path) -> bool:
    events = wiring.event_log(str(log))
    return events.exists and any(
        isinstance(events.said(row), RulesetApplied) for row in events.some(lambda kind, _: kind == b"ruleset.applied")
    )


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def _filled(server: ApiServer) -> None:
    objects: list[ClusterObject] = [
        *(node_of(number) for number in range(NODES)),
        *(selecting_policy_of(number) for number in range(POLICIES)),
        *(_pod(number) for number in range(PODS)),
    ]
    async with _client(server) as client:
        await _gathered(_put(client, item) for item in objects)


def _pod(number: int) -> ClusterObject:
    return pod_of(f"pod-{number}", _address(number), f"app-{number % POLICIES}")


def _address(number: int) -> str:
    return f"10.128.{number // 250}.{number % 250 + 1}"


def _client(server: ApiServer) -> httpx2.AsyncClient:
    headers = {"Authorization": "Bearer admin"}
    return httpx2.AsyncClient(verify=False, base_url=server.url, headers=headers, timeout=30)


async def _put(client: httpx2.AsyncClient, item: ClusterObject) -> None:
    document = item.model_dump(mode="json", by_alias=True, exclude_none=True)
    path = _PATHS[item.kind]
    if item.kind == "Pod":
        path = path.replace("/pods", "/namespaces/default/pods")
        document["spec"] = {"containers": [{"name": "c", "image": "i"}]}
    (await client.post(path, json=document)).raise_for_status()
    if "status" in document and item.kind in {"Pod", "Node"}:
        kind = {"Content-Type": "application/merge-patch+json"}
        status = {"status": document["status"]}
        answer = await client.patch(f"{path}/{item.metadata.name}/status", json=status, headers=kind)
        answer.raise_for_status()


async def _gathered(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Run coroutines, at most ``_AT_ONCE`` of them at the same time."""
    waiting = iter(work)

    async def some(there: Iterator[Coroutine[None, None, None]]) -> None:
        for each in there:
            await each

    await asyncio.gather(*(some(waiting) for _ in range(_AT_ONCE)))


async def _followed(server: ApiServer, log: Path, netns: str) -> Sequence[float]:
    """Change the apps of Pods at a constant rate; return the seconds from some of the changes to the kernel."""
    state = Snapshots(wiring.event_log(str(log))).reached()[0]
    rules = desired_ruleset(state, NODE).rules
    names = {rule.policy: f"{SET_PREFIX}4-{digest(rule.id)}" for rule in rules}
    runner, took = SystemRunner(netns), list[float]()
    waiting: list[asyncio.Future[None]] = []

    def known(address: str, where: str, begin: float) -> None:
        while runner.run(["ipset", "test", where, address]).status:
            time.sleep(_ASKED)
        took.append(time.perf_counter() - begin)

    async with _client(server) as client:
        start = time.perf_counter()
        for number in range(RATE * SECONDS):
            app = (number * 7 + 1) % POLICIES
            kind = {"Content-Type": "application/merge-patch+json"}
            labels = {"metadata": {"labels": {"app": f"app-{app}"}}}
            path = f"{_PATHS['Pod'].replace('/pods', '/namespaces/default/pods')}/pod-{number}"
            (await client.patch(path, json=labels, headers=kind)).raise_for_status()
            if number % SAMPLED == 0 and app != number % POLICIES:
                begun, where = time.perf_counter(), names[f"policy-{app:05}"]
                waiting.append(asyncio.ensure_future(asyncio.to_thread(known, _address(number), where, begun)))
            await asyncio.sleep(max(0.0, start + (number + 1) / RATE - time.perf_counter()))
        await asyncio.wait_for(asyncio.gather(*waiting), 60)
    return took
