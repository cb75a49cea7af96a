"""Builds the CustomResourceDefinitions of the kinds that nodewall uses: Antrea's, which it reads, and its own.

Input: the pydantic models of the kinds. Output: documents for ``nodewall crds``. The API server keeps unknown fields
instead of dropping them, so that nodewall can refuse them. Where Antrea is installed, only nodewall's own definitions
are needed.

Sources: Antrea's CustomResourceDefinitions for names; structural schemas in
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from adapters.kubernetes.api.resources import CRD_GROUP, OWN_GROUP
from adapters.kubernetes.nodefirewall import NodeFirewall, StatusCondition
from engine.objects import ClusterGroup, ClusterNetworkPolicy, Tier

Schema = dict[str, object]

_KEPT = ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "description")
"""Keywords of pydantic's JSON schema that a structural schema keeps."""


@dataclass(frozen=True, slots=True)
class _Definition:
    """CustomResourceDefinition of a model: its names, and the columns that kubectl shows."""

    model: type[BaseModel]
    plural: str
    singular: str
    short: str
    older: tuple[str, ...]
    """Versions before v1beta1; the fields in use are the same."""
    columns: tuple[tuple[str, str, str], ...]
    group: str = CRD_GROUP
    version: str = "v1beta1"
    status: Schema | None = None
    """Schema of the status, for a model without status."""

    def document(self) -> Schema:
        """Return the CustomResourceDefinition as a document."""
        kind = self.model.__name__
        names = {"kind": kind, "plural": self.plural, "singular": self.singular, "shortNames": [self.short]}
        columns = [{"name": name, "type": type_, "jsonPath": path} for name, type_, path in (*self.columns, _AGE)]
        version: Schema = {
            "served": True,
            "schema": {"openAPIV3Schema": self._schema()},
            "additionalPrinterColumns": columns,
            **({"subresources": {"status": {}}} if "status" in self._fields() else {}),
        }
        names_of = (self.version, *self.older)
        versions = [{"name": name, "storage": name == names_of[0], **version} for name in names_of]
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{self.group}"},
            "spec": {"group": self.group, "scope": "Cluster", "names": names, "versions": versions},
        }

    def _schema(self) -> Schema:
        fields = self._fields()
        required = {"required": ["spec"]} if "spec" in fields else {}
        return {"type": "object", **required, "properties": fields}

    def _fields(self) -> Schema:
        whole = self.model.model_json_schema(by_alias=True)
        found = _structural(whole, whole.get("$defs", {}))["properties"]
        own = found if isinstance(found, dict) else {}
        fields: Schema = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
        fields |= {name: own[name] for name in ("spec", "status") if name in own}
        return fields | ({"status": self.status} if self.status else {})


def _structural(schema: Mapping[str, object], known: Mapping[str, object]) -> Schema:
    """Convert a pydantic schema into a structural schema: references resolved, null and defaults removed."""
    schema = _resolved(schema, known)
    found: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if isinstance(schema.get("const"), str):
        found |= {"type": "string", "enum": [schema["const"]]}
    properties = schema.get("properties")
    if isinstance(properties, dict):
        fields = {name: _structural(field, known) for name, field in properties.items() if not _is_null(field)}
        found |= {"properties": fields, "x-kubernetes-preserve-unknown-fields": True}
        if required := [name for name in _texts(schema.get("required")) if name in fields]:
            found["required"] = required
    elif isinstance(values := schema.get("additionalProperties"), dict):
        found["additionalProperties"] = _structural(values, known)
    if isinstance(items := schema.get("items"), dict):
        found["items"] = _structural(items, known)
    return found


def _resolved(schema: Mapping[str, object], known: Mapping[str, object]) -> Mapping[str, object]:
    """Return the target of a reference, or the one alternative that is not null."""
    reference, several = schema.get("$ref"), schema.get("anyOf")
    if isinstance(reference, str):
        target = known[reference.rpartition("/")[2]]
        return _resolved(target, known) if isinstance(target, dict) else schema
    if isinstance(several, list):
        (one,) = (each for each in several if not _is_null(each))
        return _resolved(one, known)
    return schema


def _is_null(schema: object) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


_STATUS: Schema = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "phase": {"type": "string"},
        "observedGeneration": {"type": "integer", "format": "int64"},
        "currentNodesRealized": {"type": "integer"},
        "desiredNodesRealized": {"type": "integer"},
        "conditions": {"type": "array", "items": _structural(StatusCondition.model_json_schema(by_alias=True), {})},
    },
}

_AGE = ("Age", "date", ".metadata.creationTimestamp")

DEFINITIONS = (
    _Definition(Tier, "tiers", "tier", "tr", ("v1alpha1",), (("Priority", "integer", ".spec.priority"),)),
    _Definition(ClusterGroup, "clustergroups", "clustergroup", "cg", ("v1alpha3", "v1alpha2"), ()),
    _Definition(
        ClusterNetworkPolicy,
        "clusternetworkpolicies",
        "clusternetworkpolicy",
        "acnp",
        ("v1alpha1",),
        (
            ("Tier", "string", ".spec.tier"),
            ("Priority", "number", ".spec.priority"),
            ("Desired Nodes", "integer", ".status.desiredNodesRealized"),
            ("Current Nodes", "integer", ".status.currentNodesRealized"),
        ),
        status=_STATUS,
    ),
    _Definition(
        NodeFirewall,
        "nodefirewalls",
        "nodefirewall",
        "nwf",
        (),
        (
            ("Enforced", "string", '.status.conditions[?(@.type=="Enforced")].status'),
            ("Sequence", "integer", ".status.appliedSequence"),
            ("Rules", "integer", ".status.rules"),
            ("Members", "integer", ".status.members"),
        ),
        OWN_GROUP,
        "v1alpha1",
    ),
)


def crds(*, own: bool = False) -> list[Schema]:
    """Return the definitions as documents; with ``own``, only those of nodewall's kinds, without Antrea's."""
    return [each.document() for each in DEFINITIONS if not own or each.group == OWN_GROUP]
