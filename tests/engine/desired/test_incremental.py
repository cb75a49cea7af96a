"""A derivation that is kept up event by event says what a full recomputation says, and works out no more than it must.

The clusters below are whole states, each a step that something went through: from any of them to any other, by events.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.desired.full import DesiredRuleset, desired_ruleset
from engine.desired.incremental import Derivation, derive
from engine.errors import Refused
from engine.events import ConfigDeclared, EventBody, HostObserved, ObjectRefused, declaration_of, deletion_of
from engine.objects import KINDS, ClusterObject, key_of
from engine.objects.config import Configuration
from engine.rulesets.text.steps import full_text
from engine.state.admission import SubmitMode, events_for
from engine.state.fold import ClusterState, evolve
from tests.support.policies.random_clusters import NODE as DRAWN
from tests.support.policies.random_histories import history_of, worlds_of
from tests.support.rulesets.ruleset_builders import Json, cidr, node, policy, tier

NODE = "cp-1"
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


def group(name: str, **spec: object) -> ClusterObject:
    """A group."""
    return made("ClusterGroup", "crd.antrea.io/v1beta1", {"name": name}, spec=spec)


def namespace(name: str, **labels: str) -> ClusterObject:
    """A namespace."""
    return made("Namespace", "v1", {"name": name, "labels": labels})


def pod(name: str, *ips: str, labels: Json | None = None, account: str = "default", **more: object) -> ClusterObject:
    """A running Pod in namespace ``shop``; ``more`` overrides its phase, its namespace and whose network it has."""
    return made(
        "Pod",
        "v1",
        {"name": name, "namespace": more.get("namespace", "shop"), "labels": labels or {}},
        spec={"serviceAccountName": account, "hostNetwork": more.get("host_network", False)},
        status={"phase": more.get("phase", "Running"), "podIPs": [{"ip": text} for text in ips]},
    )


def service(name: str, **selector: str) -> ClusterObject:
    """A service of namespace ``shop``."""
    return made("Service", "v1", {"name": name, "namespace": "shop"}, spec={"selector": selector})


def endpoints(name: str, of: str, *addresses: str) -> ClusterObject:
    """A slice of a service's endpoints."""
    return made(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": of}},
        addressType="IPv4",
        endpoints=[{"addresses": list(addresses)}],
    )


def made(kind: str, version: str, metadata: Json, **rest: object) -> ClusterObject:
    """An object from its parts."""
    return KINDS[kind].model_validate({"apiVersion": version, "kind": kind, "metadata": metadata, **rest})


def allow(name: str, *peers: Json, tier: str = "application", applied: Json | None = None) -> ClusterObject:
    """A policy that lets peers reach port 443."""
    rule = {"name": "in", "action": "Allow", "from": peers, "ports": [{"port": 443}]}
    return policy(name, ingress=[rule], tier=tier, appliedTo=[applied or {"nodeSelector": {}}])


LABELS = {"matchLabels": {"app": "web"}}
LEADER = node(NODE, "192.0.2.1", "2001:db8::1", labels=CONTROL_PLANE)
WORKER = node("w-1", "192.0.2.2", "2001:db8::2", labels={"zone": "a"})
WEB = pod("web", "10.0.0.5", "fd00::5", labels={"app": "web"}, account="web")
DB = pod("db", "10.0.0.6", labels={"app": "db"})
SHOP = namespace("shop", team="red")
DROP = policy("drop", tier="baseline", ingress=[{"name": "all", "action": "Drop"}])
ZONE = {"nodeSelector": {"matchLabels": {"zone": "a"}}}
BY_NODE = allow("by-node", ZONE)
BY_POD = allow("by-pod", {"podSelector": LABELS})
BY_SPACE = allow("by-space", {"namespaceSelector": {"matchLabels": {"team": "red"}}})
BY_ACCOUNT = allow("by-account", {"serviceAccount": {"name": "web", "namespace": "shop"}})
BY_GROUP = allow("by-group", {"group": "parent"})
TO_GROUP = allow("to-group", cidr("10.9.0.0/16"), applied={"group": "leaders"})
OWN_TIER = allow("own-tier", cidr("10.8.0.0/16"), tier="own")
BASE = (LEADER, WORKER, DROP)
PARENT = group("parent", childGroups=["child"])
GROUPED = (PARENT, group("child", ipBlocks=[{"cidr": "10.7.0.0/16"}]), BY_GROUP)
SERVED = (group("parent", serviceReference={"name": "web", "namespace": "shop"}), BY_GROUP)

