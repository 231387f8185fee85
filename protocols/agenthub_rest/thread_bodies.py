"""Request bodies of threads, their state and their history (agent-server.md §1.2)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import Field, field_validator

from agenthub.archive import Expiry, ThreadOrder
from agenthub.json import Json, JsonObject
from agenthub.threads import StateUpdate, ThreadStatus
from agenthub_rest.bodies import Body, Checkpoint, Goto, Id, Limit, Offset, Order
from agenthub_rest.extract import Path

MOST_PATHS = 10
MOST_MINUTES = 10 * 366 * 24 * 60


class Ttl(Body):
    """When an idle thread goes, in minutes after its last change."""

    strategy: Expiry = "delete"
    ttl: float = Field(gt=0, le=MOST_MINUTES)


class UpdateCommand(Body):
    """What a command may do without a run: there is nothing to resume."""

    update: JsonObject | list[tuple[str, Json]] | None = None
    goto: Goto | None = None
    resume: None = None


class Update(Body):
    """One write of a superstep."""

    values: Json = None
    command: UpdateCommand | None = None
    as_node: Id | None = None

    def update(self) -> StateUpdate:
        """As the hub takes it."""
        command = None if self.command is None else self.command.model_dump(exclude={"resume"})
        return StateUpdate(self.values, self.as_node, command)


class Superstep(Body):
    """Writes that make one checkpoint together."""

    updates: list[Update] = Field(min_length=1)


class ThreadCreate(Body):
    thread_id: Id | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    if_exists: Literal["raise", "do_nothing"] = "raise"
    ttl: Ttl | None = None
    supersteps: list[Superstep] = Field(default_factory=list[Superstep], max_length=1000)


class ThreadPatch(Body):
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    ttl: Ttl | None = None


class ThreadCount(Body):
    metadata: JsonObject | None = None
    values: JsonObject | None = None
    status: ThreadStatus | None = None


ThreadField = Literal[
    "thread_id", "created_at", "updated_at", "state_updated_at", "metadata", "config", "status",
    "values", "interrupts", "error",
]  # fmt: skip


class ThreadSearch(ThreadCount):
    ids: list[Id] | None = Field(default=None, max_length=1000)
    limit: Limit = 10
    offset: Offset = 0
    sort_by: ThreadOrder = "created_at"
    sort_order: Order = "desc"
    select: list[ThreadField] | None = None
    extract: Annotated[dict[str, Path], Field(max_length=MOST_PATHS)] | None = None


class ThreadPrune(Body):
    thread_ids: list[Id] = Field(max_length=1000)
    strategy: Expiry = "delete"


class StateAt(Body):
    checkpoint: Checkpoint
    subgraphs: bool = False


class StateWrite(Body):
    """A state update; without a checkpoint it is made at the latest."""

    values: JsonObject | list[Any] | None = None
    as_node: Id | None = None
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)
    checkpoint_id: Id | None = None


class History(Body):
    limit: Limit = 10
    before: Id | None = None
    metadata: JsonObject | None = None
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)

    @field_validator("before", mode="before")
    @classmethod
    def _inside(cls, value: Any) -> Any:
        """A checkpoint id, or the config or checkpoint that holds one."""
        if not isinstance(value, dict):
            return value
        config = cast("JsonObject", value)
        inner = config.get("configurable", config)
        return cast("JsonObject", inner).get("checkpoint_id") if isinstance(inner, dict) else inner
