"""Tier model: a named priority level that policies belong to, and the reserved tiers.

Lower priorities are evaluated first. Reserved tiers exist in every cluster. Source: Antrea's ``crd.antrea.io/v1beta1``
Tier.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.objects.base import CrdVersion, DeclaredModel, Metadata, Status, StrictText
from engine.validation_errors import validation_error

RESERVED_TIERS = {
    "emergency": 50,
    "securityops": 100,
    "networkops": 150,
    "platform": 200,
    "application": 250,
    "baseline": 253,
}
"""Tiers that exist in every cluster, with their priorities; lower is evaluated first."""

DEFAULT_TIER = "application"

BASELINE_TIER = "baseline"
"""The tier that is evaluated last; packets with action Pass go to it directly."""


def tier_name(value: object) -> object:
    """Return the current name of a reserved tier in an older spelling; anything else unchanged."""
    # Older Antrea policies write SecurityOps for securityops.
    legacy = isinstance(value, str) and value.casefold() in RESERVED_TIERS
    return str(value).casefold() if legacy else value


def _tier_priority(value: int) -> int:
    if value in {251, 252, 254, 255}:
        raise validation_error(
            f"found {value}", "a priority other than 251, 252, 254 and 255, which are kept by the system"
        )
    return value


class TierSpec(DeclaredModel):
    """A tier's rank: lower is evaluated first."""

    priority: Annotated[int, Field(strict=True, ge=0, le=255), AfterValidator(_tier_priority)]
    description: StrictText = ""


class Tier(DeclaredModel):
    """A priority level that policies name."""

    api_version: CrdVersion
    kind: Literal["Tier"]
    metadata: Metadata
    spec: TierSpec
    status: Status = None
