"""Manifests that say something wrong are refused with one clear fault each."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from engine.faults import faults_of
from engine.objects import KINDS, ClusterNetworkPolicy, ClusterObject, Tier
from tests.strategies import clusters

POLICY: dict[str, Any] = {
    "apiVersion": "crd.antrea.io/v1beta1",
    "kind": "ClusterNetworkPolicy",
    "metadata": {"name": "p"},
    "spec": {
        "priority": 5,
        "appliedTo": [{"nodeSelector": {}}],
        "ingress": [
            {"action": "Allow", "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 22}]},
            {"action": "Drop"},
        ],
    },
}
NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n", "uid": "1"},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
}
TIER: dict[str, Any] = {
    "apiVersion": "crd.antrea.io/v1beta1",
    "kind": "Tier",
    "metadata": {"name": "t"},
    "spec": {"priority": 10},
}

_GONE = object()


def changed(whole: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return the manifest with another value at a path such as ``spec.ingress.0.action``."""
    result = copy.deepcopy(whole)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner: Any = result
    for part in way:
        inner = inner[part]
    if value is _GONE:
        del inner[last]
    else:
        inner[last] = value
    return result


def faults(manifest: dict[str, Any]) -> list[str]:
    """Return what is wrong with a manifest, a line each."""
    try:
        KINDS[manifest["kind"]].model_validate(manifest)
    except ValidationError as error:
        return [str(fault) for _, fault in faults_of(error)]
    return []


RULE = "spec.ingress.0"
PORT = f"{RULE}.ports.0"
BLOCK = f"{RULE}.from.0.ipBlock"
SELECTOR = "spec.appliedTo.0.nodeSelector"
AT_PORT = "spec.ingress[0].ports[0]"
AT_BLOCK = "spec.ingress[0].from[0].ipBlock"
BAD: list[tuple[dict[str, Any], str, object, str]] = [
    (POLICY, "apiVersion", "v2", "apiVersion: found \"v2\"; expected one of 'crd.antrea.io/v1beta1'"),
    (POLICY, "metadata.name", "A b", 'metadata.name: found "A b"; expected a DNS subdomain'),
    (POLICY, "metadata.spec", {}, "metadata.spec: unknown field"),
    (POLICY, "metadata.labels", {"a": 1}, "metadata.labels.a: found 1; expected a string"),
    (POLICY, "spec", _GONE, "spec: missing"),
    (POLICY, "spec", [], "spec: found []; expected a mapping"),
    (POLICY, "spec.priority", _GONE, "spec.priority: missing"),
    (POLICY, "spec.priority", 0, "spec.priority: found 0; expected at least 1"),
    (POLICY, "spec.priority", 10001, "spec.priority: found 10001; expected at most 10000"),
    (POLICY, "spec.priority", "5", 'spec.priority: found "5"; expected a number'),
    (POLICY, "spec.appliedTo", [], "spec.appliedTo: found []; expected at least 1"),
    (POLICY, "spec.appliedTo.0", {}, "spec.appliedTo[0]: found nothing to select by"),
    (POLICY, "spec.appliedTo.0.podSelector", {}, "spec.appliedTo[0]: found nodeSelector and a Pod selector together"),
    (POLICY, "spec.ingres", [], "spec.ingres: unknown field"),
    (POLICY, f"{RULE}.action", _GONE, "spec.ingress[0].action: missing"),
    (POLICY, f"{RULE}.action", "Deny", 'spec.ingress[0].action: found "Deny"; expected one of'),
    (POLICY, f"{RULE}.action", "Pass", "spec.ingress[0].action: not supported yet"),
    (POLICY, f"{RULE}.l7Protocols", [{}], "spec.ingress[0].l7Protocols: layer 7"),
    (POLICY, f"{RULE}.enableLogging", True, "spec.ingress[0].enableLogging: not supported yet"),
    (POLICY, f"{RULE}.name", 'a"b', "spec.ingress[0].name: found"),
    (POLICY, f"{RULE}.name", "x" * 64, "spec.ingress[0].name: found"),
    (POLICY, f"{RULE}.from.0.fqdn", "a.b", "spec.ingress[0].from[0].fqdn: not supported yet"),
    (POLICY, f"{RULE}.from.0.nodeSelector", {}, "spec.ingress[0].from[0]: found ipBlock and nodeSelector together"),
    (POLICY, f"{RULE}.from.0", {}, "spec.ingress[0].from[0]: found nothing to select by"),
    (POLICY, f"{BLOCK}.cidr", "10.0.0.1/8", f'{AT_BLOCK}.cidr: found "10.0.0.1/8" (10.0.0.1/8 has host bits set)'),
    (POLICY, f"{BLOCK}.cidr", "10.0.0/8", f'{AT_BLOCK}.cidr: found "10.0.0/8"'),
    (POLICY, f"{BLOCK}.cidr", "10.0.0.0", f'{AT_BLOCK}.cidr: found "10.0.0.0"; expected a CIDR: 10.0.0.0/32'),
    (POLICY, f"{BLOCK}.except", ["10.0.0.0/8"], f"{AT_BLOCK}: except 10.0.0.0/8 is not strictly inside 10.0.0.0/8"),
    (POLICY, f"{BLOCK}.except", ["::/64"], f"{AT_BLOCK}: except ::/64 is not strictly inside"),
    (POLICY, f"{PORT}.port", 70000, f"{AT_PORT}.port: found 70000; expected a whole number from 1 to 65535"),
    (POLICY, f"{PORT}.port", 0, f"{AT_PORT}.port: found 0"),
    (POLICY, f"{PORT}.port", True, f"{AT_PORT}.port: found true"),
    (POLICY, f"{PORT}.port", "ssh", f'{AT_PORT}.port: found the named port "ssh"'),
    (POLICY, f"{PORT}.endPort", 21, f"{AT_PORT}: endPort 21 is below port 22"),
    (POLICY, f"{PORT}.sourceEndPort", 21, f"{AT_PORT}: sourceEndPort without sourcePort"),
    (POLICY, f"{PORT}.protocol", "tcp", f'{AT_PORT}.protocol: found "tcp"; expected one of'),
    (POLICY, f"{SELECTOR}.matchLabels", {"a": "b c"}, f"{SELECTOR.replace('.0', '[0]')}.matchLabels.a: found"),
    (POLICY, f"{SELECTOR}.matchLabels", {"a b": "c"}, f"{SELECTOR.replace('.0', '[0]')}.matchLabels.a b: found"),
    (
        POLICY,
        f"{SELECTOR}.matchExpressions",
        [{"key": "a", "operator": "In"}],
        "spec.appliedTo[0].nodeSelector.matchExpressions[0]: In without values",
    ),
    (
        POLICY,
        f"{SELECTOR}.matchExpressions",
        [{"key": "a", "operator": "Exists", "values": ["x"]}],
        "spec.appliedTo[0].nodeSelector.matchExpressions[0]: Exists with values",
    ),
    (TIER, "spec.priority", 256, "spec.priority: found 256; expected at most 255"),
    (TIER, "spec.priority", 251, "spec.priority: found 251; expected a priority other than"),
    (TIER, "spec.priority", 1.5, "spec.priority: found 1.5; expected a whole number"),
    (TIER, "spec.rank", 1, "spec.rank: unknown field"),
    (NODE, "metadata.name", _GONE, "metadata.name: missing"),
    (NODE, "status.addresses.0.address", "10.0.0", 'status.addresses[0]: found "10.0.0"'),
    (NODE, "apiVersion", "v2", "apiVersion: found"),
]


