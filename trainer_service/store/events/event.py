"""What all events have in common."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field


class BaseEvent(BaseModel):
    """An event; the log assigns the ids, from 1 without gaps."""

    id: int = 0
    type: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class EndEvent(BaseEvent):
    """How a training or a comparison ended; always the last event."""
