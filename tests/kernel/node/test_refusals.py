"""What a kernel refuses, a node cannot do without or a user mistakes changes nothing, and is said and recorded."""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from adapters.cli import main
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.node.node_lock import node_lock
from adapters.system.process import FinishedProcess, Runner, SystemRunner, namespaces
from engine.compiler import compile_rules
from engine.errors import KernelRefused
from engine.objects import ClusterObject
from engine.policy.resolve import resolve
from engine.reconcile.reconciler import NodeRuleReconciler, apply_proposal, propose
from engine.rulesets.model import Family
from engine.rulesets.text.steps import render_step
from simulator.guard.guard import TrustingVerifier
from tests.support.kernel.agent_processes import NODEWALL
from tests.support.kernel.node_namespaces import NODES, WORLD, NodeUnderTest, drop_all, many, set_of
from tests.support.rulesets.ruleset_builders import NullWatch, completed, world

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]


# Refusals


def test_a_set_that_others_use_fails_its_rule_alone(busy: NodeUnderTest) -> None:
    """A foreign rule that uses a set of our name and another type makes ipset refuse: its rule is not in force, all else is."""
    name = set_of("clients", Family.IPV4)
    busy.run(f"ipset create {name} hash:ip")
    busy.run(f"iptables -A INPUT -m set --match-set {name} src -j DROP")
    before = busy.texts()

    words = ("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes", "-o", "json")
    code, out, err = busy.nodewall(*words)

    found = json.loads(out)
    (failed,) = found["failed"]
    assert (code, found["applied"], failed["policy"]) == (1, True, "clients")
    assert "ipset refused with status 1: " in err
    assert "Set cannot be destroyed: it is in use by a kernel component" in err
    assert f'(at: "destroy {name}")' in err
    assert f"note: {name} stays though no rule needs it, because others use it" in err
    after = busy.texts()
    assert [line for line in after["ipset save"] if name in line] == [
        line for line in before["ipset save"] if name in line
    ]
    assert not [line for line in after["iptables-save"] if "nodewall clients/" in line]
    assert [line for line in after["iptables-save"] if "nodewall last/" in line]
    code, out, err = busy.nodewall("remove", "-o", "json")
    assert (code, json.loads(out)["left"]) == (1, [name])
    assert busy.texts() == before


def test_a_set_that_is_too_small_is_made_anew(busy: NodeUnderTest) -> None:
    """A set of ours with less room than its members need gives way to one of the right size."""
    name = set_of("clients", Family.IPV4)
    busy.run(f"ipset create {name} hash:net maxelem 1")  # room for one member of two

    assert busy.apply(*WORLD) != 0
    assert busy.apply(*WORLD) == 0


@dataclass(slots=True)
class Failing:
    """A runner whose ``program`` fails the first time, instead of being run."""

    inner: Runner
    program: str
    failed: bool = False

    def run(self, words: Sequence[str], stdin: str = "", timeout: float = 60) -> FinishedProcess:
        """Run, or fail."""
        if words[0] != self.program or self.failed:
            return self.inner.run(words, stdin, timeout)
        self.failed = True
        return FinishedProcess(1, "", f"{self.program}: line 2 failed: some words")


@pytest.mark.parametrize("held", [(), WORLD], ids=["nothing", "a world"])
@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_a_refusal_at_a_later_step_puts_the_previous_state_back(
    busy: NodeUnderTest, held: tuple[ClusterObject, ...], program: str
) -> None:
    """A refusal after sets, or rules of the other family, were changed puts the previous state back into the kernel."""
    if held:
        busy.apply(*held)
    before = busy.texts()
    others = compile_rules(resolve(world(*NODES, *many()[:5]), "cp-1"))
    failing = Failing(busy.runner, f"{program}-{busy.backend}-restore")
    kernel = choose_backend(failing, BackendName(busy.backend))
    proposal = propose(others, kernel, TrustingVerifier(), NullWatch())

    with pytest.raises(KernelRefused, match=r"some words \(at: .*; the previous state is back$") as caught:
        apply_proposal(proposal, kernel, NullWatch())

    (text,) = (render_step(step) for step in proposal.plan.steps if step.tool == program)
    assert caught.value.offending == text.splitlines()[1]
    assert busy.texts() == before


def test_rules_that_could_not_come_into_force_are_not_held(busy: NodeUnderTest) -> None:
    """A rule that is refused fails alone, and the next one that the reconciler is given joins those that hold."""
    failing = Failing(busy.runner, f"ip6tables-{busy.backend}-restore", failed=True)
    reconciler = NodeRuleReconciler(choose_backend(failing, BackendName(busy.backend)), TrustingVerifier(), NullWatch())
    reconciler.reconcile(completed("a", "10.0.0.0/8"))
    failing.failed = False
    reconciler.reconcile(completed("b", "fd00::/8"))
    (failed,) = reconciler.failed
    assert (failed.policy, failed.rule) == ("b", "r")
    assert "some words" in failed.words

    reconciler.reconcile(completed("c", "10.3.0.0/16"))

    assert reconciler.failed == ()
    comments = [rule.comment for _, _, chain in busy.kernel.observe().chains() for rule in chain.rules]
    assert {comment for comment in comments if comment.endswith("/r")} == {"nodewall a/r", "nodewall c/r"}


