"""From the state of a cluster to the ordered rules of one node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Refused, UnknownNode
from engine.events import declaration_of, deletion_of
from engine.objects import ClusterNetworkPolicy, ClusterObject, Tier
from engine.policy.completed_rules import STATIC_POLICY, Action, CompletedRule, Direction, Plane, Protocol, Traffic
from engine.policy.resolve import resolve
from engine.state.fold import ClusterState, evolve
from tests.support.rulesets.ruleset_builders import Json, block, cidr, node, policy, tier, world

N1 = node("n1", "10.0.0.1", "fd00::1", "+192.0.2.1", labels={"role": "db"})
N2 = node("n2", "10.0.0.2", "+2001:db8::2", labels={"role": "web"})
DROP = {"action": "Drop"}


def declared_rules(state: ClusterState, name: str = "n1") -> list[CompletedRule]:
    """The rules of policies, without the static ones."""
    return [rule for rule in resolve(state, name) if rule.policy != STATIC_POLICY]


def of(*policies: ClusterNetworkPolicy) -> list[CompletedRule]:
    """The rules of policies on the first of two nodes."""
    return declared_rules(world(N1, N2, *policies))


def order(rules: list[CompletedRule]) -> list[str]:
    """Policies of rules, in the order of the rules."""
    return [rule.policy for rule in rules]


RANKED: tuple[ClusterObject, ...] = (
    policy("z", ingress=[DROP], tier="emergency", priority=9.0),
    policy("y", ingress=[DROP], tier="first"),
    policy("x", ingress=[DROP], priority=1.5),
    policy("b", ingress=[DROP], priority=2.0),
    policy("a", ingress=[DROP], priority=10.0),
    policy("c", ingress=[{**DROP, "name": "c0"}, {**DROP, "name": "c1"}], priority=2.0),
    policy("w", ingress=[DROP], tier="baseline", priority=1.0),
    tier("first", 7),
    N1,
    N2,
)


@given(st.permutations(RANKED))
def test_order_is_tier_priority_name_index(objects: list[ClusterObject]) -> None:
    """Rules stand by tier, then priority, then name of their policy, then index; arrival says nothing."""
    rules = declared_rules(world(*objects))
    assert order(rules) == ["y", "z", "x", "b", "c", "c", "a", "w"]
    assert [rule.name for rule in rules if rule.policy == "c"] == ["c0", "c1"]


@given(st.permutations(RANKED))
def test_what_came_and_went_leaves_nothing(objects: list[ClusterObject]) -> None:
    """A policy that was deleted, and older versions of one, leave no rule and no other order."""
    state = world(policy("gone", ingress=[DROP]), policy("a", egress=[DROP, DROP]), *objects)
    state = evolve(state, deletion_of("ClusterNetworkPolicy", "gone"))
    assert resolve(state, "n1") == resolve(world(*RANKED), "n1")


def test_static_rules_stand_first() -> None:
    """The rules that keep a node reachable come before those of the lowest tier."""
    rules = resolve(world(*RANKED, tier("zero", 0), policy("p", tier="zero", ingress=[DROP])), "n1")
    known = [rule.policy == STATIC_POLICY for rule in rules]
    assert known == sorted(known, reverse=True)
    assert any(known)
    assert max(r.rank for r in rules if r.policy == STATIC_POLICY) < min(r.rank for r in rules if r.policy == "p")


def test_ranks_differ_within_a_direction() -> None:
    """No two rules of a direction have the same rank, so order never has to be guessed."""
    for direction in Direction:
        ranks = [rule.rank for rule in resolve(world(*RANKED), "n1") if rule.direction is direction]
        assert len(set(ranks)) == len(ranks)


def test_an_index_counts_in_its_direction() -> None:
    """Ingress and egress rules are counted apart."""
    rules = of(policy("p", ingress=[DROP, DROP], egress=[DROP]))
    assert sorted((rule.direction, rule.rank.index) for rule in rules) == [
        ("egress", 0),
        ("ingress", 0),
        ("ingress", 1),
    ]


def named(*rules: Json) -> list[str]:
    """The names of a policy's ingress rules."""
    return [rule.name for rule in of(policy("p", ingress=rules))]


