"""The dispatcher: makes deliveries. Every server runs it; leases decide who makes which.

A host gets few attempts at a time, and one at a time while it fails, so that an endpoint that hangs holds
up nobody else. An attempt is over well before its lease; what is left over when the process stops is
given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, Protocol

import httpx

from agenthub.chance import chance
from agenthub.clock import Clock
from agenthub.deliveries import (
    DELIVERIES_TOPIC,
    Delivery,
    Letter,
    Letters,
    Outbox,
    Verdict,
    backoff,
)
from agenthub.outbound import Refused, Reply
from agenthub.ports import Doorbell
from agenthub.signing import Signer

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
PER_HOST: Final = 4
PER_FAILING_HOST: Final = 1
MOST_FAILING: Final = 10_000
"""How many failing hosts are remembered; one that is forgotten gets more attempts at a time."""
LEASE: Final = timedelta(seconds=60)
MARGIN_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 0.5
REAP_SECONDS: Final = 5.0
SWEEP_EVERY: Final = 120
"""Reaps between two sweeps."""
KEEP_DONE: Final = timedelta(days=1)
KEEP_DEAD: Final = timedelta(days=30)
GONE: Final = 410
DRAIN_SECONDS: Final = 2.0
"""How long a stopping dispatcher lets its attempts go on."""


class Sender(Protocol):
    """What `agenthub.outbound.Outbound` does."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply: ...


