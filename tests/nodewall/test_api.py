"""The Python API: its answers are those of the command line, its names resolve, and its import is light."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import nodewall
from adapters.application.scenario_folders import load_scenario
from adapters.cli import main
from tests.support.policies.issue_5671 import CHANGED, ISSUE, NODES, POLICY, SCENARIOS, STRANGER

WHERE = "tcp dst port 22 and ctstate new and not in lo"
INVARIANTS = f"""
- {{name: ssh, hook: INPUT, where: "{WHERE}", must: block}}
- {{name: api, hook: INPUT, where: "src net 10.0.0.0/8 and tcp dst port 6443", must: accept}}
"""
DUMP = """\
*filter
:INPUT DROP [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m limit --limit 5/sec -j ACCEPT
COMMIT
"""


class CommandLine:
    """Runs commands about one world and returns their JSON."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *world: str) -> None:
        self._capsys = capsys
        self._world = world

    def __call__(self, command: str, *words: str) -> dict[str, object]:
        main([command, *words, *self._world, "-o", "json"])
        found: dict[str, object] = json.loads(self._capsys.readouterr().out)
        return found


@pytest.fixture
def dump(tmp_path: Path) -> nodewall.NodeRules:
    """Return IPv4 rules read from text."""
    path = tmp_path / "rules.v4"
    path.write_text(DUMP)
    return nodewall.load_ruleset(ipv4=path)


@pytest.mark.parametrize(
    "name, config",
    [
        ("issue-5671", ""),
        ("issue-5671", "layout: Optimised"),
        ("tiers", ""),
        ("reject-egress", ""),
        ("pods-and-nodes", ""),
    ],
)
def test_answers_equal_command_line(name: str, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compile, verdict, search and prove return what the commands print as JSON."""
    case = load_scenario(SCENARIOS / name).case
    files = [str(SCENARIOS / name / each) for each in case.manifests]
    settings, invariants = tmp_path / "nodewall.yaml", tmp_path / "invariants.yaml"
    settings.write_text(config)
    invariants.write_text(INVARIANTS)
    rules = nodewall.load(*files, config=settings).compile(case.node)
    command = CommandLine(
        capsys, *(word for file in files for word in ("-f", file)), "--node", case.node, "-c", str(settings)
    )

    assert command("compile") == {"ipv4": rules.ipv4, "ipv6": rules.ipv6, "ipset": rules.ipset}
    for each in case.packets:
        assert as_printed(rules.verdict(each.packet)) == command("simulate", "--packet", each.packet)
    found = rules.search(WHERE, verdict="drop", hook="INPUT")
    printed = command("search", "--where", WHERE, "--verdict", "drop", "--hook", "INPUT")
    assert (found.found, str(found.count), words(found.example)) == (
        printed["found"],
        printed["count"],
        printed["example"],
    )
    proofs = nodewall.prove(rules, invariants)
    assert [proved(each) for each in proofs] == command("prove", "--invariants", str(invariants))["invariants"]


def as_printed(answer: nodewall.PacketAnswer) -> dict[str, object]:
    """Return an answer under the keys of ``simulate -o json``."""
    keys = ("table", "chain", "rule", "target", "matched")
    return {
        "packet": words(answer.packet),
        "verdict": answer.verdict,
        "reject_with": answer.reject_with,
        "hook": answer.hook,
        "decided_by": decided(answer.decided_by),
        "assumptions": list(answer.assumptions),
        "trace": [{key: asdict(step)[key] or None for key in keys} for step in answer.trace],
    }


def decided(by: nodewall.Decision | None) -> dict[str, object] | None:
    """Return a deciding rule under its keys in JSON."""
    if by is None:
        return None
    return {
        "table": by.table,
        "chain": by.chain,
        "rule": by.rule,
        "policy": by.policy,
        "policy_rule": by.policy_rule,
        "comment": by.comment or None,
    }


def proved(proof: nodewall.Proof) -> dict[str, object]:
    """Return a proof under the keys of ``prove -o json``."""
    return {
        "name": proof.name,
        "family": proof.family,
        "hook": proof.hook,
        "must": proof.must,
        "holds": proof.holds,
        "count": str(proof.count),
        "counterexample": words(proof.counterexample),
        "verdict": proof.verdict,
        "decided_by": decided(proof.decided_by),
        "assumptions": list(proof.assumptions),
        "unproved": proof.unproved or None,
    }


def words(packet: str | None) -> dict[str, str] | None:
    """Return the words of a packet by key."""
    if packet is None:
        return None
    pairs = (word.partition("=") for word in packet.split())
    return {key: value for key, _, value in pairs}


def test_diff_equals_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Differences between two versions of a policy are those that ``diff -o json`` prints."""
    for side, policy in (("old", POLICY), ("new", CHANGED)):
        (tmp_path / side).mkdir()
        for source in (NODES, policy):
            (tmp_path / side / Path(source).name).write_text(Path(source).read_text())
    old, new = (nodewall.load(tmp_path / side).compile("cp-1") for side in ("old", "new"))
    found = nodewall.diff(old, new)
    printed = CommandLine(capsys)("diff", str(tmp_path / "old"), str(tmp_path / "new"), "--node", "cp-1")["changes"]

    assert isinstance(printed, list)
    assert [
        (each.hook, each.family, each.old, each.new, str(each.count), words(each.example), each.summary)
        for each in found
    ] == [tuple(each[key] for key in "hook family from to count example summary".split()) for each in printed]
    assert nodewall.diff(old, old) == ()


def test_log_is_read_at_moments(tmp_path: Path) -> None:
    """A sequence, as number or text, and a time with zone name a past state; the end is the default."""
    log = str(tmp_path / "events.db")
    main(["log", "append", "--log", log, "-f", NODES])
    main(["log", "append", "--log", log, "-f", POLICY])
    later = datetime.now(UTC) + timedelta(days=1)

    assert nodewall.load_log(log).policies == ("node-policy",)
    assert nodewall.load_log(log, at=later).policies == ("node-policy",)
    assert nodewall.load_log(log, at=3).policies == nodewall.load_log(log, at="3").policies == ()
    with pytest.raises(nodewall.Refused, match="--at"):
        nodewall.load_log(log, at=later.replace(tzinfo=None))
    with pytest.raises(nodewall.LogError):
        nodewall.load_log(tmp_path / "absent.db")


def test_examples_are_packets(dump: nodewall.NodeRules) -> None:
    """An example can be judged again, and what its verdict rests on is named."""
    found = dump.search("tcp dst port 22", verdict="accept", hook="INPUT")

    assert found.example is not None
    assert dump.verdict(found.example, "INPUT").assumptions
    assert not dump.search("tcp dst port 22", verdict="accept", hook="INPUT", mode="must").found


def test_limit_raises_no_proof(dump: nodewall.NodeRules) -> None:
    """A search without time is an error, and a proof without time is unproved."""
    with pytest.raises(nodewall.NoProof):
        dump.search("tcp", verdict="drop", hook="INPUT", max_seconds=0)
    (proof,) = nodewall.prove(dump, [nodewall.Invariant("any", "INPUT", "", "block")], max_seconds=0)
    assert (proof.holds, proof.counterexample) == (False, None)
    assert proof.unproved


def test_family_without_rules_is_refused(dump: nodewall.NodeRules, tmp_path: Path) -> None:
    """A dump of one family gives no answer about the other, so nothing is accepted for lack of rules."""
    (tmp_path / "rules.v6").write_text(DUMP)
    other = nodewall.load_ruleset(ipv6=tmp_path / "rules.v6")

    with pytest.raises(nodewall.Refused, match="found IPv6; expected IPv4"):
        dump.verdict("in=eth0 src=2001:db8::1 dst=2001:db8::2 proto=tcp dport=22")
    with pytest.raises(nodewall.Refused, match="same family"):
        nodewall.diff(dump, other)
    with pytest.raises(nodewall.Refused, match="ipv4, ipv6 or both"):
        nodewall.load_ruleset(ipset=tmp_path / "sets")


def test_wrong_names_are_refused(dump: nodewall.NodeRules) -> None:
    """A hook, verdict or kind that is none raises an error that lists the right ones."""
    with pytest.raises(nodewall.Refused, match='hook: found "IN"; expected one of PREROUTING, INPUT'):
        dump.verdict(STRANGER, "IN")  # type: ignore[arg-type] # what callers without a type checker may pass
    with pytest.raises(nodewall.Refused, match=r"verdict: .* accept, drop, reject"):
        dump.search("", verdict="deny", hook="INPUT")  # type: ignore[arg-type] # as above
    with pytest.raises(nodewall.Refused, match=r"must: .* accept, block"):
        nodewall.prove(dump, [nodewall.Invariant("a", "INPUT", "", "drop")])  # type: ignore[arg-type] # as above


def test_used_rules_can_be_pickled() -> None:
    """Rules go to other processes, also after questions about them."""
    rules = nodewall.load(ISSUE / "manifests").compile("cp-1")
    answer = rules.verdict(STRANGER)
    copy = pickle.loads(pickle.dumps(rules))  # noqa: S301 - its own bytes

    assert copy == rules
    assert copy.verdict(STRANGER) == answer


def test_unknown_node_is_refused() -> None:
    """The error names the nodes that the cluster has."""
    with pytest.raises(nodewall.UnknownNode, match="cp-1, worker-1, worker-2"):
        nodewall.load(ISSUE / "manifests").compile("cp-2")


def test_public_names_resolve() -> None:
    """Every public name exists, and no other one does."""
    assert [name for name in nodewall.__all__ if not hasattr(nodewall, name)] == []
    assert set(nodewall.__all__) <= set(dir(nodewall))
    assert not hasattr(nodewall, "unknown")


def test_import_loads_nothing_else() -> None:
    """Importing the API loads neither the packages behind it nor their libraries."""
    heavy = ("engine", "simulator", "adapters", "pydantic", "yaml", "numpy", "oxidd", "scapy")
    script = f"import nodewall, sys; print(*set({heavy!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"


@pytest.mark.parametrize(
    "use",
    [
        lambda: nodewall.load("a\0b"),
        lambda: nodewall.load(NODES, config="a\0b"),
        lambda: nodewall.load_log("a\0b"),
        lambda: nodewall.load_ruleset(ipv4="a\0b"),
    ],
    ids=["manifest", "config", "log", "dump"],
)
def test_path_with_nul_is_refused(use: Callable[[], object]) -> None:
    """The operating system has no such path, and Python's own error is none of nodewall's."""
    with pytest.raises(nodewall.NodewallError):
        use()
