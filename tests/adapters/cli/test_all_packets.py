"""``search`` and ``diff`` as their users meet them."""

import json
from pathlib import Path

import pytest

from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import CHANGED, NODES, POLICY

RULES = """*filter
:INPUT ACCEPT [0:0]
-A INPUT -s 10.0.0.0/8 -p tcp -m set --match-set ports dst -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j DROP
COMMIT
"""
SETS = "create ports bitmap:port range 0-1023\nadd ports 22\nadd ports 443\n"


@pytest.fixture
def texts(tmp_path: Path) -> tuple[str, str]:
    """Return a dump of rules and one of sets."""
    (tmp_path / "v4").write_text(RULES)
    (tmp_path / "sets").write_text(SETS)
    return str(tmp_path / "v4"), str(tmp_path / "sets")


def test_a_search_says_what_it_found(run: Run, texts: tuple[str, str]) -> None:
    """A packet that is found is counted and shown under the keys of the contract; raw IPv4 says nothing of IPv6."""
    where = "src net 10.0.0.0/8 and tcp dst portrange 20-25"
    world = ("--ipv4", texts[0], "--ipset", texts[1], "--hook", "INPUT")
    code, out, _ = run("search", *world, "--where", where, "--verdict", "accept", "-o", "json")

    found = json.loads(out)
    assert code == 0
    assert found["count"] == str(2**24 * 2**32 * 2**16 * 6)
    assert found["found"] is True
    assert found["example"]["proto"] == "tcp"
    assert found["decided_by"]["chain"] == "INPUT"
    assert found["assumptions"] == []


def test_a_search_proves_that_there_is_none(run: Run, texts: tuple[str, str]) -> None:
    """Nothing from the network is dropped: exit code 1, in words and as JSON."""
    world = ("--ipv4", texts[0], "--ipset", texts[1], "--hook", "INPUT", "--where", "src net 10/8", "--verdict", "drop")

    assert run("search", *world)[:2] == (1, "none: at INPUT no such packet gets drop\n")
    code, out, _ = run("search", *world, "-o", "json")
    assert (code, json.loads(out)["found"], json.loads(out)["example"]) == (1, False, None)


def test_a_wrong_expression_shows_its_place(run: Run, texts: tuple[str, str]) -> None:
    """The fault of an expression is shown under it, and what may stand there."""
    world = ("--ipv4", texts[0], "--ipset", texts[1], "--hook", "INPUT", "--verdict", "drop")
    code, out, err = run("search", *world, "--where", "tcp an udp")

    assert (code, out) == (2, "")
    assert [line.removeprefix("error:") for line in err[1:]] == ["   tcp an udp", "       ^"]


def test_a_search_without_time_proves_nothing(run: Run, texts: tuple[str, str]) -> None:
    """A limit that is reached is an error, not an answer."""
    world = ("--ipv4", texts[0], "--ipset", texts[1], "--hook", "INPUT", "--verdict", "drop", "--max-seconds", "0")

    assert run("search", *world) == (2, "", ["error: no proof: out of time; allow more by --max-seconds"])


def test_a_diff_says_which_packets_change(run: Run, texts: tuple[str, str], tmp_path: Path) -> None:
    """A port that a set loses is a change for whoever came in by it; the same world on both sides is none."""
    rules, sets = texts
    (tmp_path / "less").write_text(SETS.replace("add ports 22\n", ""))
    sides = (f"ipv4:{rules}", f"ipv4:{rules}", "--old-ipset", sets, "--new-ipset")
    code, out, _ = run("diff", *sides, str(tmp_path / "less"), "-o", "json")

    found = json.loads(out)
    assert (code, found["equal"]) == (1, False)
    (change,) = found["changes"]
    assert (change["from"], change["to"], change["count"]) == ("accept", "drop", str(2**24 * 2**32 * 2**16))
    assert change["summary"] == (
        "TCP 22 from 10.0.0.0/8 changes from accept (filter/INPUT rule 1) to drop (filter/INPUT rule 2)"
    )
    assert run("diff", *sides, sets)[:2] == (0, "no packet gets another verdict\n")


def test_a_diff_of_manifests_names_policies(run: Run, tmp_path: Path) -> None:
    """Two versions of the issue's policy differ in what its rules decide, by name."""
    for name, policy in (("old", POLICY), ("new", CHANGED)):
        folder = tmp_path / name
        folder.mkdir()
        for source in (NODES, policy):
            (folder / Path(source).name).write_text(Path(source).read_text())
    code, out, _ = run("diff", "--node", "cp-1", str(tmp_path / "old"), str(tmp_path / "new"))

    assert code == 1
    assert "policy node-policy" in out
    assert " changes from " in out


def test_a_diff_reads_a_log_at_a_sequence(run: Run, tmp_path: Path) -> None:
    """A log's past states are worlds as others are."""
    log = str(tmp_path / "events.db")
    for each in (NODES, POLICY, CHANGED):
        run("log", "append", "--log", log, "-f", each)
    last = json.loads(run("log", "append", "--log", log, "-f", CHANGED, "-o", "json")[1])["sequence"]

    assert run("diff", "--node", "cp-1", f"{log}@{last - 1}", f"{log}@{last}")[0] == 1
    assert run("diff", "--node", "cp-1", f"{log}@{last}", f"{log}@{last}")[0] == 0


def test_a_set_goes_only_with_raw_text(run: Run, texts: tuple[str, str]) -> None:
    """Manifests have their own sets."""
    code, _, err = run("diff", POLICY, POLICY, "--node", "cp-1", "--old-ipset", texts[1])

    assert code == 2
    assert err == [f"error: {POLICY}: has no use for the text of ipset save; expected ipv4:FILE or ipv6:FILE with it"]
