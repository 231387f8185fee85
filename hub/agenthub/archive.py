"""The archive: finding threads and runs, and what may be done with those that rest.

Nothing here is on a run's way. Searches are bounded by their page; copies and deletions take the
thread's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeAlias, cast
from uuid import UUID

from agenthub.json import Json, JsonObject
from agenthub.runs import Run, RunStatus
from agenthub.threads import Thread, ThreadStatus

ThreadOrder: TypeAlias = Literal[
    "thread_id", "status", "created_at", "updated_at", "state_updated_at"
]
Expiry: TypeAlias = Literal["delete", "keep_latest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadQuery:
    """A search for threads. `metadata` and `values` must be contained in theirs."""

    ids: Sequence[UUID] | None = None
    metadata: JsonObject | None = None
    values: JsonObject | None = None
    status: ThreadStatus | None = None
    agent: str | None = None
    sort_by: ThreadOrder = "created_at"
    descending: bool = True
    limit: int = 10
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """A search for runs across threads, newest first. State updates are no runs of anybody's."""

    thread_id: UUID | None = None
    run_ids: Sequence[UUID] | None = None
    agent: str | None = None
    assistant_id: UUID | None = None
    status: Sequence[RunStatus] = ()
    metadata: JsonObject | None = None
    limit: int = 10
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ThreadTtl:
    """When an idle thread goes: `after` its last change, at the earliest at `expires_at`."""

    strategy: Expiry
    after: timedelta
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a thread's checkpoints take, in bytes and rows; `by_channel` maps to bytes."""

    checkpoints: int = 0
    checkpoint_bytes: int = 0
    values: int = 0
    value_bytes: int = 0
    by_channel: dict[str, int] = field(default_factory=dict[str, int])
    writes: int = 0
    write_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.checkpoint_bytes + self.value_bytes + self.write_bytes


class Archive(Protocol):
    """Threads and runs at rest."""

    async def threads(self, tenant: str, query: ThreadQuery) -> Sequence[Thread]:
        """Raises `Invalid` when `values` leave too many threads to look through."""
        ...

    async def count_threads(self, tenant: str, query: ThreadQuery) -> int: ...
    async def runs(self, tenant: str, query: RunQuery) -> Sequence[Run]: ...
    async def count_runs(self, tenant: str, query: RunQuery) -> int: ...

    async def threads_of(
        self, tenant: str, assistant_id: UUID, *, limit: int = 1000
    ) -> Sequence[UUID]:
        """The threads that an assistant's runs were made on."""
        ...

    async def copy_thread(self, tenant: str, source: UUID, target: UUID) -> Thread | None:
        """Copy a thread with its checkpoints as they stand, also from under a running run. None:
        there is no such thread. Open questions may be answered on either, each for itself."""
        ...

    async def delete_run(self, tenant: str, run_id: UUID) -> bool:
        """Remove a run and its checkpoints. Raises `Conflict` while a run of its thread is open, or while
        it asks a question. Checkpoints that a later delta channel is rebuilt from stay."""
        ...

    async def set_ttl(self, tenant: str, thread_id: UUID, ttl: ThreadTtl) -> ThreadTtl | None:
        """None: there is no such thread."""
        ...

    async def ttl(self, tenant: str, thread_id: UUID) -> ThreadTtl | None: ...
    async def stored(self, tenant: str, thread_id: UUID) -> Stored: ...


def contains(value: Json, wanted: Json) -> bool:
    """Whether `wanted` is contained in `value`, as Postgres' `@>` has it."""
    if isinstance(wanted, dict):
        fields = cast("JsonObject", wanted)
        return isinstance(value, dict) and all(
            k in value and contains(value[k], v) for k, v in fields.items()
        )
    if isinstance(wanted, list):
        held = cast("list[Json]", value) if isinstance(value, list) else []
        return isinstance(value, list) and all(
            any(contains(one, asked) for one in held) for asked in cast("list[Json]", wanted)
        )
    return bool(value == wanted)
