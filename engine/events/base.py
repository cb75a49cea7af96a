"""What every event's body is, whatever it says."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class BaseEventBody(BaseModel):
    """What one event says."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    version: Literal[1] = 1
