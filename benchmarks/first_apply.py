"""Benchmark of the first apply of a Node's policies, and of a change of one member after it, against a rival.

The rival writes rule by rule. It adds each member of a set by a process, then writes its whole chain by one restore.
That takes minutes, so one of several rules is measured, with the chain as long as it is then, and counted for all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import monotonic, perf_counter

from adapters import wiring
from adapters.application.node_guard import NodeGuard
from adapters.lab.netns import Lab, LabHost
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.netfilter.cached import CachedKernel
from adapters.node.drift import RulesetEnforcer
from adapters.node.journal import Journal
from adapters.system.process import FinishedProcess, Runner, SystemRunner
from benchmarks.support.clusters import NODE, cluster, desired_by, policy_of
from engine.desired.incremental import derive
from engine.events import declaration_of
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.rulesets.model import Family, IpSet, Rule, Ruleset
from engine.rulesets.plan import Tool
from engine.rulesets.text import render_rule
from engine.rulesets.text.steps import full_text
from engine.state.fold import ClusterState
from simulator.symbolic.context import UNLIMITED

POLICIES, PEERS, EACH, CHANGES = 1000, 100, 10, 20
CHAIN = "NW-INPUT"


@dataclass
class Counting:
    """Runner that counts programs and their seconds, which is the share of the kernel and its tools."""

    runner: Runner
    processes: int = 0
    seconds: float = 0.0

    def run(self, words: Sequence[str], stdin: str = "", timeout: float = 60) -> FinishedProcess:
        """Run one program."""
        start = perf_counter()
        try:
            return self.runner.run(words, stdin, timeout)
        finally:
            self.seconds += perf_counter() - start
            self.processes += 1


@dataclass
class Cost:
    """Cost of an apply.

    Attributes:
        seconds: Total time.
        kernel: Seconds in the kernel and its tools.
        processes: Number of tool runs.
        operations: Number of changes to the kernel.
    """

    seconds: float
    kernel: float
    processes: float
    operations: int

    def __str__(self) -> str:
        """Return the cost as text."""
        return (
            f"{self.seconds:8.3f} s, in the kernel and its tools {self.kernel:8.3f} s; "
            f"{self.processes:,.0f} processes, {self.operations:,} operations"
        )


def main() -> None:
    """Print the costs of both programs and their ratios, per backend."""
    state = cluster(POLICIES, PEERS, ("Allow", "Drop"))
    for backend in (BackendName.NFT, BackendName.LEGACY):
        print(f"first apply, {backend}: {POLICIES:,} rules of {PEERS} members each")
        ours, changed = _ours(state, backend)
        wanted = derive(state, NODE).ruleset
        rival, again = _rival(wanted, backend)
        _compare(ours, rival)
        print(f"one member changed, {backend}: on that node, median of {CHANGES}; the rival writes the rule again")
        _compare(changed, again)
        print(f"  (one that adds just the member, and proves nothing: {rival.kernel / rival.processes:8.3f} s)")


def _compare(ours: Cost, rival: Cost) -> None:
    print(f"  nodewall {ours}")
    print(f"  rival    {rival}")
    print(
        f"  {rival.seconds / ours.seconds:,.0f}x as fast in all, {rival.kernel / ours.kernel:,.0f}x in the kernel part"
    )


def _ours(state: ClusterState, backend: BackendName) -> tuple[Cost, Cost]:
    """Return the costs of nodewall's first apply, from the cluster state on, and of a change of one member."""
    with Lab((LabHost("node", ("10.0.0.1",)),)) as lab, wiring.rule_changes(backend, lab.netns("node")) as changes:
        counting, guards = (
            Counting(SystemRunner(lab.netns("node"))),
            NodeGuard(NODE, lab.netns("node"), lambda: UNLIMITED),
        )
        kernel = CachedKernel(choose_backend(counting, backend), changes)
        nodes = NodeRuleReconciler(kernel, guards, wiring.SystemStopwatch())
        keeper = RulesetEnforcer(kernel, nodes, Journal(NODE, state), monotonic)
        start = perf_counter()
        current = derive(state, NODE)
        guards.judge_in(state)
        keeper.enforce(desired_by(current))
        first = _cost(perf_counter() - start, counting, nodes)
        costs = []
        for number in range(CHANGES):
            event = declaration_of(policy_of(number, PEERS + 1, ("Allow", "Drop")[number % 2]))
            counting.seconds, counting.processes = 0.0, 0
            start = perf_counter()
            current = current.after(event)
            guards.judge_in(current.state)
            keeper.enforce(desired_by(current))
            costs.append(_cost(perf_counter() - start, counting, nodes))
        return first, _median(costs)