STATES: Mapping[str, Sequence[ClusterObject]] = {
    "empty": (),
    "only this node": (LEADER,),
    "two nodes": (LEADER, WORKER),
    "everything dropped": BASE,
    "a node with a label that a peer selects": (*BASE, BY_NODE),
    "that node relabelled": (LEADER, node("w-1", "192.0.2.2", labels={"zone": "b"}), DROP, BY_NODE),
    "that node with another address": (LEADER, node("w-1", "192.0.2.99", labels={"zone": "a"}), DROP, BY_NODE),
    "another node with that label": (*BASE, node("w-2", "192.0.2.3", labels={"zone": "a"}), BY_NODE),
    "this node no control plane any more": (node(NODE, "192.0.2.1"), WORKER, DROP, BY_NODE),
    "the other node a control plane too": (LEADER, node("w-1", "192.0.2.2", labels=CONTROL_PLANE), DROP),
    "this node gone": (WORKER, DROP, BY_NODE),
    "a Pod as peer": (*BASE, SHOP, WEB, DB, BY_POD),
    "the Pod pending": (*BASE, SHOP, pod("web", "10.0.0.5", labels={"app": "web"}, phase="Pending"), BY_POD),
    "the Pod finished": (*BASE, SHOP, pod("web", "10.0.0.5", labels={"app": "web"}, phase="Succeeded"), BY_POD),
    "the Pod in the node's network": (*BASE, pod("web", "192.0.2.2", labels={"app": "web"}, host_network=True), BY_POD),
    "the Pod with another address": (*BASE, SHOP, pod("web", "10.0.0.77", labels={"app": "web"}), BY_POD),
    "Pods of a namespace": (*BASE, SHOP, WEB, DB, BY_SPACE),
    "the namespace relabelled": (*BASE, namespace("shop", team="blue"), WEB, DB, BY_SPACE),
    "the namespace unknown": (*BASE, WEB, DB, BY_SPACE),
    "Pods of an account": (*BASE, SHOP, WEB, DB, BY_ACCOUNT),
    "a group of a missing child": (*BASE, PARENT, BY_GROUP),
    "a group with its child": (*BASE, *GROUPED),
    "the child changed": (*BASE, PARENT, group("child", ipBlocks=[{"cidr": "10.6.0.0/16"}]), BY_GROUP),
    "the child a group of nodes": (*BASE, PARENT, group("child", **ZONE), BY_GROUP),
    "a policy of a missing group": (*BASE, BY_GROUP),
    "a service's Pods": (*BASE, WEB, DB, service("web", app="web"), *SERVED),
    "a service's endpoints": (*BASE, service("web"), endpoints("web-1", "web", "10.5.0.1"), *SERVED),
    "other endpoints": (*BASE, service("web"), endpoints("web-2", "web", "10.5.0.2", "10.5.0.3"), *SERVED),
    "applied to a group": (*BASE, group("leaders", nodeSelector={"matchLabels": CONTROL_PLANE}), TO_GROUP),
    "applied to another group": (*BASE, group("leaders", **ZONE), TO_GROUP),
    "a tier of one's own": (*BASE, tier("own", 20), OWN_TIER),
    "that policy in another tier": (*BASE, tier("own", 20), allow("own-tier", cidr("10.8.0.0/16"), tier="platform")),
    "everything at once": (
        *(*BASE, *GROUPED, SHOP, WEB, DB, tier("own", 20), BY_NODE, BY_POD, BY_SPACE, BY_ACCOUNT, OWN_TIER),
        *(group("leaders", nodeSelector={}), TO_GROUP),
    ),
}


a_config = st.sampled_from(
    [
        ConfigDeclared(config=Configuration.model_validate(config))
        for config in ({}, {"jumpPosition": "Last"}, {"families": ["IPv6"]}, {"logging": {"target": "kernel"}})
    ]
)
"""Configurations that change what is compiled."""


