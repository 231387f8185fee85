"""Ports: what the core needs from the outside, as Protocols.

Storage and wake-ups implement these; the service, the streams and the worker are written against them
alone. The contract that matters: a write through `LeaseWriter` is refused as a whole when the lease is
no longer held, and everything it reports as done is committed.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from agenthub.agents import AgentInfo
from agenthub.events import Event
from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject
from agenthub.pushes import PushConfig
from agenthub.runs import (
    CancelAction,
    Multitask,
    Run,
    RunKind,
    RunRequest,
    RunStatus,
    Task,
    TaskStatus,
)
from agenthub.threads import StepView, Thread

# --- creating and reading runs ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """Everything that the create transition decides on, in one value.

    `make_thread`: insert the thread when it does not exist; `new_thread`: its id was made for this very
    input, so that it does not. `open_task`: what a new input does to a
    task of the thread that waits for an answer. `answers` of a resume must name open interrupts.
    `any_agent`: a new input may go on where another agent has worked. `asked_by`: the answers are for what
    this run asked, and for nothing that came after it under the same ids.
    """

    tenant: str
    run_id: UUID
    thread_id: UUID
    agent: str
    kind: RunKind
    request: RunRequest
    subject: str = "anonymous"
    metadata: JsonObject = field(default_factory=dict[str, Json])
    thread_metadata: JsonObject = field(default_factory=dict[str, Json])
    origin: JsonObject = field(default_factory=dict[str, Json])
    multitask: Multitask = "enqueue"
    make_thread: bool = False
    new_thread: bool = False
    ephemeral: bool = False
    open_task: Literal["supersede", "refuse"] = "supersede"
    delay: timedelta = timedelta()
    priority: int = 0
    idempotency_key: str | None = None
    request_hash: str = ""
    push: PushConfig | None = None
    any_agent: bool = False
    asked_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What a cancellation came to: `ended` at once, or asked of the worker that runs it."""

    run: Run
    ended: bool
    worker_id: str | None = None


class RunStore(Protocol):
    """Runs and tasks, as the service sees them."""

    async def create(self, new: NewRun) -> Run:
        """Insert a run, decide its place in line, and mark the thread busy, in one transaction.

        Raises:
            NotFound: the thread does not exist and is not to be made.
            Conflict: `reject` and a run is open; a waiting task and `open_task="refuse"`; the
                thread belongs to another agent; the idempotency key was used for something else.
            UnknownInterrupt: an answer names a question that is not open.
        """
        ...

    async def replayed(self, tenant: str, key: str, request_hash: str) -> Run | None:
        """The run that an idempotency key made. Raises `KeyReused`, or `NotFound` if it is gone."""
        ...

    async def executing(self, tenant: str, thread_id: UUID) -> str | None:
        """The worker that executes a run of the thread now, if one does."""
        ...

    async def get(self, tenant: str, run_id: UUID) -> Run | None: ...

    async def list(
        self,
        tenant: str,
        thread_id: UUID,
        *,
        status: RunStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Run]:
        """Newest first."""
        ...

    async def cancel(
        self, tenant: str, run_id: UUID, action: CancelAction, *, reason: str
    ) -> Cancelled | None:
        """End a pending run in place, or ask the worker of a running one. None: not open."""
        ...

    async def task(self, tenant: str, task_id: UUID) -> Task | None: ...

    async def tasks(
        self,
        tenant: str,
        *,
        agent: str | None = None,
        subject: str | None = None,
        thread_id: UUID | None = None,
        status: Sequence[TaskStatus] = (),
        updated_since: datetime | None = None,
        before: tuple[datetime, UUID] | None = None,
        limit: int = 50,
    ) -> tuple[Sequence[Task], int]:
        """Latest change first, from `before` (exclusive) on; with the count of all that match."""
        ...

    async def close_task(
        self, tenant: str, task_id: UUID, *, reason: str, asked_by: UUID | None = None
    ) -> bool:
        """Cancel a task that waits for an answer, to this run's questions if one is named. False: it does
        not wait for any."""
        ...


class ThreadStore(Protocol):
    """Threads, as the service sees them."""

    async def create(
        self,
        tenant: str,
        thread_id: UUID,
        *,
        subject: str,
        metadata: JsonObject,
        agent: str | None = None,
        exists_ok: bool = False,
        fresh: bool = False,
    ) -> Thread:
        """`fresh`: the id was made for this thread, and nobody else can have it.

        Raises `Conflict` when it exists and that is not welcome.
        """
        ...

    async def get(self, tenant: str, thread_id: UUID) -> Thread | None: ...

    async def search(
        self,
        tenant: str,
        *,
        metadata: JsonObject | None = None,
        status: str | None = None,
        agent: str | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Thread]: ...

    async def update(self, tenant: str, thread_id: UUID, *, metadata: JsonObject) -> Thread | None:
        """Merge metadata, shallowly."""
        ...

    async def delete(self, tenant: str, thread_id: UUID) -> bool:
        """Remove it with everything on it. Raises `Conflict` while a run is running."""
        ...


