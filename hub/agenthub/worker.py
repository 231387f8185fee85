"""The worker: claims runs, executes them, keeps their leases, and goes away politely.

Loops, all under one task group: claim (rung by the doorbell, polled as a safety net), renew, control
(cancellations), reap. Nothing here knows what an agent is; that is the engine's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta

from agenthub.attempt import Attempt, Engine
from agenthub.chance import spread
from agenthub.clock import Clock
from agenthub.config import Config
from agenthub.crowd import Crowd
from agenthub.deliveries import DELIVERIES_TOPIC
from agenthub.lease import LeaseKeeper
from agenthub.ports import Claimed, Doorbell, Finish, LeaseWriter, Queue, control_topic, work_topic

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
SUSPECTS_BASE = 16
TIDY_EVERY = 8
"""Reaps between two rounds of tidying."""


class Worker:
    """Executes the runs of `agents`. `renewals` is a queue on a connection of its own."""

    def __init__(
        self,
        *,
        worker_id: str,
        agents: Sequence[str],
        engine: Engine,
        queue: Queue,
        renewals: Queue,
        writer: LeaseWriter,
        doorbell: Doorbell,
        clock: Clock,
        config: Config,
    ) -> None:
        self.worker_id = worker_id
        self.agents = list(agents)
        self.engine = engine
        self.queue = queue
        self.writer = writer
        self.doorbell = doorbell
        self.clock = clock
        self.config = config
        self.keeper = LeaseKeeper(
            renewals,
            clock,
            lease_seconds=config.lease_seconds,
            renew_seconds=config.renew_seconds,
            margin_seconds=config.lease_margin_seconds,
        )
        self._attempts: dict[asyncio.Task[None], Attempt] = {}
        # agents that ignored their cancellation: they hold a slot for as long as they go on
        self._left_behind: set[asyncio.Task[Finish]] = set()
        self._crowd = Crowd(clock)
        self._look = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._suspects_due = 0.0
        self._leaving = False

    def admit(self, agents: Iterable[str]) -> None:
        """Take runs of further agents, too."""
        self.agents += [agent for agent in agents if agent not in self.agents]
        self._look.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then drain: see `_drain`."""
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(self.keeper.run(), name="renew"),
                group.create_task(self._control(), name="control"),
                group.create_task(self._reap(), name="reap"),
            ]
            listening = group.create_task(self._listen(), name="listen")
            claiming = group.create_task(self._claim(group), name="claim")
            await stopping.wait()
            self._leaving = True
            self._look.set()
            listening.cancel()
            # not cancelled: what a claim in flight has taken would wait for its lease to expire
            await asyncio.wait([claiming], timeout=self.config.lease_seconds)
            claiming.cancel()
            await self._drain()
            for task in background:
                task.cancel()

    # --- claiming -------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            # a ring wakes one worker: it is for one that can take runs
            await self._free.wait()
            topics = [work_topic(agent) for agent in self.agents]
            # jitter: idle workers do not poll in step
            timeout = self.config.poll_seconds * spread(0.75, 1.25)
            await self.doorbell.wait(topics, timeout=timeout)
            if self._free.is_set():
                self._look.set()
            else:
                await self.doorbell.ring(topics)

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        while not self._leaving:
            limit = await self._room()
            claimed: Sequence[Claimed] = ()
            if limit > 0:
                sent = self.clock.monotonic()
                # decided now: a reaper may want such a look while this claim is on its way
                looking = sent >= self._suspects_due
                if looking:
                    self._suspects_due = sent + self.config.poll_seconds
                try:
                    claimed = await self.queue.claim(
                        worker_id=self.worker_id,
                        agents=self.agents,
                        limit=limit,
                        suspects=self._room_for_suspects() if looking else (),
                        lease=timedelta(seconds=self.config.lease_seconds),
                    )
                    if self._leaving and claimed:
                        await self.queue.release([one.lease for one in claimed])
                        return
                except Exception as failed:  # the database is away: the loop outlives that
                    log.warning("cannot claim runs: %s", failed or type(failed).__name__)
                    if looking:
                        self._suspects_due = sent
                    await self.clock.sleep(RETRY_SECONDS)
                    continue
                await self._start_all(group, claimed, sent)
                if not looking and not claimed:
                    # somebody rang for something: perhaps for runs that a dead worker has left behind
                    self._suspects_due = sent
                    continue
            if limit <= 0 or len(claimed) < limit:
                await self._look.wait()
                self._look.clear()

    async def _room(self) -> int:
        """How many more runs may start now."""
        limit = min(self.config.slots - self._busy, self.config.claim_batch)
        if limit > 0:
            limit = await self._crowd.room(self._executing, limit)
        return 0 if self._leaving else limit

    def _room_for_suspects(self) -> list[int]:
        """How many more runs with one failure, two, … may run here at once.

        A run that kills its worker cannot be told from those that were killed with it, so with every
        failure fewer of them run together, and one that may be given up runs without another. Whoever
        dies with a deadly run dies less often than that one, and is not given up with it.
        """
        deaths = [a.claimed.failures for a in self._attempts.values() if a.claimed.failures]
        most = self.config.max_failures
        return [
            max(0, SUSPECTS_BASE ** (most - n) - sum(1 for died in deaths if died >= n))
            for n in range(1, most + 1)
        ]

    async def _start_all(
        self, group: asyncio.TaskGroup, claimed: Sequence[Claimed], since: float
    ) -> None:
        for one in claimed:
            self._start(group, one, since)
        if claimed and not self._free.is_set():
            # there may be more than there was room for
            await self.doorbell.ring({work_topic(one.agent) for one in claimed})

    def _start(self, group: asyncio.TaskGroup, claimed: Claimed, since: float) -> None:
        attempt = Attempt(
            claimed,
            engine=self.engine,
            writer=self.writer,
            queue=self.queue,
            clock=self.clock,
            slice_seconds=self.config.slice_seconds,
            cancel_grace_seconds=self.config.cancel_grace_seconds,
        )
        task = group.create_task(
            self._attempt(attempt, since), name=f"attempt-{claimed.lease.run_id}"
        )
        self._attempts[task] = attempt
        task.add_done_callback(self._ended)
        self._count()

    def _ended(self, task: asyncio.Task[None]) -> None:
        attempt = self._attempts.pop(task)
        if attempt.left_behind is not None:
            self._left_behind.add(attempt.left_behind)
            attempt.left_behind.add_done_callback(self._come_back)
        self._count()
        if attempt.claimed.failures:
            # there is room for another like it
            self._suspects_due = 0.0
        if attempt.claimed.failures or self._busy == self.config.slots - 1:
            self._look.set()

    def _come_back(self, work: asyncio.Task[Finish]) -> None:
        self._left_behind.discard(work)
        if not work.cancelled():
            work.exception()  # nobody else asks, and asyncio would complain
        self._count()
        self._look.set()

    def _count(self) -> None:
        if self._busy < self.config.slots:
            self._free.set()
        else:
            self._free.clear()

    def _executing(self) -> int:
        return sum(attempt.executing for attempt in self._attempts.values())

    @property
    def _busy(self) -> int:
        return len(self._attempts) + len(self._left_behind)

    async def _attempt(self, attempt: Attempt, since: float) -> None:
        lease = attempt.claimed.lease
        try:
            with self.keeper.holding(lease, since=since, lost=attempt.lost, cancel=attempt.cancel):
                agents = await attempt.run()
        except Exception:
            # the lease expires and another attempt follows; this worker goes on
            log.exception("run %s: the attempt broke", lease.run_id)
            return
        await self._ring(agents)
        if attempt.claimed.request.webhook is not None:
            await self.doorbell.ring([DELIVERIES_TOPIC])

    async def _ring(self, agents: Iterable[str]) -> None:
        agents = set(agents)
        mine = agents & set(self.agents) if self._free.is_set() else set[str]()
        if mine:
            self._look.set()
        if others := agents - mine:
            await self.doorbell.ring(work_topic(agent) for agent in others)

    # --- background -----------------------------------------------------------------------------

    async def _control(self) -> None:
        while True:
            await self.doorbell.wait(
                [control_topic(self.worker_id)], timeout=self.config.poll_seconds * 10
            )
            self.keeper.hurry()

    async def _reap(self) -> None:
        rounds = 0
        while True:
            try:
                agents = await self.queue.reap(limit=50, max_failures=self.config.max_failures)
                if agents:
                    self._suspects_due = 0.0
                if rounds % TIDY_EVERY == 0:
                    ttl = timedelta(seconds=self.config.ephemeral_ttl_seconds)
                    agents = [*agents, *await self.queue.tidy(ephemeral_ttl=ttl)]
                await self._ring(agents)
            except Exception as failed:  # the database is away: the next round is soon enough
                log.warning("cannot reap: %s", failed or type(failed).__name__)
            rounds += 1
            await self.clock.sleep(self.config.reap_seconds * spread(0.75, 1.0))

    # --- leaving --------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let runs go on for a while, then give the rest back; that counts as no failure."""
        if self._attempts:
            log.info("draining %d runs", len(self._attempts))
            await asyncio.wait(self._attempts, timeout=self.config.drain_seconds)
        for attempt in list(self._attempts.values()):
            attempt.stop("drain")
        if self._attempts:
            # a database that is away cannot take them back; after a lease there is nothing to give
            patience = self.config.cancel_grace_seconds + self.config.lease_seconds
            await asyncio.wait(list(self._attempts), timeout=patience)
        for task in list(self._attempts):
            task.cancel()
        # what was given back is claimable: wake the workers that stay
        await self.doorbell.ring(work_topic(agent) for agent in self.agents)
