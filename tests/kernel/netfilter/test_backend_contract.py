"""What every kernel does, the one in memory as well as the real one: the contract of ``engine.reconcile.interfaces.Kernel``."""

from collections.abc import Iterator

import pytest

from adapters.lab.netns import Namespaces
from adapters.netfilter.iptables import Backend, MemoryKernel, NetfilterKernel
from adapters.system.process import SystemRunner
from engine.compiler import compile_rules
from engine.errors import KernelRefused
from engine.policy.completed_rules import Action, Direction, Protocol, Traffic
from engine.reconcile.interfaces import Kernel
from engine.rulesets.diff import diff, owned
from engine.rulesets.model import Chain, Ruleset, Table
from engine.rulesets.plan import Plan, make_plan
from tests.support.rulesets.ruleset_builders import arranged, completed, kernel_rule

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


@pytest.fixture(
    params=[
        "memory",
        pytest.param(Backend.NFT, marks=pytest.mark.kernel),
        pytest.param(Backend.LEGACY, marks=pytest.mark.kernel),
    ]
)
def port(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """A kernel that holds nothing."""
    if request.param == "memory":
        yield MemoryKernel(refuse=lambda step: "no such chain" if "NW-NOWHERE" in step.text else "")
        return
    request.getfixturevalue("kernel")
    with Namespaces(("node",)) as made:
        yield NetfilterKernel(SystemRunner(made["node"]), request.param)


def carried_out(port: Kernel, wanted: Ruleset) -> Plan:
    """Bring a kernel to a state and return the way there."""
    plan = make_plan(diff(port.observe(), wanted))
    for step in plan.steps:
        port.run(step)
    return plan


def test_at_first_nothing_is_ours(port: Kernel) -> None:
    """A kernel in which nothing was done holds nothing of ours."""
    assert owned(port.observe()) == Ruleset()


@pytest.mark.parametrize("first", STATES)
def test_what_is_carried_out_is_observed(port: Kernel, first: str) -> None:
    """Whatever the state before, what the steps of a plan say is what is observed after them, to the last word."""
    for second, wanted in STATES.items():
        carried_out(port, STATES[first])
        assert arranged(owned(port.observe())) == arranged(STATES[first])
        carried_out(port, wanted)
        assert arranged(owned(port.observe())) == arranged(wanted), second


@pytest.mark.parametrize("state", STATES)
def test_a_state_that_is_reached_needs_no_steps(port: Kernel, state: str) -> None:
    """Once a state is reached, no step is left to do."""
    carried_out(port, STATES[state])

    assert carried_out(port, STATES[state]).steps == ()


def test_a_refused_step_of_rules_changes_nothing(port: Kernel) -> None:
    """A refused step of rules says whose words these are, changes nothing, and leaves the kernel in use."""
    carried_out(port, STATES["a"])

    with pytest.raises(KernelRefused) as caught:
        carried_out(port, NOWHERE)

    assert caught.value.status != 0
    assert caught.value.words
    assert "iptables" in caught.value.tool
    assert arranged(owned(port.observe())) == arranged(STATES["a"])
    carried_out(port, STATES["nothing"])
    assert owned(port.observe()) == Ruleset()