@pytest.mark.parametrize("sound,path,value,expected", BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_one_wrong_field_is_one_fault_at_its_path(
    sound: dict[str, Any], path: str, value: object, expected: str
) -> None:
    """Whatever is wrong with a field, there is just one fault, which names its path, what was found and expected."""
    found = faults(changed(sound, path, value))
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_faults_of_a_document_are_found_at_once() -> None:
    """Two wrong fields are two faults."""
    assert len(faults(changed(changed(POLICY, f"{PORT}.port", 0), "spec.priority", 0))) == 2


def test_rule_names_are_unique_over_both_directions() -> None:
    """An ingress and an egress rule of one name are refused."""
    policy = changed(changed(POLICY, f"{RULE}.name", "x"), "spec.egress", [{"action": "Drop", "name": "x"}])
    assert faults(policy) == ['spec: rule name "x" stands 2 times; expected unique rule names']


def test_what_only_kubernetes_needs_is_dropped() -> None:
    """Two declarations that differ in resourceVersion and status alone are equal objects."""
    noisy = changed(changed(POLICY, "metadata.resourceVersion", "7"), "status", {"phase": "Realized"})
    assert ClusterNetworkPolicy.model_validate(noisy) == ClusterNetworkPolicy.model_validate(POLICY)


@pytest.mark.parametrize("written,read", [("SecurityOps", "securityops"), ("Baseline", "baseline"), ("own", "own")])
def test_legacy_tier_names_mean_the_reserved_tiers(written: str, read: str) -> None:
    """Antrea's older CamelCase names of reserved tiers are understood, other names are left alone."""
    assert ClusterNetworkPolicy.model_validate(changed(POLICY, "spec.tier", written)).spec.tier == read


@pytest.mark.parametrize("manifest", [POLICY, TIER])
def test_v1alpha1_is_read_as_v1beta1(manifest: dict[str, Any]) -> None:
    """The API version of the issue's example makes the same object as the present one."""
    model: Callable[[object], ClusterObject] = KINDS[manifest["kind"]].model_validate
    assert model(changed(manifest, "apiVersion", "crd.antrea.io/v1alpha1")) == model(manifest)


@given(clusters())
def test_every_object_survives_json(objects: tuple[ClusterObject, ...]) -> None:
    """An object written as JSON and read back is the same object."""
    for item in objects:
        assert type(item).model_validate_json(item.model_dump_json(by_alias=True, exclude_none=True)) == item


def test_objects_are_frozen() -> None:
    """A declared object cannot be changed afterwards."""
    tier = Tier.model_validate(TIER)
    with pytest.raises(ValidationError):
        setattr(tier, "kind", "Tier")  # noqa: B010 - mypy knows that it cannot be assigned
