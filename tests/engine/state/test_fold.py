"""The state is what the events say, whatever way they are folded."""

from collections.abc import Iterable
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.eventlog.in_memory import MemoryLog
from adapters.system.clock import CountedIds, FixedClock
from engine.events import (
    OUTCOME,
    PROPOSAL,
    ConfigDeclared,
    Event,
    EventBody,
    HostObserved,
    ObjectRefused,
    Refusal,
    StateChange,
    affects_rules,
    declaration_of,
    deletion_of,
)
from engine.events.outcomes import ApplyConfirmed, ApplyFailed, ApplyProposed, DriftRepaired, RulesetApplied
from engine.objects import KINDS, RESERVED_TIERS, ClusterObject, Tier, key_of
from engine.objects.config import Configuration
from engine.state.fold import ClusterState, effect_of, evolve, fold, fold_bodies
from tests.support.policies.object_strategies import groups, nodes, objects, pods, policies, tiers

few_names = st.sampled_from(("a", "b"))
"""So few that events often meet the object of an earlier one."""

bodies: st.SearchStrategy[EventBody] = st.one_of(
    policies(named=few_names).map(declaration_of),
    nodes(named=few_names).map(declaration_of),
    tiers().map(declaration_of),
    groups(named=few_names).map(declaration_of),
    pods(named=few_names).map(declaration_of),
    st.builds(ObjectRefused, kind=st.sampled_from(tuple(KINDS)), name=few_names, faults=st.just(())),
    st.builds(HostObserved, node=few_names, interfaces=st.just(("eth0",))),
    st.builds(ConfigDeclared, config=st.sampled_from((Configuration(), Configuration(interfaces=("eth*",))))),
    st.builds(deletion_of, st.sampled_from(tuple(KINDS)), few_names),
    st.builds(ApplyFailed, node=few_names, wanted=st.integers(0), words=st.text(max_size=5)),
    st.builds(
        ApplyProposed,
        node=few_names,
        wanted=st.integers(0),
        ruleset=st.just(""),
        operations=st.just(1),
        method=st.just("in-place"),
    ),
    st.builds(ApplyConfirmed, node=few_names, realized=st.integers(0)),
    st.builds(DriftRepaired, node=few_names, found=st.just(()), operations=st.just(1)),
)


def events(some: Iterable[EventBody]) -> tuple[Event, ...]:
    """Return the bodies as events of a log."""
    log = MemoryLog(FixedClock(), CountedIds())
    return log.append(tuple(some), source="test", expected=0)


@given(st.lists(bodies, max_size=8), st.data())
def test_folding_in_two_steps_is_folding_at_once(some: list[EventBody], data: st.DataObject) -> None:
    """fold(a + b) equals fold(b, fold(a)) for every split."""
    whole = events(some)
    cut = data.draw(st.integers(0, len(whole)))
    assert fold(whole) == fold(whole[cut:], fold(whole[:cut]))


@given(st.lists(bodies, max_size=8))
def test_past_states_stay_as_they_were(some: list[EventBody]) -> None:
    """Every state on the way is unchanged after all later events."""
    states = [ClusterState()]
    for body in some:
        states.append(evolve(states[-1], body))
    for length, state in enumerate(states):
        assert state == fold(events(some[:length]))
        assert state.sequence == length


@given(objects)
def test_what_is_declared_is_there_until_it_is_deleted(item: ClusterObject) -> None:
    """An object is found under its kind and name after its declaration, and not after its deletion."""
    there = evolve(ClusterState(), declaration_of(item))
    assert dict(there.objects(item.kind)) == {key_of(item): item}
    gone = evolve(there, deletion_of(item.kind, key_of(item)))
    assert not gone.objects(item.kind)


@pytest.mark.parametrize("kind", KINDS)
def test_deleting_what_is_not_there_only_counts(kind: str) -> None:
    """The deletion of an unknown object changes nothing but the sequence."""
    assert evolve(ClusterState(), deletion_of(kind, "x")) == ClusterState(sequence=1)


def test_the_last_outcome_of_each_node_is_kept() -> None:
    """An outcome replaces the earlier one of its node and leaves other nodes' alone."""
    applied = RulesetApplied(node="a", realized=1, ruleset="0" * 64, operations=2)
    failed = ApplyFailed(node="a", wanted=2, words="no")
    other = ApplyFailed(node="b", wanted=2, words="no")
    assert dict(fold(events([applied, other, failed])).outcomes) == {"a": failed, "b": other}


