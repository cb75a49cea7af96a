"""Bad input is refused in words, in time, and never reaches a restore line as anything but what it was."""

import json
from collections.abc import Callable

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.inputs.manifests import parse
from adapters.inputs.yaml_reader import MAX_DOCUMENTS, MAX_FAULTS, MAX_NODES, scan_yaml
from engine.desired.full import desired_ruleset
from engine.errors import Refused
from tests.support.policies.hostile_text import WORDS, manifests
from tests.support.policies.manifest_pipeline import injected
from tests.support.rulesets.ruleset_builders import SOAK, node, policy, world

MANIFESTS = manifests()
hostile = st.sampled_from(WORDS) | st.text(max_size=20)
more = settings(max_examples=5000 if SOAK else 150, deadline=None)


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """Draw a manifest in which some places of its text are gone, doubled, or hostile."""
    text = draw(st.sampled_from(MANIFESTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(start + draw(st.integers(0, 12)), len(text))
        text = text[:start] + draw(hostile | st.just(text[start:end] * 2)) + text[end:]
    return text


@st.composite
def poisoned(draw: st.DrawFn) -> str:
    """Draw a manifest that is sound YAML, in which some values or keys are hostile words."""
    documents = [item for item in yaml.safe_load_all(draw(st.sampled_from(MANIFESTS))) if item]
    for _ in range(draw(st.integers(1, 3))):
        place: object = draw(st.sampled_from(documents))
        while isinstance(place, dict | list) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            below = place[key]
            if not isinstance(below, dict | list) or not below or draw(st.integers(0, 9)) == 0:
                place[key] = draw(hostile | st.integers() | st.none() | st.just([]) | st.just({}))
                break
            place = below
    return "\n---\n".join(json.dumps(item) for item in documents)


@more
@given(mangled())
def test_no_mangled_manifest_crashes_or_injects_a_line(text: str) -> None:
    """Whatever is done to the text of manifests, it is refused, or only nodewall's own restore lines come out."""
    assert injected(text) == []


@more
@given(poisoned())
@example('{"apiVersion": "v1", "kind": [], "metadata": {"name": "n"}}')
def test_no_hostile_value_crashes_or_injects_a_line(text: str) -> None:
    """Whatever stands as a value, it is refused, or only nodewall's own restore lines come out."""
    assert injected(text) == []


@given(st.text() | st.binary().map(lambda data: data.decode(errors="surrogateescape")))
def test_no_text_at_all_crashes(text: str) -> None:
    """Any text is refused or read."""
    assert injected(text) == []


def test_manifests_of_scenarios_come_through() -> None:
    """The manifests that are mangled are sound themselves, so that not everything is refused at once."""
    refused = 0
    for text in MANIFESTS:
        try:
            parse(text, "x")
        except Refused:
            refused += 1
    assert refused <= 1  # the one of the scenario about refusals


BOMBS: dict[str, Callable[[], str]] = {
    "aliases of aliases": lambda: (
        "a: &a [x, x]\n"
        + "".join(
            f"{n}: &{n} [*{p}, *{p}]\n"
            for p, n in zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True)
        )
    ),
    "many aliases": lambda: "a: &a x\nb: [" + "*a, " * 1_000_000 + "]",
    "an alias of itself": lambda: "a: &a [*a]",
    "deep flow": lambda: "[" * 1_000_000 + "]" * 1_000_000,
    "deep mappings": lambda: '{"a":' * 1_000_000 + "1" + "}" * 1_000_000,
    "deep blocks": lambda: "- " * 1_000_000,
    "documents": lambda: "---\n" * (MAX_DOCUMENTS + 1),
    "values": lambda: "[" + "1," * MAX_NODES + "1]",
    "keys given twice": lambda: "{" + "a: 1, " * 300_000 + "}",
    "merges": lambda: "a: &a {b: 1}\nc:\n" + "  <<: *a\n" * 300_000,
    "too large": lambda: "#" * 10_000_001,
    "directives": lambda: "".join(f"%TAG !{n}! tag:{n}\n" for n in range(300_000)),
    "objects of Python": lambda: "!!python/object/apply:os.system [reboot]",
    "a NUL": lambda: "a: b\0",
    "half a surrogate": lambda: '{"a": "\\ud800"}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str) -> None:
    """What would blow up is refused before it does, in few words."""
    documents, faults = scan_yaml(BOMBS[name](), "bomb.yaml")
    assert len(documents) <= MAX_DOCUMENTS
    assert 1 <= len(faults) <= MAX_FAULTS + 1
    assert all(len(str(fault)) < 1000 for fault in faults)


def test_a_hundred_thousand_blocks_are_one_policy() -> None:
    """A policy with 100,000 blocks is read, and compiles to one set with as many entries."""
    peers = "".join(f"    - ipBlock: {{cidr: 10.{n >> 8}.{n & 255}.0/24}}\n" for n in range(65_536))
    peers += "".join(f"    - ipBlock: {{cidr: 11.{n >> 8}.{n & 255}.0/24}}\n" for n in range(34_464))
    head = (
        "apiVersion: crd.antrea.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {name: big}\nspec:\n  priority: 5\n"
    )
    head += "  appliedTo: [{nodeSelector: {}}]\n  ingress:\n  - action: Drop\n    from:\n"

    (declared,) = parse(head + peers, "big.yaml")

    (found,) = desired_ruleset(world(node("n1", "192.0.2.1"), declared.object), "n1").ruleset.sets
    assert len(found.members) == 100_000


@pytest.mark.parametrize(
    "cidr, said",
    [
        ("10.0.0.1/8", "has host bits set"),
        ("::ffff:10.0.0.0/104", "IPv4 addresses in IPv6 form"),
        ("fe80::%eth0/64", "found"),
        ("10.0.0.0/33", "found"),
        ("10.0.0.0", "expected a CIDR: 10.0.0.0/32"),
        ("", "found"),
    ],
)
def test_a_cidr_that_is_none_is_refused(cidr: str, said: str) -> None:
    """Host bits, IPv4 in IPv6 form, zones and impossible lengths are refused, with the place."""
    document = {**policy("p").model_dump(by_alias=True, exclude_none=True, mode="json")}
    document["spec"]["ingress"] = [{"action": "Drop", "from": [{"ipBlock": {"cidr": cidr}}]}]
    with pytest.raises(Refused) as refused:
        parse(json.dumps(document, indent=1), "p.json")
    (line,) = refused.value.lines
    assert said in line
    assert "spec.ingress[0].from[0].ipBlock.cidr" in line
    assert line.startswith("p.json:")
