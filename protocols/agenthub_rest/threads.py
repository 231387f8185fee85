"""Threads over HTTP: create, read, search, update, copy, prune, delete, and what they take."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.archive import ThreadQuery, ThreadTtl
from agenthub.errors import HubError, NotFound
from agenthub.ids import parse_id
from agenthub.json import JsonObject, dumps
from agenthub.principal import Principal
from agenthub.threads import Thread
from agenthub_rest import render
from agenthub_rest.api import Api, paged, selected
from agenthub_rest.errors import JsonResponse
from agenthub_rest.extract import extracted
from agenthub_rest.reading import read
from agenthub_rest.thread_bodies import (
    ThreadCount,
    ThreadCreate,
    ThreadPatch,
    ThreadPrune,
    ThreadSearch,
    Ttl,
)


class Threads(Api):
    """The routes of threads. Their state and history: `states`."""

    def routes(self) -> list[Route]:
        one = "/threads/{thread_id}"
        return [
            Route("/threads", self.create, methods=["POST"]),
            Route("/threads/search", self.search, methods=["POST"]),
            Route("/threads/count", self.count, methods=["POST"]),
            Route("/threads/prune", self.prune, methods=["POST"]),
            Route(one, self.thread, methods=["GET", "PATCH", "DELETE"]),
            Route(one + "/copy", self.copy, methods=["POST"]),
            Route(one + "/storage", self.storage, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        body = await read(request, ThreadCreate, self.max_body_bytes)
        who = self.who(request)
        thread = await self.hub.create_thread(
            who,
            thread_id=None if body.thread_id is None else parse_id(body.thread_id, "thread id"),
            metadata=body.metadata,
            exists_ok=body.if_exists == "do_nothing",
        )
        try:
            if body.ttl is not None:
                await self._live(who, thread.thread_id, body.ttl)
            if body.supersteps and thread.agent is None:
                steps = [[one.update() for one in step.updates] for step in body.supersteps]
                await self.hub.update_state(who, thread.thread_id, steps)
                thread = await self.hub.thread(who, thread.thread_id)
        except HubError:
            # a thread without the history that it was asked for is none
            if thread.agent is None:
                await self.hub.threads.delete(who.tenant, thread.thread_id)
            raise
        return JsonResponse(dumps(render.thread(thread)))

    async def _live(self, who: Principal, thread_id: UUID, ttl: Ttl) -> ThreadTtl:
        wanted = ThreadTtl(ttl.strategy, timedelta(minutes=ttl.ttl))
        begun = await self.hub.archive.set_ttl(who.tenant, thread_id, wanted)
        if begun is None:
            raise NotFound(f"there is no thread {str(thread_id)!r}")
        return begun

    async def search(self, request: Request) -> Response:
        body = await read(request, ThreadSearch, self.max_body_bytes)
        who, archive, query = self.who(request), self.hub.archive, self._query(body)
        found = await archive.threads(who.tenant, query)
        headers = await paged(
            len(found), query.limit, query.offset, lambda: archive.count_threads(who.tenant, query)
        )
        if not body.select or "values" in body.select or body.extract:
            found = await asyncio.gather(*(self._with_values(who, t) for t in found))
        rendered = [_shown(t, body) for t in found]
        return JsonResponse(dumps(rendered), headers=headers)

    async def count(self, request: Request) -> Response:
        body = await read(request, ThreadCount, self.max_body_bytes)
        query = self._query(body)
        return JsonResponse(
            dumps(await self.hub.archive.count_threads(self.who(request).tenant, query))
        )

    def _query(self, body: ThreadCount) -> ThreadQuery:
        # a thread's agent is shown in its metadata, so it is searched for there
        wanted = dict(body.metadata or {})
        agent = wanted.pop("graph_id", None) or wanted.pop("assistant_id", None)
        query = ThreadQuery(
            metadata=wanted or None,
            values=body.values or None,
            status=body.status,
            agent=None if agent is None else self.hub.agent(str(agent)).name,
        )
        if not isinstance(body, ThreadSearch):
            return query
        return replace(
            query,
            ids=None if body.ids is None else [parse_id(i, "thread id") for i in body.ids],
            sort_by=body.sort_by,
            descending=body.sort_order == "desc",
            limit=body.limit,
            offset=body.offset,
        )

    async def prune(self, request: Request) -> Response:
        body = await read(request, ThreadPrune, self.max_body_bytes)
        tenant = self.who(request).tenant
        ids = [parse_id(i, "thread id") for i in body.thread_ids]
        there = [
            thread.thread_id
            for thread in await self.hub.archive.threads(
                tenant, ThreadQuery(ids=ids, limit=max(1, len(ids)))
            )
        ]
        if body.strategy == "keep_latest":
            await self.hub.states.checkpoints.prune(
                tenant, [str(id_) for id_ in there], keep_latest=True
            )
            return JsonResponse(dumps({"pruned_count": len(there)}))
        pruned = [await self.hub.threads.delete(tenant, id_) for id_ in there]
        return JsonResponse(dumps({"pruned_count": sum(pruned)}))

    async def thread(self, request: Request) -> Response:
        # one route for all methods: with several, the router would tell of the first one's alone
        match request.method:
            case "PATCH":
                return await self.patch(request)
            case "DELETE":
                return await self.delete(request)
            case _:
                return await self.get(request)

    async def get(self, request: Request) -> Response:
        who = self.who(request)
        thread = await self._with_values(who, await self.hub.thread(who, _thread_id(request)))
        rendered = render.thread(thread)
        if "ttl" in request.query_params.get("include", "").split(","):
            ttl = await self.hub.archive.ttl(who.tenant, thread.thread_id)
            rendered["ttl"] = None if ttl is None else render.ttl(ttl)
        return JsonResponse(dumps(rendered))

    async def _with_values(self, who: Principal, thread: Thread) -> Thread:
        """Its values are its last run's output; one that failed has none, but left a state."""
        if thread.values is not None or thread.agent is None:
            return thread
        try:
            state = await self.hub.state(who, thread.thread_id)
        except NotFound:  # deleted meanwhile
            return thread
        return thread if state.checkpoint_id is None else replace(thread, values=state.values)

    async def patch(self, request: Request) -> Response:
        body = await read(request, ThreadPatch, self.max_body_bytes)
        who, thread_id = self.who(request), _thread_id(request)
        thread = await self.hub.threads.update(who.tenant, thread_id, metadata=body.metadata)
        if thread is None:
            raise NotFound(f"there is no thread {str(thread_id)!r}")
        if body.ttl is not None:
            await self._live(who, thread_id, body.ttl)
        if request.headers.get("prefer") == "return=minimal":
            return Response(status_code=204)
        return JsonResponse(dumps(render.thread(await self._with_values(who, thread))))

    async def delete(self, request: Request) -> Response:
        thread_id = _thread_id(request)
        if not await self.hub.threads.delete(self.who(request).tenant, thread_id):
            raise NotFound(f"there is no thread {str(thread_id)!r}")
        return Response(status_code=204)

    async def copy(self, request: Request) -> Response:
        who = self.who(request)
        copy = await self.hub.copy_thread(who, _thread_id(request))
        return JsonResponse(dumps(render.thread(await self._with_values(who, copy))))

    async def storage(self, request: Request) -> Response:
        who = self.who(request)
        thread = await self.hub.thread(who, _thread_id(request))
        sizes = await self.hub.archive.stored(who.tenant, thread.thread_id)
        return JsonResponse(dumps(render.stored(str(thread.thread_id), sizes)))


def _shown(thread: Thread, body: ThreadSearch) -> JsonObject:
    rendered = render.thread(thread)
    shown = selected(rendered, body.select)
    if body.extract:
        found = {alias: extracted(rendered, path) for alias, path in body.extract.items()}
        shown = {**shown, "extracted": found}
    return shown


def _thread_id(request: Request) -> UUID:
    return parse_id(request.path_params["thread_id"], "thread id")