class Dispatcher:
    """Makes one tenant's deliveries. `letters` has, for each kind, what makes its body."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        sender: Sender,
        signer: Signer,
        letters: Mapping[str, Letters],
        doorbell: Doorbell,
        clock: Clock,
        tenant: str,
        poll_seconds: float,
        chance: Callable[[], float] = chance,
    ) -> None:
        self.outbox = outbox
        self.sender = sender
        self.signer = signer
        self.letters = letters
        self.doorbell = doorbell
        self.clock = clock
        self.tenant = tenant
        self.poll_seconds = poll_seconds
        self.chance = chance
        self._attempts: set[asyncio.Task[None]] = set()
        self._sending: Counter[str] = Counter()
        self._failing: OrderedDict[str, None] = OrderedDict()
        self._look = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Make deliveries for the time of the context, then let those on their way arrive."""
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(self._listen(), name="deliveries-listen"),
                group.create_task(self._claim(group), name="deliveries-claim"),
                group.create_task(self._reap(), name="deliveries-reap"),
            ]
            try:
                yield
            finally:
                for loop in loops:
                    loop.cancel()
                if self._attempts:
                    await asyncio.wait(self._attempts, timeout=DRAIN_SECONDS)
                for attempt in list(self._attempts):
                    attempt.cancel()

    # --- loops ----------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            # jitter: idle dispatchers do not poll in step
            timeout = self.poll_seconds * (0.75 + self.chance() / 2)
            await self.doorbell.wait([DELIVERIES_TOPIC], timeout=timeout)
            self._look.set()

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._look.clear()
            try:
                full = await self.claim(group)
            except Exception as failed:  # the database is away: the loop outlives that
                log.warning("cannot claim deliveries: %s", failed or type(failed).__name__)
                await self.clock.sleep(RETRY_SECONDS)
                continue
            if not full:
                await self._look.wait()

    async def claim(self, group: asyncio.TaskGroup) -> bool:
        """Claim what is due and begin to send it; whether there may be more to claim at once."""
        free = AT_ONCE - len(self._attempts)
        if free <= 0:
            return False
        since = self.clock.monotonic()
        busy = {*self._sending, *self._failing}
        claimed = await self.outbox.claim(
            self.tenant,
            limit=free,
            per_host=PER_HOST,
            allowed={host: self._allowed(host) for host in busy},
            lease=LEASE,
        )
        for delivery in claimed:
            self._sending[delivery.host] += 1
            attempt = group.create_task(
                self._attempt(delivery, since), name=f"delivery-{delivery.delivery_id}"
            )
            self._attempts.add(attempt)
            attempt.add_done_callback(lambda task, host=delivery.host: self._ended(task, host))
        return len(claimed) == free

    def _allowed(self, host: str) -> int:
        most = PER_FAILING_HOST if host in self._failing else PER_HOST
        return max(0, most - self._sending[host])

    def _ended(self, task: asyncio.Task[None], host: str) -> None:
        self._attempts.discard(task)
        self._sending[host] -= 1
        if not self._sending[host]:
            del self._sending[host]
        # more of the same host may be due
        self._look.set()

    async def _reap(self) -> None:
        rounds = 0
        while True:
            try:
                if await self.outbox.reap(self.tenant):
                    self._look.set()
                if rounds % SWEEP_EVERY == 0:
                    await self.outbox.sweep(self.tenant, done=KEEP_DONE, dead=KEEP_DEAD)
            except Exception as failed:  # the database is away: the next round is soon enough
                log.warning("cannot reap deliveries: %s", failed or type(failed).__name__)
            rounds += 1
            await self.clock.sleep(REAP_SECONDS)

    # --- one attempt ----------------------------------------------------------------------------

    async def _attempt(self, delivery: Delivery, since: float) -> None:
        try:
            verdict = await self.attempt(delivery, since)
            if verdict is not None and not await self.outbox.settle(delivery, verdict):
                log.warning("delivery %s: its claim was lost meanwhile", delivery.delivery_id)
        except asyncio.CancelledError:
            # the process stops: somebody else tries, at once; the receiver knows repetitions by the id
            try:
                await self.outbox.give_back(delivery)
            except Exception as failed:  # the database is away: the lease expires
                log.warning("delivery %s is not given back: %s", delivery.delivery_id, failed)
            raise
        except Exception:
            # the lease expires and another attempt follows; the dispatcher goes on
            log.exception("delivery %s: the attempt broke", delivery.delivery_id)

    async def attempt(self, delivery: Delivery, since: float) -> Verdict | None:
        """Send a delivery whose claim was asked for at `since`. None: there is no time left for it."""
        letter = await self._letter(delivery)
        if letter is None:
            return Verdict(state="dead", reason="what it was to tell of has been deleted")
        left = since + LEASE.total_seconds() - MARGIN_SECONDS - self.clock.monotonic()
        if left <= 0:
            # others may have it by now
            return None
        signed = self.signer.headers(delivery.delivery_id, letter.body)
        headers = {"content-type": "application/json", **letter.headers, **signed}
        try:
            async with asyncio.timeout(left):
                reply = await self.sender.post(delivery.target, letter.body, headers)
        except Refused as refused:
            self._fails(delivery.host)
            return self._again(delivery, letter, str(refused))
        except (httpx.HTTPError, OSError, TimeoutError) as failed:
            self._fails(delivery.host)
            # the text of an error may tell what our network looks like
            return self._again(delivery, letter, f"it could not be sent: {type(failed).__name__}")
        return self._judged(delivery, letter, reply)

    def _judged(self, delivery: Delivery, letter: Letter, reply: Reply) -> Verdict:
        if reply.ok:
            self._failing.pop(delivery.host, None)
            return Verdict(state="done", response_status=reply.status)
        self._fails(delivery.host)
        reason = f"the receiver answered {reply.status}"
        if 300 <= reply.status < 400:
            reason += ", and redirects are not followed"
        if reply.status == GONE:
            return Verdict(state="dead", reason=reason, response_status=reply.status)
        return self._again(delivery, letter, reason, reply)

    def _again(
        self, delivery: Delivery, letter: Letter, reason: str, reply: Reply | None = None
    ) -> Verdict:
        wait = backoff(delivery.attempts, self.chance())
        if reply is not None and reply.retry_after is not None:
            wait = max(wait, reply.retry_after)
        return Verdict(
            state="pending",
            # longer than any delivery is tried; a date far away would not fit the database
            wait=min(wait, timedelta(days=2)),
            reason=reason,
            response_status=None if reply is None else reply.status,
            payload=letter.body,
        )

    async def _letter(self, delivery: Delivery) -> Letter | None:
        make = self.letters.get(delivery.kind)
        if make is None:
            raise LookupError(f"nobody makes deliveries of kind {delivery.kind!r}")
        return await make(delivery)

    def _fails(self, host: str) -> None:
        self._failing[host] = None
        self._failing.move_to_end(host)
        if len(self._failing) > MOST_FAILING:
            self._failing.popitem(last=False)