def test_a_generated_name_outlives_its_peers() -> None:
    """A rule without a name gets one from direction, action and ports, which stays when peers come and go."""
    ported = {**DROP, "ports": [{"port": 22}]}
    (name,) = named({**ported, "from": [cidr("10.0.0.0/8")]})
    assert name.startswith("ingress-drop-")
    assert named({**ported, "from": [cidr("10.0.0.0/8"), cidr("192.0.2.0/24")]}) == [name]
    assert named(ported) == [name]
    assert named(DROP) != [name]
    assert named({**ported, "action": "Allow"}) != [name]


def test_generated_names_differ() -> None:
    """Rules that are alike but for their peers get different names, whatever else stands around them."""
    alike = [{**DROP, "from": [cidr(f"10.{at}.0.0/16")]} for at in range(5)]
    names = named(*alike)
    assert len(set(names)) == 5
    assert named(*alike[:3], {"action": "Allow"}, *alike[3:])[:3] == names[:3]


def test_a_generated_name_is_never_one_that_was_given() -> None:
    """A name that an operator gave is not generated again."""
    (name,) = named(DROP)
    first, second = named(DROP, {**DROP, "name": name})
    assert second == name
    assert first != name


def test_no_peers_are_anywhere_and_unknown_peers_nobody() -> None:
    """Without peers a rule is about anywhere; with peers that resolve to nothing it is about nobody."""
    nobody = {"nodeSelector": {"matchLabels": {"role": "gone"}}}
    anywhere, empty, none = of(
        policy("p", ingress=[DROP, {**DROP, "from": []}, {**DROP, "from": [nobody]}]),
    )
    assert anywhere.peers is None
    assert empty.peers is None
    assert none.peers == ()


def test_a_node_selector_stands_for_every_address_of_its_nodes() -> None:
    """InternalIPs and ExternalIPs of both families are peers; a host name is not."""
    (rule,) = of(policy("p", ingress=[{**DROP, "from": [{"nodeSelector": {}}]}]))
    assert rule.peers == tuple(block(text) for text in ("10.0.0.1", "10.0.0.2", "192.0.2.1", "2001:db8::2", "fd00::1"))


