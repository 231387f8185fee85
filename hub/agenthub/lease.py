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
        try:
            yield
        finally:
            del self._held[lease]

    def hurry(self) -> None:
        """Renew now: a cancellation waits to be noticed."""
        self._hurry.set()

    async def run(self) -> None:
        """Renew and distrust, for ever."""
        while True:
            await self._pause()
            await self.renew()

    async def _pause(self) -> None:
        """Until the next renewal is due, or the trust in a lease ends, or someone is in a hurry."""
        now = self.clock.monotonic()
        ends = min(
            (h.trusted_until for h in self._held.values() if not h.gone),
            default=now + self.renew_seconds,
        )
        pause = max(0.0, min(self.renew_seconds, ends - now))
        try:
            async with asyncio.timeout(pause):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()

    async def renew(self) -> None:
        """One round: renew what is held, and let go of what is lost or no longer to be trusted."""
        held = {lease: h for lease, h in self._held.items() if not h.gone}
        if held:
            sent = self.clock.monotonic()
            try:
                async with asyncio.timeout(self.renew_seconds):
                    renewals = await self.queue.renew(list(held), lease=self.lease)
            except Exception as failed:  # whatever it was, the trust window decides
                log.warning("leases could not be renewed: %s", failed or type(failed).__name__)
            else:
                kept = {r.lease: r for r in renewals}
                for lease, h in held.items():
                    renewal = kept.get(lease)
                    if renewal is None:
                        if lease in self._held:
                            h.let_go()
                        continue
                    h.trusted_until = sent + self.window_seconds
                    if renewal.cancel is not None and lease in self._held:
                        h.cancel(renewal.cancel)
        now = self.clock.monotonic()
        for h in list(self._held.values()):
            if now >= h.trusted_until and not h.gone:
                log.warning("run %s: the lease can no longer be trusted; stopping", h.lease.run_id)
                h.let_go()
