"""Waiting for a run: the answer as soon as it is there, and bytes that keep the connection until then.

The body is the run's last values, passed on as they were recorded. A short run is answered like any
request; a longer one gets its headers after a few seconds and a newline every few more. A client that
goes away meanwhile is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agenthub import events
from agenthub.errors import Conflict, HubError, NotFound
from agenthub.json import Json, JsonObject, dumps, loads
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub
from agenthub_rest import render
from agenthub_rest.errors import JsonResponse

PROMPT_SECONDS = 0.1
"""Until then nobody looks whether the client is still there: most runs are done by then."""
KEEP_ALIVE_SECONDS = 5.0
CLIENT_CLOSED_REQUEST = 499

Gone = Callable[[], Awaitable[None]]


async def result(hub: Hub, who: Principal, run: Run) -> bytes:
    """The body of `wait` and `join`: values, values with `__interrupt__`, or `__error__`."""
    values: bytes | None = None
    async with aclosing(hub.follow_run(run)) as slices:
        async for slice_ in slices:
            for event in slice_:
                if event.kind == events.VALUES and not event.ns:
                    values = event.data
                elif event.kind == events.ENDED:
                    return await _body(hub, who, run, values, event.json())
    ended = await hub.run(who, run.run_id)
    body: JsonObject = {
        "status": ended.status,
        "error": ended.error,
        "interrupts": [i.public() for i in ended.interrupts],
    }
    return await _body(hub, who, run, dumps(ended.output), body)


async def _body(
    hub: Hub, who: Principal, run: Run, values: bytes | None, ended: JsonObject
) -> bytes:
    if ended["status"] in ("error", "timeout"):
        return dumps({"__error__": ended.get("error")})
    if ended["status"] == "interrupted" or values is None:
        # cancelled: what the thread holds is what there is
        state = await hub.state(who, run.thread_id)
        return dumps(render.state(state)["values"])
    if ended.get("interrupts"):
        # all of them: LangGraph's values show each question by itself
        decoded: Json = loads(values)
        if decoded is None or isinstance(decoded, dict):
            return dumps({**(decoded or {}), "__interrupt__": ended["interrupts"]})
    return values


async def left(hub: Hub, who: Principal, run: Run) -> None:
    """Cancel a run whose client went away."""
    with suppress(NotFound, Conflict):  # it has ended meanwhile
        await hub.cancel_run(who, run.run_id, reason="the client disconnected")


async def respond(
    request: Request,
    body: Coroutine[Any, Any, bytes],
    headers: dict[str, str],
    *,
    gone: Gone | None = None,
) -> Response:
    """Answer with `body` when it is there. `gone` is called when the client leaves before."""
    waiting = Waiting(request, asyncio.create_task(body), gone)
    if await waiting.answered(PROMPT_SECONDS) or await waiting.answered(KEEP_ALIVE_SECONDS):
        return JsonResponse(await waiting.task, headers=headers)
    if waiting.abandoned:
        await waiting.close()
        # nobody reads it
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return StreamingResponse(
        waiting.slowly(),
        headers=headers,
        media_type="application/json",
        background=BackgroundTask(waiting.close),
    )


class Waiting:
    """One client that waits for one answer."""

    def __init__(self, request: Request, task: asyncio.Task[bytes], gone: Gone | None) -> None:
        self.task = task
        self._request = request
        self._gone = gone
        self._leaving: asyncio.Task[None] | None = None

    @property
    def abandoned(self) -> bool:
        """Whether the client has left without its answer."""
        return not self.task.done() and self._leaving is not None and self._leaving.done()

    async def answered(self, seconds: float) -> bool:
        """Whether the answer is there within so many seconds; earlier False when the client left."""
        watched: list[asyncio.Task[Any]] = [self.task]
        if seconds > PROMPT_SECONDS:
            self._leaving = self._leaving or asyncio.create_task(self._disconnected())
            watched.append(self._leaving)
        try:
            await asyncio.wait(watched, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._stop()
            raise
        if self.task.done():
            self._stop()
        return self.task.done()

    async def slowly(self) -> AsyncGenerator[bytes, None]:
        """Newlines until the answer is there, then the answer."""
        yield b"\n"
        while not await self.answered(KEEP_ALIVE_SECONDS):
            if self.abandoned:
                return
            yield b"\n"
        try:
            yield self.task.result()
        except HubError as error:  # the status is on its way already
            yield dumps({"__error__": {"error": error.code, "message": error.message}})

    async def close(self) -> None:
        """The connection is over: tell `gone` if there was no answer yet."""
        answered = self.task.done() and not self.task.cancelled()
        self._stop()
        if not answered and self._gone is not None:
            await self._gone()

    def _stop(self) -> None:
        self.task.cancel()
        if self._leaving is not None:
            self._leaving.cancel()

    async def _disconnected(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
