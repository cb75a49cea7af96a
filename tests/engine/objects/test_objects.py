"""Manifests that say something wrong are refused with one clear fault each."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.objects import KINDS, ClusterGroup, ClusterNetworkPolicy, ClusterObject, Pod, Tier
from engine.validation_errors import faults_of
from tests.support.policies.object_strategies import clusters

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

GROUP: dict[str, Any] = {
    "apiVersion": "crd.antrea.io/v1beta1",
    "kind": "ClusterGroup",
    "metadata": {"name": "g"},
    "spec": {"nodeSelector": {}},
}
SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "s", "labels": {"app": "web"}},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.1"]}],
}
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "shop"},
    "spec": {"serviceAccountName": "robot", "containers": [{"name": "c"}]},
    "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
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
PEER = f"{RULE}.from.0"
AT = "spec.ingress[0]"
AT_PEER = f"{AT}.from[0]"
AT_PORT = "spec.ingress[0].ports[0]"
IGMP: list[dict[str, Any]] = [{"igmp": {}}]
APPLIED: list[dict[str, Any]] = [{"nodeSelector": {}}]
AT_ONE_LEVEL = "expected at least 1 entry, at the policy or at every rule"
AT_BLOCK = "spec.ingress[0].from[0].ipBlock"
BAD: list[tuple[dict[str, Any], str, object, str]] = [
    (POLICY, "apiVersion", "v2", "apiVersion: found \"v2\"; expected 'crd.antrea.io/v1beta1'"),
    (POLICY, "metadata.name", "A b", 'metadata.name: found "A b"; expected a DNS subdomain'),
    (POLICY, "metadata.spec", {}, "metadata.spec: unknown field"),
    (POLICY, "metadata.labels", {"a": 1}, "metadata.labels.a: found 1; expected a string"),
    (POLICY, "spec", _GONE, "spec: missing"),
    (POLICY, "spec", [], "spec: found []; expected a mapping"),
    (POLICY, "spec.priority", _GONE, "spec.priority: missing"),
    (POLICY, "spec.priority", 0, "spec.priority: found 0; expected at least 1"),
    (POLICY, "spec.priority", 10001, "spec.priority: found 10001; expected at most 10000"),
    (POLICY, "spec.priority", "5", 'spec.priority: found "5"; expected a number'),
    (POLICY, "spec.priority", True, "spec.priority: found true; expected a number"),
    (POLICY, "spec.priority", float("nan"), "spec.priority: found NaN; expected at most 10000"),
    (POLICY, "spec.tier", "a b", 'spec.tier: found "a b"; expected a DNS subdomain'),
    (POLICY, "spec.tier", 1, "spec.tier: found 1; expected a string"),
    (POLICY, "spec.appliedTo", _GONE, "spec.appliedTo: missing; expected at least 1 entry, at the policy or at every"),
    (POLICY, "spec.appliedTo", [], "spec.appliedTo: found []; expected at least 1"),
    (
        POLICY,
        f"{RULE}.appliedTo",
        APPLIED,
        f"{AT}.appliedTo: found appliedTo at the policy as well; expected appliedTo",
    ),
    (POLICY, "spec.appliedTo.0.service", {"name": "x"}, "spec.appliedTo[0].service: not supported yet"),
    (POLICY, "spec.appliedTo.0", {}, "spec.appliedTo[0]: found nothing to select by"),
    (POLICY, "spec.appliedTo.0.podSelector", {}, "spec.appliedTo[0]: found podSelector and nodeSelector together"),
    (POLICY, "spec.ingres", [], "spec.ingres: unknown field"),
    (POLICY, f"{RULE}.action", _GONE, "spec.ingress[0].action: missing"),
    (POLICY, f"{RULE}.action", "Deny", 'spec.ingress[0].action: found "Deny"; expected one of'),
    (POLICY, "spec.applied_to", [], "spec.applied_to: unknown field"),
    (POLICY, f"{RULE}.l7Protocols", [{}], "spec.ingress[0].l7Protocols: layer 7"),
    (POLICY, f"{RULE}.enableLogging", "on", f'{AT}.enableLogging: found "on"; expected true or false'),
    (POLICY, f"{RULE}.logLabel", "", f'{AT}.logLabel: found ""; expected 1 to 63 letters, digits'),
    (POLICY, f"{RULE}.logLabel", "a b", f'{AT}.logLabel: found "a b"; expected 1 to 63 letters, digits'),
    (POLICY, f"{RULE}.logLabel", "a" * 64, f"{AT}.logLabel: found"),
    (POLICY, f"{RULE}.logLabel", "a\n", f'{AT}.logLabel: found "a\\n"'),
    (POLICY, f"{RULE}.toServices", [{}], f"{AT}.toServices: unknown field"),
    (POLICY, f"{RULE}.to", [{}], f"{AT}.to: unknown field"),
    (POLICY, "spec.egress", [{"action": "Drop", "toServices": [{"name": "x"}]}], "spec.egress[0].toServices: not supp"),
    (POLICY, f"{RULE}.name", "a\nb", f'{AT}.name: found "a\\nb"; expected printable ASCII'),
    (POLICY, f"{RULE}.name", "a\x00", f'{AT}.name: found "a\\u0000"; expected printable ASCII'),
    (POLICY, f"{RULE}.name", "\u202ea", f'{AT}.name: found "\\u202ea"; expected printable ASCII'),
    (POLICY, f"{RULE}.name", "", f'{AT}.name: found ""; expected at least 1 character'),
    (POLICY, "metadata.name", "-p", 'metadata.name: found "-p"; expected a DNS subdomain'),
    (POLICY, "metadata.name", "p\n", 'metadata.name: found "p\\n"; expected a DNS subdomain'),
    (POLICY, "metadata.name", "p" * 254, "metadata.name: found"),
    (POLICY, "metadata.name", "\ud800", "metadata.name: found"),
    (POLICY, "metadata.labels", {"a": "-b"}, 'metadata.labels.a: found "-b"; expected a label value'),
    (POLICY, "metadata.labels", {"a\nb": "c"}, 'metadata.labels["a\\nb"]: found "a\\nb"; expected a label key'),
    (POLICY, "metadata.labels", {"a": "ü" * 63}, "metadata.labels.a: found"),
    (POLICY, f"{RULE}.name", 'a"b', "spec.ingress[0].name: found"),
    (POLICY, f"{RULE}.name", "x" * 64, "spec.ingress[0].name: found"),
    (POLICY, f"{RULE}.from.0.fqdn", "a.b", "spec.ingress[0].from[0].fqdn: not supported yet"),
    (POLICY, f"{PEER}.namespaces", {"match": "Self"}, f"{AT_PEER}.namespaces: a Node has no namespace"),
    (POLICY, f"{PEER}.scope", "ClusterSet", f"{AT_PEER}.scope: ClusterSet is not supported yet"),
    (POLICY, f"{PEER}.scope", "World", f"{AT_PEER}.scope: found \"World\"; expected 'Cluster'"),
    (POLICY, PEER, {"fqdn": "a.b"}, f"{AT_PEER}.fqdn: not supported yet"),
    (POLICY, PEER, {"podSelector": {}, "group": "g"}, f"{AT_PEER}: found podSelector and group together; expected"),
    (POLICY, PEER, {"scope": "Cluster"}, f"{AT_PEER}: found nothing to select by"),
    (POLICY, PEER, {"serviceAccount": {"name": "a"}}, f"{AT_PEER}.serviceAccount.namespace: missing"),
    (POLICY, PEER, {"group": "G"}, f'{AT_PEER}.group: found "G"; expected a DNS subdomain'),
    (POLICY, f"{RULE}.from.0.nodeSelector", {}, "spec.ingress[0].from[0]: found ipBlock and nodeSelector together"),
    (POLICY, f"{RULE}.from.0", {}, "spec.ingress[0].from[0]: found nothing to select by"),
    (POLICY, f"{BLOCK}.cidr", "10.0.0.1/8", f'{AT_BLOCK}.cidr: found "10.0.0.1/8" (10.0.0.1/8 has host bits set)'),
    (POLICY, f"{BLOCK}.cidr", "10.0.0/8", f'{AT_BLOCK}.cidr: found "10.0.0/8"'),
    (POLICY, f"{BLOCK}.cidr", "10.0.0.0", f'{AT_BLOCK}.cidr: found "10.0.0.0"; expected a CIDR: 10.0.0.0/32'),
    (POLICY, f"{BLOCK}.except", ["10.0.0.0/8"], f"{AT_BLOCK}.except[0]: except 10.0.0.0/8 is not strictly inside 10"),
    (POLICY, f"{BLOCK}.except", ["::/64"], f"{AT_BLOCK}.except[0]: except ::/64 is not strictly inside"),
    (POLICY, f"{BLOCK}.except", ["10.1.0.1/16"], f'{AT_BLOCK}.except[0]: found "10.1.0.1/16" (10.1.0.1/16 has host'),
    (POLICY, f"{BLOCK}.cidr", "fe80::%a\nb/64", f'{AT_BLOCK}.cidr: found "fe80::%a\\nb/64"; expected a CIDR'),
    (POLICY, f"{BLOCK}.cidr", "::ffff:10.0.0.0/104", f'{AT_BLOCK}.cidr: found "::ffff:10.0.0.0/104", IPv4 addresses'),
    (POLICY, f"{BLOCK}.cidr", "10.0.0.0/255.0.0.0", f'{AT_BLOCK}.cidr: found "10.0.0.0/255.0.0.0"; expected a CIDR'),
    (POLICY, f"{BLOCK}.cidr", "10.0.0.0/33", f'{AT_BLOCK}.cidr: found "10.0.0.0/33"; expected a CIDR'),
    (POLICY, f"{RULE}.protocols", [{}], f"{AT}.protocols[0]: found no protocol; expected one of icmp, igmp"),
    (POLICY, f"{RULE}.protocols", [{"icmp": {"icmpType": 256}}], f"{AT}.protocols[0].icmp.icmpType: found 256; expec"),
    (POLICY, f"{RULE}.protocols", [{"icmp": {"icmpType": True}}], f"{AT}.protocols[0].icmp.icmpType: found true"),
    (POLICY, f"{RULE}.protocols", [{"icmp": {"icmpCode": 0}}], f"{AT}.protocols[0].icmp.icmpCode: icmpCode without"),
    (POLICY, f"{RULE}.protocols", [{"igmp": {}}], f"{AT}.protocols[0]: igmp beside other protocols; expected igmp alo"),
    (
        POLICY,
        "spec.ingress.1",
        {"action": "Pass", "protocols": IGMP},
        "spec.ingress[1].protocols[0]: igmp with action Pas",
    ),
    (
        POLICY,
        "spec.ingress.1",
        {"action": "Reject", "protocols": IGMP},
        "spec.ingress[1].protocols[0]: igmp with action R",
    ),
    (
        POLICY,
        "spec.ingress.1",
        {"action": "Drop", "protocols": [{"igmp": {"groupAddress": "10.0.0.1"}}]},
        'spec.ingress[1].protocols[0].igmp.groupAddress: found "10.0.0.1"; expected an IPv4 multicast address',
    ),
    (
        POLICY,
        "spec.egress",
        [{"action": "Reject", "to": [{"ipBlock": {"cidr": "224.0.0.0/24"}}]}],
        "spec.egress[0].to[0].ipBlock.cidr: multicast 224.0.0.0/24 with action Reject; expected Allow or Drop",
    ),
    (POLICY, f"{PORT}.port", 70000, f"{AT_PORT}.port: found 70000; expected a whole number from 1 to 65535"),
    (POLICY, f"{PORT}.port", 0, f"{AT_PORT}.port: found 0"),
    (POLICY, f"{PORT}.port", True, f"{AT_PORT}.port: found true"),
    (POLICY, f"{PORT}.port", "ssh", f'{AT_PORT}.port: found the named port "ssh"'),
    (POLICY, f"{PORT}.endPort", 21, f"{AT_PORT}: endPort 21 is below port 22"),
    (POLICY, f"{PORT}.sourceEndPort", 21, f"{AT_PORT}: sourceEndPort without sourcePort"),
    (POLICY, f"{PORT}.protocol", "tcp", f'{AT_PORT}.protocol: found "tcp"; expected one of'),
    (POLICY, f"{SELECTOR}.matchLabels", {"a": "b c"}, f"{SELECTOR.replace('.0', '[0]')}.matchLabels.a: found"),
    (POLICY, f"{SELECTOR}.matchLabels", {"a b": "c"}, f'{SELECTOR.replace(".0", "[0]")}.matchLabels["a b"]: found'),
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
    (
        POLICY,
        f"{SELECTOR}.matchExpressions",
        [{"key": "a", "operator": "in", "values": ["x"]}],
        'spec.appliedTo[0].nodeSelector.matchExpressions[0].operator: found "in"; expected one of',
    ),
    (TIER, "spec.priority", -1, "spec.priority: found -1; expected at least 0"),
    (TIER, "spec.priority", 256, "spec.priority: found 256; expected at most 255"),
    (TIER, "spec.priority", 251, "spec.priority: found 251; expected a priority other than"),
    (TIER, "spec.priority", 1.5, "spec.priority: found 1.5; expected a whole number"),
    (TIER, "spec.rank", 1, "spec.rank: unknown field"),
    (NODE, "metadata.name", _GONE, "metadata.name: missing"),
    (
        NODE,
        "status.addresses.0.address",
        "10.0.0",
        'status.addresses[0].address: found "10.0.0"; expected an IPv4 or IPv6',
    ),
    (NODE, "status.addresses.0.address", "fe80::1%a\nb", 'status.addresses[0].address: found "fe80::1%a\\nb"'),
    (GROUP, "spec", {}, "spec: found no source of members; expected one of podSelector with or without"),
    (GROUP, "spec.ipBlocks", [{"cidr": "10.0.0.0/8"}], "spec: found nodeSelector and ipBlocks together; expected one"),
    (GROUP, "spec", {"childGroups": ["a", "g"]}, 'spec.childGroups[1]: found "g", the group itself; expected other'),
    (GROUP, "spec", {"serviceReference": {"name": "a"}}, "spec.serviceReference.namespace: missing"),
    (GROUP, "spec.selector", {}, "spec.selector: unknown field"),
    (SLICE, "endpoints.0.addresses.0", "::1", 'endpoints[0].addresses[0]: found "::1"; expected an IPv4 address'),
    (SLICE, "addressType", "v4", 'addressType: found "v4"; expected one of'),
    (POD, "status.podIPs.0.ip", "fe80::1%\n", 'status.podIPs[0].ip: found "fe80::1%\\n"; expected an IPv4 or IPv6'),
    (POD, "spec.hostNetwork", "yes", 'spec.hostNetwork: found "yes"; expected true or false'),
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
    assert faults(policy) == ['spec.egress[0].name: found "x", the name of ingress[0]; expected unique rule names']


def test_pass_is_refused_in_the_baseline_tier_alone() -> None:
    """There is nothing that the baseline tier, in any spelling, could pass to."""
    passing = changed(POLICY, f"{RULE}.action", "Pass")
    assert faults(passing) == []
    for tier in ("baseline", "Baseline"):
        assert faults(changed(passing, "spec.tier", tier)) == [
            "spec.ingress[0].action: found Pass in the baseline tier; expected Allow, Drop or Reject"
        ]


def test_applied_to_of_rules_is_for_all_of_them() -> None:
    """Where one rule says what it is applied to, a rule that does not is a fault."""
    some = changed(changed(POLICY, "spec.appliedTo", _GONE), f"{RULE}.appliedTo", APPLIED)
    assert faults(some) == [f"spec.ingress[1].appliedTo: missing, while other rules have it; {AT_ONE_LEVEL}"]
    assert faults(changed(some, "spec.ingress.1.appliedTo", APPLIED)) == []


NULLS = [
    *((POLICY, path) for path in ("metadata.labels", "spec.tier", "spec.egress", f"{RULE}.name", f"{RULE}.protocols")),
    *((POLICY, path) for path in (f"{RULE}.enableLogging", f"{RULE}.l7Protocols", f"{PEER}.scope", f"{PORT}.endPort")),
    *((POLICY, path) for path in (f"{PORT}.protocol", f"{BLOCK}.except", f"{SELECTOR}.matchLabels", "status")),
    *((GROUP, path) for path in ("spec.podSelector", "spec.ipBlocks", "spec.childGroups", "metadata.labels")),
    *((POD, path) for path in ("metadata.labels", "spec.hostNetwork", "spec.nodeName", "status.hostIP")),
    *((NODE, path) for path in ("metadata.labels", "spec", "status.images")),
    (TIER, "spec.description"),
]


@pytest.mark.parametrize("sound,path", NULLS, ids=lambda value: value if isinstance(value, str) else "")
def test_null_is_as_good_as_absent(sound: dict[str, Any], path: str) -> None:
    """An optional field that is null is one that is not there, as for the API server."""
    model = KINDS[sound["kind"]]
    absent = changed(changed(sound, path, None), path, _GONE)
    assert model.model_validate(changed(sound, path, None)) == model.model_validate(absent)


def test_null_is_missing_where_a_field_is_required_and_unknown_where_it_is_unknown() -> None:
    """Null neither stands for a required value nor hides a field that is misspelt."""
    assert faults(changed(POLICY, "spec.priority", None)) == ["spec.priority: missing; expected this required field"]
    (found,) = faults(changed(POLICY, "spec.ingres", None))
    assert found.startswith("spec.ingres: unknown field")


def test_pods_keep_only_what_is_used() -> None:
    """Of a Pod, all but labels, addresses, network, phase and service account is dropped."""
    assert Pod.model_validate(POD).model_dump(by_alias=True) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "shop", "labels": {}},
        "spec": {"hostNetwork": False, "serviceAccountName": "robot"},
        "status": {"phase": "Running", "podIPs": ({"ip": "10.0.0.1"},)},
    }


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha3", "v1alpha2"])
def test_older_groups_are_read_as_the_present_ones(version: str) -> None:
    """The older API versions of ClusterGroup make the same object."""
    assert ClusterGroup.model_validate(changed(GROUP, "apiVersion", f"crd.antrea.io/{version}")) == (
        ClusterGroup.model_validate(GROUP)
    )


def paths_of(value: object, at: str = "") -> Iterator[str]:
    """Yield the path of every field of a document."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield f"{at}{key}"
        yield from paths_of(inner, f"{at}{key}.")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = [
    (sound, path) for sound in (POLICY, TIER, GROUP, NODE, SLICE, POD) for path in paths_of(sound) if path != "kind"
]


@given(st.lists(st.tuples(st.sampled_from(FIELDS), anything), min_size=1, max_size=3))
def test_whatever_stands_in_a_field_is_read_or_is_a_fault(
    some: list[tuple[tuple[dict[str, Any], str], object]],
) -> None:
    """No value of any field raises anything but faults, each of them one line of ASCII."""
    for (sound, path), value in some:
        for found in faults(changed(sound, path, value)):
            assert found.isascii()
            assert found.isprintable()
            assert len(found) < 1000


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
