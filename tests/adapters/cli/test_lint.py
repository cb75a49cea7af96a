"""``nodewall lint`` on the command line."""

import json
from pathlib import Path

from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import NODES

RULES = """*filter
:INPUT ACCEPT [0:0]
-A INPUT -s 10.0.0.0/8 -j ACCEPT
-A INPUT -s 10.1.0.0/16 -p tcp -m tcp --dport 22 -j DROP
COMMIT
"""

POLICIES = """
apiVersion: crd.antrea.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: NAME}
spec:
  priority: PRIORITY
  appliedTo: [{nodeSelector: {}}]
  ingress: [{name: ssh, action: ACTION, ports: [{protocol: TCP, port: 22}], from: [{ipBlock: {cidr: CIDR}}]}]
---"""


def test_a_finding_is_exit_1(run: Run, tmp_path: Path) -> None:
    """Text tells the finding with the rule and a packet, JSON what the contract says."""
    (tmp_path / "rules").write_text(RULES)
    code, out, err = run("lint", "--ipv4", str(tmp_path / "rules"))

    assert (code, err) == (1, [])
    assert out.splitlines()[0] == (
        "contradictory  IPv4 filter/INPUT rule 2 is never matched: filter/INPUT rule 1 takes all its packets, "
        "and accept is what becomes of them"
    )
    code, out, _ = run("lint", "--ipv4", str(tmp_path / "rules"), "-o", "json")
    (finding,) = json.loads(out)["findings"]
    assert (finding["kind"], finding["rule"], finding["causes"][0]["rule"]) == ("contradictory", 2, 1)
    assert finding["example"]["dport"] == "22"


def test_findings_name_policies(run: Run, tmp_path: Path) -> None:
    """A policy that another one leaves nothing of is told by both names; what nodewall always makes is not told."""
    texts = []
    for name, priority, action, cidr in (("wide", "1", "Drop", "10.0.0.0/8"), ("narrow", "2", "Allow", "10.1.0.0/16")):
        text = POLICIES.replace("NAME", name).replace("PRIORITY", priority)
        texts.append(text.replace("ACTION", action).replace("CIDR", cidr))
    (tmp_path / "policies.yaml").write_text("".join(texts))
    code, out, _ = run("lint", "-f", str(tmp_path / "policies.yaml"), "-f", NODES, "--node", "cp-1", "-o", "json")

    (finding,) = json.loads(out)["findings"]
    assert code == 1
    assert (finding["kind"], finding["policy"], finding["policy_rule"]) == ("contradictory", "narrow", "ssh")
    assert [cause["policy"] for cause in finding["causes"]] == ["wide"]
    assert "(policy narrow, rule ssh) is never matched" in finding["summary"]


def test_clean_rules_are_exit_0(run: Run, tmp_path: Path) -> None:
    """Where every rule makes a difference, that is said."""
    (tmp_path / "rules").write_text(RULES.replace("10.0.0.0/8", "10.2.0.0/16").replace("ACCEPT\n-A", "DROP\n-A"))
    code, out, _ = run("lint", "--ipv4", str(tmp_path / "rules"))
    assert (code, out) == (0, "clean: every rule makes a difference\n")
    assert run("lint", "--ipv4", str(tmp_path / "rules"), "-o", "json")[1] == '{"clean": true, "findings": []}\n'


def test_a_fault_is_exit_2(run: Run, tmp_path: Path) -> None:
    """A file that is not there, and a limit that does not do, are no findings."""
    (tmp_path / "rules").write_text(RULES)
    assert run("lint", "--ipv4", str(tmp_path / "none"))[0] == 2
    code, out, err = run("lint", "--ipv4", str(tmp_path / "rules"), "--max-seconds", "0")
    assert (code, out) == (2, "")
    assert "out of time" in err[0]
