"""Agents that are killed at any moment: the next one converges, and meanwhile nothing is let through that never may be."""

import random
import time
from pathlib import Path

import pytest

from adapters.lab import Lab
from adapters.process import SystemRunner
from engine.diff import apply_changes, diff, owned
from engine.outcomes import ApplyProposed, RulesetApplied
from engine.ruleset import Family, IpSet, Ruleset
from tests.kernel.agents import AgentProcess, after, append, begun_log
from tests.kernel.author import Author
from tests.kernel.stream import CLIENT, NODE, History, Stream, against
from tests.rulesets import SOAK

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

KILLS = 250 if SOAK else 10
"""For each backend."""

SETS = "create banned hash:net family inet\nadd banned 10.1.0.15\ncreate other hash:ip family inet6\nadd other 2001:db8::f\n"
RULES = """\
*filter
:theirs - [0:0]
-A INPUT -j theirs
-A INPUT -p tcp -m tcp --dport 8080 -m set --match-set {banned} src -j REJECT --reject-with tcp-reset
-A theirs -p tcp -m tcp --dport 443 -m comment --comment "not nodewall's" -j RETURN
-A FORWARD -j DROP
COMMIT
"""
BANNED = {Family.IPV4: "banned", Family.IPV6: "other"}


def load_theirs(netns: str, backend: str) -> None:
    """Put rules and sets of others in force, which judge a few connections."""
    runner = SystemRunner(netns)
    runner.run(["ipset", "restore"], SETS).or_refused("ipset")
    for tool, family in (("iptables", Family.IPV4), ("ip6tables", Family.IPV6)):
        runner.run([f"{tool}-{backend}-restore"], RULES.format(banned=BANNED[family])).or_refused(tool)


def theirs(observed: Ruleset) -> tuple[object, tuple[IpSet, ...]]:
    """Return what is not nodewall's."""
    ours = owned(observed)
    rules = apply_changes(observed, diff(observed, Ruleset()))
    return rules, tuple(item for item in observed.sets if item not in ours.sets)


def test_whenever_an_agent_is_killed_the_next_one_converges(backend: str, tmp_path: Path) -> None:
    """Nothing of ours is left over, nothing of others touched, and each connection fares as by the old or new policies."""
    dice, author = random.Random(f"kills {backend}"), Author(f"kills {backend}")
    log, current = begun_log(tmp_path / "events.db")
    with Lab((NODE, CLIENT)) as lab:
        load_theirs(lab.netns("node"), backend)
        agent = AgentProcess(lab.netns("node"), backend, tmp_path / "events.db")
        before = agent.kernel.observe()
        try:
            assert agent.reaches(current.ruleset, 20)
            history = History([agent.kernel.observe()])
            with Stream(lab, tmp_path) as stream:
                for _ in range(KILLS):
                    bodies = list(author.news())
                    current = after(current, bodies)
                    with history.becomes(apply_changes(before, diff(before, current.ruleset))):
                        append(log, bodies)
                        time.sleep(dice.uniform(0, 0.2))
                        agent.kill()
                        agent.restart()
                        if dice.random() < 0.3:  # the next one too, while it starts
                            time.sleep(dice.uniform(0.5, 1.5))
                            agent.kill()
                            agent.restart()
                        assert agent.reaches(current.ruleset, 20)
                    assert theirs(agent.kernel.observe()) == theirs(before)
                seen = against(history, stream.tried())
        finally:
            agent.kill()
    bodies = [event.body for event in log.read()]
    begun, ended = (sum(isinstance(body, kind) for body in bodies) for kind in (ApplyProposed, RulesetApplied))
    print(dict(seen), f"applies cut off: {begun - ended}")  # noqa: T201 # for whoever asks for it by -s
    assert min(seen[outcome] for outcome in ("accept", "drop", "reject")) > 0