@given(tiers())
def test_tier_priorities_are_those_reserved_and_those_declared(tier: Tier) -> None:
    """A reserved tier has its priority always, another one once it is declared."""
    state = ClusterState()
    assert {name: state.tier_priority(name) for name in RESERVED_TIERS} == RESERVED_TIERS
    assert state.tier_priority(tier.metadata.name) is None
    assert evolve(state, declaration_of(tier)).tier_priority(tier.metadata.name) == tier.spec.priority


@given(objects)
def test_a_refusal_leaves_the_object_as_it_is_until_something_happens_to_it(item: ClusterObject) -> None:
    """The last good version stays in force; a declaration or a deletion of just that object ends the refusal."""
    refusal = ObjectRefused(kind=item.kind, name=key_of(item), faults=(Refusal(path="spec", problem="bad"),))
    other = ObjectRefused(kind=item.kind, name="other", faults=())
    state = evolve(evolve(evolve(ClusterState(), declaration_of(item)), refusal), other)
    assert dict(state.objects(item.kind)) == {key_of(item): item}
    assert dict(state.refusals) == {f"{item.kind}/{key_of(item)}": refusal, f"{item.kind}/other": other}
    for body in (declaration_of(item), deletion_of(item.kind, key_of(item))):
        assert dict(evolve(state, body).refusals) == {f"{item.kind}/other": other}


@given(st.lists(bodies, max_size=8))
def test_events_do_what_their_effects_say(some: list[EventBody]) -> None:
    """A state evolves by the effect of an event, which has the values of before and after at its place."""
    state = ClusterState()
    for body in some:
        effect, after = effect_of(state, body), evolve(state, body)
        assert after == state.with_effect(effect)
        if effect is not None:
            assert state.value(effect.kind, effect.key) == effect.before
            assert after.value(effect.kind, effect.key) == effect.after
        state = after


@given(st.lists(bodies, min_size=1, max_size=8))
def test_events_change_one_place_and_what_ends_with_it(some: list[EventBody]) -> None:
    """Besides its place, an event ends the refusal of its object, or the proposal of its node."""
    before = fold_bodies(some[:-1])
    after, effect = evolve(before, some[-1]), effect_of(before, some[-1])
    changed = {field.name for field in fields(before) if getattr(before, field.name) != getattr(after, field.name)}
    if effect is None:
        assert changed == {"sequence"}
        return
    ended = {OUTCOME: "under_way"}.get(effect.kind, "refusals" if effect.kind in KINDS else "")
    assert len(changed - {"sequence", ended}) <= 1
    assert not changed & {ended} or len(getattr(after, ended)) == len(getattr(before, ended)) - 1


@given(objects)
def test_effects_name_the_object_and_both_versions(item: ClusterObject) -> None:
    """A declaration has it after, another one on both sides, and a deletion before."""
    kind, key = item.kind, key_of(item)
    there = evolve(ClusterState(), declaration_of(item))
    assert effect_of(ClusterState(), declaration_of(item)) == StateChange(kind, key, None, item)
    assert effect_of(there, declaration_of(item)) == StateChange(kind, key, item, item)
    assert effect_of(there, deletion_of(kind, key)) == StateChange(kind, key, item, None)


def test_effects_of_what_was_done_are_on_its_node() -> None:
    """An outcome and a proposal are at their node; a confirmation changes nothing."""
    failed = ApplyFailed(node="a", wanted=2, words="no")
    proposed = ApplyProposed(node="a", wanted=2, ruleset="", operations=1, method="switch")
    assert effect_of(ClusterState(), failed) == StateChange(OUTCOME, "a", None, failed)
    assert effect_of(ClusterState(), proposed) == StateChange(PROPOSAL, "a", None, proposed)
    repaired = effect_of(evolve(ClusterState(), proposed), DriftRepaired(node="a", found=(), operations=1))
    assert repaired == StateChange(PROPOSAL, "a", proposed, None)
    assert effect_of(ClusterState(), ApplyConfirmed(node="a", realized=1)) is None
    assert [affects_rules(kind) for kind in (OUTCOME, PROPOSAL, "Node")] == [False, False, True]
