"""Tests of the agent's loop with an in-memory node and a fake clock, so that no test waits."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.netfilter.memory import MemoryBackend
from adapters.node.wakeups import Wake
from engine.desired.full import desired_ruleset
from engine.errors import LogError, ToolMissing
from engine.events import ConfigDeclared, EventBody, HostObserved, PolicyDeleted, declaration_of
from engine.events.outcomes import ApplyFailed, DriftRepaired, RulesetApplied
from engine.objects.config import DEFAULT_CONFIGURATION
from engine.rulesets.diff import RuleInserted
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import Step
from engine.state.fold import ClusterState, evolve
from tests.support.kernel.memory_node import NODE, AgentInMemory, FakeWakeups, MemoryAccess
from tests.support.rulesets.ruleset_builders import cidr, node, policy, world

POLICY = policy("one", ingress=[{"action": "Drop", "from": [cidr("10.0.0.0/8")]}])
CHANGED = policy("one", ingress=[{"action": "Drop", "from": [cidr("10.0.0.0/8"), cidr("192.0.2.0/24")]}])
OTHER = policy("other", ingress=[{"action": "Reject", "ports": [{"protocol": "TCP", "port": 23}]}])
STATE = world(node(NODE, "192.0.2.1"), POLICY)
HOST = HostObserved(node=NODE)
RETRIES = (0.0, 1.0, 3.0, 8.0, 23.0, 53.0, 83.0, 113.0)
"""Times of the attempts to apply a plan that is always refused: after waits of 1, 2, 5, 15, 30, 30 and 30 seconds."""


def wanted(*bodies: EventBody, state: ClusterState = STATE) -> Ruleset:
    """Return the desired rules of the node after these events."""
    for body in (HOST, *bodies):
        state = evolve(state, body)
    return desired_ruleset(state, NODE).ruleset


def configured(**changes: object) -> ConfigDeclared:
    """Return an event that changes the configuration."""
    return ConfigDeclared(config=DEFAULT_CONFIGURATION.model_copy(update=changes))


def refusing(name: str) -> Callable[[Step], str]:
    """Return a kernel behaviour that refuses the rules of one policy."""

    def refuse(step: Step) -> str:
        rules = [change.rule for change in step.changes if isinstance(change, RuleInserted)]
        return "No chain/target/match by that name." if any(f" {name}/" in rule.comment for rule in rules) else ""

    return refuse


def flush(agent: AgentInMemory) -> None:
    """Remove the rules of all programs, and keep the sets."""
    agent.access.memory.ruleset = Ruleset(sets=agent.access.memory.ruleset.sets)


# Rules that are enforced


def test_first_turn_applies_rules() -> None:
    """The agent observes the host and applies the rules; it records the host facts, the proposal and the outcome."""
    agent = AgentInMemory.of(STATE)
    agent.run(until=1)

    assert agent.holds(wanted())
    assert agent.recorded == ["host.observed", "apply.proposed", "ruleset.applied"]
    assert agent.access.verifier.states[-1].hosts[NODE] == HOST


def test_second_agent_writes_nothing() -> None:
    """An agent writes nothing if the kernel already holds the desired rules."""
    access = MemoryAccess()
    AgentInMemory.of(STATE, access).run(until=1)
    steps = len(access.memory.steps)
    AgentInMemory.of(STATE, MemoryAccess(memory=access.memory)).run(until=1)

    assert (steps > 0, len(access.memory.steps)) == (True, steps)


@pytest.mark.parametrize("tells, soon", [(frozenset(Wake), 0.01), (frozenset({Wake.STOP}), 0.1)])
def test_new_event_is_applied(tells: frozenset[Wake], soon: float) -> None:
    """The agent applies an event when the log is written, or at the next poll if no watch reports the write."""
    agent = AgentInMemory.of(STATE, MemoryAccess(clock=FakeWakeups(tells)))
    wake = Wake.LOG if Wake.LOG in tells else None
    agent.clock.at(5, lambda: agent.source.put(declaration_of(CHANGED)), wake)
    done = agent.check(5 + soon, lambda: agent.holds(wanted(declaration_of(CHANGED))))
    agent.run(until=6)

    assert done == [True]


def test_config_change_is_applied() -> None:
    """After a change of the configuration, the jumps move to the end of the built-in chains."""
    agent, change = AgentInMemory.of(STATE), configured(jump_position="Last", enforce_established=True)
    agent.clock.at(5, lambda: agent.source.put(change), Wake.LOG)
    agent.run(until=6)

    assert agent.holds(wanted(change))
    assert "connections forgotten" in agent.access.done


def test_node_that_is_unknown_waits() -> None:
    """The agent writes nothing while the state lacks the node, and applies its rules after the node is declared."""
    agent = AgentInMemory.of(world(POLICY))
    before = agent.check(4, lambda: len(agent.access.memory.steps))
    agent.clock.at(5, lambda: agent.source.put(declaration_of(node(NODE, "192.0.2.1"))), Wake.LOG)
    agent.run(until=6)

    assert before == [0]
    assert agent.holds(wanted())


def test_listeners_hear_of_applies() -> None:
    """Listeners are called for each turn and for each apply, with the times of the events that caused it."""
    agent, applied, turns = AgentInMemory.of(STATE), list[int](), list[object]()
    agent.outlets.on_in_force.append(lambda _, since: applied.append(len(since)))
    agent.outlets.on_turned.append(lambda derivation: turns.append(derivation.desired))
    agent.clock.at(5, lambda: agent.source.put(declaration_of(CHANGED)), Wake.LOG)
    agent.run(until=6)

    assert applied == [0, 1]
    assert len(turns) == len(agent.clock.waits)


# Retries after failures


@given(st.floats(0.5, 110))
def test_refused_plan_is_retried(cleared: float) -> None:
    """The agent retries a refused plan after 1, 2, 5, 15 and then every 30 s, and records the failure once.

    It applies the plan at the first attempt after the objection ends.
    """
    agent = AgentInMemory.of(STATE)
    verifier, tried = agent.access.verifier, list[float]()
    verifier.objection = "ssh from 203.0.113.1"
    judge_in = agent.assembled.agent.judge_in

    def noted(state: ClusterState) -> None:
        tried.append(agent.clock.time)
        judge_in(state)

    agent.assembled.agent.judge_in = noted
    agent.clock.at(cleared, agent.set("objection", "", on=verifier))
    agent.run(until=120)

    expected = [*(moment for moment in RETRIES if moment < cleared), next(each for each in RETRIES if each >= cleared)]
    assert tried == pytest.approx(expected, abs=0.01)
    assert agent.recorded == ["host.observed", "apply.failed", "apply.proposed", "ruleset.applied"]
    assert agent.holds(wanted())


def test_success_ends_the_long_waits() -> None:
    """After a success, the waits between retries begin with the shortest again."""
    agent = AgentInMemory.of(STATE)
    verifier = agent.access.verifier
    verifier.objection = "ssh"
    agent.clock.at(4, agent.set("objection", "", on=verifier))
    agent.clock.at(20, agent.set("objection", "ssh", on=verifier))
    agent.clock.at(20, lambda: agent.source.put(declaration_of(CHANGED)), Wake.LOG)
    agent.clock.at(20.5, agent.set("objection", "", on=verifier))
    done = agent.check(21.1, lambda: agent.holds(wanted(declaration_of(CHANGED))))
    agent.run(until=22)

    assert done == [True]


def test_refused_rule_fails_alone() -> None:
    """The agent applies all other rules, and retries the refused one every 30 s until the kernel accepts it."""
    memory = MemoryBackend(refuse=refusing("other"))
    agent = AgentInMemory.of(evolve(STATE, declaration_of(OTHER)), MemoryAccess(memory=memory))
    partly = agent.check(20, lambda: agent.holds(wanted()))
    agent.clock.at(40, lambda: setattr(memory, "_refuse", lambda _: ""))
    agent.run(until=70)

    assert partly == [True]
    assert agent.holds(wanted(declaration_of(OTHER)))
    first, *_, last = (body for body in agent.bodies("ruleset.applied") if isinstance(body, RulesetApplied))
    assert [each.policy for each in first.failed or ()] == ["other"]
    assert last.failed is None


def test_source_failure_keeps_the_rules() -> None:
    """While the source fails, the rules stay and drift is repaired; later events are applied when it works again."""
    agent = AgentInMemory.of(STATE)
    agent.clock.at(5, agent.set("error", LogError("the log is damaged"), on=agent.source))
    agent.clock.at(6, lambda: flush(agent), Wake.RULES)
    meanwhile = agent.check(8, lambda: agent.holds(wanted()))
    agent.clock.at(10, agent.set("error", None, on=agent.source))
    agent.clock.at(10, lambda: agent.source.put(PolicyDeleted(name="one")))
    agent.run(until=12)

    assert meanwhile == [True]
    assert agent.holds(wanted(PolicyDeleted(name="one")))


# Drift


@pytest.mark.parametrize("tells", [frozenset(Wake), frozenset({Wake.STOP, Wake.LOG})])
def test_drift_is_repaired(tells: frozenset[Wake]) -> None:
    """The agent restores removed rules when the kernel reports the change, or at a poll if it does not."""
    agent = AgentInMemory.of(STATE, MemoryAccess(clock=FakeWakeups(tells)))
    wake = Wake.RULES if Wake.RULES in tells else None
    agent.clock.at(5, lambda: flush(agent), wake)
    done = agent.check(5.01 if wake else 5.4, lambda: agent.holds(wanted()))
    agent.run(until=6)

    assert done == [True]
    (repair,) = (body for body in agent.bodies("drift.repaired") if isinstance(body, DriftRepaired))
    assert repair.operations > 0


def test_changed_set_is_repaired() -> None:
    """The kernel reports no changes of sets, so the agent reads all sets every second."""
    agent = AgentInMemory.of(STATE)
    agent.clock.at(5, lambda: _empty_sets(agent))
    done = agent.check(6.1, lambda: agent.holds(wanted()))
    agent.run(until=7)

    assert done == [True]


def _empty_sets(agent: AgentInMemory) -> None:
    held = agent.access.memory.ruleset
    assert held.sets
    sets = tuple(replace(each, members=()) for each in held.sets)
    agent.access.memory.ruleset = Ruleset(held.ipv4, held.ipv6, sets)


def test_refused_plan_is_no_drift() -> None:
    """A refused plan keeps the previous rules and causes no repair; drift from these rules is repaired."""
    agent = AgentInMemory.of(STATE)
    agent.clock.at(5, agent.set("objection", "ssh", on=agent.access.verifier))
    agent.clock.at(5, lambda: agent.source.put(declaration_of(CHANGED)), Wake.LOG)
    before = agent.check(20, lambda: (agent.holds(wanted()), agent.bodies("drift.repaired")))
    agent.clock.at(20.1, agent.set("objection", "", on=agent.access.verifier))
    agent.clock.at(20.1, lambda: flush(agent), Wake.RULES)
    done = agent.check(20.2, lambda: (agent.holds(wanted()), len(agent.bodies("drift.repaired"))))
    agent.run(until=21)

    assert before == [(True, [])]
    assert done == [(True, 1)]


# The kill switch, the host, and the end


def test_kill_switch_removes_the_rules() -> None:
    """While the switch is off, the node has no rules of nodewall, which is recorded; later they are restored."""
    agent = AgentInMemory.of(STATE)
    agent.clock.at(5, lambda: setattr(agent.switch, "off", True))
    off = agent.check(6, lambda: agent.holds(Ruleset()))
    agent.clock.at(7, lambda: setattr(agent.switch, "off", False))
    agent.run(until=9)

    assert off == [True]
    assert agent.holds(wanted())
    (failed,) = (body for body in agent.bodies("apply.failed") if isinstance(body, ApplyFailed))
    assert failed.words == "the rules are off this node as long as /run/nodewall/off is there"


def test_host_is_observed_every_ten_seconds() -> None:
    """New interfaces of the host are recorded once, and the rules for them are applied."""
    state = evolve(STATE, configured(interfaces=("*th0",)))
    agent = AgentInMemory.of(state)
    there = HostObserved(node=NODE, interfaces=("eth0", "lo"))
    agent.clock.at(15, lambda: agent.access.host.append(there))
    before = agent.check(19.9, lambda: agent.bodies("host.observed"))
    agent.run(until=35)

    assert before == [[HOST]]
    assert agent.access.done.count("host observed") == 4
    assert agent.bodies("host.observed") == [HOST, there]
    assert agent.holds(wanted(there, state=state))


def test_unseen_host_keeps_the_rules() -> None:
    """If the host cannot be observed, the agent uses the facts of the cluster state."""
    agent = AgentInMemory.of(STATE)

    def fails() -> HostObserved:
        raise ToolMissing("no program ip", "install it")

    agent.assembled.agent.observe_host = fails
    agent.run(until=12)

    assert agent.holds(desired_ruleset(STATE, NODE).ruleset)
    assert "host.observed" not in agent.recorded


def test_signal_ends_the_loop() -> None:
    """A signal ends the loop at once; the rules stay, and the lock of the node is released."""
    agent = AgentInMemory.of(STATE)
    agent.run(until=5)

    assert agent.clock.time == 5
    assert agent.holds(wanted())
    assert agent.access.done[-1] == "unlocked"


def test_idle_agent_sleeps() -> None:
    """An idle loop waits at most 0.5 s, and turns fewer than five times a second: it polls the log and the sets."""
    agent = AgentInMemory.of(STATE)
    agent.run(until=60)

    assert all(wait <= 0.5 for wait in agent.clock.waits)
    assert len(agent.clock.waits) < 60 * 5


HAPPENINGS = st.sampled_from(["declare", "change", "delete", "wreck", "off", "on", "object", "agree", "fail", "heal"])


@given(st.lists(st.tuples(st.floats(0, 60), HAPPENINGS, st.booleans()), max_size=12))
def test_any_history_ends_desired(happenings: list[tuple[float, str, bool]]) -> None:
    """Two minutes after any series of events and failures, the kernel holds exactly the declared rules."""
    agent, events = AgentInMemory.of(STATE), list[EventBody]()

    def put(body: EventBody) -> None:
        if not isinstance(body, PolicyDeleted) or "other" in _state(events).policies:
            events.append(body)
            agent.source.put(body)

    actions: dict[str, Callable[[], None]] = {
        "declare": lambda: put(declaration_of(OTHER)),
        "change": lambda: put(declaration_of(CHANGED)),
        "delete": lambda: put(PolicyDeleted(name="other")),
        "wreck": lambda: flush(agent),
        "off": lambda: setattr(agent.switch, "off", True),
        "on": lambda: setattr(agent.switch, "off", False),
        "object": agent.set("objection", "ssh", on=agent.access.verifier),
        "agree": agent.set("objection", "", on=agent.access.verifier),
        "fail": agent.set("error", LogError("busy"), on=agent.source),
        "heal": agent.set("error", None, on=agent.source),
    }
    for time, what, told in happenings:
        wake = Wake.RULES if what == "wreck" else Wake.LOG
        agent.clock.at(time, actions[what], wake if told else None)
    for what in ("on", "agree", "heal"):
        agent.clock.at(60.5, actions[what])
    agent.run(until=180)

    assert agent.holds(wanted(*events))


def _state(events: list[EventBody]) -> ClusterState:
    state = STATE
    for body in events:
        state = evolve(state, body)
    return state


def test_waits_of_retries_grow() -> None:
    """The attempts in ``RETRIES`` are 1, 2, 5, 15, 30, 30 and 30 seconds apart."""
    assert [after - before for before, after in pairwise(RETRIES)] == [1, 2, 5, 15, 30, 30, 30]
