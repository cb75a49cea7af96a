"""Manifests become objects, or faults that name file, line, column and field, all at once."""

import io
import json
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.manifests import load, parse
from adapters.yamltext import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, read_yaml
from engine.errors import Refused
from engine.intake import changes
from engine.objects import ClusterObject
from engine.state import ClusterState
from tests.strategies import clusters

GOOD = """\
apiVersion: crd.antrea.io/v1beta1
kind: ClusterNetworkPolicy
metadata:
  name: p
spec:
  priority: 5
  tier: securityops
  appliedTo:
  - nodeSelector: {}
  ingress:
  - action: Allow
    from:
    - ipBlock:
        cidr: 10.0.0.0/24
    ports:
    - port: 6443
"""
NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\n"


def refusals(text: str) -> list[str]:
    """Return why a text is refused."""
    with pytest.raises(Refused) as refused:
        parse(text, "f.yaml")
    return list(refused.value.lines)


AT = "document 1"
BAD = [
    ("a: [}", "f.yaml:1:5: document 1: not YAML: "),
    ("a: b: c", "f.yaml:1:5: document 1: not YAML: mapping values are not allowed in this context"),
    ("\tx: 1", "f.yaml:1:1: not YAML: "),
    ("a: \x00", "f.yaml:1:4: not text: found the character U+0000; expected YAML or JSON"),
    ("- 1", f"f.yaml:1:1: {AT}: found [1]; expected a mapping: a Kubernetes object"),
    ("hello", f'f.yaml:1:1: {AT}: found "hello"; expected a mapping'),
    (
        "apiVersion: apps/v1\nkind: Deployment",
        f'f.yaml:2:1: {AT}: kind: found "Deployment"; expected one of ClusterNetworkPolicy, Node, Tier',
    ),
    ("apiVersion: v1", f"f.yaml:1:1: {AT}: kind: missing; expected one of ClusterNetworkPolicy, Node, Tier"),
    (GOOD.replace("v1beta1", "v9"), f'f.yaml:1:1: {AT}: apiVersion: found "crd.antrea.io/v9"; expected one of'),
    (GOOD.replace("  priority: 5\n", ""), f"f.yaml:5:1: {AT}: spec.priority: missing"),
    (GOOD.replace("tier:", "teir:"), f"f.yaml:7:3: {AT}: spec.teir: unknown field"),
    (
        GOOD.replace("0.0/24", "0.1/24"),
        f'f.yaml:14:9: {AT}: spec.ingress[0].from[0].ipBlock.cidr: found "10.0.0.1/24" (10.0.0.1/24 has host bits set)',
    ),
    (
        GOOD.replace("6443", "70000"),
        f"f.yaml:16:7: {AT}: spec.ingress[0].ports[0].port: found 70000; expected a whole number from 1 to 65535",
    ),
    ("metadata: {}\n" + GOOD, f"f.yaml:4:1: {AT}: metadata: the key stands twice, first in line 1; expected each"),
    (GOOD.replace("name: p", "1: p"), f"f.yaml:4:3: {AT}: metadata: found the key 1; expected a string"),
    (GOOD.replace("name: p", "name: !!python/name:os.system p"), f"f.yaml:4:9: {AT}: metadata.name: found the tag"),
    (NODE + "spec: &a {x: *a}", f"f.yaml:4:14: {AT}: spec.x: the alias *a contains itself"),
    (NODE + "spec: *a", f"f.yaml:4:7: {AT}: spec: the alias *a names no anchor"),
    (NODE + "x: " + "[" * MAX_DEPTH, f"f.yaml:4:{MAX_DEPTH + 3}: {AT}: x{'[0]' * (MAX_DEPTH - 1)}: nested too deep"),
    ("kind: List\nitems: 1", f"f.yaml:2:1: {AT}: items: found 1; expected a list of objects"),
    ("kind: List", f"f.yaml:1:1: {AT}: items: missing"),
    ("kind: List\nitems:\n- kind: List\n", f'f.yaml:3:3: {AT}: items[0].kind: found "List"'),
]


