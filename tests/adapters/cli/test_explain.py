"""``explain`` and ``simulate --explain`` say what the policies make of a packet, and whether the rules agree."""

import json
from pathlib import Path

import pytest

from adapters.cli import main
from engine.compiler import rule_parts
from engine.rulesets.model import Target

SCENARIOS = Path(__file__).parents[3] / "scenarios"
WORLD = ("-f", str(SCENARIOS / "pass/policies.yaml"), "-f", str(SCENARIOS / "common"), "--node", "cp-1")
PACKET = ("--packet", "in=eth0 src=198.51.100.9 dst=192.0.2.1 proto=tcp dport=80")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command line; return its exit code and what it wrote on either stream."""
    code = main(words)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_explain_lists_what_was_considered_with_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    """Every rule up to the one that decides is listed, whether it matched, and why."""
    code, out, _ = run(capsys, "explain", *WORLD, *PACKET, "-o", "json")
    found = json.loads(out)
    assert (code, found["verdict"], found["reject_with"]) == (0, "reject", "tcp-reset")
    assert found["decided_by"] == found["considered"][-1]
    ours = [(each["policy"], each["rule"], each["matched"]) for each in found["considered"] if each["policy"][0] != "("]
    assert ours == [("pass", "office", True), ("base", "ssh", False), ("base", "rest", True)]
    assert found["considered"][-2]["why"] == ["ports[0]: port 80, not 22", "no peers: any address"]


def test_simulate_shows_both_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--explain`` the policies' own answer stands beside that of the rules."""
    code, out, _ = run(capsys, "simulate", "--explain", *WORLD, *PACKET, "-o", "json")
    policy = json.loads(out)["policy"]
    assert (code, policy) == (0, {"verdict": "reject", "policy": "base", "rule": "ingress[1] rest", "agrees": True})


def test_rules_that_do_otherwise_are_exit_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that gets it wrong is found out."""
    monkeypatch.setattr(rule_parts, "_reject", lambda _answer: Target("ACCEPT"))
    code, out, _ = run(capsys, "simulate", "--explain", *WORLD, *PACKET)
    assert code == 1
    assert "THE POLICIES SAY: reject" in out


def test_rules_alone_have_no_policies_to_explain(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Raw rules and the running kernel tell nothing of the policies they came from."""
    (tmp_path / "rules").write_text("*filter\nCOMMIT\n")
    code, _, err = run(capsys, "simulate", "--explain", "--ipv4", str(tmp_path / "rules"), *PACKET)
    assert code == 2
    assert "--explain: rules alone do not tell their policies; expected manifests or a log" in err
