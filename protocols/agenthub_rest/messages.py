"""The `messages` stream mode: whole messages, accumulated from the recorded deltas.

The log holds deltas (what `messages-tuple` shows); this mode repeats each message so far, as older
clients expect it. The accumulation follows LangChain's rules for chunks, on their JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from agenthub.json import Json, JsonObject, loads


class Messages:
    """One client's messages so far, by id."""

    def __init__(self) -> None:
        self._so_far: dict[str, JsonObject] = {}

    def restart(self) -> None:
        """A new attempt began: what the dead one had streamed is dropped."""
        self._so_far.clear()

    def add(self, pair: list[Any]) -> list[tuple[str, Json]]:
        """The events that a recorded `[chunk, metadata]` makes."""
        return list(self._events(pair[0], pair[1]))

    def _events(self, chunk: JsonObject, metadata: JsonObject) -> Iterator[tuple[str, Json]]:
        id_ = str(chunk.get("id"))
        if id_ not in self._so_far:
            yield "messages/metadata", {id_: {"metadata": metadata}}
        if not str(chunk.get("type", "")).endswith("Chunk"):
            self._so_far[id_] = chunk
            yield "messages/complete", [chunk]
            return
        whole = self._so_far.get(id_)
        self._so_far[id_] = whole = dict(chunk) if whole is None else merged(whole, chunk)
        yield "messages/partial", [_as_message(whole)]


def merged(whole: JsonObject, chunk: JsonObject) -> JsonObject:
    """A message with a further chunk added."""
    calls = [dict(c) for c in whole.get("tool_call_chunks") or ()]
    for call in chunk.get("tool_call_chunks") or ():
        same = next((c for c in calls if c.get("index") == call.get("index") is not None), None)
        if same is None:
            calls.append(dict(call))
        else:
            same["args"] = (same.get("args") or "") + (call.get("args") or "")
            same["name"] = same.get("name") or call.get("name")
            same["id"] = same.get("id") or call.get("id")
    return {
        **whole,
        "content": _joined(whole.get("content"), chunk.get("content")),
        "tool_call_chunks": calls,
        "response_metadata": {
            **(whole.get("response_metadata") or {}),
            **(chunk.get("response_metadata") or {}),
        },
        "usage_metadata": chunk.get("usage_metadata") or whole.get("usage_metadata"),
    }


def _joined(first: Json, second: Json) -> Json:
    if isinstance(first, str) and isinstance(second, str):
        return first + second
    blocks: list[Any] = [*_blocks(first)]
    for block in _blocks(second):
        last = next((b for b in blocks if b.get("index") == block.get("index") is not None), None)
        if last is not None and "text" in last and "text" in block:
            last["text"] += block["text"]
        else:
            blocks.append(dict(block))
    return blocks


def _blocks(content: Json) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [dict(b) for b in cast("list[JsonObject]", content or [])]


def _as_message(whole: JsonObject) -> JsonObject:
    calls = [
        {
            "name": c.get("name") or "",
            "args": _args(c.get("args")),
            "id": c.get("id"),
            "type": "tool_call",
        }
        for c in whole.get("tool_call_chunks") or ()
    ]
    # what only pieces have
    kept = {k: v for k, v in whole.items() if k not in ("tool_call_chunks", "chunk_position")}
    return {**kept, "type": "ai", "tool_calls": calls or whole.get("tool_calls") or []}


def _args(text: str | None) -> Json:
    try:
        return loads(text or "{}")
    except ValueError:
        return {}
