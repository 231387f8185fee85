"""What the routes answer with, as models: for the description at `/openapi.json` and for its test.

Answers are rendered by `render`, which is quicker; a test holds the two together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from agenthub.runs import RunStatus
from agenthub.threads import ThreadStatus


class Answer(BaseModel):
    """What all have in common: later versions add fields."""

    model_config = ConfigDict(extra="allow")


class Problem(Answer):
    """A refusal: one sentence, and a code that stays the same."""

    detail: str
    code: str


class InterruptAnswer(Answer):
    """An open question."""

    id: str
    value: Any
    response_schema: dict[str, Any] | None


class AssistantAnswer(Answer):
    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    config: dict[str, Any]
    context: dict[str, Any]
    metadata: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime


class SchemasAnswer(Answer):
    graph_id: str
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    state_schema: dict[str, Any] | None
    config_schema: dict[str, Any] | None
    context_schema: dict[str, Any] | None


class ThreadAnswer(Answer):
    """Searches with `select` show fewer fields, with `extract` also `extracted`."""

    thread_id: UUID
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime
    metadata: dict[str, Any]
    status: ThreadStatus
    config: dict[str, Any]
    values: Any
    error: dict[str, Any] | None
    interrupts: dict[str, list[InterruptAnswer]]


class CheckpointAnswer(Answer):
    thread_id: UUID
    checkpoint_ns: str
    checkpoint_id: str | None


class StepAnswer(Answer):
    """A node that is next, or that paused or failed; `state` is its subgraph's."""

    id: str
    name: str
    path: list[Any]
    error: str | None
    interrupts: list[InterruptAnswer]
    checkpoint: CheckpointAnswer | None
    state: dict[str, Any] | None
    result: Any


class StateAnswer(Answer):
    values: Any
    next: list[str]
    tasks: list[StepAnswer]
    metadata: dict[str, Any]
    created_at: datetime | None
    checkpoint: CheckpointAnswer
    parent_checkpoint: CheckpointAnswer | None
    checkpoint_id: str | None
    parent_checkpoint_id: str | None
    interrupts: list[InterruptAnswer]


class StateWriteAnswer(Answer):
    checkpoint: CheckpointAnswer
    configurable: CheckpointAnswer
    checkpoint_id: str | None


class RunAnswer(Answer):
    """A run, with what came of it."""

    run_id: UUID
    thread_id: UUID
    assistant_id: str
    assistant_version: int
    created_at: datetime
    updated_at: datetime
    status: RunStatus
    metadata: dict[str, Any]
    kwargs: dict[str, Any]
    multitask_strategy: Literal["reject", "enqueue", "interrupt", "rollback"]
    task_id: UUID = Field(description="The first run of the chain: an answer is a run of its own.")
    attempts: int
    output: Any
    error: dict[str, Any] | None
    interrupts: list[InterruptAnswer]
    usage: dict[str, Any] | None
    started_at: datetime | None
    ended_at: datetime | None


class StorageAnswer(Answer):
    """Sizes in bytes."""

    thread_id: UUID
    total_bytes: int
    checkpoints: dict[str, Any]
    channel_values: dict[str, Any]
    pending_writes: dict[str, Any]


class PrunedAnswer(Answer):
    pruned_count: int


class ItemAnswer(Answer):
    namespace: list[str]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    version: int


class FoundItemAnswer(ItemAnswer):
    score: float | None


class FoundItemsAnswer(Answer):
    items: list[FoundItemAnswer]


class NamespacesAnswer(Answer):
    namespaces: list[list[str]]
