"""What the lockout guard does not find safe is refused with the packet, and the kernel stays as it is."""

from pathlib import Path

import pytest

from engine.errors import UnsafePlan
from engine.policy.completed_rules import Action, Protocol, Traffic
from engine.reconcile.reconciler import NodeRuleReconciler
from simulator.guard.guard import LockoutGuard
from simulator.packets import parse_spec
from tests.support.kernel.agent_processes import NODEWALL
from tests.support.kernel.node_namespaces import WORLD, NodeUnderTest, drop_all
from tests.support.rulesets.ruleset_builders import NullWatch, completed, policy

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

ISSUE = Path(__file__).parents[3] / "scenarios/issue-5671/manifests"


def test_a_plan_that_cuts_the_node_off_is_refused(busy: NodeUnderTest) -> None:
    """A plan under which a lifeline is lost is refused with the packet and exit code 3, and taken only where forced."""
    # An older version's chain keeps the API server reachable, before a foreign rule that drops it.
    rules = (
        "-N NW-OLD",
        "-A NW-OLD -j ACCEPT",
        "-A INPUT -j NW-OLD",
        "-A INPUT -p tcp -m tcp --dport 6443 -j DROP",
    )
    for rule in rules:
        busy.run(f"iptables -t mangle {rule}")
    before = busy.texts()
    words = ("apply", "-f", busy.manifests(*WORLD), "--node", "cp-1", "--yes")

    code, out, err = busy.nodewall(*words)

    assert (code, out) == (3, "")
    assert all(line.startswith("error: refused, ") for line in err.splitlines())
    (lost,) = (line for line in err.splitlines() if line.endswith("(api-server-in)"))
    assert lost.startswith("error: refused, the node would lose in=eth0 src=192.0.2.")
    assert "dport=6443 flags=SYN state=new: drop by mangle/INPUT rule 1" in lost
    assert busy.texts() == before
    assert busy.json(*words, "--force-unsafe")["verified"] is True


def test_rules_of_ours_that_cut_the_node_off_are_refused(busy: NodeUnderTest) -> None:
    """Rules that lack the static ones and drop a lifeline are refused by the guard, and the kernel stays as it is."""
    lifeline = completed("(static)", "192.0.2.3/32", action=Action.ALLOW, services=(Traffic(Protocol.TCP, (22, 22)),))
    guard = LockoutGuard([lifeline], [parse_spec("src=192.0.2.3 dst=192.0.2.1 proto=tcp").dst])
    before = busy.texts()
    reconciler = NodeRuleReconciler(busy.kernel, guard, NullWatch())

    with pytest.raises(
        UnsafePlan, match=r"src=192\.0\.2\.3 dst=192\.0\.2\.1 proto=tcp .*: drop by filter/NW-INPUT rule 3 \(r\)"
    ):
        reconciler.reconcile(completed("a", action=Action.DROP))

    assert busy.texts() == before


def test_a_policy_that_cuts_the_api_server_is_refused(fresh: NodeUnderTest, tmp_path: Path) -> None:
    """The issue's policy with one more that drops 6443, where no static rule stands before it, changes nothing."""
    config = tmp_path / "nodewall.yaml"
    config.write_text("privilegedRules: {mode: Replace, rules: []}\n", encoding="utf-8")
    cut = policy("cut", ingress=[{"action": "Drop", "ports": [{"protocol": "TCP", "port": 6443}]}], tier="emergency")
    policies = ("-f", str(ISSUE / "policy.yaml"), "-f", fresh.manifests(cut))
    before = fresh.texts()

    code, out, err = fresh.nodewall("apply", *policies, "-c", str(config), "--node", "cp-1", "--yes")

    assert (code, out) == (3, "")
    lost, _ = (line for line in err.splitlines() if line.endswith("(api-server-in)"))  # in either family
    assert lost.startswith("error: refused, the node would lose in=eth0 src=192.0.2.3 ")
    assert "dst=192.0.2.1 proto=tcp sport=40000 dport=6443 flags=SYN state=new: drop by filter/NW-INPUT rule 3" in lost
    assert fresh.texts() == before


def test_who_works_over_ssh_is_not_locked_out(fresh: NodeUnderTest) -> None:
    """The connection that nodewall is run over is a lifeline, whatever the policies say of SSH."""
    connection = "SSH_CONNECTION=203.0.113.9 51234 192.0.2.1 22"
    words = ("apply", "-f", fresh.manifests(drop_all()), "--node", "cp-1", "--yes", "--backend", fresh.backend)
    before = fresh.texts()

    done = fresh.runner.run(["env", connection, *NODEWALL, *words])

    assert done.status == 3, done.err
    assert "would lose in=eth0 src=203.0.113.9 dst=192.0.2.1 proto=tcp sport=40000 dport=22 " in done.err
    assert "(the administrator's connection from 203.0.113.9)" in done.err
    assert fresh.texts() == before
    assert fresh.runner.run(["env", *NODEWALL, *words]).status == 0


def test_a_plan_that_breaks_an_invariant_is_refused(fresh: NodeUnderTest, tmp_path: Path) -> None:
    """What the configuration demands of every plan is proved of it, and the packet that refutes it is shown."""
    config = tmp_path / "nodewall.yaml"
    entry = "{name: web, hook: INPUT, where: 'src 203.0.113.9 and tcp dst port 443', must: accept}"
    config.write_text(f"guard: {{invariants: [{entry}]}}\n", encoding="utf-8")
    words = ("-f", fresh.manifests(*WORLD), "-c", str(config), "--node", "cp-1")
    before = fresh.texts()

    code, _, err = fresh.nodewall("apply", *words, "--yes")

    assert code == 3
    assert err.startswith("error: refused, an invariant would not hold: web: in=eth0 src=203.0.113.9 ")
    assert fresh.texts() == before
    proof = fresh.json("plan", *words)["proof"]
    assert isinstance(proof, dict)
    assert (proof["safe"], proof["lockout"], len(proof["broken"])) == (False, [], 1)


def test_without_a_proof_nothing_is_applied(fresh: NodeUnderTest) -> None:
    """Where time does not do for a proof that is said, and the kernel stays as it is unless it is forced."""
    words = ("apply", "-f", fresh.manifests(*WORLD), "--node", "cp-1", "--yes", "--max-seconds", "0")
    before = fresh.texts()

    code, _, err = fresh.nodewall(*words)

    assert (code, err) == (3, "error: refused, no proof: out of time; allow more by --max-seconds\n")
    assert fresh.texts() == before
    assert fresh.json(*words, "--force-unsafe")["verified"] is True
