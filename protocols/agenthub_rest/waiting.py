"""Waiting for a run: the answer as soon as it is there, and bytes that keep the connection until then.

The body is the run's last values, passed on as they were recorded. A short run is answered like any
request; a longer one gets its headers after a few seconds and a newline every few more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from starlette.responses import Response, StreamingResponse

from agenthub import events
from agenthub.json import Json, JsonObject, dumps, loads
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub
from agenthub_rest import render
from agenthub_rest.errors import JsonResponse

KEEP_ALIVE_SECONDS = 5.0


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
    if ended.get("interrupts") and b'"__interrupt__"' not in values:
        decoded: Json = loads(values)
        if decoded is None or isinstance(decoded, dict):
            return dumps({**(decoded or {}), "__interrupt__": ended["interrupts"]})
    return values


async def respond(
    body: Awaitable[bytes],
    headers: dict[str, str],
    *,
    gone: Callable[[], Awaitable[None]] | None = None,
) -> Response:
    """Answer with `body` when it is there. `gone` is called when the client leaves before."""
    task = asyncio.ensure_future(body)
    try:
        await asyncio.wait([task], timeout=KEEP_ALIVE_SECONDS)
    except asyncio.CancelledError:
        task.cancel()
        if gone is not None:
            await asyncio.shield(gone())
        raise
    if task.done():
        return JsonResponse(task.result(), headers=headers)
    return StreamingResponse(_slowly(task, gone), headers=headers, media_type="application/json")


async def _slowly(
    task: asyncio.Future[bytes], gone: Callable[[], Awaitable[None]] | None
) -> AsyncGenerator[bytes, None]:
    try:
        while not task.done():
            yield b"\n"
            await asyncio.wait([task], timeout=KEEP_ALIVE_SECONDS)
        yield task.result()
    except (asyncio.CancelledError, GeneratorExit):
        task.cancel()
        if gone is not None:
            await asyncio.shield(gone())
        raise