class EventLog(Protocol):
    """The durable log of a task's events."""

    async def read(
        self,
        tenant: str,
        task_id: UUID,
        *,
        after: int,
        limit: int = 1000,
        kinds: Collection[str] | None = None,
        bare: Collection[str] = (),
    ) -> Sequence[Event]:
        """Events with `seq > after`, in order; with `kinds` only those, and of them the `bare` ones without
        their data."""
        ...

    async def next_run(self, tenant: str, thread_id: UUID, *, after: Run | None) -> Run | None:
        """The run that wrote on the thread after this one (None: the first), or the one that is to
        write next; in the order of execution."""
        ...

    async def current_run(
        self, tenant: str, thread_id: UUID, *, at: datetime | None = None
    ) -> Run | None:
        """The thread's open run, or else the last one that was begun; with `at`, by that instant.
        State updates are none."""
        ...


# --- catalogue ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """An agent in the catalogue; `reason` says why it cannot be served now, if so."""

    info: AgentInfo
    reason: str | None = None


class Catalogue(Protocol):
    """What workers have published."""

    async def publish(
        self,
        tenant: str,
        *,
        worker_id: str,
        environment: str,
        agents: Sequence[AgentInfo],
        failures: Mapping[str, str],
    ) -> None:
        """Replace what this environment offers. `failures` maps a name to why it did not load."""
        ...

    async def deployed(self, tenant: str) -> Sequence[Deployed]: ...


# --- executing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for a run, until the database says otherwise."""

    tenant: str
    run_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A run as its worker gets it. `last_seq` seeds the event counter; `has_state` says whether the
    thread has any checkpoint yet; `cancel` was asked for before this attempt began."""

    lease: Lease
    thread_id: UUID
    task_id: UUID
    agent: str
    kind: RunKind
    request: RunRequest
    subject: str
    metadata: JsonObject
    last_seq: int
    has_state: bool
    cancel: CancelAction | None = None
    failures: int = 0
    retries: int = 0
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Renewal:
    """A lease that is still held, and what is asked of its holder."""

    lease: Lease
    cancel: CancelAction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How an attempt ended. `output` is JSON bytes; `drop_checkpoints` is a rollback."""

    status: RunStatus
    output: bytes | None = None
    error: JsonObject | None = None
    interrupts: tuple[Interrupt, ...] = ()
    usage: JsonObject | None = None
    drop_checkpoints: bool = False


