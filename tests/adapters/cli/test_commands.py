"""The command line as its users meet it: results on stdout, faults on stderr, exit codes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import BAD, CHANGED, CLIENT, ISSUE, NODES, POLICY, STRANGER


@pytest.fixture
def log(tmp_path: Path, run: Run) -> str:
    """Return a log that holds the issue's nodes and policy."""
    path = str(tmp_path / "events.db")
    assert run("log", "append", "--log", path, "-f", NODES, "-f", POLICY)[0] == 0
    return path


def test_version_loads_nothing_heavy() -> None:
    """``--version`` imports neither pydantic nor scapy nor networkx, so that start-up stays quick."""
    code = (
        "import sys; from adapters.cli import main; main(['--version']); "
        "print([name for name in ('pydantic', 'scapy', 'networkx', 'rich', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["nodewall 0.1.0", "[]"]


def test_compile_prints_a_text_for_each_tool(run: Run) -> None:
    """``compile -o json`` gives ipv4, ipv6 and ipset restore texts."""
    code, out, _ = run("compile", "--node", "cp-1", "-f", NODES, "-f", POLICY, "-o", "json")
    texts = json.loads(out)
    assert code == 0
    assert sorted(texts) == ["ipset", "ipv4", "ipv6"]
    assert texts["ipv4"].startswith("*filter\n")
    assert texts["ipset"].startswith("create nw-")


def test_yaml_says_the_same_as_json(run: Run) -> None:
    """``-o yaml`` carries the value that ``-o json`` does."""
    world = ("compile", "--node", "cp-1", "-f", NODES, "-f", POLICY)
    assert yaml.safe_load(run(*world, "-o", "yaml")[1]) == json.loads(run(*world, "-o", "json")[1])


def test_a_log_and_its_manifests_compile_to_the_same_bytes(run: Run, log: str) -> None:
    """Output depends on the state, not on where it came from."""
    from_log = run("compile", "--node", "cp-1", "--log", log)[1]
    assert from_log == run("compile", "--node", "cp-1", "-f", POLICY, "-f", NODES)[1]


def test_compiled_text_is_a_world_of_its_own(run: Run, tmp_path: Path) -> None:
    """What ``compile`` prints is read back by ``--ipv4`` and ``--ipset`` and answers as the manifests do."""
    texts = json.loads(run("compile", "--node", "cp-1", "-f", NODES, "-f", POLICY, "-o", "json")[1])
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    raw = ("--ipv4", str(tmp_path / "ipv4"), "--ipset", str(tmp_path / "ipset"))
    answers = [
        json.loads(run("simulate", *world, "--packet", STRANGER, "-o", "json")[1])
        for world in (raw, ("--node", "cp-1", "-f", NODES, "-f", POLICY))
    ]
    assert answers[0] == answers[1]
    assert answers[0]["verdict"] == "drop"


def test_simulate_names_who_decided(run: Run, log: str) -> None:
    """A verdict comes with the rule, the policy and the path that led to it."""
    _, out, _ = run("simulate", "--log", log, "--node", "cp-1", "--packet", CLIENT, "--packet", STRANGER, "-o", "json")
    allowed, dropped = (json.loads(line) for line in out.splitlines())
    assert (allowed["verdict"], allowed["decided_by"]["policy"]) == ("accept", "node-policy")
    assert (dropped["verdict"], dropped["hook"], dropped["reject_with"]) == ("drop", "INPUT", None)
    assert [step["target"] for step in dropped["trace"]] == ["NW-INPUT", "DROP"]
    assert set(dropped["decided_by"]) >= {"table", "chain", "rule", "policy", "policy_rule", "comment"}


def test_no_trace_leaves_the_path_out(run: Run, log: str) -> None:
    """``--no-trace`` answers without the path."""
    out = run("simulate", "--log", log, "--node", "cp-1", "--packet", CLIENT, "--no-trace", "-o", "json")[1]
    assert "trace" not in json.loads(out)


def test_every_fault_is_one_line_and_nothing_is_declared(run: Run, log: str, tmp_path: Path) -> None:
    """Not YAML, wrong kind, missing and unknown field, bad CIDR, port 70000, unknown tier: all at once, exit 2."""
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "not.yaml").write_text("a: [1,\nb: }")
    code, _, faults = run(
        "log", "append", "--log", log, "-f", str(tmp_path / "bad.yaml"), "-f", str(tmp_path / "not.yaml"), "-f", CHANGED
    )
    assert code == 2
    assert all(line.startswith("error: ") for line in faults)
    for word in ("70000", "10.0.0.300/24", "surprise", "nowhere", '"Deployment"', "spec: missing", "not YAML"):
        assert sum(word in line for line in faults) == 1, word
    later = run("log", "show", "--log", log, "--from", "5", "-o", "json")[1].splitlines()
    assert {json.loads(line)["type"] for line in later} == {"object.refused"}


