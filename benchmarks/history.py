"""Benchmark of long histories: events per second to append, verify and fold, by number of events.

There are 1,000 Nodes, 10,000 Pods that come and go, and 1,000 policies that change.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from adapters import wiring
from adapters.eventlog.snapshots import Snapshots
from adapters.system.child_python import child_python
from benchmarks.support.clusters import node_of, pod_of, policy_of
from benchmarks.support.timing import seconds
from engine.events import EventBody, declaration_of, deletion_of
from engine.state.fold import fold_bodies

SIZES = (10_000, 100_000, 1_000_000)
NODES, PODS, POLICIES = 1_000, 10_000, 1_000
GROUP = 5_000
BLAMED = ("--node", "node-5", "--packet", "in=eth0 src=10.20.0.1 dst=192.168.0.6 proto=tcp dport=1020")
"""Packet that a policy alternately accepts and drops."""


def main() -> None:
    """Print events per second for each size."""
    print(f"history: {NODES:,} nodes, {PODS:,} Pods, {POLICIES:,} policies; groups of {GROUP:,}")
    bodies = _bodies()
    with TemporaryDirectory() as folder:
        log, length = wiring.event_log(f"{folder}/events.db"), 0
        for size in SIZES:
            appending = 0.0
            while length < size:
                group = list(islice(bodies, GROUP))
                start = perf_counter()
                log.append(group, source="bench", expected=length)
                appending += perf_counter() - start
                length += len(group)
            snapshots = Snapshots(log)
            made, opened = seconds(snapshots.reached), seconds(snapshots.reached)
            past = max(seconds(partial(snapshots.reached, size * part // 7)) for part in range(1, 7))
            verified, folded = seconds(log.verify), seconds(lambda: fold_bodies(map(log.said, log.rows())))
            blamed = seconds(partial(_run, "adapters.cli", "blame", "--log", log.name, *BLAMED))
            memory = int(_run("benchmarks.history", log.name))
            megabytes = Path(log.name).stat().st_size / 1e6
            added = size - (SIZES[SIZES.index(size) - 1] if size != SIZES[0] else 0)
            print(
                f"  {size:9,} events, {megabytes:5.0f} MB: append {added / appending:9,.0f}, "
                f"verify {size / verified:9,.0f}, fold {size / folded:9,.0f} a second; "
                f"states made in {made:.1f} s, then opened in {opened:.2f} s, any past state in {past:.2f} s; "
                f"blame in {blamed:.2f} s; {memory} MB in use to fold it"
            )


def _run(module: str, *words: str) -> str:
    child = child_python(module, *words)
    done = subprocess.run(
        child.words, env=child.environment, cwd=child.folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def _folded(path: str) -> int:
    """Fold a log, and return the peak memory of this process in MB."""
    log = wiring.event_log(path)
    state = fold_bodies(map(log.said, log.rows()))
    # Not by getrusage(2): its maximum includes that of the parent process.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024 if state.sequence else 0


def _bodies() -> Iterator[EventBody]:
    """Yield the Nodes, then an endless sequence of changes to Pods, policies and sometimes a Node."""
    yield from (declaration_of(node_of(number)) for number in range(NODES))
    number = 0
    while True:
        number += 1
        name = number * 7919 % PODS
        if number % 50 == 0:
            action = ("Allow", "Drop")[number // 50 // POLICIES % 2]
            yield declaration_of(policy_of(number // 50 % POLICIES, 1 + number // 50 % 3, action))
        elif number % 500 == 1:
            yield declaration_of(node_of(number // 500 % NODES))
        elif number % 5 == 0:
            yield deletion_of("Pod", f"default/pod-{name}")
        else:
            address = f"10.{number // 62_500 % 250}.{number // 250 % 250}.{number % 250 + 1}"
            yield declaration_of(pod_of(f"pod-{name}", address, f"app-{name % POLICIES}"))


if __name__ == "__main__":
    print(_folded(sys.argv[1]))
