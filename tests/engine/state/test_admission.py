"""Declared objects become just the events that are needed, or are refused for every reason at once."""

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Fault, Refused, SourceLocation
from engine.events import EventBody, ObjectRefused, Refusal, subject
from engine.objects import (
    KINDS,
    RESERVED_TIERS,
    ClusterGroup,
    ClusterNetworkPolicy,
    ClusterObject,
    Node,
    Pod,
    Tier,
    key_of,
)
from engine.state.admission import MAX_FAULTS, MAX_TIERS, InvalidObject, SubmitMode, admit, events_for
from engine.state.fold import ClusterState, evolve
from tests.support.policies.object_strategies import clusters

API = "crd.antrea.io/v1beta1"


def policy(name: str, tier: str = "application", priority: float = 5) -> ClusterNetworkPolicy:
    """Return a small policy."""
    spec = {"priority": priority, "tier": tier, "appliedTo": [{"nodeSelector": {}}]}
    return ClusterNetworkPolicy.model_validate(
        {"apiVersion": API, "kind": "ClusterNetworkPolicy", "metadata": {"name": name}, "spec": spec}
    )


def tier(name: str, priority: int, description: str = "") -> Tier:
    """Return a tier."""
    spec = {"priority": priority, "description": description}
    return Tier.model_validate({"apiVersion": API, "kind": "Tier", "metadata": {"name": name}, "spec": spec})


def node(name: str) -> Node:
    """Return a node."""
    return Node.model_validate({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})


def group(name: str, *children: str) -> ClusterGroup:
    """Return a group, with children or of all nodes."""
    spec: dict[str, object] = {"childGroups": list(children)} if children else {"nodeSelector": {}}
    return ClusterGroup.model_validate(
        {"apiVersion": API, "kind": "ClusterGroup", "metadata": {"name": name}, "spec": spec}
    )


def pod(name: str, namespace: str) -> Pod:
    """Return a Pod."""
    metadata = {"name": name, "namespace": namespace}
    return Pod.model_validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})


def given_at(objects: Iterable[ClusterObject]) -> list[tuple[ClusterObject, SourceLocation]]:
    """Return the objects as declared in a file, a line each."""
    return [(item, SourceLocation("f.yaml", line=line)) for line, item in enumerate(objects, start=1)]


def after(state: ClusterState, bodies: Iterable[EventBody]) -> ClusterState:
    """Return the state after the events."""
    for body in bodies:
        state = evolve(state, body)
    return state


def state_of(*objects: ClusterObject) -> ClusterState:
    """Return the state in which the objects are declared."""
    return after(ClusterState(), events_for(ClusterState(), given_at(objects)))


def contents(state: ClusterState) -> dict[str, ClusterObject]:
    """Return all objects of a state by kind and name."""
    return {f"{kind}/{key}": item for kind in KINDS for key, item in state.objects(kind).items()}


def faults(state: ClusterState, *objects: ClusterObject, mode: SubmitMode = SubmitMode.DECLARE) -> list[str]:
    """Return why the objects are refused."""
    with pytest.raises(Refused) as refused:
        events_for(state, given_at(objects), mode)
    return list(refused.value.lines)


def is_sound(state: ClusterState) -> bool:
    """Whether every policy's tier is there, no two tiers share a priority, and no group nests too deep."""
    ranks = [*RESERVED_TIERS.values(), *(item.spec.priority for item in state.tiers.values())]
    known = all(state.tier_priority(item.spec.tier) is not None for item in state.policies.values())
    shallow = not any(
        state.groups[child].spec.child_groups
        for group in state.groups.values()
        for child in group.spec.child_groups
        if child in state.groups
    )
    return known and shallow and len(set(ranks)) == len(ranks)


