"""Work that outlives the request that started it: creating a run, and cancelling one.

The SDK cancels a request's task again at every `await`, so what must still be done when a request is
taken back is done in a task of its own, which this owns until it has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from agenthub.errors import HubError
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub, Start

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSING_SECONDS = 5.0


class Background:
    """Tasks of no request. `grace_seconds` pass before a run whose caller has gone is cancelled."""

    def __init__(self, hub: Hub, *, grace_seconds: float) -> None:
        self.hub = hub
        self.grace_seconds = grace_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, who: Principal, start: Start) -> asyncio.Task[Run]:
        """Create a run, to the end, also when the request is taken back meanwhile."""
        return self._own(self.hub.start(who, start))

    def cancel(self, who: Principal, run: Run | asyncio.Task[Run], *, at_once: bool) -> None:
        """Cancel the task of a run, now or after the grace period; returns at once."""
        self._own(self._cancel(who, run, 0.0 if at_once else self.grace_seconds))

    async def aclose(self) -> None:
        """Wait for what is under way, for a while."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSING_SECONDS)
            for task in late:
                task.cancel()

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain when no request waits

    async def _cancel(
        self, who: Principal, run: Run | asyncio.Task[Run], after_seconds: float
    ) -> None:
        try:
            task_id: UUID = (run if isinstance(run, Run) else await run).task_id
            await asyncio.sleep(after_seconds)
            await self.hub.cancel_task(who, task_id, reason="the MCP client took its call back")
        except HubError as refused:
            log.debug("nothing to cancel: %s", refused)
        except Exception:
            log.exception("a run whose caller has gone could not be cancelled")
