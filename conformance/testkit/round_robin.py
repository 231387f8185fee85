"""A balancer without any stickiness: each request, and not each connection, goes to the next replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from testkit.hub import Quiet
from testkit.processes import free_port
from testkit.waiting import eventually

HOP_BY_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


@dataclass(slots=True)
class RoundRobin:
    """Where the balancer listens, which replica each request went to, by method, and how many found none."""

    url: str
    went: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    refused: int = 0


@asynccontextmanager
async def round_robin(replicas: Sequence[str]) -> AsyncGenerator[RoundRobin]:
    """A balancer in front of these replicas; one that is not there is passed over."""
    turns = count()
    balancer = RoundRobin(f"http://127.0.0.1:{free_port()}")

    async def forward(request: Request) -> Response:
        body = await request.body()
        # blanks around a value are not part of it
        headers = {k: v.strip() for k, v in request.headers.items() if k not in HOP_BY_HOP}
        for _ in replicas:
            to = replicas[next(turns) % len(replicas)]
            sent = client.build_request(
                request.method, f"{to}{request.url.path}", headers=headers, content=body
            )
            try:
                answer = await client.send(sent, stream=True)
            except httpx.TransportError:
                continue
            balancer.went.append((request.method, to))
            kept = {k: v for k, v in answer.headers.items() if k not in HOP_BY_HOP}
            return StreamingResponse(passed(answer), answer.status_code, kept)
        balancer.refused += 1
        return Response("no replica is there", 502)

    async def passed(answer: httpx.Response) -> AsyncGenerator[bytes]:
        # raising would be logged; to the client it is all the same
        try:
            async for data in answer.aiter_raw():
                yield data
        except httpx.TransportError:
            return
        finally:
            await answer.aclose()

    app = Starlette(
        routes=[Route("/{path:path}", forward, methods=["GET", "POST", "DELETE", "PUT", "PATCH"])]
    )
    port = int(balancer.url.rpartition(":")[2])
    server = Quiet(uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1))
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        serving = asyncio.create_task(server.serve())
        await eventually(lambda: server.started or serving.done())
        try:
            yield balancer
        finally:
            server.should_exit = True
            await serving