@given(clusters(), st.sampled_from((SubmitMode.DECLARE, SubmitMode.SYNC)))
def test_the_state_then_holds_exactly_what_was_declared(objects: tuple[ClusterObject, ...], mode: SubmitMode) -> None:
    """From an empty cluster, the events lead to the declared objects and nothing else."""
    state = after(ClusterState(), events_for(ClusterState(), given_at(objects), mode))
    assert contents(state) == {f"{item.kind}/{key_of(item)}": item for item in objects}


@given(clusters(), st.sampled_from((SubmitMode.DECLARE, SubmitMode.SYNC)))
def test_declaring_twice_makes_no_events(objects: tuple[ClusterObject, ...], mode: SubmitMode) -> None:
    """What is so already is not recorded again."""
    assert events_for(state_of(*objects), given_at(objects), mode) == ()


@given(clusters())
def test_the_events_do_not_depend_on_the_order_of_the_input(objects: tuple[ClusterObject, ...]) -> None:
    """The same objects in another order make the same events."""
    assert events_for(ClusterState(), given_at(objects)) == events_for(ClusterState(), given_at(reversed(objects)))


@given(clusters(), st.data())
def test_sync_leads_to_just_the_input_through_sound_states(
    objects: tuple[ClusterObject, ...], data: st.DataObject
) -> None:
    """Whatever part stays, sync deletes the rest, and the state after each event is sound."""
    start = state_of(*objects)
    chosen = [item for item in objects if data.draw(st.booleans())]
    needed = {item.spec.tier for item in chosen if isinstance(item, ClusterNetworkPolicy)}
    kept: list[ClusterObject] = [
        item for item in objects if item in chosen or (isinstance(item, Tier) and item.metadata.name in needed)
    ]
    state = start
    for body in events_for(start, given_at(kept), SubmitMode.SYNC):
        state = evolve(state, body)
        assert is_sound(state)
    assert contents(state) == {f"{item.kind}/{key_of(item)}": item for item in kept}


@given(clusters())
def test_deleting_everything_leaves_nothing_and_deleting_again_does_nothing(objects: tuple[ClusterObject, ...]) -> None:
    """``delete`` removes the objects given; those not there make no event."""
    state = after(state_of(*objects), events_for(state_of(*objects), given_at(objects), SubmitMode.DELETE))
    assert contents(state) == {}
    assert events_for(state, given_at(objects), SubmitMode.DELETE) == ()


def test_policies_go_first_tiers_and_nodes_last() -> None:
    """The order is: deleted policies; tiers, nodes, policies declared, by name; deleted nodes and tiers."""
    start = state_of(policy("old", "t1"), policy("moved", "t1"), tier("t1", 1), node("n1"))
    wanted: list[ClusterObject] = [policy("moved", "t2"), policy("a"), node("n2"), tier("t2", 2)]
    assert [(body.type, subject(body)) for body in events_for(start, given_at(wanted), SubmitMode.SYNC)] == [
        ("policy.deleted", "ClusterNetworkPolicy/old"),
        ("tier.declared", "Tier/t2"),
        ("node.observed", "Node/n2"),
        ("policy.declared", "ClusterNetworkPolicy/a"),
        ("policy.declared", "ClusterNetworkPolicy/moved"),
        ("node.deleted", "Node/n1"),
        ("tier.deleted", "Tier/t1"),
    ]


def test_an_object_given_twice_is_refused_with_both_places() -> None:
    """The same kind and name twice is a fault that names both, even if they are equal."""
    assert faults(ClusterState(), node("a"), node("a")) == [
        'f.yaml:2: metadata.name: Node "a" is given twice, first at f.yaml:1; expected each object once'
    ]


def test_an_unknown_tier_is_refused_with_those_there_are() -> None:
    """A policy's tier must be reserved, in the state or in the input."""
    start = state_of(tier("gold", 7))
    assert faults(start, policy("p", "silver"), tier("iron", 8), policy("q", "gold")) == [
        (
            'f.yaml:1: spec.tier: found "silver" in ClusterNetworkPolicy "p", a tier that is not declared; expected one of '
            "emergency, securityops, networkops, platform, application, baseline, gold, iron"
        )
    ]


