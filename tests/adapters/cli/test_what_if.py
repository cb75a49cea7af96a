"""``nodewall what-if`` and ``log branch``: another course of events, without touching the log."""

import json
from pathlib import Path

import pytest

from adapters import wiring
from tests.support.cli.command_line import Run
from tests.support.eventlog.event_logs import damage
from tests.support.policies.issue_5671 import BAD, CHANGED, CLIENT, POLICY, STRANGER

PARTNER = STRANGER


def test_a_past_state_is_asked_and_the_log_stays(run: Run, log: str) -> None:
    """What the partner's network would have changed before it was recorded."""
    before = Path(log).read_bytes()
    words = (
        "what-if",
        "--log",
        log,
        "--node",
        "cp-1",
        "-f",
        CHANGED,
        "--packet",
        PARTNER,
        "--packet",
        CLIENT,
        "-o",
        "json",
    )
    code, out, err = run(*words, "--at", "4")
    found = json.loads(out)

    assert (code, err) == (1, [])
    assert [(each["type"], each["object"]) for each in found["events"]] == [
        ("policy.declared", "ClusterNetworkPolicy/node-policy")
    ]
    assert [each["path"] for each in found["events"][0]["change"]["fields"]] == ["spec.ingress[0].from[1]"]
    assert [op["tool"] for op in found["ops"]] == ["ipset"]
    assert [(each["from"], each["to"]) for each in found["verdicts"]] == [("drop", "accept"), ("accept", "accept")]
    assert [(each["from"], each["to"]) for each in found["changes"]] == [("drop", "accept")]
    assert Path(log).read_bytes() == before
    code, out, _ = run(*words)
    assert (code, json.loads(out)["equal"], json.loads(out)["events"]) == (0, True, [])


def test_objects_can_be_taken_away(run: Run, log: str) -> None:
    """Without the policy everybody is let in."""
    code, out, _ = run("what-if", "--log", log, "--node", "cp-1", "-f", POLICY, "--delete", "--packet", STRANGER)
    assert code == 1
    assert "  policy.deleted  ClusterNetworkPolicy/node-policy\n    - it is gone\n" in out


def test_it_says_what_a_branch_comes_to(run: Run, log: str, tmp_path: Path) -> None:
    """The branch has the same past, byte by byte, goes on by itself, and differs as was said."""
    branch = str(tmp_path / "branch.db")
    assert run("log", "branch", "--log", log, "--at", "4", "--to", branch) == (
        0,
        f"{branch} is as {log} was at sequence 4\n",
        [],
    )
    assert run("log", "export", "--log", branch)[1] == run("log", "export", "--log", log, "--to", "4")[1]
    asked = json.loads(run("what-if", "--log", log, "--at", "4", "--node", "cp-1", "-f", CHANGED, "-o", "json")[1])
    assert run("log", "append", "--log", branch, "-f", CHANGED)[0] == 0
    assert wiring.event_log(log).last_sequence() == 5
    compared = json.loads(run("diff", f"{branch}@4", f"{branch}@5", "--node", "cp-1", "-o", "json")[1])
    assert asked["changes"] == compared["changes"]


def test_a_branch_takes_the_place_of_nothing(run: Run, log: str, tmp_path: Path) -> None:
    """Nor is anything left of one that cannot be made, as where an event cannot be trusted."""
    there, fresh = tmp_path / "there", tmp_path / "fresh"
    there.write_text("mine")
    assert run("log", "branch", "--log", log, "--to", str(there))[::2] == (
        2,
        [f"error: {there}: there is something already"],
    )
    assert there.read_text() == "mine"
    damage(wiring.event_log(log), 3)
    code, _, err = run("log", "branch", "--log", log, "--to", str(fresh))
    assert (code, len(err), "event 3" in err[0]) == (2, 1, True)
    assert not list(tmp_path.glob("fresh*"))


@pytest.mark.parametrize("given", [("--log",), ("-f", CHANGED), ("--delete", "--sync", "-f", CHANGED, "--log")])
def test_both_are_needed(run: Run, log: str, given: tuple[str, ...]) -> None:
    """A log and manifests, and one meaning of them."""
    words = [word for each in given for word in ((each, log) if each == "--log" else (each,))]
    code, out, err = run("what-if", *words, "--node", "cp-1")
    assert (code, out, len(err)) == (2, "", 1)


def test_what_would_be_refused_is_refused(run: Run, log: str, tmp_path: Path) -> None:
    """With every fault, as by log append; and a node that there is none of."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD)
    code, out, err = run("what-if", "--log", log, "--node", "cp-1", "-f", str(bad))
    assert (code, out, len(err) > 3) == (2, "", True)
    assert run("what-if", "--log", log, "--node", "nobody", "-f", CHANGED)[0] == 2