def test_what_names_no_object_makes_no_log(run: Run, tmp_path: Path) -> None:
    """An append with nothing to put on record leaves no log behind where there was none."""
    (tmp_path / "bad.yaml").write_text("kind: Deployment")
    assert run("log", "append", "--log", str(tmp_path / "new.db"), "-f", str(tmp_path / "bad.yaml"))[0] == 2
    assert not (tmp_path / "new.db").exists()


def test_unchanged_objects_make_no_event(run: Run, log: str) -> None:
    """Appending what the log says already appends nothing."""
    out = run("log", "append", "--log", log, "-f", NODES, "-f", POLICY, "-o", "json")[1]
    assert json.loads(out) == {"appended": 0, "sequence": 4}


def test_delete_and_sync_record_deletions(run: Run, log: str) -> None:
    """``--delete`` deletes what is given; ``--sync`` what is not."""
    assert json.loads(run("log", "append", "--log", log, "-f", POLICY, "--delete", "-o", "json")[1])["appended"] == 1
    assert json.loads(run("log", "append", "--log", log, "-f", POLICY, "--sync", "-o", "json")[1])["appended"] == 4
    types = [json.loads(line)["type"] for line in run("log", "show", "--log", log, "-o", "json")[1].splitlines()]
    assert types[4:] == ["policy.deleted", "policy.declared", "node.deleted", "node.deleted", "node.deleted"]


def test_at_gives_a_past_state(run: Run, log: str) -> None:
    """``--at`` with a sequence or a time answers from the past."""
    run("log", "append", "--log", log, "-f", CHANGED)
    time = json.loads(run("log", "show", "--log", log, "--from", "4", "--to", "4", "-o", "json")[1])["time"]
    for at, verdict in ((("--at", "4"), "drop"), (("--at", time), "drop"), ((), "accept")):
        out = run("simulate", "--log", log, *at, "--node", "cp-1", "--packet", STRANGER, "-o", "json")[1]
        assert json.loads(out)["verdict"] == verdict


def test_replay_shows_what_each_event_changed(run: Run, log: str) -> None:
    """Replay gives the operations and the verdicts of every event."""
    run("log", "append", "--log", log, "-f", CHANGED)
    out = run("replay", "--log", log, "--node", "cp-1", "--packet", STRANGER, "-o", "json")[1]
    moments = [json.loads(line) for line in out.splitlines()]
    assert [moment["sequence"] for moment in moments] == [1, 2, 3, 4, 5]
    assert [op["op"] for op in moments[4]["ops"]] == ["add"]
    assert [(m["verdicts"][0]["from"], m["verdicts"][0]["to"]) for m in moments[3:]] == [
        ("accept", "drop"),
        ("drop", "accept"),
    ]


@pytest.mark.parametrize("command", ["compile", "simulate", "replay"])
def test_an_unknown_node_is_told_which_there_are(run: Run, log: str, command: str) -> None:
    """A node that is not in the world is answered with those that are."""
    packet = ("--packet", CLIENT) if command == "simulate" else ()
    code, _, faults = run(command, "--log", log, "--node", "cp-2", *packet)
    assert code == 2
    assert faults == ['error: --node: no node "cp-2" in this world; expected one of: cp-1, worker-1, worker-2']