def test_sync_refuses_policies_whose_tier_it_would_delete() -> None:
    """A tier of the state that is absent from the input is no tier any more."""
    start = state_of(tier("gold", 7), policy("p", "gold"))
    assert "spec.tier" in faults(start, policy("p", "gold"), mode=SubmitMode.SYNC)[0]


@pytest.mark.parametrize("mode", SubmitMode)
def test_reserved_tiers_cannot_be_touched(mode: SubmitMode) -> None:
    """A tier with a reserved name is neither declared nor deleted."""
    found = faults(ClusterState(), tier("baseline", 9), mode=mode)
    assert found == [
        'f.yaml:1: metadata.name: found "baseline", a reserved tier, which cannot change; expected a name of your own'
    ]


def test_a_reserved_tier_as_it_is_changes_nothing() -> None:
    """A reserved tier with its own priority, as a dump of a cluster has it, is no event; deleting it is refused."""
    dumped = given_at([tier("baseline", 253), node("a")])
    assert [body.type for body in events_for(ClusterState(), dumped)] == ["node.observed"]
    assert "a reserved tier" in faults(ClusterState(), tier("baseline", 253), mode=SubmitMode.DELETE)[0]


@pytest.mark.parametrize(
    "start,objects,holder",
    [
        ((), [tier("a", 253)], "baseline"),
        ((), [tier("a", 9), tier("b", 9)], "a"),
        ((tier("a", 9),), [tier("b", 9)], "a"),
    ],
    ids=["reserved", "input", "state"],
)
@pytest.mark.parametrize("mode", [SubmitMode.DECLARE, SubmitMode.SYNC])
def test_no_two_tiers_share_a_priority(
    start: tuple[ClusterObject, ...], objects: list[ClusterObject], holder: str, mode: SubmitMode
) -> None:
    """A priority that a reserved tier, one of the state or one of the input has is refused, naming that tier."""
    (found,) = faults(state_of(*start), *objects, mode=mode)
    assert f'which is the priority of tier "{holder}"; expected a priority that no other tier has' in found


def test_the_priority_of_a_tier_cannot_change_but_its_description_can() -> None:
    """Another priority for a tier is refused with the present one; another description is an event."""
    start = state_of(tier("a", 9))
    assert faults(start, tier("a", 10)) == [
        (
            'f.yaml:1: spec.priority: found 10, but the priority of Tier "a" cannot change; '
            "expected 9; or delete the tier first"
        )
    ]
    assert len(events_for(start, given_at([tier("a", 9, "new")]))) == 1


def test_there_are_at_most_twenty_tiers_besides_the_reserved() -> None:
    """The twenty-first tier is refused, whether the others are in the state or in the input."""
    all_of_them: list[ClusterObject] = [tier(f"t{number}", number) for number in range(1, MAX_TIERS + 2)]
    allowed = all_of_them[:MAX_TIERS]
    expected = 'Tier "t21" would be tier number 21; expected at most 20 besides the reserved ones; delete others first'
    assert faults(ClusterState(), *all_of_them) == [f"f.yaml:21: {expected}"]
    assert faults(state_of(*allowed), all_of_them[MAX_TIERS]) == [f"f.yaml:1: {expected}"]


def test_a_tier_in_use_cannot_be_deleted() -> None:
    """The policies that use it are named; once they go too, or have gone, so may the tier."""
    start = state_of(tier("a", 9), policy("p", "a"), policy("q", "a"))
    assert faults(start, tier("a", 9), policy("p", "a"), mode=SubmitMode.DELETE) == [
        (
            'f.yaml:1: metadata.name: Tier "a" is in use by ClusterNetworkPolicy "q"; '
            "expected these policies deleted, or in another tier, first"
        )
    ]
    assert len(events_for(start, given_at([tier("a", 9), policy("p", "a"), policy("q", "a")]), SubmitMode.DELETE)) == 3