def test_peers_are_a_union() -> None:
    """Peers of a rule are OR-ed, sorted and without repetition."""
    web = {"nodeSelector": {"matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["db"]}]}}
    except_ = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    (rule,) = of(policy("p", egress=[{**DROP, "to": [web, except_, cidr("10.0.0.2/32"), web]}]))
    assert rule.peers == (block("10.0.0.0/8", "10.1.0.0/16"), block("10.0.0.2"), block("2001:db8::2"))


def test_a_policy_is_for_the_nodes_it_selects() -> None:
    """Only nodes that a selector of appliedTo matches get the rules, by labels and by expressions."""
    selected = policy("p", ingress=[DROP], appliedTo=[{"nodeSelector": {"matchLabels": {"role": "db"}}}])
    state = world(N1, N2, selected)
    assert order(declared_rules(state, "n1")) == ["p"]
    assert declared_rules(state, "n2") == []
    relabelled = evolve(state, declaration_of(node("n2", "10.0.0.2", labels={"role": "db"})))
    assert order(declared_rules(relabelled, "n2")) == ["p"]


@pytest.mark.parametrize(
    "applied_to,planes",
    [
        ([{"podSelector": {}}], [Plane.PODS]),
        ([{"podSelector": {}, "namespaceSelector": {}}], [Plane.PODS]),
        ([{"nodeSelector": {}}], [Plane.NODES]),
        ([{"nodeSelector": {}}, {"podSelector": {}}], [Plane.NODES, Plane.PODS]),
        ([{"nodeSelector": {"matchLabels": {"role": "web"}}}, {"podSelector": {}}], [Plane.PODS]),
        ([{"nodeSelector": {"matchLabels": {"role": "web"}}}], []),
    ],
)
def test_rules_bear_their_plane(applied_to: list[object], planes: list[Plane]) -> None:
    """Rules of policies for Pods are marked so; a policy for both gives each plane its rule."""
    assert [rule.plane for rule in of(policy("p", ingress=[DROP], appliedTo=applied_to))] == planes


def test_an_unknown_node_is_refused_with_those_there_are() -> None:
    """Asking for a node that is not there names those that are, sorted."""
    with pytest.raises(UnknownNode, match=r'no node "n3" in this world; expected one of: n1, n2'):
        resolve(world(N2, N1), "n3")


def test_an_unknown_tier_is_refused() -> None:
    """A policy in a tier that is gone is a refusal, never silently in another tier."""
    with pytest.raises(Refused, match=r'ClusterNetworkPolicy/p: spec.tier: no tier "nowhere"'):
        of(policy("p", ingress=[DROP], tier="nowhere"))


def test_a_policy_for_others_may_name_any_tier() -> None:
    """The tier of a policy that is not for this node is not asked for."""
    assert of(policy("p", tier="nowhere", appliedTo=[{"nodeSelector": {"matchLabels": {"a": "b"}}}])) == []


@pytest.mark.parametrize(
    "given_name,priority",
    [
        ("SecurityOps", 100),
        ("NetworkOps", 150),
        ("Emergency", 50),
        ("Platform", 200),
        ("Application", 250),
        ("Baseline", 253),
    ],
)
def test_legacy_tier_names_mean_the_same(given_name: str, priority: int) -> None:
    """CamelCase names of older Antrea policies are those of the reserved tiers."""
    (rule,) = of(policy("p", ingress=[DROP], tier=given_name))
    assert rule.rank.tier == priority


def test_without_a_tier_it_is_application() -> None:
    """A policy that names no tier is in application."""
    assert [rule.rank.tier for rule in of(policy("p", ingress=[DROP]))] == [250]


def test_a_tier_may_change_its_place() -> None:
    """A tier's priority is read from the state, not from the policy."""
    mine = tier("mine", 9)
    assert isinstance(mine, Tier)
    (rule,) = declared_rules(world(N1, mine, policy("p", ingress=[DROP], tier="mine")))
    assert rule.rank.tier == 9


def test_ports_become_services() -> None:
    """Ports, ranges, source ports and bare protocols become sorted services without repetition."""
    ports = [
        {"protocol": "UDP", "port": 53},
        {"port": 80, "endPort": 90},
        {"port": 22},
        {"port": 22, "protocol": "TCP"},
        {"protocol": "SCTP"},
        {"sourcePort": 1000, "sourceEndPort": 2000},
    ]
    (rule,) = of(policy("p", ingress=[{"action": "Reject", "ports": ports}]))
    assert rule.action is Action.REJECT
    assert rule.services == (
        Traffic(Protocol.SCTP),
        Traffic(Protocol.TCP, (0, 65535), (1000, 2000)),
        Traffic(Protocol.TCP, (22, 22)),
        Traffic(Protocol.TCP, (80, 90)),
        Traffic(Protocol.UDP, (53, 53)),
    )


def lifelines(*labels: str) -> set[str]:
    """The names of the static rules of a node with these labels, as far as they concern the cluster."""
    leader = node("m", "10.0.0.9", labels={"node-role.kubernetes.io/control-plane": ""})
    asked = node("n1", "10.0.0.1", "fd00::1", labels=dict.fromkeys(labels, ""))
    return {rule.name for rule in resolve(world(leader, asked), "n1") if rule.peers}


def test_the_control_plane_has_more_lifelines() -> None:
    """Every node reaches the API servers and is reached by them; etcd and the API port are the control plane's."""
    assert lifelines() == {"api-server-out", "kubelet-in"}
    everything = {"api-server-in", "api-server-out", "kubelet-in", "kubelet-out", "etcd-in", "etcd-out"}
    assert lifelines("node-role.kubernetes.io/master") == everything
    assert lifelines("node-role.kubernetes.io/control-plane") == everything
