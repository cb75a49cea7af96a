"""Contract of ``engine.reconcile.interfaces.Backend``, for the backend in memory and for every row of ``BACKENDS``."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapters.lab.netns import Namespaces
from adapters.netfilter.backends import BACKENDS, choose_backend
from adapters.netfilter.memory import MemoryBackend
from adapters.system.process import SystemRunner
from engine.compiler import compile_rules
from engine.errors import KernelRefused
from engine.policy.completed_rules import Action, Direction, Protocol, Traffic
from engine.reconcile.interfaces import Backend
from engine.rulesets.diff import SetCreated, SetDestroyed, apply_changes, diff, owned_part
from engine.rulesets.model import Chain, Family, IpSet, Match, Ruleset, Table
from engine.rulesets.plan import Plan, Step, Tool, make_plan
from engine.rulesets.text.steps import render_step
from tests.support.rulesets.ruleset_builders import SET_OPTIONS, arranged, completed, kernel_rule

A = completed("a", "10.0.0.0/8", "10.9.0.0/16", "fd00::/8", action=Action.ALLOW)
A_AGAIN = completed("a", "10.0.0.0/8", "192.0.2.1/32", "fd00:1::/32", action=Action.REJECT)
B = completed("b", priority=2.0, services=(Traffic(Protocol.TCP, (22, 22)), Traffic(Protocol.UDP, (53, 99))))
C = completed("c", "fd00:3::/32", priority=1.5, direction=Direction.EGRESS)

STATES = {
    "nothing": Ruleset(),
    "no policies": compile_rules(()),
    "a": compile_rules((A,)),
    "a again and b": compile_rules((A_AGAIN, B)),
    "b and c": compile_rules((C, B)),
    "all": compile_rules((A, C, B)),
}

NOWHERE = Ruleset((Table("filter", (Chain("NW-INPUT", (kernel_rule("DROP"), kernel_rule("NW-NOWHERE"))),)),))
"""It jumps to a chain that is not there."""


LOOK_UP = Match("set", "match-set", ("nw-4-x", "src"))
SET = IpSet("nw-4-x", "hash:net", Family.IPV4, (("10.0.0.0/8",),), SET_OPTIONS)
LOOKING = (Table("filter", (Chain("NW-X", (kernel_rule("DROP", LOOK_UP, told="x"),)),)),)


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.kernel) for name in BACKENDS)])
def port(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A backend of a kernel that holds nothing."""
    if request.param == "memory":
        yield MemoryBackend()
        return
    request.getfixturevalue("kernel")
    with Namespaces(("node",)) as made:
        yield choose_backend(SystemRunner(made["node"]), request.param)


def carried_out(port: Backend, wanted: Ruleset) -> Plan:
    """Bring a kernel to a state and return the way there."""
    plan = make_plan(diff(port.observe(), wanted))
    for step in plan.steps:
        port.run(step)
    return plan


def test_at_first_nothing_is_ours(port: Backend) -> None:
    """A kernel in which nothing was done holds nothing of ours."""
    assert owned_part(port.observe()) == Ruleset()


@pytest.mark.parametrize("first", STATES)
def test_what_is_carried_out_is_observed(port: Backend, first: str) -> None:
    """Whatever the state before, what the steps of a plan say is what is observed after them, to the last word."""
    for second, wanted in STATES.items():
        carried_out(port, STATES[first])
        assert arranged(owned_part(port.observe())) == arranged(STATES[first])
        carried_out(port, wanted)
        assert arranged(owned_part(port.observe())) == arranged(wanted), second


@pytest.mark.parametrize("state", STATES)
def test_a_state_that_is_reached_needs_no_steps(port: Backend, state: str) -> None:
    """Once a state is reached, no step is left to do."""
    carried_out(port, STATES[state])

    assert carried_out(port, STATES[state]).steps == ()


def test_a_refused_step_of_rules_changes_nothing(port: Backend) -> None:
    """A refused step of rules says whose words these are, changes nothing, and leaves the kernel in use."""
    carried_out(port, STATES["a"])

    with pytest.raises(KernelRefused) as caught:
        carried_out(port, NOWHERE)

    assert caught.value.status != 0
    assert caught.value.words
    assert "iptables" in caught.value.tool
    assert arranged(owned_part(port.observe())) == arranged(STATES["a"])
    carried_out(port, STATES["nothing"])
    assert owned_part(port.observe()) == Ruleset()


def test_each_step_makes_its_changes(port: Backend) -> None:
    """After each step, what is observed is what the changes of the step make of what was observed before."""
    for wanted in (*STATES.values(), Ruleset()):
        for step in make_plan(diff(port.observe(), wanted)).steps:
            expected = apply_changes(port.observe(), step.changes)
            port.run(step)
            assert arranged(owned_part(port.observe())) == arranged(owned_part(expected))


def test_parts_are_what_is_observed(port: Backend) -> None:
    """The tables of each family, all sets, and each set by its name are those of the whole."""
    carried_out(port, STATES["all"])
    observed = port.observe()

    assert [port.tables(family) for family in Family] == [observed.ipv4, observed.ipv6]
    assert port.sets() == observed.sets
    assert observed.sets
    assert [port.sets(item.name) for item in observed.sets] == [(item,) for item in observed.sets]


def test_an_unknown_set_is_refused(port: Backend) -> None:
    """A set that is asked for by its name but is not there is refused."""
    carried_out(port, STATES["a"])

    with pytest.raises(KernelRefused, match="does not exist"):
        port.sets("nw-4-none")


def test_a_rule_without_its_set_is_refused(port: Backend) -> None:
    """A rule that looks into a set that is not there is refused, and nothing of its step happens."""
    with pytest.raises(KernelRefused):
        carried_out(port, Ruleset(LOOKING))

    assert owned_part(port.observe()) == Ruleset()


def test_a_set_in_use_stays(port: Backend) -> None:
    """A set into which a rule looks is not destroyed, and both are there afterwards."""
    wanted = Ruleset(LOOKING, (), (SET,))
    carried_out(port, wanted)

    with pytest.raises(KernelRefused):
        port.run(Step(Tool.IPSET, (SetDestroyed(SET.name),)))

    assert arranged(owned_part(port.observe())) == arranged(wanted)


@pytest.mark.parametrize("name", ["nw-4-a\ndestroy", 'nw-4-"', "nw-4-a b", ""])
def test_a_step_that_cannot_be_written_does_nothing(port: Backend, name: str) -> None:
    """A step with a name that no restore line can carry is an error before anything of it happens."""
    step = Step(Tool.IPSET, (SetCreated(SET), SetCreated(replace(SET, name=name))))

    for work in (port.render, port.run):
        with pytest.raises(ValueError, match="no name"):
            work(step)

    assert owned_part(port.observe()) == Ruleset()


def test_a_command_holds_the_text_of_its_step(port: Backend) -> None:
    """What a backend runs for a step is a program named after the step's tool, and reads the step's text."""
    for step in make_plan(diff(Ruleset(), STATES["all"])).steps:
        command = port.render(step)
        assert command.words[0].startswith(step.tool)
        assert command.text == render_step(step)
