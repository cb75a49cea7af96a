"""What nodewall does where its surroundings fail: locks held for long, full disks, namespaces that go, names that are taken."""

import fcntl
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from adapters.lab.netns import Namespaces
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.system.process import SystemRunner
from engine.events import declaration_of
from engine.events.outcomes import ApplyFailed
from engine.rulesets.diff import diff, owned_part
from engine.rulesets.model import Family, Ruleset
from tests.support.kernel.agent_processes import NODEWALL, AgentProcess, after, append, begun_log
from tests.support.kernel.node_namespaces import WORLD, NodeUnderTest, set_of
from tests.support.kernel.policy_author import Author
from tests.support.rulesets.ruleset_builders import SOAK

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

HELD = 30.0 if SOAK else 11.5
"""Seconds for which others hold the lock, longer than a tool waits for it."""


def test_a_lock_that_is_held_for_long_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent says so and goes on trying, and what is new is in force soon after the lock is free."""
    lock = tmp_path / "xtables.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", str(lock))
    log, current = begun_log(tmp_path / "events.db")
    with Namespaces(("node",)) as made:
        agent = AgentProcess(made["node"], "legacy", tmp_path / "events.db")
        try:
            assert agent.reaches(current.ruleset, 20)
            with lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                news = list(Author("lock").news())
                append(log, news)
                current = after(current, news)
                time.sleep(HELD)
                assert not agent.reaches(current.ruleset, 0.2)
            assert agent.reaches(current.ruleset, 10)
        finally:
            agent.kill()
    failed = [event.body.words for event in log.read() if isinstance(event.body, ApplyFailed)]
    assert failed
    assert all("xtables lock" in words for words in failed)


FULL = """\
mount -t tmpfs -o size=400k none {folder} && cp {log} {folder}/events.db && chmod 600 {folder}/events.db &&
{{ cat /dev/zero > {folder}/fill 2>/dev/null || true; }} && exec {words}
"""


def on_a_full_disk(tmp_path: Path, *words: str) -> "subprocess.Popen[bytes]":
    """Start a command line whose log is on a disk, seen by itself alone, without a free byte."""
    (tmp_path / "full").mkdir(exist_ok=True)
    line = [*NODEWALL, *words, "--log", str(tmp_path / "full" / "events.db"), "--node", "cp-1"]
    script = FULL.format(folder=tmp_path / "full", log=tmp_path / "events.db", words=shlex.join(line))
    return subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stderr=subprocess.PIPE)


def test_on_a_full_disk_an_apply_does_nothing_and_an_agent_does_its_work(backend: str, tmp_path: Path) -> None:
    """What cannot be put on record first is not applied by a command; an agent keeps the node, and says what is lacking."""
    _, current = begun_log(tmp_path / "events.db")
    with Namespaces(("node",)) as made:
        kernel = choose_backend(SystemRunner(made["node"]), BackendName(backend))
        world = ("--netns", made["node"], "--backend", backend)

        with on_a_full_disk(tmp_path, "apply", "--yes", *world) as apply:
            _, err = apply.communicate(timeout=30)
        assert (apply.returncode, b"disk is full" in err) == (2, True), err
        assert owned_part(kernel.observe()) == Ruleset()

        with on_a_full_disk(tmp_path, "agent", *world) as agent:
            try:
                end = time.monotonic() + 20
                while diff(kernel.observe(), current.ruleset):
                    assert time.monotonic() < end
                    time.sleep(0.05)
            finally:
                agent.terminate()
            _, err = agent.communicate(timeout=10)
        assert (agent.returncode, b"not on record" in err, b"disk is full" in err) == (0, True, True), err


def test_a_namespace_that_goes_takes_nobody_with_it(backend: str, tmp_path: Path) -> None:
    """Its agent says so, leaves alone another one that gets its name, and ends when it is told to."""
    log, current = begun_log(tmp_path / "events.db")
    with Namespaces(("node",)) as made:
        netns = made["node"]
        agent = AgentProcess(netns, backend, tmp_path / "events.db")
        try:
            assert agent.reaches(current.ruleset, 20)
            runner = SystemRunner()
            runner.run(["ip", "netns", "del", netns]).or_refused("ip")
            append(log, list(Author("gone").news()))
            time.sleep(1.5)
            runner.run(["ip", "netns", "add", netns]).or_refused("ip")
            append(log, [declaration_of(each) for each in WORLD])
            time.sleep(2.5)
            assert owned_part(choose_backend(SystemRunner(netns), BackendName(backend)).observe()) == Ruleset()
            assert agent.ends() == 0
        finally:
            agent.kill()
    said = (tmp_path / "events.err").read_text()
    assert "no network namespace" in said
    assert "another one has its name" in said


def test_chains_of_others_with_our_prefix_are_taken_for_ours(busy: NodeUnderTest) -> None:
    """They go, with the jumps that lead to them from wherever; what else stands there stays."""
    before = busy.texts()
    for line in ("-N NW-THEIRS", "-A NW-THEIRS -j ACCEPT", "-A KUBE-FIREWALL -j NW-THEIRS", "-I INPUT -j NW-THEIRS"):
        busy.run(f"iptables {line}")
    busy.run("ipset create nw-theirs hash:ip")

    busy.apply(*WORLD)

    assert not any("theirs" in line.lower() for lines in busy.texts().values() for line in lines)
    assert busy.nodewall("remove")[0] == 0
    assert busy.texts() == before


@pytest.mark.parametrize("kind", ["hash:ip family inet6", "list:set", "bitmap:port range 1-9", "hash:net,iface"])
def test_a_set_of_our_name_and_another_type_is_made_anew(busy: NodeUnderTest, kind: str) -> None:
    """Where nobody else uses it, it becomes what it shall be."""
    busy.run(f"ipset create {set_of('clients', Family.IPV4)} {kind}")

    busy.apply(*WORLD)

    assert f"create {set_of('clients', Family.IPV4)} hash:net family inet" in busy.run("ipset save")
