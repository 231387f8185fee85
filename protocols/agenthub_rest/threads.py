"""Threads over HTTP: create, read, search, update, delete, state and history."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import Invalid, NotFound
from agenthub.ids import parse_id
from agenthub.json import dumps
from agenthub.threads import Thread
from agenthub_rest import render
from agenthub_rest.api import Api, page, selected
from agenthub_rest.bodies import (
    History,
    StateAt,
    ThreadCreate,
    ThreadPatch,
    ThreadSearch,
    plain,
)
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import checked, read


class Threads(Api):
    """The routes of threads."""

    def routes(self) -> list[Route]:
        one = "/threads/{thread_id}"
        return [
            Route("/threads", self.create, methods=["POST"]),
            Route("/threads/search", self.search, methods=["POST"]),
            Route(one, self.thread, methods=["GET", "PATCH", "DELETE"]),
            Route(one + "/state", self.state, methods=["GET"]),
            Route(one + "/state/checkpoint", self.state_at_body, methods=["POST"]),
            Route(one + "/state/{checkpoint_id}", self.state, methods=["GET"]),
            Route(one + "/history", self.history, methods=["GET", "POST"]),
        ]

    async def create(self, request: Request) -> Response:
        body = await read(request, ThreadCreate, self.max_body_bytes)
        thread = await self.hub.create_thread(
            self.who(request),
            thread_id=None if body.thread_id is None else parse_id(body.thread_id, "thread id"),
            metadata=body.metadata,
            exists_ok=body.if_exists == "do_nothing",
        )
        return JsonResponse(dumps(render.thread(thread)))

    async def search(self, request: Request) -> Response:
        body = await read(request, ThreadSearch, self.max_body_bytes)
        # a thread's agent is shown in its metadata, so it is searched for there
        wanted = dict(body.metadata or {})
        agent = wanted.pop("graph_id", None) or wanted.pop("assistant_id", None)
        found = await self.hub.threads.search(
            self.who(request).tenant,
            metadata=wanted or None,
            status=body.status,
            agent=None if agent is None else self.hub.agent(str(agent)).name,
            limit=body.limit + 1,
            offset=body.offset,
        )
        shown, headers = page(found, body.limit, body.offset)
        rendered = [selected(render.thread(t), body.select) for t in shown]
        return JsonResponse(dumps(rendered), headers=headers)

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
        thread = await self.hub.thread(self.who(request), _thread_id(request))
        return JsonResponse(dumps(render.thread(await self._with_values(request, thread))))

    async def _with_values(self, request: Request, thread: Thread) -> Thread:
        """Its values are its last run's output; one that failed has none, but left a state."""
        if thread.values is not None or thread.agent is None:
            return thread
        state = await self.hub.state(self.who(request), thread.thread_id)
        return thread if state.checkpoint_id is None else replace(thread, values=state.values)

    async def patch(self, request: Request) -> Response:
        body = await read(request, ThreadPatch, self.max_body_bytes)
        tenant = self.who(request).tenant
        thread = await self.hub.threads.update(tenant, _thread_id(request), metadata=body.metadata)
        if thread is None:
            raise _missing(request)
        if request.headers.get("prefer") == "return=minimal":
            return Response(status_code=204)
        return JsonResponse(dumps(render.thread(await self._with_values(request, thread))))

    async def delete(self, request: Request) -> Response:
        if not await self.hub.threads.delete(self.who(request).tenant, _thread_id(request)):
            raise _missing(request)
        return Response(status_code=204)

    async def state(self, request: Request) -> Response:
        checkpoint_id = request.path_params.get("checkpoint_id")
        try:
            at = None if checkpoint_id is None else plain(checkpoint_id)
        except ValueError as error:
            raise Invalid(f"the checkpoint id {error}") from None
        found = await self.hub.state(self.who(request), _thread_id(request), at)
        return JsonResponse(dumps(render.state(found)))

    async def state_at_body(self, request: Request) -> Response:
        at = (await read(request, StateAt, self.max_body_bytes)).checkpoint
        found = await self.hub.state(
            self.who(request), _thread_id(request), at.checkpoint_id, ns=at.checkpoint_ns
        )
        return JsonResponse(dumps(render.state(found)))

    async def history(self, request: Request) -> Response:
        if request.method == "POST":
            body = await read(request, History, self.max_body_bytes)
        else:
            body = checked(History, dict(request.query_params))
        found = await self.hub.history(
            self.who(request),
            _thread_id(request),
            limit=body.limit,
            before=body.before,
            metadata=body.metadata,
            ns=body.checkpoint.checkpoint_ns,
        )
        return JsonResponse(dumps([render.state(s) for s in found]))


def _thread_id(request: Request) -> UUID:
    return parse_id(request.path_params["thread_id"], "thread id")


def _missing(request: Request) -> NotFound:
    return NotFound(f"there is no thread {request.path_params['thread_id']!r}")
