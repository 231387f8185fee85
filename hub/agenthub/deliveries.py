"""Deliveries: intended calls to the outside, rows of the outbox, written with what causes them.

A delivery is claimed under a lease and an epoch, like a run: a dispatcher that stalls cannot undo what
another one has done since. It is made at least once, and its id tells a receiver of repetitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from agenthub.declared import Webhooks
from agenthub.errors import Conflict, Invalid, NotFound
from agenthub.interrupts import Interrupt
from agenthub.json import JsonObject
from agenthub.outbound import Outbound, Refused
from agenthub.ports import Doorbell
from agenthub.principal import Principal

DeliveryState: TypeAlias = Literal["pending", "sending", "done", "dead"]
RunEvent: TypeAlias = Literal["run.ended", "run.interrupted"]

RUN_EVENTS: Final[tuple[RunEvent, ...]] = ("run.ended", "run.interrupted")
DELIVERIES_TOPIC: Final = "deliveries"
"""The doorbell of dispatchers."""
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(hours=1)


def run_event(interrupts: Sequence[Interrupt]) -> RunEvent:
    """What is told of a run that ended: that it is over, or that it waits for answers."""
    return "run.interrupted" if interrupts else "run.ended"


def target_of(
    webhook: JsonObject | None, interrupts: Sequence[Interrupt]
) -> tuple[str | None, str | None]:
    """Where the end of a run is to be told, and on which host that is; (None, None): nowhere.

    `webhook` is `{"url", "host", "events"}`, as `RunRequest` keeps it.
    """
    if webhook is None or run_event(interrupts) not in webhook["events"]:
        return None, None
    return webhook["url"], webhook["host"]


def backoff(attempts: int, chance: float) -> timedelta:
    """How long to wait after so many failed attempts; `chance` (0 to 1) spreads it by a quarter."""
    doubled = FIRST_WAIT * 2 ** min(attempts - 1, 16)
    return min(doubled, LONGEST_WAIT) * (0.75 + chance / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery as stored. `epoch` counts claims; `attempts` those that were made for this drive."""

    tenant: str
    delivery_id: UUID
    kind: str
    run_id: UUID
    target: str
    host: str
    state: DeliveryState
    attempts: int
    epoch: int
    order_key: str | None = None
    payload: bytes | None = None
    reason: str | None = None
    response_status: int | None = None
    available_at: datetime
    give_up_at: datetime
    created_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an attempt ended. `pending` is to be tried again after `wait`, or is dead if its time is up;
    `payload` is kept for that."""

    state: Literal["pending", "done", "dead"]
    wait: timedelta = timedelta()
    reason: str | None = None
    response_status: int | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Letters(Protocol):
    """Makes what is sent of one kind of delivery."""

    async def __call__(self, delivery: Delivery) -> Letter | None:
        """None: there is nothing to tell any more. A delivery with a payload has been tried: it is sent
        as it was."""
        ...


class Outbox(Protocol):
    """The outbox, as dispatchers and readers see it."""

    async def claim(
        self,
        tenant: str,
        *,
        limit: int,
        per_host: int,
        allowed: Mapping[str, int],
        lease: timedelta,
    ) -> Sequence[Delivery]:
        """Take deliveries that are due, at most `per_host` of each host, or what `allowed` says."""
        ...

    async def settle(self, delivery: Delivery, verdict: Verdict) -> bool:
        """Write how an attempt ended. False: its claim was lost, and nothing is written."""
        ...

    async def give_back(self, delivery: Delivery) -> None:
        """Return an attempt that was not made."""
        ...

    async def reap(self, tenant: str) -> int:
        """Return deliveries whose dispatcher died; how many."""
        ...

    async def sweep(self, tenant: str, *, done: timedelta, dead: timedelta) -> None:
        """Drop what ended so long ago."""
        ...

    async def get(self, tenant: str, delivery_id: UUID) -> Delivery | None: ...

    async def list(
        self,
        tenant: str,
        *,
        state: DeliveryState | None = None,
        run_id: UUID | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Delivery]:
        """Newest first, without payloads."""
        ...

    async def count(
        self, tenant: str, *, state: DeliveryState | None = None, run_id: UUID | None = None
    ) -> int: ...

    async def redrive(self, tenant: str, delivery_id: UUID) -> Delivery | None:
        """Make a dead or waiting delivery due now, with a day before it. None: it is neither."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """The use cases of deliveries."""

    outbox: Outbox
    doorbell: Doorbell
    outbound: Outbound
    allowed: Webhooks = field(default_factory=Webhooks)

    def webhook(self, url: str, events: Sequence[RunEvent] = RUN_EVENTS) -> JsonObject:
        """A webhook as `RunRequest` keeps it.

        Raises:
            Invalid: the URL cannot be called, or must not be.
        """
        try:
            checked = self.outbound.check(url)
        except Refused as refused:
            raise Invalid(f"the webhook cannot be called: {refused}") from None
        port = checked.port or (443 if checked.scheme == "https" else 80)
        self.allowed.check(url, checked.scheme, checked.host, port)
        host = checked.netloc.decode("ascii").lower()
        return {"url": url, "host": host, "events": list(events)}

    async def push_host(self, url: str) -> str:
        """The host of a URL that is to be called when a task changes, once it is known to be public.

        Raises:
            Invalid: the URL cannot be called, or must not be.
        """
        try:
            checked = await self.outbound.vet(url)
        except Refused as refused:
            raise Invalid(f"the push URL cannot be called: {refused}") from None
        return checked.netloc.decode("ascii").lower()

    async def get(self, who: Principal, delivery_id: UUID) -> Delivery:
        """Raises `NotFound` for an unknown delivery."""
        delivery = await self.outbox.get(who.tenant, delivery_id)
        if delivery is None:
            raise NotFound(f"there is no delivery {str(delivery_id)!r}")
        return delivery

    async def redrive(self, who: Principal, delivery_id: UUID) -> Delivery:
        """Try a delivery again, now and for another day.

        Raises:
            NotFound: unknown delivery.
            Conflict: it was delivered, or is being sent.
        """
        driven = await self.outbox.redrive(who.tenant, delivery_id)
        if driven is None:
            delivery = await self.get(who, delivery_id)
            how = "was delivered" if delivery.state == "done" else "is being sent right now"
            raise Conflict(f"delivery {str(delivery_id)!r} {how}: only others can be driven again")
        await self.doorbell.ring([DELIVERIES_TOPIC])
        return driven
