"""ClusterGroup model: a named set of Nodes, Pods or addresses that policies refer to.

Checks: exactly one source of members, and no group as its own child. Source: Antrea's ``crd.antrea.io/v1beta1``
ClusterGroup.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from engine.errors import safe_text
from engine.objects.base import (
    CRD_VERSION,
    CheckedModel,
    DeclaredModel,
    LabelSelector,
    Metadata,
    ObjectName,
    RawFields,
    Status,
    Unsupported,
    ValidationFinding,
    given_criteria,
)
from engine.objects.ip_block import IPBlock
from engine.validation_errors import validation_error

GROUP_VERSIONS = ("crd.antrea.io/v1alpha2", "crd.antrea.io/v1alpha3")
"""Older versions of ClusterGroup; the fields that nodewall reads are the same."""

GroupVersion = Annotated[
    Literal["crd.antrea.io/v1beta1"], BeforeValidator(lambda v: CRD_VERSION if v in GROUP_VERSIONS else v)
]


class ServiceReference(DeclaredModel):
    """The Service whose endpoints are meant."""

    name: ObjectName
    namespace: ObjectName


class GroupSpec(CheckedModel):
    """The one source of a group's members; a parent has ``childGroups``, whose members are its own."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    node_selector: LabelSelector | None = None
    external_entity_selector: Unsupported = None
    ip_blocks: tuple[IPBlock, ...] = Field(default=(), alias="ipBlocks")
    child_groups: tuple[ObjectName, ...] = ()
    service_reference: ServiceReference | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault unless there is exactly one source of members."""
        pods = ("podSelector", "namespaceSelector")
        others = ("nodeSelector", "ipBlocks", "childGroups", "serviceReference")
        names = given_criteria(given, pods, others)
        if len(names) != 1:
            problem = f"found {' and '.join(names)} together" if names else "found no source of members"
            yield (
                (),
                validation_error(problem, f"one of podSelector with or without namespaceSelector, {', '.join(others)}"),
            )

    @property
    def selects_pods(self) -> bool:
        """Whether the members are Pods."""
        sources = (self.pod_selector, self.namespace_selector, self.service_reference)
        return any(source is not None for source in sources)


class ClusterGroup(CheckedModel):
    """A named set of members that policies refer to."""

    api_version: GroupVersion
    kind: Literal["ClusterGroup"]
    metadata: Metadata
    spec: GroupSpec
    status: Status = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for each child that is the group itself."""
        metadata, spec = given.get("metadata"), given.get("spec")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        children = spec.get("childGroups") if isinstance(spec, dict) else None
        for index, child in enumerate(children if isinstance(children, list | tuple) else ()):
            if isinstance(name, str) and child == name:
                yield (
                    ("spec", "childGroups", index),
                    validation_error(f"found {safe_text(child)}, the group itself", "other groups"),
                )
