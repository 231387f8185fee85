"""Push configs: who is told, by a call to the outside, of the states that a task comes to.

A state is told by a delivery, written in the statement that commits it, and told in order for each config
of a task. What a delivery says is the protocol's business, which made the config and reads it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from agenthub.json import Json, JsonObject

TaskNews: TypeAlias = Literal["task.working", "task.ended", "task.canceled"]
"""Kinds of deliveries: a run of the task was created; it ended, which says how the task stands; the task
was cancelled though no run of it was."""

MOST_CONFIGS: Final = 16
"""Of one task."""
LONGEST_ID: Final = 128
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushConfig:
    """Where to call; `notes` is the protocol's own, opaque here."""

    config_id: str
    url: str
    host: str
    notes: JsonObject = field(default_factory=dict[str, Json])

    def to_json(self) -> JsonObject:
        """As stored under its id."""
        return {"url": self.url, "host": self.host, "notes": self.notes}


class PushConfigs(Protocol):
    """The configs of tasks."""

    async def put(self, tenant: str, task_id: UUID, config: PushConfig) -> bool:
        """Add one, or replace the one with its id. False: there is no such task.

        Raises:
            Conflict: the task has `MOST_CONFIGS` already.
        """
        ...

    async def list(self, tenant: str, task_id: UUID) -> Sequence[PushConfig]:
        """By id; none for an unknown task."""
        ...

    async def delete(self, tenant: str, task_id: UUID, config_id: str) -> None:
        """Remove one, with what it has not been told yet."""
        ...


def order_key(task_id: UUID, config_id: str) -> str:
    """What the deliveries of one config have in common."""
    return f"{task_id}:{config_id}"


def read_order_key(key: str) -> tuple[UUID, str]:
    """The task and the config of a delivery."""
    task_id, _, config_id = key.partition(":")
    return UUID(task_id), config_id