def test_all_refusals_come_at_once() -> None:
    """Faults of different kinds are gathered in one error."""
    found = faults(ClusterState(), policy("p", "x"), tier("a", 50), node("n"), node("n"), tier("baseline", 1))
    assert len(found) == 4


def test_objects_of_unknown_place_are_refused_without_one() -> None:
    """Where no place is known, the fault begins with its path."""
    with pytest.raises(Refused, match=r'^spec\.tier: found "x" in ClusterNetworkPolicy "p"'):
        events_for(ClusterState(), [(policy("p", "x"), None)])


def test_groups_nest_two_levels_at_most() -> None:
    """A child that has children itself is refused, at the group that comes with the fault."""
    child = 'spec.childGroups[0]: found "b", which has childGroups itself; expected groups without childGroups'
    parent = 'spec.childGroups: found childGroups in a child of ClusterGroup "a"; expected two levels of groups at most'
    assert faults(ClusterState(), group("a", "b"), group("b", "c")) == [f"f.yaml:1: {child}"]
    assert faults(state_of(group("b", "c")), group("a", "b")) == [f"f.yaml:1: {child}"]
    assert faults(state_of(group("a", "b")), group("b", "c")) == [f"f.yaml:1: {parent}"]


def test_children_of_groups_may_be_missing() -> None:
    """A child that is not there is pending, and may come and go."""
    start = state_of(group("a", "b"))
    there = after(start, events_for(start, given_at([group("b")])))
    assert after(there, events_for(there, given_at([group("b")]), SubmitMode.DELETE)).groups == start.groups


_SHAPES: tuple[tuple[str, ...], ...] = ((), ("b",), ("c",), ("a",), ("b", "c"))
_NESTINGS = [
    tuple(group(name, *children) for name, children in zip("abc", shape, strict=True) if name not in children)
    for shape in product(_SHAPES, repeat=3)
]
SOUND = [some for some in _NESTINGS if not admit(ClusterState(), given_at(some)).faults]


@given(st.sampled_from(SOUND), st.sampled_from(SOUND), st.sampled_from((SubmitMode.DECLARE, SubmitMode.SYNC)))
def test_groups_never_nest_too_deep_on_the_way(
    before: tuple[ClusterGroup, ...], wanted: tuple[ClusterGroup, ...], mode: SubmitMode
) -> None:
    """Whatever groups become of whatever groups, no state in between nests three deep."""
    state = state_of(*before)
    judgement = admit(state, given_at(wanted), mode)
    for body in judgement.bodies:
        state = evolve(state, body)
        assert is_sound(state)
    if mode is SubmitMode.SYNC and not judgement.faults:
        assert contents(state) == {f"ClusterGroup/{item.metadata.name}": item for item in wanted}


def test_one_name_in_two_namespaces_is_two_objects() -> None:
    """What lives in a namespace is known by namespace and name."""
    start = state_of(pod("p", "x"), pod("p", "y"))
    assert [subject(body) for body in events_for(start, given_at([pod("p", "y")]), SubmitMode.SYNC)] == ["Pod/x/p"]
    assert 'Pod "x/p" is given twice' in faults(start, pod("p", "x"), pod("p", "x"))[0]


def refused(kind: str, name: str, *problems: str) -> ObjectRefused:
    """Return a refusal with these problems of no field."""
    return ObjectRefused(kind=kind, name=name, faults=tuple(Refusal(path="", problem=text) for text in problems))


def faulty(kind: str, name: str, *problems: str, tier: str = "application") -> InvalidObject:
    """Return an object that is refused for what it says."""
    place = SourceLocation("f.yaml", line=9)
    return InvalidObject(kind, name, tuple(Fault("", text, "", place) for text in problems), place, (tier, place))


