"""Request bodies of crons. `misfire`, `overlap` and `jitter` are ours, the rest is the Agent Server's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, model_validator

from agenthub.crons import CronOrder, Misfire, OnCompleted, Overlap
from agenthub.json import JsonObject
from agenthub_rest.bodies import Body, Id, Limit, Offset, Order, RunCreate, plain

CRON_ONLY = frozenset(
    {"schedule", "timezone", "end_time", "enabled", "on_run_completed", "misfire", "overlap"}
    | {"jitter", "clear_end_time"}
)
LONGEST_JITTER_SECONDS = 86400


def _aware(at: datetime) -> datetime:
    """An instant; without an offset it is UTC, as the SDK's users write it.

    Raises:
        ValueError: it is in no year that UTC has.
    """
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    try:
        aware.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 of UTC") from None
    return aware


Text = Annotated[str, Field(max_length=255), AfterValidator(plain)]
Instant = Annotated[datetime, AfterValidator(_aware)]
Jitter = Annotated[float, Field(ge=0, le=LONGEST_JITTER_SECONDS)]


class CronCreate(RunCreate):
    """When, and everything that a run creation has. `jitter` is seconds."""

    unsupported = ("command",)

    schedule: Text
    timezone: Text | None = None
    end_time: Instant | None = None
    enabled: bool = True
    on_run_completed: OnCompleted = "delete"
    misfire: Misfire = "last"
    overlap: Overlap = "allow"
    jitter: Jitter = 0

    @model_validator(mode="after")
    def _strategy(self) -> CronCreate:
        if self.multitask_strategy == "fork":
            raise ValueError("multitask_strategy 'fork' is for single runs: leave thread_id out")
        return self


class CronPatch(Body):
    """What is to be different; a null `end_time` takes the end away. Checked with the rest of the
    cron as a `CronCreate`."""

    schedule: Text | None = None
    timezone: Text | None = None
    end_time: Instant | None = None
    clear_end_time: bool = False
    enabled: bool | None = None
    on_run_completed: OnCompleted | None = None
    misfire: Misfire | None = None
    overlap: Overlap | None = None
    jitter: Jitter | None = None
    assistant_id: Id | None = None
    input: Any = None
    metadata: JsonObject | None = None
    config: JsonObject | None = None
    context: JsonObject | None = None
    webhook: Any = None
    interrupt_before: Any = None
    interrupt_after: Any = None
    multitask_strategy: Any = None
    stream_mode: Any = None
    stream_subgraphs: Any = None
    stream_resumable: Any = None
    durability: Any = None
    timeout: Any = None
    priority: Any = None

    @model_validator(mode="before")
    @classmethod
    def _null_end(cls, value: Any) -> Any:
        # all other nulls are absent fields
        if not isinstance(value, dict):
            return value
        fields = cast("JsonObject", value)
        cleared = "end_time" in fields and fields["end_time"] is None
        return {**fields, "clear_end_time": cleared}


class CronCount(Body):
    assistant_id: Id | None = None
    thread_id: Id | None = None
    enabled: bool | None = None
    metadata: JsonObject | None = None


CronField = Literal[
    "cron_id", "assistant_id", "thread_id", "on_run_completed", "end_time", "schedule", "timezone",
    "created_at", "updated_at", "user_id", "payload", "next_run_date", "metadata", "enabled",
    "misfire", "overlap", "jitter",
]  # fmt: skip


class CronSearch(CronCount):
    limit: Limit = 10
    offset: Offset = 0
    sort_by: CronOrder = "created_at"
    sort_order: Order = "desc"
    select: list[CronField] | None = None
