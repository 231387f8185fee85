"""Threads over HTTP: create, read, search, update, delete, state and history."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import NotFound
from agenthub.ids import parse_id
from agenthub.json import Json, JsonObject, dumps
from agenthub_rest import render
from agenthub_rest.api import Api
from agenthub_rest.bodies import (
    Checkpoint,
    History,
    Search,
    ThreadCreate,
    ThreadPatch,
    checked,
    read,
)
from agenthub_rest.errors import JsonResponse


class Threads(Api):
    """The routes of threads."""

    def routes(self) -> list[Route]:
        one = "/threads/{thread_id}"
        return [
            Route("/threads", self.create, methods=["POST"]),
            Route("/threads/search", self.search, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.patch, methods=["PATCH"]),
            Route(one, self.delete, methods=["DELETE"]),
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
        body = await read(request, Search, self.max_body_bytes)
        found = await self.hub.threads.search(
            self.who(request).tenant,
            metadata=body.metadata,
            status=body.status,
            limit=body.limit,
            offset=body.offset,
        )
        return JsonResponse(dumps([render.thread(t) for t in found]))

    async def get(self, request: Request) -> Response:
        thread = await self.hub.thread(self.who(request), _thread_id(request))
        return JsonResponse(dumps(render.thread(thread)))

    async def patch(self, request: Request) -> Response:
        body = await read(request, ThreadPatch, self.max_body_bytes)
        who = self.who(request)
        thread = await self.hub.threads.update(
            who.tenant, _thread_id(request), metadata=body.metadata
        )
        if thread is None:
            raise NotFound(f"there is no thread {request.path_params['thread_id']!r}")
        if request.headers.get("prefer") == "return=minimal":
            return Response(status_code=204)
        return JsonResponse(dumps(render.thread(thread)))

    async def delete(self, request: Request) -> Response:
        if not await self.hub.threads.delete(self.who(request).tenant, _thread_id(request)):
            raise NotFound(f"there is no thread {request.path_params['thread_id']!r}")
        return Response(status_code=204)

    async def state(self, request: Request) -> Response:
        found = await self.hub.state(
            self.who(request), _thread_id(request), request.path_params.get("checkpoint_id")
        )
        return JsonResponse(dumps(render.state(found)))

    async def state_at_body(self, request: Request) -> Response:
        body = await read(request, _StateAt, self.max_body_bytes)
        found = await self.hub.state(
            self.who(request),
            _thread_id(request),
            body.checkpoint.checkpoint_id,
            ns=body.checkpoint.checkpoint_ns,
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
            before=_before(body.before),
            metadata=body.metadata,
            ns=body.checkpoint.checkpoint_ns if body.checkpoint else "",
        )
        return JsonResponse(dumps([render.state(s) for s in found]))


class _StateAt(ThreadPatch):
    checkpoint: Checkpoint


def _thread_id(request: Request) -> UUID:
    return parse_id(request.path_params["thread_id"], "thread id")


def _before(before: Json) -> str | None:
    """A checkpoint id, or the config or checkpoint that holds one."""
    if isinstance(before, dict):
        config = cast("JsonObject", before)
        inner: Any = config.get("configurable", config)
        return inner.get("checkpoint_id")
    return before