def test_refusals_are_put_on_record_by_object() -> None:
    """Each object that is refused has one refusal with all its faults; sound ones beside it have none."""
    start = state_of(tier("gold", 7), policy("p", "gold"))
    given = given_at([policy("p", "silver"), node("n")])
    judgement = admit(
        start, given, faulty=[faulty("ClusterNetworkPolicy", "q", "bad", tier="iron"), faulty("Pod", "", "x")]
    )
    assert judgement.bodies == ()
    assert [str(fault) for fault in judgement.faults if "iron" in fault.problem] == [
        (
            'f.yaml:9: spec.tier: found "iron", a tier that is not declared; expected one of '
            "emergency, securityops, networkops, platform, application, baseline, gold"
        )
    ]
    assert [(each.kind, each.name, [fault.path for fault in each.faults]) for each in judgement.refusals] == [
        ("ClusterNetworkPolicy", "p", ["spec.tier"]),
        ("ClusterNetworkPolicy", "q", ["", "spec.tier"]),
    ]


def test_a_refusal_that_stands_is_not_recorded_again() -> None:
    """The same faults again make no refusal, others do."""
    state = evolve(ClusterState(), refused("Pod", "x/p", "bad"))
    assert admit(state, [], faulty=[faulty("Pod", "x/p", "bad")]).refusals == ()
    assert admit(state, [], faulty=[faulty("Pod", "x/p", "worse")]).refusals == (refused("Pod", "x/p", "worse"),)


def test_refusals_are_bounded() -> None:
    """Of more faults than are kept, the last entry says how many there are."""
    problems = [str(number) for number in range(MAX_FAULTS + 5)]
    (refusal,) = admit(ClusterState(), [], faulty=[faulty("Pod", "x/p", *problems)]).refusals
    assert len(refusal.faults) == MAX_FAULTS
    assert refusal.faults[-1].problem == "6 faults more"


@pytest.mark.parametrize("item", [policy("p"), tier("gold", 7), pod("p", "x"), group("a")], ids=key_of)
def test_a_good_declaration_settles_a_refusal_even_if_it_changes_nothing(item: ClusterObject) -> None:
    """Who goes back to what is in force, deletes the object or syncs without it has dealt with the refusal."""
    state = evolve(state_of(item), refused(item.kind, key_of(item), "bad"))
    back = after(state, events_for(state, given_at([item])))
    assert (contents(back), len(back.refusals)) == (contents(state), 0)
    never = evolve(ClusterState(), refused(item.kind, key_of(item), "bad"))
    assert not after(never, events_for(never, given_at([item]), SubmitMode.DELETE)).refusals
    assert not after(never, events_for(never, [], SubmitMode.SYNC)).refusals


def test_a_reserved_tier_as_it_is_settles_its_refusal() -> None:
    """After a refused change of a reserved tier, the tier as every cluster has it is recorded once, and harmless."""
    state = evolve(ClusterState(), admit(ClusterState(), given_at([tier("baseline", 9)])).refusals[0])
    back = after(state, events_for(state, given_at([tier("baseline", 253)])))
    assert not back.refusals
    assert events_for(back, given_at([tier("baseline", 253)]), SubmitMode.SYNC) == ()
    assert events_for(back, [], SubmitMode.SYNC) == ()


def test_who_names_a_faulty_tier_is_not_to_blame() -> None:
    """A policy is not refused for a tier that came with it and is refused itself."""
    judgement = admit(ClusterState(), given_at([policy("p", "gold")]), faulty=[faulty("Tier", "gold", "bad")])
    assert judgement.faults == ()
    assert [refusal.name for refusal in judgement.refusals] == ["gold"]


def test_a_faulty_object_given_beside_a_sound_one_is_given_twice() -> None:
    """Two documents of one object are a fault, even where one of them is faulty."""
    (found,) = admit(
        ClusterState(), given_at([policy("p")]), faulty=[faulty("ClusterNetworkPolicy", "p", "bad")]
    ).faults
    assert found.problem == 'ClusterNetworkPolicy "p" is given twice, first at f.yaml:1'
