"""The scheduler: fires crons. Every server runs it; the database decides who fires a slot.

It sleeps until the next cron is due, or until the doorbell says that a schedule changed. One cron that
breaks is put off and logged; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from agenthub.crons import Cron, CronFiring, CronStore, DueCron, Fired, Step, decide
from agenthub.errors import Invalid, NotFound
from agenthub.ports import Doorbell, control_topic, work_topic
from agenthub.principal import Principal
from agenthub.runs import Run

log = logging.getLogger(__name__)

CRONS_TOPIC: Final = "crons"
"""The doorbell of schedulers: what is due next has changed."""
BATCH: Final = 100
BROKEN: Final = timedelta(minutes=1)
"""How long a cron that cannot be decided on is left alone."""
SOONEST_SECONDS: Final = 0.01


Freshen: TypeAlias = Callable[[Cron], Awaitable[Cron]]
"""Gives a cron the run that it would get if it were made now: its assistant may have changed since."""


async def as_stored(cron: Cron) -> Cron:
    """For crons that depend on nothing."""
    return cron


@dataclass(frozen=True, slots=True, kw_only=True)
class Crons:
    """The use cases of crons, as the protocols call them."""

    store: CronStore
    doorbell: Doorbell
    freshen: Freshen = as_stored

    async def create(self, cron: Cron) -> Cron:
        """Store a cron with its first slot.

        Raises:
            Invalid: its schedule or time zone is wrong, or it ends before it begins.
            NotFound: its thread does not exist.
        """
        now = await self.store.now()
        scheduled = cron.scheduled(now)
        _refuse_ended(scheduled, now)
        made = await self.store.create(scheduled)
        await self.doorbell.ring([CRONS_TOPIC])
        return made

    async def get(self, who: Principal, cron_id: UUID) -> Cron:
        """Raises `NotFound` for an unknown cron."""
        cron = await self.store.get(who.tenant, cron_id)
        if cron is None:
            raise _unknown(cron_id)
        return cron

    async def update(self, who: Principal, cron_id: UUID, change: Callable[[Cron], Cron]) -> Cron:
        """Change a cron; its next slot is found anew only when its times changed.

        Raises:
            Invalid: as `create`.
            NotFound: unknown cron.
        """

        def changed(old: Cron, now: datetime) -> Cron:
            wanted = change(old)
            if _times(old) == _times(wanted):
                return wanted
            scheduled = wanted.scheduled(now)
            _refuse_ended(scheduled, now)
            return scheduled

        cron = await self.store.update(who.tenant, cron_id, changed)
        if cron is None:
            raise _unknown(cron_id)
        await self.doorbell.ring([CRONS_TOPIC])
        return cron

    async def delete(self, who: Principal, cron_id: UUID) -> None:
        """Raises `NotFound` for an unknown cron."""
        if not await self.store.delete(who.tenant, cron_id):
            raise _unknown(cron_id)

    async def history(
        self, who: Principal, cron_id: UUID, *, limit: int, offset: int
    ) -> Sequence[CronFiring]:
        """What became of its slots, latest first. Raises `NotFound` for an unknown cron."""
        await self.get(who, cron_id)
        return await self.store.history(who.tenant, cron_id, limit=limit, offset=offset)

    async def run_now(self, who: Principal, cron_id: UUID) -> Run:
        """Start its run at once, beside the schedule.

        Raises:
            NotFound: unknown cron.
            Conflict: the thread does not take it.
        """
        fired = await self.store.run_now(await self.freshen(await self.get(who, cron_id)))
        if fired is None or fired.run is None:
            raise _unknown(cron_id)
        await ring(self.doorbell, fired)
        return fired.run

    async def assistant_deleted(self, tenant: str, assistant_id: UUID) -> None:
        """`agenthub.assistants.Dependent`."""
        await self.store.delete_of_assistant(tenant, assistant_id)


def _refuse_ended(cron: Cron, now: datetime) -> None:
    if cron.enabled and cron.next_slot is None and cron.end_time is not None:
        when = "is in the past" if cron.end_time <= now else "is before its first slot"
        raise Invalid(f"end_time {cron.end_time.isoformat()} {when}: the cron would never fire")


def _times(cron: Cron) -> tuple[object, ...]:
    return cron.schedule, cron.timezone, cron.end_time, cron.enabled, cron.jitter_seconds


def _unknown(cron_id: UUID) -> NotFound:
    return NotFound(f"there is no cron {str(cron_id)!r}")


async def ring(doorbell: Doorbell, fired: Fired) -> None:
    """Wake who executes the run of a firing, and whose run went for it."""
    if fired.run is not None:
        displaced = [control_topic(worker_id) for worker_id in fired.displaced]
        await doorbell.ring([work_topic(fired.run.agent), *displaced])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """The loop over one tenant's crons. `poll_seconds` is the longest time that it sleeps."""

    store: CronStore
    doorbell: Doorbell
    tenant: str
    poll_seconds: float
    freshen: Freshen = as_stored

    async def run(self) -> None:
        """Fire what is due, for ever."""
        while True:
            try:
                pause = await self.tick()
            except Exception as failed:  # the database is away: the next round is soon enough
                log.warning("cannot look for due crons: %s", failed or type(failed).__name__)
                pause = self.poll_seconds
            await self.doorbell.wait([CRONS_TOPIC], timeout=pause)

    async def tick(self) -> float:
        """Fire what is due now; returns the seconds until there may be more."""
        due, wait = await self.store.due(self.tenant, limit=BATCH)
        again = [await self._fire(one) for one in due]
        if any(again) or len(due) == BATCH:
            return SOONEST_SECONDS
        if wait is None or due:
            # what was fired has a next slot, which the question before did not see
            _, wait = await self.store.due(self.tenant, limit=0)
        seconds = self.poll_seconds if wait is None else wait.total_seconds()
        return max(SOONEST_SECONDS, min(seconds, self.poll_seconds))

    async def _fire(self, due: DueCron) -> bool:
        """Returns whether the cron is due again already."""
        try:
            fired = await self._decided(due)
        except Exception:
            # one cron that breaks must not keep the others from firing
            log.exception("cron %s: cannot be fired; put off", due.cron_id)
            await self.store.postpone(self.tenant, due, by=BROKEN)
            return False
        if fired is None:
            return False
        await ring(self.doorbell, fired)
        return fired.again

    async def _decided(self, due: DueCron) -> Fired | None:
        cron = await self.store.get(self.tenant, due.cron_id)
        if cron is None:
            return None
        fresh = await self.freshen(cron)

        def with_fresh_run(locked: Cron, now: datetime, busy: bool) -> Step:
            if locked.payload == cron.payload:
                locked = replace(
                    locked,
                    request=fresh.request,
                    origin=fresh.origin,
                    run_metadata=fresh.run_metadata,
                )
            return decide(locked, now, busy)

        return await self.store.fire(self.tenant, due, with_fresh_run)
