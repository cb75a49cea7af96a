"""Manifests become objects, or faults that name file, line, column and field, all at once."""

import io
import json
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import wiring
from adapters.cli import main
from adapters.inputs.manifests import load, parse, scan
from adapters.inputs.yaml_reader import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, read_yaml
from engine.errors import Refused
from engine.objects import KINDS, ClusterObject
from engine.state.admission import events_for
from engine.state.fold import ClusterState, fold
from tests.support.policies.object_strategies import clusters

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
        f'f.yaml:2:1: {AT}: kind: found "Deployment"; expected one of ClusterGroup, Cluster',
    ),
    (
        "apiVersion: v1",
        f"f.yaml:1:1: {AT}: kind: missing; expected one of ClusterGroup, ClusterNetworkPolicy, EndpointSlice, ",
    ),
    (GOOD.replace("v1beta1", "v9"), f'f.yaml:1:1: {AT}: apiVersion: found "crd.antrea.io/v9"; expected \'crd'),
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
        "f.yaml:1:1: document 1: spec: missing; expected this required field",
        (
            "f.yaml:5:3: document 1: metadata.spec: unknown field; expected spec beside metadata, not inside it; "
            "check indentation"
        ),
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
    objects = [(item.object, item.origin) for item in load([str(file)])]
    with pytest.raises(Refused) as refused:
        events_for(ClusterState(), objects)
    twice, tier = refused.value.lines
    assert twice.startswith(
        f'{file}:21:3: document 2: metadata.name: ClusterNetworkPolicy "p" is given twice, first at'
    )
    assert tier.startswith(f'{file}:7:3: document 1: spec.tier: found "gold"')


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
    start = time.process_time()
    assert len(refusals(text)) == 1
    assert time.process_time() - start < 1


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


def test_faults_stand_in_the_order_of_the_text() -> None:
    """Several faults of one document come line by line, whatever kind they are."""
    text = GOOD.replace("priority: 5", "priority: 0").replace("action: Allow", "action: Deny").replace("6443", "0")
    text = text.replace("tier: securityops", "teir: x").replace("{}", "{}\n    group: g").replace("/24", "/0")
    assert [line.split(": ")[0::2][:2] for line in refusals(text)] == [
        ["f.yaml:6:3", "spec.priority"],
        ["f.yaml:7:3", "spec.teir"],
        ["f.yaml:9:5", "spec.appliedTo[0]"],
        ["f.yaml:12:5", "spec.ingress[0].action"],
        ["f.yaml:15:9", "spec.ingress[0].from[0].ipBlock.cidr"],
        ["f.yaml:17:7", "spec.ingress[0].ports[0].port"],
    ]


def test_fields_have_but_one_name() -> None:
    """A field in another spelling, as programs have it, is unknown."""
    (fault,) = refusals(GOOD.replace("  appliedTo:", "  appliedTo:\n  - nodeSelector: {}\n  applied_to:"))
    assert fault.startswith("f.yaml:10:3: document 1: spec.applied_to: unknown field")


def test_all_faults_of_the_whole_input_come_in_its_order(tmp_path: Path) -> None:
    """What only several objects get wrong stands among the faults of single documents, in the order of the text."""
    file = tmp_path / "a.yaml"
    bad = GOOD.replace("name: p", "name: q").replace("6443", "0").replace("securityops", "iron")
    file.write_text("---\n".join((GOOD.replace("securityops", "gold"), bad, GOOD)))
    judgement = scan([str(file)]).judged(ClusterState())
    assert [(fault.place.line, fault.path) for fault in judgement.faults if fault.place] == [
        (7, "spec.tier"),
        (24, "spec.tier"),
        (33, "spec.ingress[0].ports[0].port"),
        (38, "metadata.name"),
    ]
    assert [(refusal.name, len(refusal.faults)) for refusal in judgement.refusals] == [("p", 2), ("q", 2)]


@pytest.mark.parametrize(
    "text,told",
    [
        (GOOD.replace("6443", "0"), ("ClusterNetworkPolicy", "p")),
        (GOOD.replace("v1beta1", "v9"), ("ClusterNetworkPolicy", "p")),
        (GOOD.replace("crd.antrea.io", "example.com"), ("ClusterNetworkPolicy", "")),
        (GOOD.replace("name: p", "name: P"), ("ClusterNetworkPolicy", "")),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: x}\nspec: 1", ("Pod", "x/p")),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: 1", ("Pod", "default/p")),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: [x]}", ("Pod", "")),
        ("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}", ("Service", "")),
        ("apiVersion: v1\nkind: Node\nmetadata: 1", ("Node", "")),
    ],
)
def test_a_faulty_object_is_told_by_its_group_kind_and_name(text: str, told: tuple[str, str], tmp_path: Path) -> None:
    """Where any of these cannot be trusted, it is not known which object was meant."""
    file = tmp_path / "a.yaml"
    file.write_text(text)
    (item,) = scan([str(file)]).faulty
    assert (item.kind, item.key) == told


def test_the_faults_of_a_faulty_object_have_paths_inside_it(tmp_path: Path) -> None:
    """Where in a list it stood does not matter to its refusal."""
    file = tmp_path / "a.yaml"
    file.write_text(
        "kind: NodeList\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: n}, spec: 1}"
    )
    found = scan([str(file)])
    assert found.faults[0].path == "items[0].spec"
    assert found.faulty[0].faults[0].path == "spec"


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_every_kind_are_read(kind: str) -> None:
    """``kubectl get -o yaml`` prints a List, the API a list of the kind."""
    for name in ("List", f"{kind}List"):
        assert parse(f"kind: {name}\nitems: []", "-") == ()


def appended(log: Path, *words: str) -> tuple[int, dict[str, object]]:
    """Return the exit code and the JSON of an append to a log."""
    out = io.StringIO()
    with redirect_stdout(out):
        code = main(["log", "append", "--log", str(log), "-o", "json", *words])
    return code, json.loads(out.getvalue())


def test_a_refused_append_changes_nothing_and_is_on_record(tmp_path: Path) -> None:
    """The last good version stays in force, the refusal is recorded once, and a good version ends it."""
    log, file, other = tmp_path / "events.log", tmp_path / "a.yaml", tmp_path / "b.yaml"
    file.write_text(GOOD)
    other.write_text(NODE)
    assert appended(log, "-f", str(file)) == (0, {"appended": 1, "sequence": 1})
    file.write_text(GOOD.replace("6443", "0"))
    for mode in ((), ("--sync",), ("--delete",)):
        code, data = appended(log, "-f", str(file), "-f", str(other), *mode)
        assert (code, data) == (2, {"appended": 0, "refused": 0 if mode else 1, "sequence": 2})
    state = fold(wiring.event_log(str(log)).read())
    assert list(state.policies) == ["p"]
    assert not state.nodes
    (refusal,) = state.refusals.values()
    assert [(fault.path, fault.problem) for fault in refusal.faults] == [("spec.ingress[0].ports[0].port", "found 0")]
    file.write_text(GOOD)
    assert appended(log, "-f", str(file), "-f", str(other)) == (0, {"appended": 2, "sequence": 4})
    assert not fold(wiring.event_log(str(log)).read()).refusals


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
