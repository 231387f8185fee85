"""The official REST client, raw HTTP beside it, and streams as lists of frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.schema import StreamPart

PATIENCE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event."""

    event: str
    data: Any
    id: str | None


@asynccontextmanager
async def rest(url: str) -> AsyncGenerator[LangGraphClient]:
    """The official client; everything in the block ends within `PATIENCE_SECONDS`."""
    async with asyncio.timeout(PATIENCE_SECONDS), get_client(url=url, api_key=None) as client:
        yield client


@asynccontextmanager
async def http(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """An HTTP client, whatever the environment says of proxies."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_SECONDS) as raw,
    ):
        yield raw


@contextmanager
def refused(status: int, text: str = "") -> Generator[None]:
    """The block ends with a refusal of this status whose sentence has this text."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        yield
    response = caught.value.response
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert text in response.json()["detail"]
    assert response.json()["code"]


async def parts(stream: AsyncIterator[StreamPart]) -> list[StreamPart]:
    """Everything that a stream of the client says."""
    return [part async for part in stream]


def named(found: list[StreamPart] | list[Frame], event: str) -> list[Any]:
    """The payloads of the events of this name."""
    return [part.data for part in found if part.event == event]


async def frames(lines: AsyncIterator[str]) -> AsyncIterator[Frame]:
    """The frames in the lines of a response; comments are left out."""
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
        elif fields:
            yield Frame(fields["event"], orjson.loads(fields["data"]), fields.get("id"))
            fields = {}


async def joined(raw: httpx.AsyncClient, path: str, **how: Any) -> list[Frame]:
    """All frames of a stream that is joined with GET."""
    async with raw.stream("GET", path, **how) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        return [frame async for frame in frames(response.aiter_lines())]


def stream_of(run: Any) -> str:
    """The path of a run's stream."""
    return f"/threads/{run['thread_id']}/runs/{run['run_id']}/stream"


@dataclass(slots=True)
class CuttingProxy:
    """A TCP proxy that cuts event streams: the n-th after `cuts[n]` bytes, the others not at all."""

    upstream: str
    cuts: list[int]
    url: str = ""
    requests: list[str] = field(default_factory=list[str])
    """The first line and the Last-Event-ID of each request for a stream."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.upstream.removeprefix("http://").split(":")
        from_hub, to_hub = await asyncio.open_connection(host, int(port))
        both = [
            asyncio.create_task(self._up(reader, to_hub)),
            asyncio.create_task(self._down(from_hub, writer)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        for end in (writer, to_hub):
            end.close()

    async def _up(self, reader: asyncio.StreamReader, to_hub: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            head = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            if "/stream" in head[0]:
                last = [line for line in head if line.lower().startswith("last-event-id")]
                self.requests.append(" ".join([head[0], *last]))
            to_hub.write(data)

    async def _down(self, from_hub: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left: int | None = None
        while data := await from_hub.read(65536):
            if left is None and b"text/event-stream" in data and self.cuts:
                left = self.cuts.pop(0)
            writer.write(data if left is None else data[:left])
            await writer.drain()
            if left is not None:
                left -= len(data)
                if left <= 0:
                    return


@asynccontextmanager
async def cutting_proxy(url: str, *cuts: int) -> AsyncGenerator[CuttingProxy]:
    """A running `CuttingProxy` before the hub."""
    proxy = CuttingProxy(url, list(cuts))
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