@pytest.mark.parametrize("text,expected", BAD, ids=range(len(BAD)))
def test_each_bad_input_is_one_clear_fault(text: str, expected: str) -> None:
    """What is wrong is said once: where, in which field, what was found and what was expected."""
    found = refusals(text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_the_slip_of_the_issue_is_named_where_it_stands() -> None:
    """``spec`` nested under ``metadata``, as in Antrea's issue 5671, is a fault at that line."""
    nested = "apiVersion: crd.antrea.io/v1alpha1\nkind: ClusterNetworkPolicy\nmetadata:\n  name: p\n  spec:\n    priority: 5\n"
    assert refusals(nested) == [
        (
            "f.yaml:5:3: document 1: metadata.spec: unknown field; expected spec beside metadata, not inside it; "
            "check indentation"
        ),
        "f.yaml:1:1: document 1: spec: missing; expected this required field",
    ]


def test_all_faults_of_all_documents_of_all_files_come_at_once(tmp_path: Path) -> None:
    """Nothing hides behind another fault, and faults stand in the order of the input."""
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(
        f"{GOOD.replace('6443', '0').replace('priority: 5', 'priority: 0')}---\nkind: X\n---\na: 1\na: 2\n"
    )
    second.write_text("x: ]")
    with pytest.raises(Refused) as refused:
        load([str(first), "missing.yaml", str(second)])
    places = [f"{fault.place.source}:{fault.place.line}" for fault in refused.value.faults if fault.place]
    assert places == [f"{first}:6", f"{first}:16", f"{first}:18", f"{first}:21", "missing.yaml:0", f"{second}:1"]
    assert refused.value.lines[4] == "missing.yaml: no such file"


def test_unknown_tiers_and_duplicates_are_placed_by_intake(tmp_path: Path) -> None:
    """What only several objects together get wrong is refused with the places that were read."""
    file = tmp_path / "a.yaml"
    file.write_text(f"{GOOD.replace('securityops', 'gold')}---\n{GOOD}")
    objects = [(item.object, item.place) for item in load([str(file)])]
    with pytest.raises(Refused) as refused:
        changes(ClusterState(), objects)
    twice, tier = refused.value.lines
    assert twice.startswith(
        f'{file}:18:1: document 2: metadata.name: ClusterNetworkPolicy "p" is given twice, first at'
    )
    assert tier.startswith(f'{file}:1:1: document 1: spec.tier: found "gold"')


BOMBS = {
    "expansion": "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 3)}]\n" for n in range(1, 30)),
    "merge": "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{y: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 45)),
    "aliases": "a: &a x\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]",
    "depth": "[" * 1_000_000,
    "maps": "a: " + "{a: " * 100_000,
    "deep aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 90)),
    "block": "".join(" " * n + "a:\n" for n in range(2000)),
    "number": "a: " + "9" * 5_000_000,
    "size": "a: " + "x" * MAX_BYTES,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_within_a_second(text: str) -> None:
    """Text that grows out of bounds when it is read is refused before it does."""
    start = time.monotonic()
    assert len(refusals(text)) == 1
    assert time.monotonic() - start < 1


def test_a_large_but_honest_list_is_read() -> None:
    """The limits on aliases do not bound what is written out."""
    items = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"}} for number in range(4000)]
    assert len(parse(json.dumps({"kind": "List", "apiVersion": "v1", "items": items}), "-")) == 4000


@pytest.mark.parametrize("render", ["yaml", "json"])
def test_lists_and_documents_are_read_with_the_place_of_each_object(render: str) -> None:
    """Objects come in the order of the text, empty documents are skipped but counted."""
    text = f"---\n{NODE}---\n---\nkind: List\napiVersion: v1\nitems:\n- {NODE.replace(chr(10), chr(10) + '  ')}"
    if render == "json":
        text = (
            '{"kind": "NodeList", "items": [\n\t{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a\\/b"}}]}'
        )
        assert refusals(text)[0].startswith('f.yaml:2:52: document 1: items[0].metadata.name: found "a/b"')
        return
    assert [str(item.place) for item in parse(text, "f.yaml")] == ["f.yaml:2:1: document 1", "f.yaml:10:3: document 3"]


def test_aliases_and_merge_keys_are_understood() -> None:
    """An alias stands for what it names, a merge key adds what is not said."""
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a]\nd: {<<: [{z: 0}, *a]}"
    value = read_yaml(text, "-")[0].value
    a = {"x": 1, "y": 2}
    assert value == {"a": a, "b": {"x": 1, "y": 3}, "c": [a], "d": {"z": 0, **a}}


