"""Messages of the event-streaming protocol: content blocks that start, grow and finish.

The log holds LangChain's chunks, as JSON; here each becomes the events of its message. Blocks are told
apart by what the provider numbers them with, or else by kind and place, and are finished with their message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from agenthub.json import Json, JsonObject, loads

ROLES = {"ai": "ai", "AIMessageChunk": "ai", "human": "human", "system": "system"}
GROWING = ("text", "reasoning")
USAGE = ("input_tokens", "output_tokens", "total_tokens")
DESCRIBED = {
    "ls_provider": "provider",
    "ls_model_name": "model",
    "ls_model_type": "model_type",
    "thread_id": "thread_id",
    "langgraph_node": "langgraph_node",
}


@dataclass(slots=True)
class _Message:
    """A message that is being said: its blocks so far, and where in the graph it is said."""

    id: str
    ns: str
    node: str | None
    blocks: list[JsonObject] = field(default_factory=list[JsonObject])
    places: dict[Json, int] = field(default_factory=dict[Json, int])
    usage: JsonObject = field(default_factory=dict[str, Json])


Said = tuple[str, str | None, JsonObject]
"""The namespace, the node and the data of an event of the `messages` channel."""


class Transcript:
    """The messages of one run."""

    def __init__(self) -> None:
        self._open: dict[str, _Message] = {}
        self._done: set[str] = set()

    def add(self, ns: str, pair: list[Any]) -> Iterator[Said]:
        """What a recorded `[chunk, metadata]` says."""
        chunk, metadata = pair
        role = ROLES.get(str(chunk.get("type")))
        id_ = str(chunk.get("id"))
        if role is None or id_ in self._done:
            return
        message = self._open.get(id_)
        if message is None:
            message = _Message(id_, ns, metadata.get("langgraph_node"))
            self._open[id_] = message
            start = {"role": role, "metadata": _described(chunk, metadata)}
            yield _said(message, "message-start", **start)
        for key, block in _slices(chunk):
            yield from _grown(message, key, block)
        _count(message.usage, chunk.get("usage_metadata"))
        whole = not str(chunk.get("type")).endswith("Chunk")
        if whole or chunk.get("chunk_position") == "last":
            yield from self._finish(message)

    def finish(self, ns: str | None = None, node: str | None = None) -> Iterator[Said]:
        """End what is still being said by a node; without one, by all."""
        for message in list(self._open.values()):
            if ns is None or (message.ns, message.node) == (ns, node):
                yield from self._finish(message)

    def drop(self, why: str) -> Iterator[Said]:
        """End what is still being said as failed."""
        for message in self._open.values():
            yield _said(message, "error", message=why)
        self._open.clear()

    def _finish(self, message: _Message) -> Iterator[Said]:
        for index, block in enumerate(message.blocks):
            content = _finished(block)
            yield _said(message, "content-block-finish", index=index, content=content)
        usage = {"usage": message.usage} if message.usage else {}
        yield _said(message, "message-finish", **usage)
        del self._open[message.id]
        self._done.add(message.id)


def _said(about: _Message, event: str, **fields: Json) -> Said:
    # every event names its message: several may be said at the same time by one node
    run_id = about.id.removeprefix("lc_run--")
    return about.ns, about.node, {"event": event, "id": about.id, "run_id": run_id, **fields}


def _described(chunk: JsonObject, metadata: JsonObject) -> JsonObject:
    found = {ours: metadata.get(theirs) for theirs, ours in DESCRIBED.items()}
    response: JsonObject = chunk.get("response_metadata") or {}
    found["provider"] = found["provider"] or response.get("model_provider")
    return {k: v for k, v in found.items() if isinstance(v, str)}


def _slices(chunk: JsonObject) -> Iterator[tuple[Json, JsonObject]]:
    """The blocks of a chunk, each with what tells it apart from the message's others."""
    content = chunk.get("content")
    blocks: list[Any] = [content] if isinstance(content, str) else content or []
    for place, block in enumerate(blocks):
        one = _block(block)
        if one is not None:
            index = one.pop("index", None)
            yield (one["type"], place) if index is None else (None, str(index)), one
    calls = chunk.get("tool_call_chunks")
    if calls is None:
        for place, call in enumerate(chunk.get("tool_calls") or ()):
            yield ("tool_call", call.get("id") or place), {**call, "type": "tool_call"}
        return
    for place, call in enumerate(calls):
        index = call.get("index")
        fields = {name: call.get(name) for name in ("id", "name", "args")}
        key = ("tool_call_chunk", place if index is None else str(index))
        yield key, {**fields, "type": "tool_call_chunk"}


def _block(block: Json) -> JsonObject | None:
    if isinstance(block, str):
        return {"type": "text", "text": block} if block else None
    if not isinstance(block, dict):
        return None
    fields = cast("JsonObject", block)
    match fields.get("type"):
        case "text" | "reasoning" | "image" | "audio" | "video" | "file":
            return dict(fields)
        case "thinking":
            kept = {k: fields[k] for k in ("index", "id") if k in fields}
            return {"type": "reasoning", "reasoning": fields.get("thinking") or "", **kept}
        case "tool_use" | "input_json_delta" | "tool_call" | "tool_call_chunk" | "function_call":
            # the message tells of its calls by itself, whatever its provider calls them
            return None
        case _:
            kept = {"index": fields["index"]} if "index" in fields else {}
            return {"type": "non_standard", "value": fields, **kept}


def _grown(message: _Message, key: Json, block: JsonObject) -> Iterator[Said]:
    index = message.places.get(key)
    if index is None:
        index = message.places[key] = len(message.blocks)
        message.blocks.append(dict(block))
        start = {**block, **{name: "" for name in GROWING if name in block}}
        if "args" in block:
            start["args"] = {} if block["type"] == "tool_call" else ""
        yield _said(message, "content-block-start", index=index, content=start)
    else:
        _merge(message.blocks[index], block)
    delta = _delta(block)
    if delta is not None:
        yield _said(message, "content-block-delta", index=index, delta=delta)


def _merge(whole: JsonObject, block: JsonObject) -> None:
    for name, value in block.items():
        if name in (*GROWING, "args") and isinstance(value, str):
            whole[name] = (whole.get(name) or "") + value
        elif value is not None and name != "type":
            whole[name] = value


def _delta(block: JsonObject) -> JsonObject | None:
    match block:
        case {"type": "text", "text": str(text)} if text:
            return {"type": "text-delta", "text": text}
        case {"type": "reasoning", "reasoning": str(text)} if text:
            return {"type": "reasoning-delta", "reasoning": text}
        case {"type": "tool_call_chunk", "args": str(text)} if text:
            return {"type": "tool-call-delta", "args": text}
        case _:
            return None


def _finished(block: JsonObject) -> JsonObject:
    if block["type"] != "tool_call_chunk":
        return block
    call = {"id": block.get("id"), "name": block.get("name")}
    text = block.get("args") or "{}"
    try:
        args = loads(text)
    except ValueError:
        args = None
    if not isinstance(args, dict) or call["name"] is None:
        error = "the arguments of the call are not a JSON object"
        return {**call, "type": "invalid_tool_call", "args": text, "error": error}
    return {**call, "type": "tool_call", "args": args}


def _count(usage: JsonObject, more: Json) -> None:
    if not isinstance(more, dict):
        return
    counted = cast("JsonObject", more)
    for name in USAGE:
        usage[name] = usage.get(name, 0) + (counted.get(name) or 0)
    for name in ("input_token_details", "output_token_details"):
        if counted.get(name):
            usage[name] = counted[name]
