"""JSON is read within limits, the same by both readers where it is sound."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli.render.object_diffs import object_diff_as_lines
from engine.bounded_json import (
    MAX_DEPTH,
    MAX_OBJECT_VALUES,
    JsonRefused,
    defect_of,
    defect_of_object,
    parse_json,
    parse_objects,
)
from engine.events import canonical
from engine.objects.base import MAX_FINDINGS
from engine.state.object_diff import ObjectChangeKind, ObjectDiff, diff_values

ROOT = Path(__file__).parents[2]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
)


def lists(levels: int) -> bytes:
    """Lists in lists."""
    return b"[" * levels + b"]" * levels


@given(JSON, st.booleans())
def test_sound_value_is_read_as_written(value: object, plain: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """By both readers, to the last bit of a number."""
    text = json.dumps(value, ensure_ascii=plain).encode()
    assert repr(parse_json(text)) == repr(parse_objects(text)) == repr(json.loads(text))


@given(JSON)
def test_unsound_neighbour_changes_nothing(value: object) -> None:
    """What is beside a value that is unsound is read as it is alone."""
    text = json.dumps(value).encode()
    for bad in (lists(900), lists(5000), b'"\\ud800"', b"NaN", b"-Infinity", b"1e999", b"1" * 5000, b'"\xff"'):
        found = parse_objects(b'[%s,{"bad":%s},%s]' % (text, bad, text))
        assert isinstance(found, list)
        assert repr(found[0]) == repr(found[2]) == repr(json.loads(text))
        assert defect_of_object(found[1]) is not None


@pytest.mark.parametrize(
    "text, problem",
    [
        (lists(MAX_DEPTH + 1), "nested too deep"),
        (lists(900), "nested too deep"),
        (lists(1_000_000), "nested too deep"),
        (b"[" * 1_000_000, "nested too deep"),
        (b'"\\ud800"', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"NaN", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b"1e999", "not finite"),
        (b"1" * 5000, "not JSON"),
        (b"", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"1 2", "not JSON"),
    ],
)  # fmt: skip
def test_unsound_text_is_refused(text: bytes, problem: str) -> None:
    """In one line that says why."""
    with pytest.raises(JsonRefused, match=problem):
        parse_json(text)
    assert defect_of(parse_json(lists(MAX_DEPTH))) is None


@pytest.mark.parametrize(
    "text", [b"", b"[", b'{"a"', b'"', b'"\\', b'"\\"' * 99, b"[1,]", b"[" * 900, b"[" * 10**6, b"]"]
)
def test_text_that_is_no_json_is_refused(text: bytes) -> None:
    """Also by the reader that takes unsound values."""
    with pytest.raises(JsonRefused):
        parse_objects(text)


@given(st.binary() | st.text(alphabet='[]{}",:\\u0d8 1e-N').map(str.encode))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    """Nothing else is raised, and what is read can be compared, copied and written."""
    try:
        found = parse_objects(text)
    except JsonRefused:
        return
    assert repr(found)
    if defect_of(found) is None:
        assert parse_json(canonical(found)) == found


def test_size_is_bounded() -> None:
    """Of text, and of what an object holds."""
    with pytest.raises(JsonRefused, match="found 12 bytes, more than 11"):
        parse_json('"0123456789"', 11)
    assert parse_json('"0123456789"', 12) == "0123456789"
    assert defect_of_object([0] * MAX_OBJECT_VALUES) is None
    assert defect_of_object([0] * (MAX_OBJECT_VALUES + 1)) is not None


def test_deepest_values_are_compared_and_written() -> None:
    """What passes the limits overflows in no function that walks through it."""
    one, other = (parse_objects(b"[" * 64 + number + b"]" * 64) for number in (b"1", b"2"))
    assert one != other
    found = ObjectDiff(ObjectChangeKind.CHANGED, tuple(diff_values(one, other)))
    assert object_diff_as_lines(found) == (f"~ {'[0]' * 64}: 1 -> 2",)
    assert parse_json(canonical(one)) == one


def test_faults_of_one_object_are_bounded() -> None:
    """Hundreds of thousands would take minutes to tell."""
    from adapters.kubernetes.api.resources import BY_KIND, read  # noqa: PLC0415 - the rest is about the engine
    from engine.state.admission import InvalidObject  # noqa: PLC0415 - as above

    spec = {"priority": 5, "appliedTo": [{"nodeSelector": {}}], "ingress": [0] * 2000}
    found = read(BY_KIND["ClusterNetworkPolicy"], {"metadata": {"name": "p"}, "spec": spec})
    assert isinstance(found, InvalidObject)
    assert len(found.faults) == MAX_FINDINGS + 1
    assert f"more than {MAX_FINDINGS} faults" in str(found.faults[-1])


_READERS = {
    "json": {"load", "loads", "JSONDecoder"},
    "yaml": {"load", "load_all", "safe_load", "safe_load_all", "full_load", "unsafe_load", "parse", "compose", "scan"},
    "pydantic_core": {"from_json"},
}
_ALLOWED = {
    ("engine/bounded_json.py", "json.loads"),
    ("engine/bounded_json.py", "pydantic_core.from_json"),
    ("adapters/inputs/yaml_reader.py", "yaml.parse"),
}
_VALIDATES = {
    "adapters/eventlog/checkpoints.py",
    "adapters/netfilter/conntrack.py",
    "adapters/netfilter/hostfacts.py",
    "adapters/eventlog/jsonl.py",
    "engine/events/codec.py",
}
"""Modules that have pydantic read JSON into models: it takes 200 levels, and no surrogate without its pair."""


def read_in(path: Path) -> Iterator[str]:
    """Yield how a module reads JSON or YAML."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in _READERS.get(module, ()):
                yield f"{module}.{name}"
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{each.name}" for each in names if each.name in _READERS.get(module, ()))
            case ast.Import(names=names):
                yield from (f"{each.name} as {each.asname}" for each in names if each.name in _READERS and each.asname)
            case ast.Attribute(
                attr="validate_json" | "model_validate_json" | "validate_strings" | "json_loads" as name
            ):
                yield name
            case _:
                pass


def test_json_and_yaml_have_one_reader_each() -> None:
    """No other module of the packages reads either by itself."""
    found = set()
    for package in ("engine", "simulator", "adapters", "scenarios", "nodewall"):
        for path in sorted((ROOT / package).rglob("*.py")):
            found |= {(str(path.relative_to(ROOT)), way) for way in read_in(path)}
    validating = {(module, way) for module, way in found if way.endswith("validate_json")}
    assert {module for module, _ in validating} == _VALIDATES
    assert found - validating == _ALLOWED
