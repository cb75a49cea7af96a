"""Base classes and field types of all objects: names, labels, CIDRs, metadata and label selectors.

`DeclaredModel` (objects that users write) refuses unknown fields; `ObservedModel` (objects that Kubernetes owns)
ignores them. `CrossFieldModel` adds checks across fields and reports them together with the faults of single fields.
Field names are Kubernetes' camelCase. Source: Kubernetes API conventions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import islice
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from engine.errors import FieldPath, safe_text
from engine.objects.selectors import Operator, Requirement, Selector, is_label_key, is_label_value, is_object_name
from engine.validation_errors import OWN_FINDING, validation_error

UNUSED_METADATA = frozenset(
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation "
    "managedFields ownerReferences resourceVersion selfLink uid".split()
)
"""Metadata fields that are ignored, whatever they hold."""

CRD_VERSION = "crd.antrea.io/v1beta1"
CrdVersion = Annotated[
    Literal["crd.antrea.io/v1beta1"],
    BeforeValidator(lambda v: CRD_VERSION if v == "crd.antrea.io/v1alpha1" else v),
]

_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_MAPPED = IPv6Network("::ffff:0:0/96")

MAX_FINDINGS = 500
"""Maximum number of faults reported per model. An object of a megabyte may have hundreds of thousands."""

Status = Annotated[None, BeforeValidator(lambda _: None), Field(exclude=True)]
"""The status that the cluster reports of an object: ignored."""


class _Frozen(BaseModel):
    """Immutable model with camelCase field names; null counts as absent, as in the API server."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if not isinstance(value, dict) or None not in value.values():
            return value
        known = {name for key, field in cls.model_fields.items() for name in (key, field.alias)}
        return {key: item for key, item in value.items() if item is not None or key not in known}


class DeclaredModel(_Frozen):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid")


class ObservedModel(_Frozen):
    """A frozen model of a Kubernetes object that ignores other fields."""

    model_config = ConfigDict(extra="ignore")


def refuse_unsupported(value: object) -> None:
    """Raise a finding unless the field is absent, empty or false."""
    if value is not None and value is not False and value != []:
        raise validation_error("not supported yet for Nodes", "a policy without it")


def _object_name(text: str) -> str:
    if not is_object_name(text):
        raise validation_error(f"found {safe_text(text)}", "a DNS subdomain: lower-case letters, digits, '-' and '.'")
    return text


def _label_key(text: str) -> str:
    if not is_label_key(text):
        raise validation_error(f"found {safe_text(text)}", "a label key such as 'app' or 'example.com/app'")
    return text


