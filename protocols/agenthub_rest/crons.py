"""Crons over HTTP, as `langgraph-sdk` calls them; and our own: run now, and the history."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.agents import AgentInfo
from agenthub.assistants import Assistant, Assistants
from agenthub.crons import Cron, CronFiring, CronQuery
from agenthub.deliveries import Deliveries
from agenthub.errors import HubError
from agenthub.ids import new_id, parse_id
from agenthub.json import Json, JsonObject, dumps
from agenthub.principal import Principal
from agenthub_rest import render
from agenthub_rest.api import Api, location, paged, selected
from agenthub_rest.cron_bodies import CRON_ONLY, CronCount, CronCreate, CronPatch, CronSearch
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import checked, number, read
from agenthub_rest.submit import origin_of, run_request
from agenthub_rest.webhooks import with_webhook


class Crons(Api):
    """The routes of crons."""

    def routes(self) -> list[Route]:
        one = "/runs/crons/{cron_id}"
        return [
            Route("/runs/crons", self.create, methods=["POST"]),
            Route("/threads/{thread_id}/runs/crons", self.create, methods=["POST"]),
            Route("/runs/crons/search", self.search, methods=["POST"]),
            Route("/runs/crons/count", self.count, methods=["POST"]),
            Route(one, self.cron, methods=["GET", "PATCH", "DELETE"]),
            Route(one + "/run", self.run_now, methods=["POST"]),
            Route(one + "/history", self.history, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        body = await read(request, CronCreate, self.max_body_bytes)
        who = self.who(request)
        on_thread = request.path_params.get("thread_id")
        thread_id = None if on_thread is None else parse_id(on_thread, "thread id")
        info, assistant = await self.hub.assistants.resolve(who, body.assistant_id)
        now = await self.hub.crons.store.now()
        cron = Cron(
            tenant=who.tenant,
            cron_id=new_id(),
            agent=info.name,
            assistant_id=info.assistant_id,
            thread_id=thread_id,
            schedule=body.schedule,
            subject=who.subject,
            created_at=now,
            updated_at=now,
        )
        sent = body.model_dump(mode="json", exclude_unset=True)
        filled = _filled(cron, body, sent, info, assistant, self.hub.deliveries)
        return JsonResponse(dumps(cron_json(await self.hub.crons.create(filled))))

    async def search(self, request: Request) -> Response:
        body = await read(request, CronSearch, self.max_body_bytes)
        who, store = self.who(request), self.hub.crons.store
        query = await self._query(who, body)
        found = await store.search(
            who.tenant,
            query,
            sort_by=body.sort_by,
            descending=body.sort_order == "desc",
            limit=body.limit,
            offset=body.offset,
        )
        headers = await paged(
            len(found), body.limit, body.offset, lambda: store.count(who.tenant, query)
        )
        rendered = [selected(cron_json(cron), body.select) for cron in found]
        return JsonResponse(dumps(rendered), headers=headers)

    async def count(self, request: Request) -> Response:
        body = await read(request, CronCount, self.max_body_bytes)
        who = self.who(request)
        query = await self._query(who, body)
        return JsonResponse(dumps(await self.hub.crons.store.count(who.tenant, query)))

    async def _query(self, who: Principal, body: CronCount) -> CronQuery:
        assistant = None
        if body.assistant_id is not None:
            info, found = await self.hub.assistants.resolve(who, body.assistant_id)
            assistant = info.assistant_id if found is None else found.assistant_id
        return CronQuery(
            assistant_id=assistant,
            thread_id=None if body.thread_id is None else parse_id(body.thread_id, "thread id"),
            enabled=body.enabled,
            metadata=body.metadata,
        )

    async def cron(self, request: Request) -> Response:
        # one route for all methods: with several, the router would tell of the first one's alone
        match request.method:
            case "PATCH":
                cron = await self._patched(request)
            case "DELETE":
                await self.hub.crons.delete(self.who(request), _cron_id(request))
                return Response(status_code=204)
            case _:
                cron = await self.hub.crons.get(self.who(request), _cron_id(request))
        return JsonResponse(dumps(cron_json(cron)))

    async def _patched(self, request: Request) -> Cron:
        patch = await read(request, CronPatch, self.max_body_bytes)
        who, cron_id = self.who(request), _cron_id(request)
        wanted = patch.assistant_id
        if wanted is None:
            wanted = (await self.hub.crons.get(who, cron_id)).payload["assistant_id"]
        info, assistant = await self.hub.assistants.resolve(who, wanted)
        sent = patch.model_dump(mode="json", exclude_unset=True, exclude={"clear_end_time"})

        def change(old: Cron) -> Cron:
            merged = {**old.payload, **sent, "assistant_id": wanted}
            merged["metadata"] = {**old.metadata, **(patch.metadata or {})}
            if patch.clear_end_time:
                merged.pop("end_time", None)
            body = checked(CronCreate, merged)
            return _filled(old, body, merged, info, assistant, self.hub.deliveries)

        return await self.hub.crons.update(who, cron_id, change)

    async def run_now(self, request: Request) -> Response:
        run = await self.hub.crons.run_now(self.who(request), _cron_id(request))
        return JsonResponse(dumps(render.run(run)), headers=location(run))

    async def history(self, request: Request) -> Response:
        found = await self.hub.crons.history(
            self.who(request),
            _cron_id(request),
            limit=number(request, "limit", 10, most=1000),
            offset=number(request, "offset", 0),
        )
        return JsonResponse(dumps([_firing(entry) for entry in found]))


def freshened(assistants: Assistants, deliveries: Deliveries) -> Callable[[Cron], Awaitable[Cron]]:
    """Gives a cron the run that its payload asks for with its assistant as it is now."""

    async def freshen(cron: Cron) -> Cron:
        who = Principal(tenant=cron.tenant, subject=cron.subject)
        try:
            resolved = await assistants.resolve(who, cron.payload["assistant_id"])
            body = checked(CronCreate, cron.payload)
            return _filled(cron, body, cron.payload, *resolved, deliveries)
        except HubError:  # it cannot be served now; its run waits for it as it was
            return cron

    return freshen


def _filled(
    cron: Cron,
    body: CronCreate,
    sent: JsonObject,
    info: AgentInfo,
    assistant: Assistant | None,
    deliveries: Deliveries,
) -> Cron:
    """The cron as a body says. Its slots are found later."""
    shared = {} if assistant is None else assistant.run_metadata()
    assert body.multitask_strategy != "fork", "refused by the body"
    return replace(
        cron,
        agent=info.name,
        assistant_id=info.assistant_id if assistant is None else assistant.assistant_id,
        schedule=body.schedule,
        timezone=body.timezone,
        end_time=body.end_time,
        enabled=body.enabled,
        misfire=body.misfire,
        overlap=body.overlap,
        jitter_seconds=float(body.jitter),
        on_run_completed=body.on_run_completed,
        multitask=body.multitask_strategy,
        priority=body.priority,
        request=with_webhook(run_request(body, info, assistant), body, deliveries),
        origin=origin_of(assistant),
        run_metadata={**shared, **body.metadata},
        payload=sent,
        metadata=body.metadata,
    )


def cron_json(cron: Cron) -> JsonObject:
    """A cron in the Agent Server's words, with our policies."""
    return {
        "cron_id": str(cron.cron_id),
        "assistant_id": str(cron.assistant_id),
        "thread_id": None if cron.thread_id is None else str(cron.thread_id),
        "on_run_completed": cron.on_run_completed if cron.thread_id is None else None,
        "schedule": cron.schedule,
        "timezone": cron.timezone,
        "end_time": cron.end_time,
        "next_run_date": cron.next_slot,
        "enabled": cron.enabled,
        "payload": _payload(cron),
        "metadata": cron.metadata,
        "user_id": cron.subject,
        "misfire": cron.misfire,
        "overlap": cron.overlap,
        "jitter": cron.jitter_seconds,
        "created_at": cron.created_at,
        "updated_at": cron.updated_at,
    }


def _payload(cron: Cron) -> dict[str, Json]:
    kept: dict[str, Any] = {k: v for k, v in cron.payload.items() if k not in CRON_ONLY}
    return {**kept, "schedule": cron.schedule}


def _firing(entry: CronFiring) -> JsonObject:
    return {
        "firing_id": str(entry.firing_id),
        "slot": entry.slot,
        "until": entry.until,
        "trigger": entry.trigger,
        "outcome": entry.outcome,
        "run_id": None if entry.run_id is None else str(entry.run_id),
        "thread_id": None if entry.thread_id is None else str(entry.thread_id),
        "reason": entry.reason,
        "at": entry.at,
    }


def _cron_id(request: Request) -> UUID:
    return parse_id(request.path_params["cron_id"], "cron id")
