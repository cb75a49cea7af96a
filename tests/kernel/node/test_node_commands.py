"""What somebody on a node is told: who keeps it, what differs, what was counted, and all of that in one archive."""

import json
import tarfile
import urllib.request
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.wiring import event_log
from engine.events.outcomes import RulesetApplied
from tests.support.kernel.agent_processes import AgentProcess
from tests.support.kernel.node_namespaces import WORLD, NodeUnderTest
from tests.support.kernel.waiting import append, until
from tests.support.kubernetes.api_server import free_port

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]


def shows(port: int, path: str, text: str) -> bool:
    """Whether an agent's page says something."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return text in answer.read().decode()
    except OSError:  # not there yet, or 503
        return False


def test_a_node_tells_of_itself(busy: NodeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    """In force and kept by the agent; without it what others changed; its counters; and a bundle of it all."""
    log, port = str(busy.folder / "events.db"), free_port()
    append(busy, log, busy.manifests(*WORLD))
    words = ["status", "--log", log, "--node", "cp-1", "--live", "--netns", busy.netns, "--backend", busy.backend]
    agent = AgentProcess(busy.netns, busy.backend, Path(log), "cp-1", "--listen", str(port))
    try:
        until(lambda: any(isinstance(event.body, RulesetApplied) for event in event_log(log).read()), 20)
        assert main([*words, "-o", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["in_force"], found["differences"], found["switched_off"]) == (True, [], None)
        assert str(agent.pid) in found["kept_by"]
        assert {each["phase"] for each in found["policies"]} == {"Realized"}
        until(lambda: shows(port, "/readyz", "ok\n"), 20)
        until(lambda: shows(port, "/metrics", 'nodewall_applies_total{outcome="applied"} 1.0'), 20)
        until(lambda: shows(port, "/metrics", "nodewall_policy_packets_total{"), 20)
        bundle = busy.folder / "bundle.tar.gz"
        asked = ["support-bundle", "--log", log, "--node", "cp-1", "--netns", busy.netns, "--agent", str(port)]
        assert main([*asked, "-o", str(bundle)]) == 0
        capsys.readouterr()
        with tarfile.open(bundle) as archive:
            names = {name.removeprefix("nodewall/") for name in archive.getnames()}
            missing = archive.extractfile("nodewall/missing.txt")
            assert missing is not None
            # A kernel may have no modules at all.
            assert [line for line in missing.read().decode().splitlines() if "host/modules" not in line] == []
        assert {
            "log/status.json",
            "log/events.jsonl",
            "kernel/ipset.txt",
            "agent/metrics.txt",
            "host/routes.json",
        } <= names
        assert bundle.stat().st_mode & 0o777 == 0o600
        assert main([*asked, "-o", str(bundle)]) == 2
        assert "error: --output: " in capsys.readouterr().err
    finally:
        agent.kill()
    busy.run("iptables -F NW-INPUT")
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith("kept by: nobody\n")
    assert f"in force ({busy.backend}): no, it would take " in told


def test_a_bundle_names_what_could_not_be_told(busy: NodeUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that is none and an agent that does not answer are noted, and all else is there."""
    bundle, junk = busy.folder / "bundle.tar.gz", busy.folder / "junk.db"
    junk.write_text("no log")
    words = ["support-bundle", "--log", str(junk), "--node", "cp-1", "--netns", busy.netns, "--agent", str(free_port())]
    assert main([*words, "-o", str(bundle)]) == 0
    told = capsys.readouterr().err
    assert "not told: log/status.json: " in told
    assert "not told: agent/metrics.txt: " in told
    with tarfile.open(bundle) as archive:
        assert "nodewall/kernel/ipset.txt" in archive.getnames()
