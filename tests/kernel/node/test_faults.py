"""Whatever goes wrong at whichever call of a tool, the kernel holds the old state or the new one, and the next try works."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from adapters.lab.netns import Namespaces
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import ToolBackend, choose_backend
from adapters.system.process import FinishedProcess, Runner, SystemRunner
from engine.desired.full import DesiredRuleset
from engine.desired.incremental import derive
from engine.errors import KernelRefused, NodewallError, ToolMissing
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.rulesets.diff import diff, owned_part
from engine.rulesets.model import Ruleset
from simulator.guard.guard import LockoutGuard
from tests.support.kernel.agent_processes import after, desired_by
from tests.support.kernel.foreign_rules import load_theirs, theirs
from tests.support.kernel.policy_author import Author
from tests.support.rulesets.ruleset_builders import SOAK, NullWatch, node, world

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

CHANGES = 12 if SOAK else 1
"""Changes at every call of which each fault is tried, for each backend."""

Fault = Callable[[Runner, Sequence[str], str], FinishedProcess]
"""What happens instead of a call."""


@dataclass(slots=True)
class Faulty:
    """Runs programs, but at one call something else happens."""

    runner: Runner
    at: int = -1
    fault: Fault | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)

    def run(self, words: Sequence[str], stdin: str = "", timeout: float = 60) -> FinishedProcess:
        """Run one, or fail."""
        self.calls.append((words[0], stdin))
        if self.fault is not None and len(self.calls) - 1 == self.at:
            return self.fault(self.runner, words, stdin)
        return self.runner.run(words, stdin, timeout)


def nothing_done(_runner: Runner, words: Sequence[str], _stdin: str) -> FinishedProcess:
    """It fails before it did anything."""
    return FinishedProcess(1, "", f"{words[0]}: something went wrong")


def all_done(runner: Runner, words: Sequence[str], stdin: str) -> FinishedProcess:
    """It does all of it, and fails then."""
    return FinishedProcess(4, runner.run(words, stdin).out, f"{words[0]}: Resource temporarily unavailable")


def no_memory(_runner: Runner, words: Sequence[str], _stdin: str) -> FinishedProcess:
    """It cannot be started."""
    raise KernelRefused(words[0], -1, "Cannot allocate memory")


def too_late(runner: Runner, words: Sequence[str], stdin: str) -> FinishedProcess:
    """It was killed for its time was over, but had done its work."""
    runner.run(words, stdin)
    raise KernelRefused(words[0], -9, "no end within 60 s")


def gone(_runner: Runner, words: Sequence[str], _stdin: str) -> FinishedProcess:
    """The program is no longer there."""
    raise ToolMissing(f"no program {words[0]}", "install it")


def half_said(runner: Runner, words: Sequence[str], stdin: str) -> FinishedProcess:
    """What it prints ends in the middle, at the end of a line, and it calls that a success."""
    lines = runner.run(words, stdin).out.splitlines(keepends=True)
    return FinishedProcess(0, "".join(lines[: len(lines) // 2]))


def cut(runner: Runner, words: Sequence[str], stdin: str) -> FinishedProcess:
    """What it prints ends in the middle of a line."""
    out = runner.run(words, stdin).out
    return FinishedProcess(0, out[: len(out) * 2 // 3])


FAULTS: tuple[Fault, ...] = (nothing_done, all_done, no_memory, too_late, gone, half_said, cut)


def line_refused(number: int) -> Fault:
    """It takes the lines before one, as far as it does them one by one, and names that line."""

    def fault(runner: Runner, words: Sequence[str], stdin: str) -> FinishedProcess:
        lines = stdin.splitlines(keepends=True)
        if words[0] == "ipset":
            runner.run(words, "".join(lines[:number]))
            return FinishedProcess(1, "", f"ipset v7.17: Error in line {number + 1}: The set is busy")
        return FinishedProcess(1, "", f"{words[0]}: line {number + 1} failed")

    return fault


def faults_at(calls: Sequence[tuple[str, str]]) -> Iterator[tuple[int, Fault]]:
    """Yield every fault at every call, and one at every line of what the calls are given."""
    for at, (_, stdin) in enumerate(calls):
        for fault in FAULTS:
            yield at, fault
        for number in range(len(stdin.splitlines())):
            yield at, line_refused(number)


def test_whatever_fails_it_is_the_old_state_or_the_new_one(backend: str) -> None:
    """For every fault at every call and line: what is claimed is in force, nothing else of ours, and all of theirs."""
    author = Author(f"faults {backend}")
    current = derive(world(node("cp-1", "192.0.2.1", "2001:db8:ffff::1")), "cp-1")
    tried, claimed = 0, {"new": 0, "old": 0, "all but refused rules": 0}
    with Namespaces(("node",)) as made:
        netns = made["node"]
        load_theirs(netns, backend)
        clean = choose_backend(SystemRunner(netns), BackendName(backend))
        foreign = theirs(clean.observe())

        def reconciler(runner: Runner) -> NodeRuleReconciler:
            return NodeRuleReconciler(choose_backend(runner, BackendName(backend)), LockoutGuard(), NullWatch())

        def applied(wanted: DesiredRuleset) -> None:
            nodes = reconciler(SystemRunner(netns))
            nodes.replace_rules(wanted)
            assert not nodes.failed
            assert diff(clean.observe(), wanted.ruleset) == ()

        for _ in range(CHANGES):
            before = desired_by(current)
            for _ in range(2):
                current = after(current, author.news())
            wanted = desired_by(current)
            applied(before)
            counting = Faulty(SystemRunner(netns))
            reconciler(counting).replace_rules(wanted)
            for at, fault in faults_at(counting.calls):
                applied(before)
                nodes = reconciler(Faulty(SystemRunner(netns), at, fault))
                tried += 1
                error = failure_of(nodes, wanted)
                if error:
                    claimed["old"] += 1
                    assert in_force(clean, before.ruleset), (counting.calls[at], fault, error)
                else:
                    claimed["all but refused rules" if nodes.failed else "new"] += 1
                    assert in_force(clean, nodes.latest.wanted), (counting.calls[at], fault, nodes.failed)
                    assert nodes.kept_sets or nodes.latest.wanted == nodes.in_force
                    assert nodes.failed or nodes.in_force == wanted.ruleset
                assert theirs(clean.observe()) == foreign
                applied(wanted)
    print(tried, claimed)  # noqa: T201 # for whoever asks for it by -s
    assert min(claimed.values()) > 0


def failure_of(nodes: NodeRuleReconciler, wanted: DesiredRuleset) -> str:
    """Return why something could not be brought into force, nothing where it is."""
    try:
        nodes.replace_rules(wanted)
    except NodewallError as error:
        return str(error)
    return ""


def in_force(kernel: ToolBackend, wanted: Ruleset) -> bool:
    """Whether a kernel holds just this of ours."""
    return not diff(kernel.observe(), wanted) and not diff(owned_part(kernel.observe()), wanted)
