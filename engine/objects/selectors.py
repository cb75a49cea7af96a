"""Kubernetes label selectors: requirements, matching, and the syntax of label keys, label values and object names.

`Selector` holds `Requirement` values and matches a mapping of labels. It is hashable, so equal selectors share cached
results.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ .
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")


class Operator(StrEnum):
    """Comparison operator of a requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One condition on the label ``key``; ``values`` is empty for Exists and DoesNotExist."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels satisfy the requirement; an absent label satisfies NotIn, as in Kubernetes."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True, order=True)
class Selector:
    """A conjunction of requirements; an empty one selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels satisfy every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def is_label_key(text: str) -> bool:
    """Return whether the text is a label key: a name of up to 63 characters, with an optional DNS prefix."""
    prefix, slash, name = text.rpartition("/")
    if slash and not (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix)):
        return False
    return _NAME.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """Return whether the text is a label value: empty, or up to 63 characters of the same kind as a name."""
    return not text or _NAME.fullmatch(text) is not None


def is_object_name(text: str) -> bool:
    """Return whether the text may name a cluster-scoped object (a DNS subdomain of up to 253 characters)."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None
