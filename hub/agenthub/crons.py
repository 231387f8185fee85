"""Crons: what is to be run again and again, and which of its slots to fire now.

A cron stores the run that it starts, whole. `decide` is the policy and does no I/O: storage calls it
while it holds the cron's row, so that a slot is decided on once, whatever the number of replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub.ports import NewRun
from agenthub.runs import Multitask, Run, RunRequest
from agenthub.schedules import schedule

Misfire: TypeAlias = Literal["none", "last", "all"]
"""What becomes of slots that passed while nobody looked: nothing, one firing for all, or all of them."""
Overlap: TypeAlias = Literal["allow", "skip", "queue"]
"""What becomes of a slot while the run of the one before is open. `queue` holds it back until then; slots
that pass meanwhile are missed."""
OnCompleted: TypeAlias = Literal["delete", "keep"]
Outcome: TypeAlias = Literal["fired", "skipped", "missed", "refused"]
Trigger: TypeAlias = Literal["schedule", "request"]
CronOrder: TypeAlias = Literal[
    "cron_id", "assistant_id", "thread_id", "next_run_date", "end_time", "created_at", "updated_at"
]

LATE: Final = timedelta(seconds=60)
"""A slot that nobody saw for so long is missed."""
HOLD: Final = timedelta(seconds=2)
"""How often a slot that is held back is looked at again."""
MOST_FIRINGS: Final = 100
"""How many entries the history of a cron keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron as stored. `payload` is what its creator sent; `request`, `origin` and `run_metadata` are what
    becomes of it in a run. Without a `thread_id` every firing makes its thread. `next_slot` is None when
    nothing is to come; it is due at `due_at`, up to `jitter_seconds` later. `held`: it waits for the run
    before it."""

    tenant: str
    cron_id: UUID
    agent: str
    assistant_id: UUID
    thread_id: UUID | None = None
    schedule: str
    timezone: str | None = None
    end_time: datetime | None = None
    enabled: bool = True
    misfire: Misfire = "last"
    overlap: Overlap = "allow"
    jitter_seconds: float = 0.0
    on_run_completed: OnCompleted = "delete"
    multitask: Multitask = "enqueue"
    priority: int = 0
    request: RunRequest = field(default_factory=RunRequest)
    origin: JsonObject = field(default_factory=dict[str, Json])
    run_metadata: JsonObject = field(default_factory=dict[str, Json])
    payload: JsonObject = field(default_factory=dict[str, Json])
    metadata: JsonObject = field(default_factory=dict[str, Json])
    subject: str = "anonymous"
    next_slot: datetime | None = None
    due_at: datetime | None = None
    held: bool = False
    last_run: UUID | None = None
    created_at: datetime
    updated_at: datetime

    def scheduled(self, now: datetime) -> Cron:
        """The same, with its next slot after `now`. Raises `Invalid` for a wrong schedule."""
        times = schedule(self.schedule, self.timezone)
        return self.at(times.after(now) if self.enabled else None)

    def at(self, slot: datetime | None) -> Cron:
        """The same, with this as its next slot if it comes before the end."""
        if slot is not None and self.end_time is not None and slot > self.end_time:
            slot = None
        due = None if slot is None else slot + self.delay(slot)
        return replace(self, next_slot=slot, due_at=due, held=False)

    def delay(self, slot: datetime) -> timedelta:
        """How much later than its slot a firing is due: by chance, but the same for everyone who asks."""
        seed = sha256(f"{self.cron_id}:{slot.astimezone(UTC).isoformat()}".encode()).digest()
        return timedelta(seconds=self.jitter_seconds * int.from_bytes(seed[:8]) / 2**64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do with a cron that is due. `slot` is fired, or skipped when `outcome` says so; None:
    nothing is. `missed` are the first and the last slot that are given up."""

    cron: Cron
    slot: datetime | None = None
    outcome: Literal["fired", "skipped"] = "fired"
    missed: tuple[datetime, datetime] | None = None


Decide: TypeAlias = Callable[[Cron, datetime, bool], Step]


def decide(cron: Cron, now: datetime, busy: bool) -> Step:
    """What a cron that is due at `now` does; `busy`: the run of the firing before is still open.

    The step's `cron` is the cron as it stands afterwards.
    """
    first = cron.next_slot
    assert first is not None
    times = schedule(cron.schedule, cron.timezone)
    slot = None if _is_over(cron, now) else first if cron.held else _chosen(cron, first, now)
    missed = None
    if slot != first:
        before = now if slot is None else slot - timedelta(microseconds=1)
        if cron.end_time is not None:
            before = min(before, cron.end_time)
        missed = (first, times.latest(before, since=first) or first)
    if slot is None:
        return Step(cron=cron.at(None), missed=missed)
    if slot + cron.delay(slot) > now:
        return Step(cron=cron.at(slot), missed=missed)
    if busy and cron.overlap == "queue":
        held = replace(cron.at(slot), due_at=now + HOLD, held=True)
        return Step(cron=held, missed=missed)
    skipped = busy and cron.overlap == "skip"
    return Step(
        cron=cron.at(times.after(slot)),
        slot=slot,
        outcome="skipped" if skipped else "fired",
        missed=missed,
    )