def _cost(seconds: float, counting: Counting, nodes: NodeRuleReconciler) -> Cost:
    return Cost(seconds, counting.seconds, counting.processes, len(nodes.latest.plan.changes))


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        median(cost.seconds for cost in costs),
        median(cost.kernel for cost in costs),
        median(cost.processes for cost in costs),
        max(cost.operations for cost in costs),
    )


@dataclass
class _Rival:
    """Rival: writes rules one after another."""

    runner: Counting
    backend: BackendName
    written: list[Rule] = field(default_factory=list)

    def write(self, rule: Rule, item: IpSet) -> int:
        """Write a rule, also one that is written already, and return the number of operations."""
        new = rule not in self.written
        if new:
            self._run("ipset", "create", item.name, item.type, "family", "inet")
        for (element,) in item.members:
            self._run("ipset", "add", item.name, element, "-exist")
        self.note(rule)
        lines = "".join(f"-A {CHAIN}{render_rule(each)}\n" for each in self.written)
        text = f"*filter\n:{CHAIN} - [0:0]\n{lines}COMMIT\n"
        self.runner.run([f"iptables-{self.backend}-restore", "--noflush"], text).or_refused("iptables")
        return new + len(item.members) + len(self.written)

    def note(self, rule: Rule) -> None:
        """Add a rule to the chain at the next restore."""
        if rule not in self.written:
            self.written.append(rule)

    def _run(self, *words: str) -> None:
        self.runner.run(words).or_refused(words[0])


def _rival(wanted: Ruleset, backend: BackendName) -> tuple[Cost, Cost]:
    """Return the costs of the rival's first apply and of a change of one rule at its end.

    Of ``EACH`` rules one is measured, and the first apply is extrapolated from these.
    """
    with Lab((LabHost("node", ("10.0.0.1",)),)) as lab:
        runner = SystemRunner(lab.netns("node"))
        rival = _Rival(Counting(runner), backend)
        operations = 0
        pairs = list(_pairs(wanted))
        for number, (rule, item) in enumerate(pairs):
            if number % EACH == 0:
                operations += rival.write(rule, item)
            else:  # not measured, but part of the chain for later rules
                runner.run(["ipset", "restore"], full_text(Ruleset(sets=(item,)))[Tool.IPSET]).or_refused("ipset")
                rival.note(rule)
        counted = rival.runner
        first = Cost(counted.seconds * EACH, counted.seconds * EACH, counted.processes * EACH, operations * EACH)
        costs = []
        for rule, item in pairs[:CHANGES]:
            rival.runner = Counting(runner)
            operations = rival.write(rule, item)
            costs.append(Cost(rival.runner.seconds, rival.runner.seconds, rival.runner.processes, operations))
        return first, _median(costs)


def _pairs(wanted: Ruleset) -> Iterator[tuple[Rule, IpSet]]:
    """Yield the rules of policies with their sets."""
    sets = {item.name: item for item in wanted.sets}
    chain = wanted.table(Family.IPV4, "filter").chain(CHAIN)
    for rule in chain.rules if chain else ():
        for name in rule.set_names:
            if "policy-" in rule.comment:
                yield rule, sets[name]