# What is missing

POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""No capability whatever the user's number, who may still read the checkout."""
WITHOUT_TOOLS = (
    "unshare",
    "-m",
    "sh",
    "-c",
    'mount -t tmpfs none /usr/sbin && mount -t tmpfs none /sbin && exec "$@"',
    "sh",
)
"""Debian's place for iptables and ipset is empty."""


def nodewall_under(prefix: Iterable[str], *words: str, netns: str = "") -> FinishedProcess:
    """Run the command line as a program of its own, by the words of another."""
    return SystemRunner(netns).run([*prefix, *NODEWALL, *words])


@pytest.mark.parametrize("entered", ["before", "by nodewall"])
def test_without_privileges_it_says_so(busy: NodeUnderTest, entered: str) -> None:
    """Who may not change the kernel is told so in one line, exit code 2, wherever the namespace is entered."""
    before = busy.texts()
    words = ("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes", "--backend", busy.backend)

    if entered == "before":
        finished = nodewall_under(POWERLESS, *words, netns=busy.netns)
    else:
        finished = nodewall_under(POWERLESS, *words, "--netns", busy.netns)

    assert (finished.status, finished.out) == (2, "")
    assert len(finished.err.splitlines()) == 1
    assert finished.err.endswith("; run as root or with CAP_NET_ADMIN in the network namespace\n")
    assert busy.texts() == before


def test_without_iptables_it_says_which_package_has_it(busy: NodeUnderTest) -> None:
    """Where iptables is not installed, apply and remove name the program and its package, exit code 2."""
    world_of = ("-f", busy.manifests(*WORLD), "--node", "cp-1")
    for words in (("apply", *world_of, "--yes"), ("plan", *world_of), ("remove",)):
        finished = nodewall_under(WITHOUT_TOOLS, *words, "--netns", busy.netns, "--backend", busy.backend)

        told = f'error: no program "iptables-{busy.backend}-save"; install the Debian package iptables\n'
        assert (finished.status, finished.out, finished.err) == (2, "", told)


@pytest.mark.parametrize("prefix", [POWERLESS, WITHOUT_TOOLS], ids=["without privileges", "without iptables"])
def test_what_if_needs_no_kernel(busy: NodeUnderTest, prefix: tuple[str, ...]) -> None:
    """Without privileges or iptables, compile and simulate still answer."""
    world_of = ("-f", busy.manifests(*WORLD), "--node", "cp-1", "-o", "json")
    packet = "in=eth0 src=10.0.0.9 dst=192.0.2.1 proto=tcp dport=6443"

    compiled = nodewall_under(prefix, "compile", *world_of)
    simulated = nodewall_under(prefix, "simulate", *world_of, "--packet", packet)

    assert (compiled.status, set(json.loads(compiled.out))) == (0, {"ipv4", "ipv6", "ipset"})
    assert (simulated.status, json.loads(simulated.out)["verdict"]) == (0, "accept")


@pytest.mark.parametrize("command", ["apply", "plan", "remove"])
def test_an_unknown_namespace_is_named_with_those_there_are(fresh: NodeUnderTest, command: str) -> None:
    """An unknown network namespace is one line that says which there are, exit code 2."""
    world_of = () if command == "remove" else ("-f", fresh.manifests(*WORLD), "--node", "cp-1")
    fresh.capsys.readouterr()

    code = main([command, *world_of, "--netns", "no-such", "--backend", fresh.backend])

    printed = fresh.capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert printed.err.startswith('error: no network namespace "no-such"; there are: ')
    assert len(printed.err.splitlines()) == 1
    assert fresh.netns in namespaces()
    assert fresh.netns in printed.err


# What is recorded


@pytest.fixture
def log(busy: NodeUnderTest) -> str:
    """An event log that holds the world."""
    path = str(busy.folder / "events.db")
    assert main(["log", "append", "--log", path, "-f", busy.manifests(*WORLD)]) == 0
    return path


Recorded = Callable[[], list[Mapping[str, object]]]


@pytest.fixture
def recorded(busy: NodeUnderTest, log: str) -> Recorded:
    """What the log holds after the manifests."""

    def read() -> list[Mapping[str, object]]:
        busy.capsys.readouterr()
        assert main(["log", "show", "--log", log, "-o", "json", "--from", "5"]) == 0
        return [json.loads(line) for line in busy.capsys.readouterr().out.splitlines()]

    return read


def test_an_apply_is_recorded_once(busy: NodeUnderTest, log: str, recorded: Recorded) -> None:
    """An apply from a log is recorded there, one that changes nothing is not, and a repair is."""
    words = ("apply", "--log", log, "--node", "cp-1", "--yes")
    first = busy.json(*words)

    proposed, applied = (event["body"] for event in recorded())
    assert isinstance(proposed, dict)
    assert isinstance(applied, dict)
    assert (applied["type"], applied["node"], applied["realized"]) == ("ruleset.applied", "cp-1", 4)
    assert (proposed["type"], proposed["node"], proposed["wanted"]) == ("apply.proposed", "cp-1", 4)
    assert proposed["operations"] == applied["operations"] == first["ops"]
    assert proposed["ruleset"] == applied["ruleset"]
    assert (first["sequence"], first["applied"]) == (4, True)
    assert busy.json(*words)["ops"] == 0
    assert len(recorded()) == 2
    busy.run("iptables -D NW-INPUT 3")
    assert busy.json(*words)["ops"] == 1
    assert len(recorded()) == 4


