"""A provider of models on a port of 127.0.0.1, which streams as the real ones do: OpenAI's chat completions
and Gemini's. It plays the clerk of the examples: it finds the order, refunds it, and says so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

_Answer: TypeAlias = str | tuple[str, dict[str, Any]]
REFUNDED = "The refund is on its way."
WELCOME = "You are welcome. Goodbye."


@dataclass(slots=True)
class ModelServer:
    """`requests` counts the calls; both addresses are those that the clients' variables take."""

    origin: str = ""
    requests: int = 0

    @property
    def openai_url(self) -> str:
        return f"{self.origin}/v1"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            found = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            body = json.loads(await reader.readexactly(int(found[1]) if found else 0))
            self.requests += 1
            told = _gemini(body) if "streamGenerateContent" in head else _openai(body)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
            writer.write(b"connection: close\r\n\r\n")
            for event in told:
                writer.write(f"data: {event}\r\n\r\n".encode())
                await writer.drain()
        writer.close()


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


def _answer(said: str, results: int) -> _Answer:
    if "A-17" not in said:
        return WELCOME
    if results == 0:
        return "find_order", {"number": "A-17"}
    return ("refund", {"number": "A-17", "amount": 42}) if results == 1 else REFUNDED


def _openai(body: dict[str, Any]) -> Iterator[str]:
    messages: Sequence[dict[str, Any]] = body["messages"]
    at = max(n for n, message in enumerate(messages) if message["role"] == "user")
    results = sum(message["role"] == "tool" for message in messages[at:])
    answer = _answer(json.dumps(messages[at]["content"]), results)
    if isinstance(answer, str):
        deltas: list[Any] = [{"content": piece} for piece in re.findall(r"\S+\s*", answer)]
        reason = "stop"
    else:
        name, args = answer
        call = {"index": 0, "id": f"call_{at}_{name}", "type": "function"}
        deltas = [{"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}]
        for piece in re.findall(r".{1,7}", json.dumps(args)):
            deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        reason = "tool_calls"
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    for delta in [{"role": "assistant"}, *deltas]:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield json.dumps({**head, "choices": [choice]})
    yield json.dumps({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    yield json.dumps({**head, "choices": [], "usage": usage})
    yield "[DONE]"


def _gemini(body: dict[str, Any]) -> Iterator[str]:
    contents: Sequence[dict[str, Any]] = body["contents"]
    spoken = [n for n, one in enumerate(contents) for part in one["parts"] if "text" in part]
    at = max(n for n in spoken if contents[n]["role"] == "user")
    parts = [part for one in contents[at:] for part in one["parts"]]
    answer = _answer(json.dumps(contents[at]), sum("functionResponse" in part for part in parts))
    if isinstance(answer, str):
        told: list[Any] = [{"text": piece} for piece in re.findall(r"\S+\s*", answer)]
    else:
        told = [{"functionCall": {"name": answer[0], "args": answer[1]}}]
    for n, part in enumerate(told, 1):
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
        event: dict[str, Any] = {"candidates": [candidate]}
        if n == len(told):
            candidate["finishReason"] = "STOP"
            event["usageMetadata"] = {
                "promptTokenCount": 20,
                "candidatesTokenCount": 10,
                "totalTokenCount": 30,
            }
        yield json.dumps(event)
