"""Agents that are killed at any moment: the next one converges, and meanwhile nothing is let through that never may be."""

import time
from pathlib import Path

import pytest

from adapters.lab.netns import Lab
from engine.events.outcomes import ApplyProposed, RulesetApplied
from engine.rulesets.diff import apply_changes, diff
from tests.support.kernel.agent_processes import AgentProcess, after, append, begun_log
from tests.support.kernel.connection_stream import CLIENT, NODE, History, Stream, against
from tests.support.kernel.foreign_rules import load_theirs, theirs
from tests.support.kernel.policy_author import Author
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.seeds import seeded

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

KILLS = 250 if SOAK else 6
"""For each backend."""


def test_whenever_an_agent_is_killed_the_next_one_converges(backend: str, tmp_path: Path) -> None:
    """Nothing of ours is left over, nothing of others touched, and each connection fares as by the old or new policies."""
    dice, author = seeded(f"kills {backend}"), Author(f"kills {backend}")
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