class Queue(Protocol):
    """The run queue, as a worker sees it."""

    async def claim(
        self,
        *,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        suspects: Sequence[int],
        lease: timedelta,
    ) -> Sequence[Claimed]:
        """Take up to `limit` ready runs of these agents, at most `suspects[n - 1]` with n failures; without
        `suspects`, which costs less, only such as have not failed."""
        ...

    async def renew(self, leases: Sequence[Lease], *, lease: timedelta) -> Sequence[Renewal]:
        """Extend every lease still held; one that is missing from the result is lost."""
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give runs back to the line; not counted as failures."""
        ...

    async def retry(self, lease: Lease, *, after: timedelta, error: JsonObject) -> bool:
        """Give a run back whose agent failed, to be tried again; False when the lease is lost."""
        ...

    async def reap(self, *, limit: int, max_failures: int) -> Sequence[str]:
        """Return expired attempts to the line, or end them when they failed too often.

        Returns the agents whose runs became claimable.
        """
        ...

    async def tidy(self, *, ephemeral_ttl: timedelta) -> Sequence[str]:
        """Promote lines without a head and delete old ephemeral threads.

        Returns the agents whose runs became claimable.
        """
        ...


# --- checkpoints --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blob:
    """A channel's value at a version; `type` is the serializer's tag."""

    channel: str
    version: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Write:
    """A pending write of a graph task."""

    idx: int
    channel: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """A checkpoint to store. `body` is the checkpoint with its small plain values only, the others are
    `blobs`; body and metadata are JSON text. `steps`: what is next, if that is known yet."""

    thread_id: str
    ns: str
    checkpoint_id: str
    parent_id: str | None
    body: str
    metadata: str
    run_id: str | None = None
    blobs: tuple[Blob, ...] = ()
    steps: tuple[StepView, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WritesRow:
    """The pending writes of one graph task at a checkpoint. `replace`: special channels upsert."""

    thread_id: str
    ns: str
    checkpoint_id: str
    step: str
    path: str
    writes: tuple[Write, ...]
    replace: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointView:
    """What is next at a checkpoint, as JSON, for readers without the agent's code."""

    thread_id: str
    ns: str
    checkpoint_id: str
    steps: tuple[StepView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint as read: `writes` are (step, channel, type, data) in LangGraph's order."""

    thread_id: str
    ns: str
    checkpoint_id: str
    parent_id: str | None
    body: str
    metadata: str
    blobs: tuple[Blob, ...]
    writes: tuple[tuple[str, str, str, bytes], ...] = ()
    steps: tuple[StepView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaLink:
    """One ancestor in a delta channel's chain: its writes to the channel, and its value if any."""

    checkpoint_id: str
    writes: tuple[tuple[str, str, str, bytes], ...]
    blob: tuple[str, bytes] | None


class CheckpointStore(Protocol):
    """Checkpoints, unfenced: reads, and maintenance that takes the thread's lock."""

    async def get(
        self, tenant: str, thread_id: str, ns: str, checkpoint_id: str | None
    ) -> StoredCheckpoint | None: ...

    async def list(
        self,
        tenant: str,
        *,
        thread_id: str | None = None,
        ns: str | None = None,
        checkpoint_id: str | None = None,
        metadata: JsonObject | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> Sequence[StoredCheckpoint]:
        """Newest first."""
        ...

    async def put(self, tenant: str, row: CheckpointRow) -> None: ...
    async def put_writes(self, tenant: str, row: WritesRow) -> None: ...
    async def delete_thread(self, tenant: str, thread_id: str) -> None: ...
    async def delete_for_runs(self, tenant: str, run_ids: Sequence[str]) -> None: ...
    async def copy_thread(self, tenant: str, source: str, target: str) -> None: ...
    async def prune(self, tenant: str, thread_ids: Sequence[str], *, keep_latest: bool) -> None:
        """Drop all but the latest checkpoint of each namespace, with the blobs that only the dropped
        ones use; what delta channels still need to be rebuilt is kept."""
        ...

    async def delta_history(
        self, tenant: str, thread_id: str, ns: str, checkpoint_id: str, channels: Sequence[str]
    ) -> Mapping[str, Sequence[DeltaLink]]:
        """For each channel, its ancestors' links, nearest first, up to the first stored value."""
        ...


class LeaseWriter(Protocol):
    """Writes under a lease, queued at once and in order; each awaitable is done when committed.

    It raises `LeaseLost` when the lease is not held any more. Writes of many runs are committed
    together (group commit). A finish fails when an earlier write of its run failed, so a caller need
    not wait for the writes before it.
    """

    def put_checkpoint(
        self, lease: Lease, row: CheckpointRow, *, urgent: bool = True
    ) -> Future[Sequence[str]]:
        """Not `urgent`: nobody waits for it, so it may wait some milliseconds for company."""
        ...

    def put_writes(
        self, lease: Lease, row: WritesRow, *, urgent: bool = True
    ) -> Future[Sequence[str]]: ...
    def put_view(self, lease: Lease, view: CheckpointView) -> Future[Sequence[str]]: ...
    def append(
        self, lease: Lease, task_id: UUID, events: Sequence[Event]
    ) -> Future[Sequence[str]]: ...
    def finish(
        self, claimed: Claimed, finish: Finish, events: Sequence[Event]
    ) -> Future[Sequence[str]]:
        """The terminal transition, with the last events; its result is agents to ring for."""
        ...


# --- wake-ups -----------------------------------------------------------------------------------


class Doorbell(Protocol):
    """A lossy wake-up. A lost ring costs one poll interval and nothing else."""

    async def ring(self, topics: Iterable[str]) -> None:
        """Wake one waiter of each topic, or the next one to come. Never raises for a lost ring."""
        ...

    async def wait(self, topics: Sequence[str], *, timeout: float) -> None:
        """Return when one of the topics rang, or after `timeout` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive events from the tail, or `events=None`: "look into the log"."""

    events: Sequence[Event] | None


class Following(Protocol):
    """One follower's view of a task's tail. `prepared`: it was there before the task's run was."""

    prepared: bool

    async def next(self, *, timeout: float) -> Slice | None:
        """The next slice, or None when `timeout` seconds were quiet: to one of a task's followers in this
        process, who looks into the log for all of them."""
        ...

    def share(self, events: Sequence[Event]) -> None:
        """Hand what was found there to the others."""
        ...


class Tail(Protocol):
    """Committed events, passed on quickly and without promise; the log is the truth."""

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        """Hand over committed events; returns at once."""
        ...

    def prepare(self, task_id: UUID) -> None:
        """Subscribe for a follower that is about to come, so that it need not look into the log
        for what happened before it came. Returns at once; forgotten when nobody comes."""
        ...

    def follow(self, task_id: UUID) -> AbstractAsyncContextManager[Following]:
        """Subscribed once entered: a slice published after that is seen or announced."""
        ...

    def broadcasts(self, topic: str) -> AsyncIterator[None]:
        """Yields when `topic` was announced to all processes, and once at the start."""
        ...

    def announce(self, topic: str) -> None:
        """Tell all processes that `topic` changed."""
        ...


def work_topic(agent: str) -> str:
    """The doorbell of workers that have this agent."""
    return f"work:{agent}"


def control_topic(worker_id: str) -> str:
    """The doorbell of one worker: a cancellation waits for it."""
    return f"control:{worker_id}"


CATALOGUE_TOPIC = "catalogue"