def test_a_failure_is_recorded_with_its_words(busy: NodeUnderTest, log: str, recorded: Recorded) -> None:
    """A rule that the kernel refused is recorded with the tool's words, and status tells them of its policy."""
    name = set_of("clients", Family.IPV4)
    busy.run(f"ipset create {name} hash:ip")
    busy.run(f"iptables -A INPUT -m set --match-set {name} src -j DROP")

    code, _, err = busy.nodewall("apply", "--log", log, "--node", "cp-1", "--yes")

    assert code == 1
    body = recorded()[-1]["body"]
    assert isinstance(body, dict)
    assert (body["type"], body["node"], body["realized"]) == ("ruleset.applied", "cp-1", 4)
    ((failed,), rule) = (body["failed"], body["failed"][0]["rule"])
    assert err.splitlines()[-1] == f"error: clients/{rule} is not in force: {failed['words']}"
    busy.capsys.readouterr()
    assert main(["status", "--log", log, "--node", "cp-1", "-o", "json"]) == 0
    phases = {each["policy"]: each["phase"] for each in json.loads(busy.capsys.readouterr().out)}
    assert phases == {"clients": "Failed", "last": "Realized"}


def test_a_lock_that_others_hold_is_said_and_nothing_is_blamed_on_rules(
    busy: NodeUnderTest, log: str, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program holds the lock of iptables-legacy an apply fails as a whole, in the tool's words."""
    if busy.backend != BackendName.LEGACY:
        return  # nft has no lock
    path = busy.folder / "xtables.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", str(path))
    monkeypatch.setattr("adapters.netfilter.iptables._LOCK_SECONDS", "1")
    before = busy.texts()
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, out, err = busy.nodewall("apply", "--log", log, "--node", "cp-1", "--yes")

    assert (code, out) == (1, "")
    assert "xtables lock" in err
    assert busy.texts() == before
    assert [event["type"] for event in recorded()] == ["apply.proposed", "apply.failed"]
    assert busy.json("apply", "--log", log, "--node", "cp-1", "--yes")["failed"] == []


def test_two_nodewalls_do_not_change_a_node_at_once(busy: NodeUnderTest) -> None:
    """While one holds the node another refuses and names it, whatever it wanted to change."""
    before = busy.texts()
    words = ("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes")
    with node_lock(busy.netns):
        for each in (words, ("remove",)):
            code, out, err = busy.nodewall(*each)
            assert (code, out) == (2, "")
            assert f"error: process {os.getpid()} (" in err
            assert err.endswith(" is changing this node's rules; expected one at a time\n")
    assert busy.texts() == before
    assert busy.nodewall(*words)[0] == 0


def test_rules_in_the_other_backend_are_taken_over(busy: NodeUnderTest) -> None:
    """What an earlier run left in the other backend goes once the rules are in force in this one; others' stays and is told."""
    other = (BackendName.LEGACY if busy.backend == BackendName.NFT else BackendName.NFT).value
    before = NodeUnderTest(busy.netns, other, busy.folder, busy.capsys)
    before.apply(*WORLD)
    before.run("iptables -A INPUT -p tcp --dport 9 -j DROP")
    assert any("NW-INPUT" in line for line in before.texts()["iptables-save"])

    code, _, err = busy.nodewall("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes")

    assert code == 0
    assert f"note: others have rules in both backends of iptables; nodewall writes by {busy.backend}" in err
    assert not any("NW-" in line for line in before.texts()["iptables-save"])
    assert any("--dport 9 " in line for line in before.texts()["iptables-save"])
    assert busy.apply(*WORLD) == 0
    before.apply(*WORLD)
    busy.json("remove")
    assert not any("NW-" in line for each in (busy, before) for line in each.texts()["iptables-save"])
    assert not any(line.startswith("create nw-") for line in busy.texts()["ipset save"])


def test_a_failed_rule_is_told_though_the_other_backend_was_cleared(busy: NodeUnderTest) -> None:
    """Taking over what is in the other backend takes a second way, which does not make a failure forgotten."""
    other = (BackendName.LEGACY if busy.backend == BackendName.NFT else BackendName.NFT).value
    NodeUnderTest(busy.netns, other, busy.folder, busy.capsys).apply(drop_all())
    name = set_of("clients", Family.IPV4)
    busy.run(f"ipset create {name} hash:ip")
    busy.run(f"iptables -A INPUT -m set --match-set {name} src -j DROP")

    code, out, _ = busy.nodewall("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes", "-o", "json")

    assert (code, [each["policy"] for each in json.loads(out)["failed"]]) == (1, ["clients"])
