"""Leases: who may write for a run, and for how long.

A lease is the pair (run, epoch). The database grants it at claim and is the only judge of its expiry.
This module never decides that another worker is dead; it only decides that *this* one must stop.
Invariant: after `trusted_until` no user code of ours runs under the lease. The window is anchored at
the moment when the renewal was sent, on the monotonic clock, so that neither a slow answer nor a wall
clock can stretch it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from agenthub.clock import Clock
from agenthub.ports import Lease, Queue
from agenthub.runs import CancelAction

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Held:
    """A lease in this worker's hands. One that is `gone` waits only for its attempt to notice."""

    lease: Lease
    trusted_until: float
    lost: Callable[[], None]
    cancel: Callable[[CancelAction], None]
    gone: bool = False

    def let_go(self) -> None:
        """Tell the attempt, once."""
        if not self.gone:
            self.gone = True
            self.lost()


class LeaseKeeper:
    """Renews all leases of a worker in one statement, on a connection that nothing else uses."""

    def __init__(
        self,
        queue: Queue,
        clock: Clock,
        *,
        lease_seconds: float,
        renew_seconds: float,
        margin_seconds: float,
    ) -> None:
        self.queue = queue
        self.clock = clock
        self.lease = timedelta(seconds=lease_seconds)
        self.renew_seconds = renew_seconds
        self.window_seconds = lease_seconds - margin_seconds
        self._held: dict[Lease, Held] = {}
        self._hurry = asyncio.Event()
        self._taken = asyncio.Event()

    @contextmanager
    def holding(
        self,
        lease: Lease,
        *,
        since: float,
        lost: Callable[[], None],
        cancel: Callable[[CancelAction], None],
    ) -> Generator[None]:
        """Keep a lease for the time of the context. `since` is when its claim was sent."""
        self._held[lease] = Held(lease, since + self.window_seconds, lost, cancel)
        # its trust may end before that of the others
        self._taken.set()
        try:
            yield
        finally:
            del self._held[lease]

    def hurry(self) -> None:
        """Renew now: a cancellation waits to be noticed."""
        self._hurry.set()

    async def run(self) -> None:
        """Renew and distrust, for ever: a renewal that hangs must not keep us from distrusting."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renewing(), name="renewing")
            group.create_task(self._distrusting(), name="distrusting")

    async def _renewing(self) -> None:
        due = self.clock.monotonic() + self.renew_seconds
        while True:
            await _within(self._hurry, due - self.clock.monotonic())
            due = self.clock.monotonic() + self.renew_seconds
            await self.renew()

    async def _distrusting(self) -> None:
        while True:
            ends = self.distrust()
            await _within(self._taken, None if ends is None else ends - self.clock.monotonic())

    async def renew(self) -> None:
        """One round: renew what is held, and let go of what is lost."""
        held = {lease: h for lease, h in self._held.items() if not h.gone}
        if not held:
            return
        sent = self.clock.monotonic()
        try:
            async with asyncio.timeout(self.renew_seconds):
                renewals = await self.queue.renew(list(held), lease=self.lease)
        except Exception as failed:  # whatever it was, the trust window decides
            log.warning("leases could not be renewed: %s", failed or type(failed).__name__)
            return
        kept = {r.lease: r for r in renewals}
        for lease, h in held.items():
            if lease not in self._held or h.gone:
                continue
            renewal = kept.get(lease)
            if renewal is None:
                h.let_go()
                continue
            h.trusted_until = sent + self.window_seconds
            if renewal.cancel is not None:
                h.cancel(renewal.cancel)

    def distrust(self) -> float | None:
        """Let go of what is no longer to be trusted; returns when the next trust ends."""
        now = self.clock.monotonic()
        trusted = [h for h in self._held.values() if not h.gone]
        for h in trusted:
            if now >= h.trusted_until:
                log.warning("run %s: the lease can no longer be trusted; stopping", h.lease.run_id)
                h.let_go()
        return min((h.trusted_until for h in trusted if not h.gone), default=None)


async def _within(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, but not longer; takes it back."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