an_object = st.sampled_from([item for objects in STATES.values() for item in objects])


def gone(item: ClusterObject) -> EventBody:
    """Return the event that says an object is gone."""
    return deletion_of(item.kind, key_of(item))


def way(state: ClusterState, objects: Sequence[ClusterObject]) -> tuple[EventBody, ...]:
    """Return the events from a state to the one that consists of the objects."""
    return events_for(state, [(item, None) for item in objects], SubmitMode.SYNC)


def at(objects: Sequence[ClusterObject]) -> Derivation:
    """Return the derivation of a state from nothing."""
    state = ClusterState()
    for body in way(state, objects):
        state = evolve(state, body)
    return derive(state, NODE)


def recomputed(state: ClusterState) -> DesiredRuleset | None:
    """Return what a state amounts to, from nothing."""
    return desired_ruleset(state, NODE) if NODE in state.nodes else None


def text(derivation: Derivation) -> str:
    """Return the text of what a derivation amounts to."""
    return "".join(full_text(derivation.ruleset).values())


START = {name: at(objects) for name, objects in STATES.items()}


def test_there_are_enough_states() -> None:
    """There are at least 25 states, and all of them differ."""
    assert len(STATES) >= 25
    assert len({tuple(sorted(map(repr, objects))) for objects in STATES.values()}) == len(STATES)


@pytest.mark.parametrize("before", STATES)
def test_any_state_to_any_state_is_a_full_recomputation(before: str) -> None:
    """From any state to any other, after every single event the result is that of a full recomputation."""
    for after in STATES:
        derivation = START[before]
        for body in way(derivation.state, STATES[after]):
            derivation = derivation.after(body)
            assert derivation.desired == recomputed(derivation.state), (before, after, body)
        assert text(derivation) == text(START[after]), (before, after)


def test_the_way_does_not_matter() -> None:
    """In whatever order sound objects arrive, one by one, split or with others between, the end is the same, byte for byte."""
    objects = [LEADER, SHOP, WEB, BY_SPACE, *GROUPED[:2]]
    ends = set()
    for order in permutations(objects):
        derivation = derive(ClusterState(), NODE)
        for item in order:
            derivation = derivation.after(declaration_of(item))
        ends.add(text(derivation))
    assert len(ends) == 1


@given(st.lists(st.one_of(an_object.map(declaration_of), an_object.map(gone), a_config), max_size=12))
def test_any_events_in_any_order_are_a_full_recomputation(events: list[EventBody]) -> None:
    """After objects come and go in any order, and configurations change, the result is a full recomputation's."""
    derivation = START["only this node"]
    for body in events:
        if outcome(evolve(derivation.state, body)) is None:
            with pytest.raises(Refused):
                derivation.after(body)
            continue
        derivation = derivation.after(body)
        assert derivation.desired == recomputed(derivation.state)


@given(st.integers(0, 10**9), st.data())
def test_several_events_at_once_come_to_what_they_do_one_by_one(seed: int, data: st.DataObject) -> None:
    """However a history is cut into parts: the state, what is desired, and whose rules were worked out."""
    history = history_of(worlds_of(str(seed), 3), str(seed))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(history)), max_size=4)))
    together = alone = derive(ClusterState(), DRAWN)
    for first, last in pairwise((0, *cuts, len(history))):
        together = together.through(history[first:last])
        named: set[str] = set()
        for body in history[first:last]:
            alone = alone.after(body)
            named |= {*alone.recomputed}
        assert (together.state, together.desired) == (alone.state, alone.desired)
        assert set(together.recomputed) <= named
        assert together.desired == (desired_ruleset(together.state, DRAWN) if DRAWN in together.state.nodes else None)
        assert together.desired is None or together.parts == alone.parts


def outcome(state: ClusterState) -> bool | None:
    """Return whether a state has the node, or None where a policy of it names a tier that is gone."""
    try:
        return recomputed(state) is not None
    except Refused:
        return None


def only(name: str, *objects: ClusterObject) -> tuple[str, ...]:
    """Return which policies are worked out when objects are declared in a state."""
    derivation = START[name]
    found: set[str] = set()
    for item in objects:
        derivation = derivation.after(declaration_of(item))
        found |= {*derivation.recomputed}
    return tuple(sorted(found))


