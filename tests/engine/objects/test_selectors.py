"""Label selectors select what Kubernetes' documentation says."""

import pytest
from hypothesis import given

from engine.objects import LabelSelector
from engine.objects.selectors import Operator, Requirement, Selector, is_label_key, is_label_value, is_object_name
from tests.support.policies.object_strategies import label_selectors, labels


@pytest.mark.parametrize(
    "operator,values,found,expected",
    [
        (Operator.IN, ("a", "b"), {"k": "a"}, True),
        (Operator.IN, ("a", "b"), {"k": "c"}, False),
        (Operator.IN, ("a",), {}, False),
        (Operator.NOT_IN, ("a",), {"k": "a"}, False),
        (Operator.NOT_IN, ("a",), {"k": "b"}, True),
        (Operator.NOT_IN, ("a",), {}, True),
        (Operator.EXISTS, (), {"k": ""}, True),
        (Operator.EXISTS, (), {}, False),
        (Operator.DOES_NOT_EXIST, (), {"k": ""}, False),
        (Operator.DOES_NOT_EXIST, (), {}, True),
    ],
)
def test_each_operator_compares_as_documented(
    operator: Operator, values: tuple[str, ...], found: dict[str, str], *, expected: bool
) -> None:
    """In, NotIn, Exists and DoesNotExist hold for just the labels that Kubernetes says, absent ones included."""
    assert Requirement("k", operator, values).matches(found) is expected


@given(labels)
def test_an_empty_selector_selects_everything(found: dict[str, str]) -> None:
    """A selector without requirements matches any labels, none as well."""
    assert Selector().matches(found)


@given(labels, labels)
def test_match_labels_are_all_required(wanted: dict[str, str], found: dict[str, str]) -> None:
    """MatchLabels selects just what has every one of the labels."""
    selector = LabelSelector(match_labels=wanted).selector()
    assert selector.matches(found) == (wanted.items() <= found.items())


@given(label_selectors())
def test_the_order_in_which_a_selector_is_written_does_not_matter(written: dict[str, object]) -> None:
    """Two selectors that say the same in another order are equal values."""
    selector = LabelSelector.model_validate(written)
    backwards = LabelSelector(
        match_labels=dict(reversed(selector.match_labels.items())),
        match_expressions=tuple(reversed(selector.match_expressions)),
    )
    assert backwards.selector() == selector.selector()


@pytest.mark.parametrize("key", ["app", "a", "A.b_c-d", "example.com/app", "x" * 63, "a.b/" + "x" * 63])
def test_sound_label_keys_are_accepted(key: str) -> None:
    """A name of up to 63 characters, with or without a DNS prefix, is a label key."""
    assert is_label_key(key)


@pytest.mark.parametrize("key", ["", "-a", "a-", "x" * 64, "/app", "a/", "A.com/app", "a b", "a\n", "a/b/c", "ä"])
def test_unsound_label_keys_are_refused(key: str) -> None:
    """What is empty, too long, badly begun, badly ended or badly prefixed is no label key."""
    assert not is_label_key(key)


@pytest.mark.parametrize("text,sound", [("", True), ("a", True), ("x" * 63, True), ("x" * 64, False), ("a\n", False)])
def test_label_values_may_be_empty_and_have_63_characters(text: str, *, sound: bool) -> None:
    """A label value is empty or looks like the name of a label key."""
    assert is_label_value(text) is sound


@pytest.mark.parametrize("text,sound", [("a", True), ("a.b-c", True), ("A", False), ("", False), ("a" * 254, False)])
def test_object_names_are_dns_subdomains(text: str, *, sound: bool) -> None:
    """An object's name is a lower-case DNS subdomain of up to 253 characters."""
    assert is_object_name(text) is sound
