"""Many streams at once through one server and one worker: complete, in order, and none slows another."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import orjson
import pytest

from protocols.rest_client import rest, stream_of
from testkit import hub
from testkit.waiting import eventually

STREAMS = 200
TOKENS = 200
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
async def hub_url(hubs: Any) -> str:
    return await hubs(hub.FIXTURES / "rest_agents.py")


def events(body: bytes) -> list[tuple[str, Any, int]]:
    """The name, payload and id of each event in a finished stream."""
    found: list[tuple[str, Any, int]] = []
    for frame in body.decode().split("\r\n\r\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if line[:1] != ":")
        if fields:
            found.append((fields["event"], orjson.loads(fields["data"]), int(fields["id"])))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("agent", "mode"), [("count", "custom"), ("talk", "messages-tuple")])
async def test_200_streams_of_200_tokens_complete_with_every_event_in_order(
    hub_url: str, agent: str, mode: str
) -> None:
    body = orjson.dumps({"assistant_id": agent, "input": TOKENS, "stream_mode": mode})
    async with asyncio.timeout(PATIENCE_SECONDS):
        bodies = await asyncio.gather(
            *(fetched(hub_url, "POST", "/runs/stream", body) for _ in range(STREAMS))
        )
    runs: set[str] = set()
    for body in bodies:
        found = events(body)
        assert (found[0][0], found[-1][0]) == ("metadata", "end")
        runs.add(found[0][1]["run_id"])
        assert found[-1][1]["status"] == "success"
        ids = [id_ for _, _, id_ in found]
        # the values and the update that were not asked for leave their numbers out
        assert ids == sorted(set(ids))
        assert ids[:TOKENS] == list(range(1, TOKENS + 1))
        payloads = [data for name, data, _ in found if name == mode.removesuffix("-tuple")]
        if mode == "custom":
            assert payloads == list(range(TOKENS))
        else:
            # LangChain closes a message with an empty chunk
            assert [chunk["content"] for chunk, _ in payloads] == [
                *(f"w{i} " for i in range(TOKENS)),
                "",
            ]
    assert len(runs) == STREAMS


async def test_a_reader_that_stops_reading_slows_nobody_and_loses_nothing(hub_url: str) -> None:
    flood = {"n": 2000, "size": 4000}  # eight megabytes: more than the sockets between hold
    async with asyncio.timeout(PATIENCE_SECONDS), rest(hub_url) as client:
        run = await client.runs.create(None, "flood", input=flood, stream_mode="custom")
        path = stream_of(run) + "?stream_mode=custom"
        async with Slow(hub_url, path) as slow:
            quick = [fetched(hub_url, "GET", path) for _ in range(5)]
            for body in await asyncio.gather(*quick):
                told = [data["i"] for name, data, _ in events(body) if name == "custom"]
                assert told == list(range(flood["n"]))
            assert await client.runs.join(run["thread_id"], run["run_id"]) == flood["n"]
            # others work on while it stands still
            assert await client.runs.wait(None, "plus", input={"x": 1}) == {"x": 2}
            body = await slow.everything()
    found = events(body)
    assert [data["i"] for name, data, _ in found if name == "custom"] == list(range(flood["n"]))
    assert found[-1][0] == "end"


async def fetched(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    """The body of an answer. Not httpx: its pool's work grows with the square of its connections."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(method, path, body))
    received = await reader.read()
    writer.close()
    return content(received)


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """A request whose connection ends with its answer."""
    head = f"{method} {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def content(received: bytes) -> bytes:
    """The body in a whole response."""
    head, _, chunked = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), received[:500]
    assert b"transfer-encoding: chunked" in head.lower()
    parts: list[bytes] = []
    at = 0
    while at < len(chunked):
        data = chunked.index(b"\r\n", at) + 2
        size = int(chunked[at:data], 16)
        parts.append(chunked[data : data + size])
        at = data + size + 2
    return b"".join(parts)


class Slow:
    """A client with a small window that sends a request and reads nothing until it is told to."""

    def __init__(self, url: str, path: str) -> None:
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)
        self.path = path
        self.socket = socket.socket()

    async def __aenter__(self) -> Slow:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, (self.host, self.port))
        await loop.sock_sendall(self.socket, request("GET", self.path))
        peek = socket.MSG_PEEK | socket.MSG_DONTWAIT

        def answered() -> bytes:
            try:
                return self.socket.recv(12, peek)
            except BlockingIOError:
                return b""

        assert await eventually(answered) == b"HTTP/1.1 200"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def everything(self) -> bytes:
        """The body of the answer, read to its end."""
        loop = asyncio.get_running_loop()
        received = bytearray()
        while data := await loop.sock_recv(self.socket, 1 << 16):
            received += data
        return content(bytes(received))
