"""``nodewall prove`` on the command line: what it prints, and its exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.cli import main

Run = Callable[..., tuple[int, str, str]]

RULES = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8080 -m limit --limit 5/sec -j ACCEPT
COMMIT
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Prove invariants of the rules above."""
    (tmp_path / "rules").write_text(RULES, encoding="utf-8")

    def prove(invariants: str, *words: str) -> tuple[int, str, str]:
        path = tmp_path / "invariants.yaml"
        path.write_text(invariants, encoding="utf-8")
        code = main(["prove", "--ipv4", str(tmp_path / "rules"), "--invariants", str(path), *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err.replace(str(tmp_path), "")

    return prove


SSH = "{name: ssh, hook: INPUT, where: 'src net 10.0.0.0/8 and tcp dst port 22', must: accept}"
TELNET = "{name: telnet, hook: INPUT, where: 'tcp dst port 23', must: block}"
WEB = "{name: web, hook: INPUT, where: 'src 10.0.0.9 and tcp dst port 80', must: accept}"
LIMITED = "{name: limited, hook: INPUT, where: 'tcp dst port 8080', must: accept}"


def test_what_holds_is_exit_0(run: Run) -> None:
    """Invariants that hold for all packets are named so."""
    code, out, err = run(f"[{SSH}, {TELNET}]")

    assert (code, err) == (0, "")
    assert out == "holds  ssh  IPv4 INPUT\nholds  telnet  IPv4 INPUT\n2 invariants\n"


def test_what_is_broken_is_exit_1_with_a_packet(run: Run) -> None:
    """The counterexample, how many there are and who decides are told; what holds beside it too."""
    code, out, _ = run(f"[{SSH}, {WEB}]", "-o", "json")

    assert code == 1
    found = json.loads(out)
    held, broken = found["invariants"]
    assert (found["holds"], held["holds"], broken["holds"]) == (False, True, False)
    assert (broken["name"], broken["family"], broken["hook"], broken["must"]) == ("web", "IPv4", "INPUT", "accept")
    assert broken["count"] == str(2**32 * 2**16)
    assert broken["counterexample"].items() >= {"src": "10.0.0.9", "dport": "80", "in": "eth0"}.items()
    assert (broken["verdict"], broken["decided_by"]["rule"], broken["assumptions"]) == ("drop", 0, [])


def test_a_proof_never_rests_on_what_packets_do_not_tell(run: Run) -> None:
    """An invariant that hangs on a limit is broken either way, and the assumption is named."""
    for must, verdict in (("accept", "drop"), ("block", "accept")):
        code, out, _ = run(f"[{LIMITED.replace('accept', must)}]", "-o", "json")
        (proof,) = json.loads(out)["invariants"]
        assert (code, proof["verdict"]) == (1, verdict)
        assert "--limit 5/sec" in proof["assumptions"][0]


def test_what_time_does_not_do_for_is_unproved(run: Run) -> None:
    """No proof is no permission: exit code 2."""
    code, out, err = run(f"[{SSH}]", "--max-seconds", "0")

    assert (code, err) == (2, "")
    assert out.startswith("unproved  ssh  IPv4 INPUT: no proof: out of time")


@pytest.mark.parametrize(
    "text, complaint",
    [
        (f"[{SSH}, {SSH}]", '[1].name: found "ssh", which is taken; expected another name'),
        (SSH, "found"),
        ("", "no document; expected a list of invariants"),
        (f"[{SSH.replace('INPUT', 'IN')}]", "[0].hook: found \"IN\"; expected one of 'PREROUTING', 'INPUT'"),
        (f"[{SSH.replace('and', 'nad')}]", '[0].where: found "nad" at column 20; expected'),
        ("[{name: a}]", "[0].hook: missing"),
    ],
)
def test_faults_of_the_file_are_told_by_place(run: Run, text: str, complaint: str) -> None:
    """What is wrong with an invariant is said with its file, line and field."""
    code, out, err = run(text)

    assert (code, out) == (2, "")
    assert err.startswith("error: /invariants.yaml")
    assert complaint in err
