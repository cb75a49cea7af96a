"""What all models share: frozen bases, the types of fields, metadata and label selectors."""

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from engine.errors import shown
from engine.faults import finding
from engine.selectors import Operator, Requirement, Selector, is_label_key, is_label_value, is_object_name

_UNUSED_METADATA = frozenset(
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation "
    "managedFields ownerReferences resourceVersion selfLink uid".split()
)

CRD_VERSION = "crd.antrea.io/v1beta1"
CrdVersion = Annotated[
    Literal["crd.antrea.io/v1beta1"],
    BeforeValidator(lambda v: CRD_VERSION if v == "crd.antrea.io/v1alpha1" else v),
]

Status = Annotated[None, BeforeValidator(lambda _: None), Field(exclude=True)]
"""What the cluster reports of an object: read over."""


class Model(BaseModel):
    """A frozen model with Kubernetes' camelCase names that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Observed(BaseModel):
    """A frozen part of an object that Kubernetes owns: other fields are none of nodewall's business."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


def refuse_unsupported(value: object) -> None:
    """Raise a finding unless the field is absent or false."""
    if value is not None and value is not False:
        raise finding("not supported yet for Nodes", "a policy without it")


def _object_name(text: str) -> str:
    if not is_object_name(text):
        raise finding(f"found {shown(text)}", "a DNS subdomain: lower-case letters, digits, '-' and '.'")
    return text


def _label_key(text: str) -> str:
    if not is_label_key(text):
        raise finding(f"found {shown(text)}", "a label key such as 'app' or 'example.com/app'")
    return text


def _label_value(text: str) -> str:
    if not is_label_value(text):
        raise finding(f"found {shown(text)}", "a label value: up to 63 letters, digits, '-', '_' and '.'")
    return text


def _network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError as error:
        # The library says whether it is the address, the length or the host bits.
        raise finding(f"found {shown(text)} ({error})", "a CIDR such as 10.0.0.0/24 or 2001:db8::/64") from None
    if "/" not in text:
        raise finding(f"found {shown(text)}", f"a CIDR: {network}")
    return str(network)


Unsupported = Annotated[None, BeforeValidator(refuse_unsupported)]
Text = Annotated[str, Field(strict=True)]
ObjectName = Annotated[Text, AfterValidator(_object_name)]
LabelKey = Annotated[Text, AfterValidator(_label_key)]
LabelValue = Annotated[Text, AfterValidator(_label_value)]
Cidr = Annotated[Text, AfterValidator(_network)]


class Metadata(Model):
    """The object's name and labels; what else Kubernetes keeps there is dropped."""

    name: ObjectName
    labels: dict[LabelKey, LabelValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_unused(cls, value: object) -> object:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if key not in _UNUSED_METADATA}
        return value


class Expression(Model):
    """One requirement of a label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[LabelValue, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> "Expression":
        wants_values = self.operator in {"In", "NotIn"}
        if wants_values and not self.values:
            raise finding(f"{self.operator} without values", "at least one value")
        if self.values and not wants_values:
            raise finding(f"{self.operator} with values", "no values")
        return self


class LabelSelector(Model):
    """A Kubernetes label selector; empty selects everything."""

    match_labels: dict[LabelKey, LabelValue] = {}
    match_expressions: tuple[Expression, ...] = ()

    def selector(self) -> Selector:
        """Return it as requirements, in an order that does not depend on how it was written."""
        labels = [Requirement(k, Operator.IN, (v,)) for k, v in self.match_labels.items()]
        others = [Requirement(e.key, Operator(e.operator), tuple(sorted(e.values))) for e in self.match_expressions]
        return Selector(tuple(sorted({*labels, *others})))
