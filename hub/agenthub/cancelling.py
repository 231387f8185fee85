"""Cancelling more than one run: all that match, and all that a task comes to meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

from agenthub.archive import RunQuery
from agenthub.errors import Conflict, NotFound
from agenthub.principal import Principal
from agenthub.runs import CancelAction, Run, RunStatus, Task

if TYPE_CHECKING:
    from agenthub.service import Hub

OPEN: Final[tuple[RunStatus, ...]] = ("pending", "running")
CANCELLED_AT_ONCE: Final = 1000
"""Runs that are read at a time to be cancelled."""
CANCELLATIONS: Final = 5
"""How often what came in the meantime is cancelled with a task."""


async def cancel_runs(
    hub: Hub, who: Principal, query: RunQuery, action: CancelAction, reason: str
) -> Sequence[Run]:
    """See `Hub.cancel_runs`."""
    status = tuple(s for s in query.status if s in OPEN) or OPEN
    asked: set[UUID] = set()
    cancelled: list[Run] = []
    while True:
        # those that were asked to end are found again until they have
        limit = CANCELLED_AT_ONCE + len(asked)
        found = await hub.archive.runs(who.tenant, replace(query, status=status, limit=limit))
        # the last to come is the first to go, so that none begins meanwhile
        for run in (r for r in found if r.run_id not in asked):
            asked.add(run.run_id)
            with suppress(NotFound):  # it has ended meanwhile
                cancelled.append(
                    await hub.cancel_run(who, run.run_id, action=action, reason=reason)
                )
        if len(found) < limit:
            return cancelled


async def cancel_task(hub: Hub, who: Principal, task_id: UUID, reason: str) -> Task:
    """See `Hub.cancel_task`."""
    task = await hub.task(who, task_id)
    if not task.open:
        raise Conflict(f"task {str(task_id)!r} has already ended: {task.status}")
    for _ in range(CANCELLATIONS):
        # several answers may stand in line: the last to come is the first to go
        working = [run for run in reversed(task.runs) if run.open]
        for run in working:
            cancelled = await hub.runs.cancel(who.tenant, run.run_id, "interrupt", reason=reason)
            if cancelled is not None:
                await hub.tell_cancelled(cancelled)
        for run in working:
            await hub.wait(who, run)
        if not working:
            await hub.close_task(who, task_id, reason=reason)
        task = await hub.task(who, task_id)
        # a run that asked before it heard of it leaves the task waiting, and an answer working
        if not task.open:
            break
    return task
