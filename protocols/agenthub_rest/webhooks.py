"""Webhooks of runs: what a creation asks for, and what is sent when the run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agenthub.deliveries import Deliveries, Delivery, Letter, run_event
from agenthub.json import JsonObject, dumps
from agenthub.ports import RunStore
from agenthub.runs import Run, RunRequest
from agenthub_rest import render
from agenthub_rest.bodies import RunCreate


def with_webhook(request: RunRequest, body: RunCreate, deliveries: Deliveries) -> RunRequest:
    """The request with the webhook that its creator asks for.

    Raises:
        Invalid: the URL cannot be called, or must not be.
    """
    if body.webhook is None:
        return request
    return replace(request, webhook=deliveries.webhook(body.webhook.url, body.webhook.events))


@dataclass(frozen=True, slots=True)
class RunLetters:
    """Makes webhooks: the run as the Agent Server sends it, with what it leaves out, and the headers that
    the project gives them all."""

    runs: RunStore
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    async def __call__(self, delivery: Delivery) -> Letter | None:
        if delivery.payload is not None:
            # the run may have been deleted since
            return Letter(delivery.payload, self.headers)
        run = await self.runs.get(delivery.tenant, delivery.run_id)
        body = None if run is None else dumps(webhook_body(run, datetime.now(UTC)))
        return None if body is None else Letter(body, self.headers)


def webhook_body(run: Run, now: datetime) -> JsonObject:
    """A run that has ended, as a webhook tells of it."""
    return {
        **render.run(run),
        "event": run_event(run.interrupts),
        "values": run.output,
        "run_started_at": run.started_at,
        "run_ended_at": run.ended_at,
        "webhook_sent_at": now,
    }