@pytest.mark.parametrize(
    "item, expected",
    [
        (pod("web", "10.0.0.77", labels={"app": "web"}, account="web"), ("by-account", "by-pod", "by-space")),
        (pod("db", "10.0.0.6", labels={"app": "db"}, phase="Failed"), ("by-space",)),
        (pod("other", "10.3.0.1", namespace="elsewhere"), ()),
        (namespace("shop", team="blue"), ("by-space",)),
        (namespace("elsewhere", team="blue"), ()),
        (node("w-1", "192.0.2.2", "2001:db8::2", labels={"zone": "b"}), ("by-node",)),
        (node("w-9", "192.0.2.9"), ()),
        (group("child", ipBlocks=[{"cidr": "10.6.0.0/16"}]), ("by-group",)),
        (group("leaders", nodeSelector={"matchLabels": CONTROL_PLANE}), ()),
        (group("leaders", nodeSelector={"matchLabels": {"zone": "a"}}), ("to-group",)),
        (tier("own", 20), ("own-tier",)),
        (BY_NODE, ("by-node",)),
    ],
)
def test_only_what_depends_on_an_event_is_worked_out(item: ClusterObject, expected: tuple[str, ...]) -> None:
    """Only the policies that depend on what an event changed are worked out anew."""
    assert only("everything at once", item) == expected


def test_an_answer_that_stays_the_same_ends_the_matter() -> None:
    """Where a changed group means the same addresses, nothing that uses it is worked out."""
    same = group("child", ipBlocks=[{"cidr": "10.7.0.0/16"}])

    assert only("a group with its child", same) == ()


def test_outcomes_and_refusals_change_nothing() -> None:
    """Outcomes and refusals move the sequence on, and nothing else."""
    before = START["everything at once"]

    after = before.after(ObjectRefused(kind="ClusterNetworkPolicy", name="drop", faults=()))

    assert (after.desired, after.recomputed) == (before.desired, ())
    assert after.state.sequence == before.state.sequence + 1


@pytest.mark.parametrize(
    "body",
    [
        ConfigDeclared(config=Configuration.model_validate({"jumpPosition": "Last", "families": ["IPv6"]})),
        ConfigDeclared(config=Configuration.model_validate({"featureGates": {"NodeNetworkPolicy": False}})),
        HostObserved(node=NODE, interfaces=("eth0",), resolvers=("192.0.2.53",)),
        HostObserved(node="w-1", interfaces=("eth0",), resolvers=("192.0.2.53",)),
    ],
)
def test_configuration_and_hosts_are_followed(body: EventBody) -> None:
    """A new configuration and what is seen of hosts are taken up as a full recomputation would."""
    after = START["everything at once"].after(body)

    assert after.desired == recomputed(after.state)


def test_an_address_that_two_pods_have_goes_with_the_last_of_them() -> None:
    """However it is spelt, and also where one Pod tells it twice: it is meant as long as any Pod has it."""
    web = {"app": "web"}
    rule = {"action": "Allow", "from": [{"podSelector": {"matchLabels": web}}]}
    state = ClusterState()
    for item in (node(NODE, "192.0.2.1"), policy("p", ingress=[rule]), namespace("shop")):
        state = evolve(state, declaration_of(item))
    derivation = derive(state, NODE)

    def members(body: EventBody) -> list[str]:
        nonlocal derivation
        derivation = derivation.after(body)
        assert derivation.desired == desired_ruleset(derivation.state, NODE)
        return [element for item in derivation.ruleset.sets for element, *_ in item.members]

    one, other = pod("one", "fd00::1", "fd00:0::1", labels=web), pod("other", "fd00:0:0::1", "10.0.0.1", labels=web)
    before = members(declaration_of(pod("none", labels=web)))
    assert sorted(set(members(declaration_of(one))) - set(before)) == ["fd00::1"]
    assert sorted(set(members(declaration_of(other))) - set(before)) == ["10.0.0.1", "fd00::1"]
    assert sorted(set(members(deletion_of("Pod", "shop/one"))) - set(before)) == ["10.0.0.1", "fd00::1"]
    assert members(deletion_of("Pod", "shop/other")) == before
