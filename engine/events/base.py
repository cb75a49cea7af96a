"""Base class of all event bodies: an immutable pydantic model without extra fields, with a schema version.

Every body in :mod:`engine.events.types` and :mod:`engine.events.outcomes` derives from `BaseEventBody`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class BaseEventBody(BaseModel):
    """Payload of one event."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    version: Literal[1] = 1