def _label_value(text: str) -> str:
    if not is_label_value(text):
        raise validation_error(f"found {safe_text(text)}", "a label value: up to 63 letters, digits, '-', '_' and '.'")
    return text


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address in a text, or None; an address with a zone (``fe80::1%eth0``) gives None."""
    try:
        # The zone after the percent sign may hold any character, even a newline.
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def ip_text(text: str) -> str:
    """Return the canonical spelling of an IP address; raise a finding for any other text."""
    address = address_of(text)
    if address is None:
        raise validation_error(f"found {safe_text(text)}", "an IPv4 or IPv6 address")
    return str(address)


def _network(text: str) -> str:
    address, slash, length = text.partition("/")
    there = address_of(address)
    if there is None or (slash and not (_LENGTH.fullmatch(length) and int(length) <= there.max_prefixlen)):
        raise validation_error(f"found {safe_text(text)}", "a CIDR such as 10.0.0.0/24 or 2001:db8::/64")
    network = ip_network(text, strict=False)
    if not slash:
        raise validation_error(f"found {safe_text(text)}", f"a CIDR: {network}")
    if network.network_address != there:
        raise validation_error(f"found {safe_text(text)} ({text} has host bits set)", f"a CIDR without: {network}")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise validation_error(
            f"found {safe_text(text)}, IPv4 addresses in IPv6 form, which no packet bears", "the IPv4 network"
        )
    return str(network)


def _whole(value: object) -> object:
    # bool is a subclass of int in Python.
    if isinstance(value, bool) or not isinstance(value, int):
        raise validation_error(f"found {safe_text(value)}", "a whole number")
    return value


Unsupported = Annotated[None, BeforeValidator(refuse_unsupported)]
StrictText = Annotated[str, Field(strict=True)]
ObjectName = Annotated[StrictText, AfterValidator(_object_name)]
LabelKey = Annotated[StrictText, AfterValidator(_label_key)]
LabelValue = Annotated[StrictText, AfterValidator(_label_value)]
Cidr = Annotated[StrictText, AfterValidator(_network)]
Byte = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=255)]
RawFields = Mapping[str, object]
"""A decoded document before validation."""
ValidationFinding = tuple[FieldPath, PydanticCustomError]
"""An error and its location below the model that reports it."""


class CrossFieldModel(_Frozen):
    """A model with checks across fields, which run even if single fields are invalid."""

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield faults across the fields of a raw document; any field may be missing or of any type."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _judge_all(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        found = list(islice(cls.across(value), MAX_FINDINGS)) if isinstance(value, dict) else []
        details = [InitErrorDetails(type=error, loc=location, input=None) for location, error in found]
        try:
            made = handler(value)
        except ValidationError as error:
            details = [*_first(error), *details]
        else:
            if not details:
                return made
        raise ValidationError.from_exception_data(cls.__name__, details)


class CheckedModel(CrossFieldModel, DeclaredModel):
    """A model with checks across fields that refuses unknown fields."""


def _first(error: ValidationError) -> Iterator[InitErrorDetails]:
    """Yield the first faults of a nested model, and a note if there are too many."""
    yield from (_again(detail) for detail in error.errors(include_url=False)[:MAX_FINDINGS])
    if error.error_count() > MAX_FINDINGS:
        more = validation_error(f"more than {MAX_FINDINGS} faults", "the faults before it mended")
        yield InitErrorDetails(type=more, loc=(), input=None)


def _again(detail: ErrorDetails) -> InitErrorDetails:
    kind, context = detail["type"], detail.get("ctx", {})
    own = kind == OWN_FINDING
    error = validation_error(str(context["problem"]), str(context["expected"])) if own else kind
    return InitErrorDetails(type=error, loc=detail["loc"], input=detail["input"], ctx=context)


def entries(given: RawFields, field: str) -> Iterator[tuple[int, RawFields]]:
    """Yield the mappings in the list ``field`` with their indices; anything else is skipped."""
    value = given.get(field)
    for index, item in enumerate(value) if isinstance(value, list | tuple) else ():
        if isinstance(item, dict):
            yield index, item


def given_criteria(given: RawFields, together: Sequence[str], alone: Sequence[str]) -> list[str]:
    """Return the criteria that are set; those in ``together`` count as one."""
    joined = [name for name in together if given.get(name) not in (None, [], ())]
    single = [name for name in alone if given.get(name) not in (None, [], ())]
    return [*((" and ".join(joined),) if joined else ()), *single]


class Metadata(DeclaredModel):
    """Name and labels of an object; other metadata is dropped."""

    name: ObjectName
    labels: dict[LabelKey, LabelValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_unused(cls, value: object) -> object:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if key not in UNUSED_METADATA}
        return value


class MatchExpression(CheckedModel):
    """One requirement of a label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[LabelValue, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for an operator with too few or too many values."""
        operator, values = given.get("operator"), given.get("values")
        if operator in _OF_VALUES and not values:
            yield (), validation_error(f"{operator} without values", "at least one value")
        if operator in _OF_EXISTENCE and values:
            yield (), validation_error(f"{operator} with values", "no values")


_OF_VALUES = ("In", "NotIn")
_OF_EXISTENCE = ("Exists", "DoesNotExist")


class LabelSelector(DeclaredModel):
    """A Kubernetes label selector; empty selects everything."""

    match_labels: dict[LabelKey, LabelValue] = {}
    match_expressions: tuple[MatchExpression, ...] = ()

    def selector(self) -> Selector:
        """Return the requirements in a canonical order, independent of the order in the manifest."""
        labels = [Requirement(k, Operator.IN, (v,)) for k, v in self.match_labels.items()]
        others = [Requirement(e.key, Operator(e.operator), tuple(sorted(e.values))) for e in self.match_expressions]
        return Selector(tuple(sorted({*labels, *others})))
