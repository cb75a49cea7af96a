"""Hypothesis strategy for API objects with one hostile value and valid values otherwise."""

from collections.abc import Iterator

from hypothesis import strategies as st

from tests.support.kubernetes.fake_api import Document, nested, raw
from tests.support.policies.hostile_text import WORDS

BAD = "bad"
"""Name of the hostile object."""

VALUES: tuple[object, ...] = (
    *(nested(levels) for levels in (49, 52, 70, 201, 900, 5000)),
    raw('{"a":' * 900 + "1" + "}" * 900),
    *map(raw, ('"\\ud800"', '{"\\udfff":1}', "NaN", "-Infinity", "1e999", "-1e999", "1" * 5000, "-" + "9" * 40)),
    *map(raw, ('{"priority":1,"priority":2}', '{"name":"a","name":"b"}', '"\\u0000"', "[" + "0," * 9999 + "0]")),
    *(None, True, 0, -1, 1.5, "", "x" * 100_000, [], {}, [None], [[]], {"": None}, {"name": {}}),
    *WORDS,
)
"""Values that few fields or none expect."""

SOUND: dict[str, Document] = {
    "Tier": {"spec": {"priority": 78, "description": "ours"}},
    "ClusterGroup": {"spec": {"ipBlocks": [{"cidr": "10.0.0.0/24"}]}},
    "ClusterNetworkPolicy": {
        "spec": {
            "priority": 5,
            "tier": "application",
            "appliedTo": [{"nodeSelector": {"matchLabels": {"role": "none"}}}],
            "ingress": [
                {
                    "name": "one",
                    "action": "Drop",
                    "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                    "ports": [{"protocol": "TCP", "port": 22}],
                    "protocols": [],
                }
            ],
        }
    },
    "Node": {
        "spec": {"podCIDRs": ["10.9.0.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    },
    "Namespace": {"metadata": {"labels": {"a": "b"}}},
    "Pod": {"spec": {"hostNetwork": False}, "status": {"phase": "Running", "podIPs": [{"ip": "10.9.0.7"}]}},
    "Service": {"spec": {"selector": {"app": "web"}}},
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.9.0.8"]}]},
}
"""Valid objects without a name, by kind."""

Path = tuple[int | str, ...]


def sound(kind: str, name: str = BAD) -> Document:
    """Return a valid object."""
    base = SOUND[kind]
    more = base.get("metadata")
    labels = more if isinstance(more, dict) else {"labels": {"app": "web"}}
    inside = {"namespace": "a"} if kind in {"Pod", "Service", "EndpointSlice"} else {}
    return {**base, "metadata": {"name": name, **inside, **labels, "annotations": {"note": "text"}}}


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        # An API server gives every object a valid name.
        if (*path, key) not in {("metadata",), ("metadata", "name"), ("metadata", "namespace")}:
            yield from _paths(item, (*path, key))
    if isinstance(value, dict):
        yield (*path, "unknown")


def changed(value: object, path: Path, new: object) -> object:
    """Return the document with another value at a path."""
    if not path:
        return new
    if isinstance(value, list):
        return [changed(item, path[1:], new) if index == path[0] else item for index, item in enumerate(value)]
    assert isinstance(value, dict)
    return {**value, path[0]: changed(value.get(path[0]), path[1:], new)}


def paths(kind: str) -> list[Path]:
    """Return every path in an object where a hostile value is possible."""
    inside = [path for path in _paths(sound(kind)["metadata"], ("metadata",)) if path != ("metadata",)]
    return [
        *_paths({key: item for key, item in sound(kind).items() if key != "metadata"}),
        *(path for path in inside if path[1] not in {"name", "namespace"}),
        ("metadata", "managedFields"),
        ("status",),
    ]


@st.composite
def hostile(draw: st.DrawFn) -> tuple[str, Document]:
    """Draw a kind, and an object of it with one hostile value."""
    kind = draw(st.sampled_from(sorted(SOUND)))
    document = changed(sound(kind), draw(st.sampled_from(paths(kind))), draw(st.sampled_from(VALUES)))
    assert isinstance(document, dict)
    return kind, document
