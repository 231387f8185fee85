"""Deadlines of questions: what becomes of a task that nobody answers.

A run may say how long its questions wait, and what happens then: the task is cancelled, or every open
question gets the same answer. The time begins when the run pauses, and begins again when a later run of the
task asks. Every server runs the sweep; an answer that comes first wins, and acting twice changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from agenthub.chance import spread
from agenthub.clock import Clock
from agenthub.errors import Conflict, NotFound, UnknownInterrupt
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub.runs import Task
from agenthub.service import Hub, Submission

log = logging.getLogger(__name__)

BATCH: Final = 100
PUT_OFF: Final = timedelta(minutes=1)
"""How long a task that cannot be dealt with is left alone."""
REASON: Final = "nobody answered in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A paused run whose questions were to be answered by now. `deadline` has `seconds`, `action`
    (`answer` or `cancel`) and, for `answer`, the `value` that every question gets."""

    tenant: str
    run_id: UUID
    task_id: UUID
    subject: str
    deadline: JsonObject


class DeadlineStore(Protocol):
    """Runs that wait for answers."""

    async def overdue(self, tenant: str, *, limit: int) -> Sequence[Overdue]:
        """Those that are due, the longest overdue first."""
        ...

    async def settle(self, tenant: str, run_id: UUID, *, again: timedelta | None = None) -> None:
        """It has been dealt with, or is to be looked at again after a while."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """The sweep over one tenant's questions. `poll_seconds` is the time between two."""

    hub: Hub
    store: DeadlineStore
    clock: Clock
    tenant: str
    poll_seconds: float

    async def run(self) -> None:
        """Deal with what is overdue, for ever."""
        while True:
            await self.clock.sleep(self.poll_seconds * spread(0.75, 1.25))
            try:
                while await self.tick() == BATCH:
                    pass
            except Exception as failed:  # the database is away: the next round is soon enough
                log.warning("cannot look for deadlines: %s", failed or type(failed).__name__)

    async def tick(self) -> int:
        """Deal with what is due now; returns how much there was."""
        found = await self.store.overdue(self.tenant, limit=BATCH)
        for one in found:
            again = None
            try:
                again = await self._act(one)
            except (Conflict, NotFound, UnknownInterrupt):
                pass  # somebody was quicker, or it is gone
            except Exception:
                log.exception("task %s: its deadline cannot be kept; put off", one.task_id)
                again = PUT_OFF
            await self.store.settle(one.tenant, one.run_id, again=again)
        return len(found)

    async def _act(self, one: Overdue) -> timedelta | None:
        """Returns after what time it is to be looked at again, if it is."""
        who = Principal(one.tenant, one.subject)
        task = await self.hub.task(who, one.task_id)
        # what asked may have been answered, and what came of it may ask again: that has its own time
        if not _waits(task, one):
            return None
        if one.deadline.get("action") == "cancel":
            closed = await self.hub.close_task(who, one.task_id, reason=REASON, asked_by=one.run_id)
            # a state update that is under way may be refused, and leave the questions open
            busy = not closed and _waits(await self.hub.task(who, one.task_id), one)
            return PUT_OFF if busy else None
        answer = {question.id: one.deadline.get("value") for question in task.interrupts}
        how = Submission(idempotency_key=f"deadline:{one.run_id}", asked_by=one.run_id)
        await self.hub.resume_task(who, one.task_id, answer, origin={"deadline": True}, how=how)
        return None


def _waits(task: Task, one: Overdue) -> bool:
    return task.status == "input_required" and task.runs[-1].run_id == one.run_id
