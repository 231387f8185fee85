"""The floor: a bare Starlette app with LangGraph and upstream's Postgres checkpointer, in one process.

No runs table, no queue, no lease, no event log, no resumable stream: what a person writes in an hour.
The hub is measured beside it, in the same run, on the same Postgres.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import orjson
import uvicorn
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bench.agents import GRAPHS

GRAPHS_WITH_STATE: dict[str, Any] = {}
BACKGROUND: set[asyncio.Task[Any]] = set()


def plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseMessage) else str(value)


def respond(value: Any) -> Response:
    return Response(orjson.dumps(value, default=plain), media_type="application/json")


async def thread(_: Request) -> Response:
    return respond({"thread_id": str(uuid4())})


async def wait(request: Request) -> Response:
    body = orjson.loads(await request.body())
    thread_id = request.path_params.get("thread_id")
    if thread_id is None:
        return respond(await GRAPHS[body["assistant_id"]].ainvoke(body["input"]))
    graph = GRAPHS_WITH_STATE[body["assistant_id"]]
    config = {"configurable": {"thread_id": thread_id}}
    return respond(
        await graph.ainvoke(body["input"], config, durability=body.get("durability", "async"))
    )


async def background(request: Request) -> Response:
    body = orjson.loads(await request.body())
    graph = GRAPHS_WITH_STATE[body["assistant_id"]]
    config = {"configurable": {"thread_id": str(uuid4())}}
    task = asyncio.create_task(graph.ainvoke(body["input"], config))
    BACKGROUND.add(task)
    task.add_done_callback(BACKGROUND.discard)
    return respond({"run_id": str(uuid4())})


async def pending(_: Request) -> Response:
    return respond(len(BACKGROUND))


async def stream(request: Request) -> Response:
    body = orjson.loads(await request.body())
    graph = GRAPHS_WITH_STATE[body["assistant_id"]]
    config = {"configurable": {"thread_id": str(uuid4())}}
    modes = ["messages" if m == "messages-tuple" else m for m in body["stream_mode"]]

    async def frames() -> AsyncGenerator[bytes, None]:
        async for mode, data in graph.astream(body["input"], config, stream_mode=modes):
            yield b"event: %s\r\ndata: %s\r\n\r\n" % (
                mode.encode(),
                orjson.dumps(data, default=plain),
            )

    return StreamingResponse(frames(), media_type="text/event-stream")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    pool = AsyncConnectionPool(
        sys.argv[2],
        min_size=4,
        max_size=10,
        kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": 0},
        open=False,
    )
    async with pool:
        saver = AsyncPostgresSaver(pool)  # pyright: ignore[reportArgumentType]
        await saver.setup()
        for name, graph in GRAPHS.items():
            GRAPHS_WITH_STATE[name] = graph.copy(update={"checkpointer": saver})
        yield


app = Starlette(
    routes=[
        Route("/ok", pending),
        Route("/threads", thread, methods=["POST"]),
        Route("/runs/wait", wait, methods=["POST"]),
        Route("/runs", background, methods=["POST"]),
        Route("/runs/stream", stream, methods=["POST"]),
        Route("/threads/{thread_id}/runs/wait", wait, methods=["POST"]),
    ],
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, loop="uvloop")