@pytest.mark.parametrize(
    "text,value",
    [
        ("yes", True), ("Off", False), ("~", None), ("0x1F", 31), ("010", 8), ("-7", -7), ("1_000", 1000), ("1e3", 1e3),
        (".5", 0.5), ("-.inf", float("-inf")), ("12:30", "12:30"), ("2020-13-45", "2020-13-45"), ("'1'", "1"),
        ("!!str 1", "1"), ("! 1", "1"), ("!!int 1", 1), ("!!float 1", 1.0), ("1.2.3.4", "1.2.3.4"), ("08", "08"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_mean_what_they_mean_in_kubernetes(text: str, value: object) -> None:
    """YAML 1.1 booleans and numbers, but dates and times stay strings."""
    (document,) = read_yaml(f"a: {text}", "-")
    assert document.value == {"a": value}
    assert type(document.value["a"]) is type(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(max_codepoint=0xD7FF)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<", min_size=1), inner, max_size=3),
        max_leaves=10,
    )
)
def test_json_is_read_as_json(value: object) -> None:
    """What the JSON library writes is read as the value it was."""
    (document,) = read_yaml(json.dumps({"": value}), "-")
    assert document.value == {"": value}


@given(st.text(max_size=60) | st.text("ab:-[]{}&*!|>'\"%@`?,# \n\t<", max_size=60))
def test_no_text_makes_anything_but_objects_or_faults(text: str) -> None:
    """Arbitrary text is read or refused; nothing else is ever raised."""
    with suppress(Refused):
        parse(text, "f.yaml")


@given(clusters())
def test_objects_written_as_manifests_are_read_back(objects: tuple[ClusterObject, ...]) -> None:
    """Every object survives being written as a document and being read."""
    text = "\n---\n".join(
        json.dumps(item.model_dump(mode="json", by_alias=True, exclude_none=True)) for item in objects
    )
    assert tuple(item.object for item in parse(text, "-")) == objects


def test_directories_are_read_recursively_in_order(tmp_path: Path) -> None:
    """Files with a manifest's suffix are read by name; hidden ones and others are not."""
    for name in ("b.yml", "a.yaml", "sub/c.json", ".hidden/d.yaml", ".e.yaml", "note.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(NODE)
    assert [item.place.source for item in load([str(tmp_path)])] == [
        f"{tmp_path}/{n}" for n in ("a.yaml", "b.yml", "sub/c.json")
    ]


def test_a_directory_without_manifests_is_refused(tmp_path: Path) -> None:
    """An empty directory is more likely a mistake than a wish."""
    with pytest.raises(Refused, match="no manifest in this directory"):
        load([str(tmp_path)])


def test_a_dash_is_standard_input() -> None:
    """``-`` reads the stream it is given, under that name."""
    assert load(["-"], io.StringIO(NODE))[0].place.source == "-"
    with pytest.raises(Refused, match=r"^-: there is no standard input$"):
        load(["-"])


def test_what_is_not_utf8_is_one_fault(tmp_path: Path) -> None:
    """A byte that is not UTF-8 is refused with its position; a byte order mark does no harm."""
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: \xff")
    with pytest.raises(Refused, match=r"not text: invalid start byte at byte 4; expected UTF-8"):
        load([str(file)])
    file.write_bytes(b"\xef\xbb\xbf" + NODE.encode())
    assert len(load([str(file)])) == 1


def test_endless_and_impossible_paths_are_refused() -> None:
    """A device that never ends and a name that cannot be one are faults, not hangs or tracebacks."""
    with pytest.raises(Refused) as refused:
        load(["/dev/zero", "a\0b"])
    assert refused.value.lines == (
        "/dev/zero: too large; expected at most 10,000,000 bytes in one file",
        '"a\\u0000b": no such file',
    )
