"""Configuration becomes options: globs of interfaces mean what they say, and nothing is left of what is switched off."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.desired.full import desired_ruleset, options_of
from engine.events import ConfigDeclared, HostObserved
from engine.objects.config import Configuration
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState, evolve
from tests.support.rulesets.ruleset_builders import node, policy, world

INTERFACES = ("lo", "eth0", "eth1", "eth10", "ens160", "bond0", "e", "en0")


def configured(present: tuple[str, ...] = INTERFACES, **config: object) -> ClusterState:
    """Return a state with a default deny on node n1, so configured, with these interfaces."""
    state = world(node("n1", "192.0.2.1"), policy("p", ingress=[{"action": "Drop"}]))
    state = evolve(state, ConfigDeclared(config=Configuration.model_validate(config)))
    return evolve(state, HostObserved(node="n1", interfaces=present))


@pytest.mark.parametrize(
    "globs, expected",
    [
        ([], None),
        (["eth*"], ("eth+",)),
        (["eth0", "ens160"], ("ens160", "eth0")),
        (["eth*", "eth0", "eth1*"], ("eth+",)),
        (["eth[01]"], ("eth0", "eth1")),
        (["e??0"], ("eth0",)),
        (["*0"], ("bond0", "en0", "ens160", "eth0", "eth10")),
        (["wlan?"], ()),
        (["*"], None),
        (["eth0", "*"], None),
    ],
)
def test_globs_become_what_iptables_takes(globs: list[str], expected: tuple[str, ...] | None) -> None:
    """A trailing star becomes a plus; other globs become the names that are there; what another covers is left out."""
    assert options_of(configured(interfaces=globs), "n1").interfaces == expected


@given(st.lists(st.text("eth01ns*?", min_size=1, max_size=5), min_size=1, max_size=3))
def test_the_names_mean_what_the_globs_do(globs: list[str]) -> None:
    """An interface that is there is meant by the names exactly if a glob matches it."""
    names = options_of(configured(interfaces=globs), "n1").interfaces
    names = ("+",) if names is None else names
    for interface in INTERFACES:
        meant = any(interface.startswith(name[:-1]) if name.endswith("+") else interface == name for name in names)
        assert meant == any(fnmatchcase(interface, glob) for glob in globs)


def test_nothing_is_desired_behind_a_shut_gate() -> None:
    """With the feature gate shut nothing shall be in force."""
    assert desired_ruleset(configured(featureGates={"NodeNetworkPolicy": False}), "n1").ruleset == Ruleset()


def test_a_family_that_is_not_managed_has_nothing() -> None:
    """A family that is not named has no table and no set."""
    ruleset = desired_ruleset(configured(families=["IPv6"]), "n1").ruleset
    assert ruleset.ipv4 == ()
    assert ruleset.ipv6 != ()
    assert {item.family for item in ruleset.sets} <= {"IPv6"}