def test_a_flipped_byte_is_located_and_nothing_reads_past_it(run: Run, log: str) -> None:
    """``log verify`` names the sequence and exits 1; every other command refuses, as an error."""
    raw = Path(log).read_bytes()
    Path(log).write_bytes(raw.replace(b"worker-1", b"worker-7", 1))
    code, _, faults = run("log", "verify", "--log", log)
    assert code == 1
    assert "event 2 cannot be trusted" in faults[0]
    for words in (("compile", "--node", "cp-1"), ("replay", "--node", "cp-1"), ("log", "append", "-f", CHANGED)):
        code, _, faults = run(*words, "--log", log)
        assert code == 2
        assert "event 2 cannot be trusted" in faults[-1]


@pytest.mark.parametrize(
    "words,said",
    [
        (("simulate", "--packet", CLIENT), "a world is needed"),
        (("compile", "--node", "cp-1"), "a cluster is needed"),
        (("compile", "-f", NODES), "--node: missing"),
        (("simulate", "-f", NODES, "--node", "cp-1"), "packets are needed"),
        (("simulate", "--ipv4", "nowhere.txt", "--packet", CLIENT), "nowhere.txt: No such file"),
        (("compile", "--node", "cp-1", "--log", "nowhere.db"), "no such log"),
        (("compile", "--node", "cp-1", "--log", "x", "--at", "noon"), '--at: found "noon"'),
        (("compile", "--node", "cp-1", "-f", NODES, "--at", "1"), "manifests have no past"),
        (("scenario", "run", "nowhere"), "no scenario.yaml"),
        (("simulate", "--all-hooks", "--hook", "INPUT", "--packet", CLIENT), "--all-hooks without --hook"),
        (("simulate", "--addresses", "x", "--packet", CLIENT), "--all-hooks with it"),
        (("simulate", "--all-hooks", "--routes", "x", "--packet", CLIENT), "--addresses FILE with it"),
        (("simulate", "--split", "x", "--packet", CLIENT), "packets in words have no bytes"),
        (("nonsense",), "No such command"),
        (("log", "append", "--log", "x"), "Missing option '-f'"),
        (("log", "append", "--log", "x", "-f", NODES, "--delete", "--sync"), "exclude each other"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(run: Run, words: tuple[str, ...], said: str) -> None:
    """A mistake on the command line is told in one line, without a traceback."""
    code, out, faults = run(*words)
    assert (code, out, len(faults)) == (2, "", 1)
    assert said in faults[0]


def test_faults_of_all_packets_come_together(run: Run, log: str) -> None:
    """Every fault of every SPEC is told at once."""
    code, _, faults = run(
        "simulate", "--log", log, "--node", "cp-1", "--packet", "src=1.2.3.4 dst=x proto=tcp", "--packet", "dport=99999"
    )
    assert code == 2
    assert [line.split(":")[1].strip() for line in faults[:1]] == ["packet 1"]
    assert any("packet 2: dport" in line for line in faults)


def test_scenarios_pass_and_a_difference_is_exit_1(run: Run, tmp_path: Path) -> None:
    """Scenario folders run as they are; a changed record fails until ``--update``."""
    folder = tmp_path / "case"
    shutil.copytree(ISSUE, folder)
    assert run("scenario", "run", str(tmp_path), "-o", "json")[0] == 0
    (folder / "expected" / "ipset.restore").write_text("create other hash:net\n")
    code, out, _ = run("scenario", "run", str(folder), "-o", "json")
    assert code == 1
    assert json.loads(out)["differences"]
    assert run("scenario", "run", str(folder), "--update")[0] == 0
    assert run("scenario", "run", str(folder))[0] == 0


def test_a_faulty_scenario_is_told_at_its_place(run: Run, tmp_path: Path) -> None:
    """Faults of ``scenario.yaml`` are one line each, with file, line and path."""
    (tmp_path / "scenario.yaml").write_text(
        "description: x\nnode: n\nmanifests: []\nhosts: {far: [banana]}\nextra: 1\n"
    )
    code, _, faults = run("scenario", "run", str(tmp_path))
    assert code == 2
    assert [line.split(": ")[3] for line in faults] == ["manifests", "hosts.far[0]", "extra"]
    assert f"{tmp_path}/scenario.yaml:4:15" in faults[1]
