"""An attempt: one claim of a run, from the first event to the one terminal write.

Whatever happens ends in exactly one of three ways: the run is finished, given back, or no longer ours.
When it is no longer ours, nothing more is written and the agent is cancelled at its next await.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias

from agenthub import events
from agenthub.clock import Clock
from agenthub.emitted import is_rejection
from agenthub.errors import LeaseLost
from agenthub.events import Event
from agenthub.json import JsonObject
from agenthub.ports import Claimed, Finish, LeaseWriter, Queue
from agenthub.recorder import Recorder
from agenthub.retries import pause_before
from agenthub.runs import CancelAction

log = logging.getLogger(__name__)

Stop: TypeAlias = Literal["lost", "drain", "interrupt", "rollback"]


class Engine(Protocol):
    """Executes runs. It knows the agents; the attempt knows the lease."""

    async def execute(self, claimed: Claimed, recorder: Recorder) -> Finish:
        """Run the agent. An agent's failure is a `Finish`; `LeaseLost` passes through."""
        ...


class Attempt:
    """Drives one claimed run. `stop` may be called at any time and by anyone."""

    def __init__(
        self,
        claimed: Claimed,
        *,
        engine: Engine,
        writer: LeaseWriter,
        queue: Queue,
        clock: Clock,
        slice_seconds: float,
        cancel_grace_seconds: float,
    ) -> None:
        self.claimed = claimed
        self.engine = engine
        self.writer = writer
        self.queue = queue
        self.cancel_grace_seconds = cancel_grace_seconds
        self.recorder = Recorder(claimed, writer, clock, slice_seconds=slice_seconds)
        # a run that was to be cancelled when its worker died is not executed again
        self._stop: Stop | None = claimed.cancel
        self._work: asyncio.Task[Finish] | None = None
        self._unsaved: Sequence[Event] = ()
        self.left_behind: asyncio.Task[Finish] | None = None
        """The agent, if it ignored its cancellation and still runs."""
        self._patience: asyncio.TimerHandle | None = None
        self._abandoned: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def executing(self) -> bool:
        """Whether the agent has still to come to its end; after that there is only to write."""
        return self._work is None or not self._work.done()

    def lost(self) -> None:
        """The lease is gone."""
        self.stop("lost")

    def cancel(self, action: CancelAction) -> None:
        """Someone asked for the run to end."""
        self.stop(action)

    def stop(self, why: Stop) -> None:
        """Cancel the agent. The first reason counts, except that a lost lease overrules all."""
        if self._stop is None or why == "lost":
            first = self._stop is None
            self._stop = why
            self.recorder.cancelled = why in ("interrupt", "rollback")
            if self._work is not None and first:
                self._work.cancel()
                loop = asyncio.get_running_loop()
                self._patience = loop.call_later(self.cancel_grace_seconds, self._abandon)

    def _abandon(self) -> None:
        """The agent does not listen: leave it behind. Its lease is what stops its writes."""
        if not self._abandoned.done():
            self._abandoned.set_result(None)

    async def run(self) -> list[str]:
        """Execute and end the run; returns agents whose next run became ready."""
        lease = self.claimed.lease
        self.recorder.emit(events.STARTED, events.started(lease.run_id, lease.epoch))
        recording = asyncio.create_task(self._record(), name=f"record-{lease.run_id}")
        try:
            finish = await self._execute()
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)
        return await self._end(finish)

    async def _record(self) -> None:
        try:
            await self.recorder.run()
        except LeaseLost:
            self.lost()
        except Exception:
            log.exception("run %s: its events cannot be recorded", self.claimed.lease.run_id)
            self.lost()

    async def _execute(self) -> Finish | None:
        """The agent's outcome; None when it was stopped."""
        if self._stop is not None:
            return None
        work = asyncio.create_task(
            self.engine.execute(self.claimed, self.recorder),
            name=f"run-{self.claimed.lease.run_id}",
        )
        self._work = work
        try:
            await asyncio.wait([work, self._abandoned], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            if self._patience is not None:
                self._patience.cancel()
        return self._outcome(work)

    def _outcome(self, work: asyncio.Task[Finish]) -> Finish | None:
        if not work.done():
            log.warning("run %s: the agent ignores its cancellation", self.claimed.lease.run_id)
            self.left_behind = work
            return None
        if work.cancelled():
            if self._stop is None:
                return failed("Cancelled", "the agent cancelled itself")
            return None
        error = work.exception()
        if error is None:
            # an agent that was done before it noticed keeps its result, unless it is not ours to give
            return None if self._stop == "lost" else work.result()
        if isinstance(error, LeaseLost):
            self._stop = "lost"
            return None
        if self._stop is None:
            log.error("run %s: the engine failed", self.claimed.lease.run_id, exc_info=error)
            return failed("InternalError", "the hub could not execute this run")
        return None

    async def _end(self, finish: Finish | None) -> list[str]:
        if finish is None:
            match self._stop:
                case "interrupt" | "rollback":
                    finish = Finish(
                        status="interrupted",
                        error={"error": "UserInterrupt", "message": "the run was cancelled"},
                        drop_checkpoints=self._stop == "rollback",
                    )
                case "drain":
                    return await self._give_back()
                case _:
                    return []
        retriable = finish.status in ("error", "timeout") and not is_rejection(finish.error)
        cancelled = self._stop in ("interrupt", "rollback")
        if finish.error is not None and retriable and not cancelled:
            pause = pause_before(self.claimed.request.retry, self.claimed.retries)
            if pause is not None:
                await self._try_again(pause, finish.error)
                return []
        try:
            return await self._finish(finish)
        except LeaseLost:
            return []
        except Exception:
            log.exception("run %s: its result cannot be stored", self.claimed.lease.run_id)
        try:
            await self._keep(self._unsaved)
            message = "the run's result could not be stored"
            return await self._finish(failed("InternalError", message))
        except LeaseLost:
            return []

    async def _keep(self, unsaved: Sequence[Event]) -> None:
        """Record what was said before a finish that failed, unless just that cannot be stored."""
        for event in unsaved:
            self.recorder.emit(event.kind, event.data, event.ns)
        again = self.recorder.take()
        try:
            await self.writer.append(self.claimed.lease, self.claimed.task_id, again)
        except LeaseLost:
            raise
        except Exception:
            log.exception("run %s: its last events are lost", self.claimed.lease.run_id)
            self.recorder.rewind(again)

    async def _finish(self, finish: Finish) -> list[str]:
        run_id = self.claimed.lease.run_id
        last = events.ended(
            run_id,
            finish.status,
            error=finish.error,
            interrupts=[i.public() for i in finish.interrupts],
        )
        self.recorder.emit(events.ENDED, last)
        final = self.recorder.take()
        try:
            return list(await self.writer.finish(self.claimed, finish, final))
        except Exception:
            # another finish may follow, and the log has no gaps
            self.recorder.rewind(final)
            # the values are the result, which is what most likely cannot be stored
            self._unsaved = [e for e in final if e.kind not in (events.VALUES, events.ENDED)]
            raise

    async def _try_again(self, after: timedelta, error: JsonObject) -> None:
        lease = self.claimed.lease
        # as when it is given back: the next attempt finds every finished step
        with suppress(LeaseLost):
            await self.writer.append(lease, self.claimed.task_id, self.recorder.take())
            await self.queue.retry(lease, after=after, error=error)

    async def _give_back(self) -> list[str]:
        lease = self.claimed.lease
        try:
            # even without events: what was queued before is committed before the run is given back,
            # so that its next attempt finds every finished step
            await self.writer.append(lease, self.claimed.task_id, self.recorder.take())
            await self.queue.release([lease])
        except LeaseLost:
            return []
        return [self.claimed.agent]


def failed(kind: str, message: str) -> Finish:
    """A finish with an error that is safe to show."""
    return Finish(status="error", error={"error": kind, "message": message})
