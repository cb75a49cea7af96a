"""The agent keeps a node's rules in force: it follows the log, undoes what others do, and leaves rules as it ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.wiring import event_log
from engine.events.outcomes import ApplyFailed, DriftRepaired, RulesetApplied
from engine.rulesets.model import Family
from tests.support.kernel.agent_processes import AgentProcess
from tests.support.kernel.node_namespaces import WORLD, NodeUnderTest, allow, drop_all, set_of
from tests.support.kernel.waiting import append, until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

JUMP = "-j NW-INPUT"


def repairs_in(log: str) -> list[DriftRepaired]:
    """Return what is on record of repairs."""
    return [event.body for event in event_log(log).read() if isinstance(event.body, DriftRepaired)]


def failures_in(log: str) -> list[str]:
    """Return what is on record of applies that failed."""
    return [event.body.words for event in event_log(log).read() if isinstance(event.body, ApplyFailed)]


@contextmanager
def agent(busy: NodeUnderTest, log: str) -> Iterator[AgentProcess]:
    """An agent that runs meanwhile."""
    process = AgentProcess(busy.netns, busy.backend, Path(log))
    try:
        # IPv6 comes last: one tool run for each family.
        until(lambda: all("nodewall last/" in busy.run(f"{tool}-save") for tool in ("iptables", "ip6tables")), 20)
        yield process
    finally:
        process.kill()


def rules(busy: NodeUnderTest) -> list[str]:
    """Return the rules of both families; a set that is made anew is not printed as the one before."""
    texts = busy.texts()
    return [*texts["iptables-save"], *texts["ip6tables-save"]]


@pytest.fixture
def log(busy: NodeUnderTest) -> str:
    """An event log that holds the world."""
    path = str(busy.folder / "events.db")
    append(busy, path, busy.manifests(*WORLD))
    return path


def test_what_others_do_to_our_rules_is_undone_and_recorded(busy: NodeUnderTest, log: str) -> None:
    """A flushed chain, a member that went and a chain of ours that was emptied are back in time, and on record."""
    set_name = set_of("clients", Family.IPV4)
    with agent(busy, log):
        before = busy.texts()
        for damage in ("iptables -D NW-INPUT 3", f"ipset del {set_name} 10.9.0.0/16", "ip6tables -F NW-INPUT"):
            busy.run(damage)
            until(lambda: busy.texts() == before, 20)
        busy.run("iptables -F INPUT")
        until(lambda: JUMP in busy.run("iptables -S INPUT"), 20)
        until(lambda: len(repairs_in(log)) == 4, 20)

    assert repairs_in(log)[1].found == (f"ipset add {set_name} 10.9.0.0/16",)


def test_the_agent_brings_news_of_the_log_into_force_and_leaves_rules_as_it_ends(busy: NodeUnderTest, log: str) -> None:
    """A changed policy is in force soon after it is appended, and by SIGTERM the agent ends and all of it stays."""
    with agent(busy, log) as process:
        append(busy, log, busy.manifests(allow("clients", "10.77.0.0/16"), drop_all()))
        until(lambda: "10.77.0.0/16" in busy.run("ipset save"), 20)
        assert process.ends() == 0
    assert "10.77.0.0/16" in busy.run("ipset save")
    assert JUMP in busy.run("iptables -S INPUT")
    assert [event.body for event in event_log(log).read() if isinstance(event.body, RulesetApplied)]
    assert main(["replay", "--log", log, "--node", "cp-1", "--check"]) == 0


def test_while_an_agent_keeps_a_node_nobody_else_changes_it(busy: NodeUnderTest, log: str) -> None:
    """A second agent and an apply are refused, and told which process keeps the node."""
    with agent(busy, log) as process:
        world = ("--log", log, "--node", "cp-1")
        for words in (("agent", *world), ("apply", *world, "--yes")):
            code, _, err = busy.nodewall(*words)
            assert (code, f"process {process.pid} (" in err) == (2, True)


def test_an_agent_that_is_killed_leaves_rules_and_the_next_takes_over(busy: NodeUnderTest, log: str) -> None:
    """After SIGKILL the rules stay, and another agent has nothing to change."""
    with agent(busy, log):
        before = busy.texts()
    assert busy.texts() == before
    with agent(busy, log):
        time.sleep(0.5)
        assert busy.texts() == before


def test_an_agent_that_cannot_tell_what_is_wanted_leaves_what_is_there(busy: NodeUnderTest, log: str) -> None:
    """As where it begins while the cluster does not have its Node: its first look once took all rules off."""
    with agent(busy, log):
        before = busy.texts()
    until(lambda: main(["log", "append", "--log", log, "--delete", "-f", busy.manifests()]) == 0, 10)
    with agent(busy, log):
        time.sleep(2.5)
        assert busy.texts() == before
        append(busy, log, busy.manifests(allow("clients", "10.77.0.0/16")))
        until(lambda: "10.77.0.0/16" in busy.run("ipset save"), 20)


def test_a_file_on_the_node_has_the_rules_off_it(busy: NodeUnderTest, log: str) -> None:
    """Soon, and for an agent that begins meanwhile too; all that is wanted comes back when the file is gone."""
    switch = Path(f"/run/nodewall/off-{busy.netns}")
    with agent(busy, log) as process:
        before = rules(busy)
        switch.touch()
        try:
            until(lambda: "NW-" not in busy.run("iptables-save") and "nw-" not in busy.run("ipset save"), 20)
            process.kill()
            process.restart()
            append(busy, log, busy.manifests(allow("clients", "10.77.0.0/16"), drop_all()))
            until(lambda: failures_in(log)[-1:] == [f"the rules are off this node as long as {switch} is there"], 20)
            assert "NW-" not in busy.run("iptables-save")
        finally:
            switch.unlink()
        until(lambda: "10.77.0.0/16" in busy.run("ipset save"), 20)
        append(busy, log, busy.manifests(*WORLD))
        until(lambda: rules(busy) == before, 20)