def _is_over(cron: Cron, now: datetime) -> bool:
    return not cron.enabled or (cron.end_time is not None and now > cron.end_time)


def _chosen(cron: Cron, first: datetime, now: datetime) -> datetime | None:
    """The slot to go on with, from `first` on."""
    if now - first - cron.delay(first) <= LATE or cron.misfire == "all":
        return first
    times = schedule(cron.schedule, cron.timezone)
    if cron.misfire == "none":
        return times.after(now - LATE)
    # not one whose delay has not passed yet
    surely_due = now - timedelta(seconds=cron.jitter_seconds)
    return times.latest(surely_due, since=first) or first


@dataclass(frozen=True, slots=True, kw_only=True)
class CronFiring:
    """An entry of a cron's history. A `missed` one stands for all slots up to `until`; `reason` says why
    a run was refused."""

    firing_id: UUID
    slot: datetime
    until: datetime | None
    trigger: Trigger
    outcome: Outcome
    run_id: UUID | None
    thread_id: UUID | None
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of a look at a cron: its run, if it started one, and whether it is due again already.
    `displaced` are workers whose run was cancelled for it."""

    run: Run | None
    again: bool = False
    displaced: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CronQuery:
    """What to look for. None: any."""

    assistant_id: UUID | None = None
    thread_id: UUID | None = None
    enabled: bool | None = None
    metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class DueCron:
    """A cron that may be due, as a scheduler sees it before it has the cron's lock."""

    cron_id: UUID
    thread_id: UUID | None


class CronStore(Protocol):
    """Crons and their histories."""

    async def now(self) -> datetime:
        """The clock that decides what is due: the database's."""
        ...

    async def create(self, cron: Cron) -> Cron:
        """Raises `NotFound` when its thread does not exist."""
        ...

    async def get(self, tenant: str, cron_id: UUID) -> Cron | None: ...

    async def update(
        self, tenant: str, cron_id: UUID, change: Callable[[Cron, datetime], Cron]
    ) -> Cron | None:
        """Apply `change` to the cron and the time, while nobody else may. None: there is none."""
        ...

    async def delete(self, tenant: str, cron_id: UUID) -> bool: ...

    async def search(
        self,
        tenant: str,
        query: CronQuery,
        *,
        sort_by: CronOrder = "created_at",
        descending: bool = True,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Cron]: ...

    async def count(self, tenant: str, query: CronQuery) -> int: ...

    async def history(
        self, tenant: str, cron_id: UUID, *, limit: int, offset: int
    ) -> Sequence[CronFiring]:
        """Latest first."""
        ...

    async def due(self, tenant: str, *, limit: int) -> tuple[Sequence[DueCron], timedelta | None]:
        """Crons that are due, the longest first, and how long it is until the next one if none is."""
        ...

    async def fire(self, tenant: str, due: DueCron, decide: Decide) -> Fired | None:
        """Decide on a due cron and do it: its run, its history and its next slot in one transaction.

        None: it is not due any more, or another replica has it.
        """
        ...

    async def run_now(self, cron: Cron) -> Fired | None:
        """Start its run, as it is here, beside the schedule. None: there is no such cron.

        Raises:
            Conflict: the thread does not take it.
        """
        ...

    async def delete_of_assistant(self, tenant: str, assistant_id: UUID) -> None:
        """An assistant takes its crons along."""
        ...

    async def postpone(self, tenant: str, due: DueCron, *, by: timedelta) -> None:
        """Look at it later: it cannot be decided on now."""
        ...


def new_run(cron: Cron) -> NewRun:
    """The run that a firing starts."""
    return NewRun(
        tenant=cron.tenant,
        run_id=new_id(),
        thread_id=cron.thread_id or new_id(),
        agent=cron.agent,
        kind="input",
        request=cron.request,
        subject=cron.subject,
        metadata={**cron.run_metadata, "cron_id": str(cron.cron_id)},
        origin=cron.origin,
        multitask=cron.multitask,
        priority=cron.priority,
        make_thread=cron.thread_id is None,
        ephemeral=cron.thread_id is None and cron.on_run_completed == "delete",
        any_agent=True,
    )
