"""First apply of a node's policies: nodewall's batches against one process an operation.

The rival does what a controller does that calls ``ipset add`` and ``iptables -A`` for every member and rule.
"""

from time import perf_counter

from adapters import wiring
from adapters.kernel import Backend
from adapters.lab import Host, Lab
from adapters.process import SystemRunner
from benchmarks.worlds import NODE, cluster
from engine.compiler import compile_rules
from engine.plan import Step, Tool
from engine.reconcile import propose, realize
from engine.resolve import resolve
from engine.ruleset import Ruleset
from simulator.guard import TrustingVerifier

POLICIES, PEERS = 50, 20


def main() -> None:
    """Print seconds and processes of both, and their ratio, per backend."""
    wanted = compile_rules(resolve(cluster(POLICIES, PEERS), NODE))
    print(f"first apply: {POLICIES} policies of {PEERS} CIDRs each")
    for backend in (Backend.NFT, Backend.LEGACY):
        ours, ops, steps = _ours(wanted, backend)
        rival, processes = _rival(wanted, backend)
        print(f"  {backend:7} nodewall {ours:6.2f} s, {steps} restores for {ops} ops (and the saves before and after)")
        print(f"  {'':7} rival    {rival:6.2f} s, {processes} processes: nodewall is {rival / ours:.0f}x as fast")


def _ours(wanted: Ruleset, backend: Backend) -> tuple[float, int, int]:
    with Lab((Host("node", ("10.0.0.1",)),)) as lab:
        kernel, watch = wiring.kernel(lab.netns("node"), backend), wiring.SystemStopwatch()
        start = perf_counter()
        proposal = propose(wanted, kernel, TrustingVerifier(), watch)
        realize(proposal, kernel, watch)
        return perf_counter() - start, len(proposal.plan.ops), len(proposal.plan.steps)


def _rival(wanted: Ruleset, backend: Backend) -> tuple[float, int]:
    with Lab((Host("node", ("10.0.0.1",)),)) as lab:
        kernel = wiring.kernel(lab.netns("node"), backend)
        steps = propose(wanted, kernel, TrustingVerifier(), wiring.SystemStopwatch()).plan.steps
        runner = SystemRunner(lab.netns("node"))
        commands = [words for step in steps for words in _commands(step, backend)]
        start = perf_counter()
        for words in commands:
            runner.run(words).or_refused(words[0])
        return perf_counter() - start, len(commands)


def _commands(step: Step, backend: Backend) -> list[list[str]]:
    """Return one command an operation; comments are left out, which spares the rival their quotes."""
    if step.tool is Tool.IPSET:
        return [["ipset", *line.split()] for line in step.text.splitlines()]
    lines = [line.split(" -m comment --comment ") for line in step.text.splitlines()]
    program = f"{step.tool}-{backend}"
    chains = [[program, "-N", head[0].split()[0][1:]] for head in lines if head[0].startswith(":")]
    rules = [[program, *head[0].split(), *_target(head[-1])] for head in lines if head[0].startswith(("-A", "-I"))]
    return [*chains, *rules]


def _target(rest: str) -> list[str]:
    return rest[rest.index("-j ") :].split()
