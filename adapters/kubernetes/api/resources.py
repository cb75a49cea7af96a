"""Kinds of Kubernetes objects that nodewall reads: their API paths, and the conversion of JSON documents into models.

Input: a :class:`Resource` (a kind with its API versions) and a JSON document. Output: a model of :mod:`engine.objects`.
For a document that does not validate, an :class:`InvalidObject` with its faults, so that only this object is refused.

Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/ and Antrea's CustomResourceDefinitions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from engine.bounded_json import MAX_OBJECT_DEPTH, defect_of_object
from engine.errors import Fault, SourceLocation
from engine.objects import KINDS, NAMESPACED, ClusterObject
from engine.objects.base import UNUSED_METADATA
from engine.objects.selectors import is_object_name
from engine.state.admission import InvalidObject
from engine.validation_errors import faults_of, path_of

KubernetesObject = Mapping[str, object]
"""Object of the API server, as a JSON document."""


def mapping(value: object) -> KubernetesObject:
    """Return ``value`` if it is a mapping, else an empty mapping."""
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """Return ``value`` if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Resource:
    """Kind with its ``apiVersion`` in manifests, and the paths of its collection, newest API version first."""

    kind: str
    version: str
    paths: tuple[str, ...]

    @property
    def plural(self) -> str:
        """Plural name, as RBAC rules use it."""
        return self.paths[0].rpartition("/")[2]

    @property
    def group(self) -> str:
        """API group; empty for the core group."""
        return self.version.rpartition("/")[0]


CRD_GROUP = "crd.antrea.io"
_CRD = f"{CRD_GROUP}/v1beta1"

OWN_GROUP = "nodewall.io"
OWN_VERSION = f"{OWN_GROUP}/v1alpha1"

RESOURCES = (
    *(
        Resource(kind, _CRD, (f"/apis/{_CRD}/{plural}",))
        for kind, plural in (
            ("Tier", "tiers"),
            ("ClusterGroup", "clustergroups"),
            ("ClusterNetworkPolicy", "clusternetworkpolicies"),
        )
    ),
    *(
        Resource(kind, "v1", (f"/api/v1/{plural}",))
        for kind, plural in (("Node", "nodes"), ("Namespace", "namespaces"), ("Pod", "pods"), ("Service", "services"))
    ),
    # Servers before 1.21 have only v1beta1; the fields in use are the same.
    Resource(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        ("/apis/discovery.k8s.io/v1/endpointslices", "/apis/discovery.k8s.io/v1beta1/endpointslices"),
    ),
)
"""Every kind that rules can depend on."""

BY_KIND = {resource.kind: resource for resource in RESOURCES}

NODE_FIREWALLS = Resource("NodeFirewall", OWN_VERSION, (f"/apis/{OWN_VERSION}/nodefirewalls",))
"""Reports that agents write about their Nodes."""


def key_in(resource: Resource, document: KubernetesObject) -> str:
    """Return the key of an API object: ``NAMESPACE/NAME`` for namespaced kinds, else ``NAME``."""
    found = mapping(document.get("metadata"))
    name, namespace = text_of(found.get("name")), text_of(found.get("namespace"))
    return f"{namespace}/{name}" if resource.kind in NAMESPACED else name


def read(resource: Resource, document: KubernetesObject) -> ClusterObject | InvalidObject:
    """Convert an API object into its model; return an `InvalidObject` with the faults if it does not validate."""
    # Lists omit apiVersion and kind of their items, because these are the same for all items.
    whole = {**document, "apiVersion": resource.version, "kind": resource.kind}
    try:
        if fault := _defect(resource, document):
            return _faulty(resource, document, (fault,))
        return KINDS[resource.kind].model_validate(whole, by_alias=True, by_name=False)
    except ValidationError as error:
        return _faulty(resource, document, tuple(fault for _, fault in faults_of(error)))
    except RecursionError:
        # The limits above should make this unreachable. It is the last resort: an object that a limit misses is
        # refused like any other, instead of ending the watch loop that every other object depends on.
        return _faulty(resource, document, (Fault("", "nested too deep", f"at most {MAX_OBJECT_DEPTH} levels"),))


def _faulty(resource: Resource, document: KubernetesObject, faults: tuple[Fault, ...]) -> InvalidObject:
    key = key_in(resource, document)
    return InvalidObject(
        resource.kind, key if all(map(is_object_name, key.split("/"))) else "", faults, SourceLocation("the API")
    )


def _defect(resource: Resource, document: KubernetesObject) -> Fault | None:
    """Return a defect in the part of an object that operators declare, or None.

    Only Antrea's kinds are checked to the last field. Of Kubernetes' own kinds, nodewall reads a few fields, and all
    others may hold anything.
    """
    if resource.group != CRD_GROUP:
        return None
    metadata = {key: item for key, item in mapping(document.get("metadata")).items() if key not in UNUSED_METADATA}
    read_of = {**{key: item for key, item in document.items() if key != "status"}, "metadata": metadata}
    defect = defect_of_object(read_of)
    return Fault(path_of(defect.location), defect.problem, defect.expected) if defect else None
