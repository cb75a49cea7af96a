"""What an event changed, field by field."""

import json
from copy import deepcopy

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.cli.render.object_diffs import object_diff_as_json, object_diff_as_lines
from engine.events import ConfigDeclared, declaration_of, deletion_of
from engine.objects import Node
from engine.objects.config import Configuration
from engine.state.fold import ClusterState, effect_of, evolve
from engine.state.object_diff import ABSENT, ObjectChangeKind, diff_of_event, diff_values
from tests.support.policies.object_strategies import policies

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c.d", "e/f"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def exactly(value: object) -> str:
    """A value as text, by which True is not 1; the order of keys is nothing."""
    return json.dumps(value, sort_keys=True, default=repr)


@given(JSON, JSON)
@example({"a": None, "c.d": None}, {"c.d": None, "a": None})
def test_values_are_equal_where_nothing_is_edited(before: object, after: object) -> None:
    """And each edit is of two different values."""
    found = list(diff_values({"x": before}, {"x": after}))
    assert bool(found) == (exactly(before) != exactly(after))
    assert all(exactly(each.before) != exactly(each.after) for each in found)


@given(JSON)
def test_a_value_has_no_edits_of_its_own(value: object) -> None:
    """A copy is the same."""
    assert list(diff_values(value, deepcopy(value))) == []


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_entries_of_lists_are_those_of_a_shortest_way(before: list[int], after: list[int]) -> None:
    """What is told to be gone was there, and what is told to be new is there now."""
    for each in diff_values(before, after, "x"):
        place = int(each.path.removeprefix("x[").removesuffix("]"))
        if each.after is ABSENT:
            assert before[place] == each.before
        elif each.before is ABSENT:
            assert after[place] == each.after
        else:
            assert (before[place],) == (each.before,)


@given(policies(), policies())
def test_a_policy_that_is_declared_again_has_edits(first: object, second: object) -> None:
    """None if it is the same, and each has the path of a field."""
    state = evolve(ClusterState(), declaration_of(first))  # type: ignore[arg-type] # a policy
    again = diff_of_event(effect_of(state, declaration_of(first)))  # type: ignore[arg-type] # as above
    assert again is not None
    assert (again.how, again.edits) == (ObjectChangeKind.CHANGED, ())
    assert diff_of_event(effect_of(ClusterState(), declaration_of(second))).how is ObjectChangeKind.NEW  # type: ignore[arg-type, union-attr] # a policy


def test_people_read_it_as_a_patch() -> None:
    """Fields by their paths; keys that are no plain names in quotes."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"pool": "web", "a.b/c": "1"}}}
    before = Node.model_validate(node)
    after = Node.model_validate({**node, "metadata": {"name": "n", "labels": {"pool": "db", "quarantined": "yes"}}})
    found = diff_of_event(effect_of(evolve(ClusterState(), declaration_of(before)), declaration_of(after)))
    assert found is not None
    assert object_diff_as_lines(found) == (
        '- metadata.labels["a.b/c"]: "1"',
        '~ metadata.labels.pool: "web" -> "db"',
        '+ metadata.labels.quarantined: "yes"',
    )
    assert object_diff_as_json(found) == {
        "how": "changed",
        "fields": [
            {"path": 'metadata.labels["a.b/c"]', "before": "1"},
            {"path": "metadata.labels.pool", "before": "web", "after": "db"},
            {"path": "metadata.labels.quarantined", "after": "yes"},
        ],
    }


def test_objects_come_and_go_and_configurations_change() -> None:
    """One that is new or gone has no single fields; the configuration has what is declared anew."""
    node = Node.model_validate({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    state = evolve(ClusterState(), declaration_of(node))
    new, gone = (
        diff_of_event(effect_of(ClusterState(), declaration_of(node))),
        diff_of_event(effect_of(state, deletion_of("Node", "n"))),
    )
    other = diff_of_event(effect_of(state, ConfigDeclared(config=Configuration(allow_action="Return"))))
    assert new is not None
    assert gone is not None
    assert other is not None
    assert (object_diff_as_lines(new), object_diff_as_lines(gone)) == (("+ it is new",), ("- it is gone",))
    assert [(each.path, each.after) for each in other.edits] == [("allowAction", "Return")]
