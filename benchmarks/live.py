"""Benchmark of the delay from an event to the kernel on a large Node.

The Node has 1,000 rules about 10,000 Pods, and one Pod's address comes or goes. The agent's whole work for the event is
measured: derive, compile, diff, prove, apply, read back and record.
"""

import subprocess
from collections.abc import Iterator
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep

from adapters import wiring
from adapters.application.node_guard import NodeGuard
from adapters.lab.netns import Lab, LabHost
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.cached import CachedKernel
from adapters.node.drift import RulesetEnforcer
from adapters.node.journal import Journal
from adapters.system.child_python import child_python
from adapters.system.process import SystemRunner
from benchmarks.support.clusters import NODE, desired_by, node_of, pod_of, selecting_policy_of
from engine.desired.incremental import Derivation, derive
from engine.events import EventBody, declaration_of, deletion_of
from engine.objects import Pod
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.state.fold import ClusterState, evolve, snapshot_events
from simulator.symbolic.context import UNLIMITED

_REST = 0.3
"""Seconds without work for the agent between events, so that each event finds it waiting."""

POLICIES, PODS, EVENTS = 1000, 10_000, 40


def main() -> None:
    """Print the median and the longest time of an event, per backend, and its parts."""
    print(f"live: one Pod's address on a node with {POLICIES:,} rules and {PODS:,} Pods")
    start = derive(_cluster(), NODE)
    for backend in (BackendName.NFT, BackendName.LEGACY):
        times, watch = _events(start, backend)
        parts = ", ".join(f"{name} {seconds / len(times) * 1000:.1f}" for name, seconds in watch.seconds.items())
        print(f"  {backend:7} median {median(times) * 1000:6.1f} ms, worst {max(times) * 1000:6.1f} ms ({parts} ms)")
        whole = [seconds * 1000 for seconds in _through_an_agent(start, backend)]
        print(
            f"  {'':7} median {median(whole):6.1f} ms, worst {max(whole):6.1f} ms by a running agent, from its log on"
        )


def _events(start: Derivation, backend: BackendName) -> tuple[list[float], wiring.SystemStopwatch]:
    lab_of = Lab((LabHost("node", ("192.168.0.1", "fd00::1")),))
    with TemporaryDirectory() as folder, lab_of as lab, wiring.rule_changes(backend, lab.netns("node")) as changes:
        kernel = CachedKernel(wiring.kernel(lab.netns("node"), backend), changes)
        watch = wiring.SystemStopwatch()
        guards = NodeGuard(NODE, lab.netns("node"), lambda: UNLIMITED)
        guards.judge_in(start.state)
        log = wiring.event_log(f"{folder}/events.db")
        log.append((), source="bench", expected=0)
        journal = Journal(NODE, start.state, log)
        nodes = NodeRuleReconciler(kernel, guards, watch, begin=journal.begun)
        keeper = RulesetEnforcer(kernel, nodes, journal, monotonic)
        current = start
        keeper.enforce(desired_by(current))
        times: list[float] = []
        for number, body in enumerate(_bodies()):
            if number == 2:  # the first events still fill caches
                watch.seconds.clear()
                times.clear()
            begin = perf_counter()
            with watch.stage("derive"):
                current = current.after(body)
            guards.judge_in(current.state)
            keeper.enforce(desired_by(current))
            times.append(perf_counter() - begin)
        return times, watch


def _through_an_agent(start: Derivation, backend: BackendName) -> list[float]:
    """Return for each Pod the seconds from its event on disk until a running agent has changed the kernel."""
    (made,) = (
        item.name for item in start.ruleset.sets if _address_of(_pod(0, 0)) in {each[0] for each in item.members}
    )
    with TemporaryDirectory() as folder, Lab((LabHost("node", ("192.168.0.1", "fd00::1")),)) as lab:
        log, runner = wiring.event_log(f"{folder}/events.db"), SystemRunner(lab.netns("node"))
        log.append(list(snapshot_events(start.state)), source="bench", expected=0)
        record = Journal(NODE, start.state, log)  # appends after whatever the agent records meanwhile
        words = ["agent", "--log", log.name, "--node", NODE, "--netns", lab.netns("node"), "--backend", backend]
        child = child_python("adapters.cli", *words)
    with subprocess.Popen(child.words, env=child.environment, cwd=child.folder) as agent:
        try:
            times = []
            for number in range(1 + EVENTS // 2):
                pod = _pod(PODS + number, 0)
                record.append(declaration_of(pod))
                begin = perf_counter()
                while runner.run(["ipset", "test", made, _address_of(pod)]).status:
                    pass
                times.append(perf_counter() - begin)
                sleep(_REST)
        finally:
            agent.terminate()
    return times[1:]  # the first Pod also waited for the agent to start


def _address_of(pod: Pod) -> str:
    return pod.status.pod_ips[0].ip


def _bodies() -> Iterator[EventBody]:
    for number in range(EVENTS // 2):
        pod = _pod(PODS + number, number * 37 % POLICIES)
        yield declaration_of(pod)
        yield deletion_of("Pod", f"default/{pod.metadata.name}")


def _cluster() -> ClusterState:
    state = ClusterState()
    for number in range(10):
        state = evolve(state, declaration_of(node_of(number)))
    for number in range(POLICIES):
        state = evolve(state, declaration_of(selecting_policy_of(number)))
    for number in range(PODS):
        state = evolve(state, declaration_of(_pod(number, number % POLICIES)))
    return state


def _pod(number: int, app: int) -> Pod:
    return pod_of(f"pod-{number}", f"10.{128 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}", f"app-{app}")
