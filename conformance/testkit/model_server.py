"""A provider of models on a port of 127.0.0.1, which streams as the real ones do (`model_dialects`). It plays
the clerk of the examples: it finds the order, refunds it, and says so. Words of the user have it fail."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from testkit.model_dialects import DIALECTS, Answer, Dialect

WELCOME = "You are welcome. Goodbye."
DONE = "Done: 42 EUR for order A-17 are on their way."
USAGE = {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
"""What one call reports."""
BUSY, DOWN, CUT, SICK, HANG = "BUSY", "DOWN", "CUT", "SICK", "HANG"
"""Words of the user: the call behind the first tool is refused once, or each time; an answer breaks off,
has an error in the middle, or stops there until the client goes away."""
REASON = "the provider has a bad day"


@dataclass(slots=True)
class ModelServer:
    """`requests` counts the calls; `left` is set when a client went away in the middle of an answer."""

    origin: str = ""
    requests: int = 0
    unknown: list[str] = field(default_factory=list[str])
    """Requests for what no provider of models has."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    _refused: bool = False

    @property
    def openai_url(self) -> str:
        return f"{self.origin}/v1"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            found = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            body = json.loads(await reader.readexactly(int(found[1]) if found else 0) or b"null")
            path = head.split()[1]
            dialect = next((d for part, d in DIALECTS.items() if part in path), None)
            if dialect is None:
                self.unknown.append(path)
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            else:
                self.requests += 1
                heard = dialect.heard(body)
                status = self._status(heard.said, len(heard.outputs))
                if status == 200:
                    await self._answered(dialect, body, heard.said, heard.outputs, reader, writer)
                else:
                    _refuse(writer, status)
        writer.close()

    def _status(self, said: str, results: int) -> int:
        if DOWN in said and results:
            return 500
        if BUSY in said and results and not self._refused:
            self._refused = True
            return 429
        return 200

    async def _answered(
        self,
        dialect: Dialect,
        body: object,
        said: str,
        outputs: list[str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        events = list(dialect.told(_answer(said, outputs), body, self.requests, USAGE))
        whole = not any(word in said for word in (CUT, SICK, HANG))
        for event in events if whole else events[: len(events) // 2]:
            chunk = event.encode()
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
        if SICK in said:
            error = f"data: {_error(503)}\r\n\r\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(error), error))
        if whole or SICK in said:
            writer.write(b"0\r\n\r\n")
        elif HANG in said:
            await reader.read()
            self.left.set()


@asynccontextmanager
async def model_server() -> AsyncGenerator[ModelServer]:
    """The server, while it is needed."""
    served = ModelServer()
    server = await asyncio.start_server(served.connected, "127.0.0.1", 0)
    served.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()


def _answer(said: str, outputs: list[str]) -> Answer:
    if "A-17" not in said:
        return WELCOME
    if not outputs:
        return "find_order", {"number": "A-17"}
    if len(outputs) == 1:
        return "refund", {"number": "A-17", "amount": 42}
    # the tool's own words: they have come here
    return f"Done: {outputs[-1]}."


def _error(status: int) -> str:
    """As OpenAI says it, which is close enough to how Gemini does."""
    return json.dumps({"error": {"message": REASON, "code": status, "type": "t", "param": None}})


def _refuse(writer: asyncio.StreamWriter, status: int) -> None:
    told = _error(status)
    head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\nretry-after-ms: 1\r\n"
    length = f"content-length: {len(told)}\r\nconnection: close\r\n\r\n"
    writer.write(f"{head}{length}{told}".encode())
