"""Messages, and Strands' own, which follow Bedrock's Converse API."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from agenthub.adapting import Message
from agenthub.json import Json, JsonObject, dumps


def sdk(module: str = "strands") -> Any:
    """A module of Strands, which only the agent's own environment has; imported at the first step."""
    return import_module(module)


def prompt(messages: Sequence[Message], data: Json) -> list[JsonObject]:
    """What a user says, as messages. Structured input is said as JSON, behind the words it belongs to."""
    said: list[JsonObject] = [
        {
            "role": "assistant" if one["role"] == "assistant" else "user",
            "content": _blocks(one.get("content")),
        }
        for one in messages
    ]
    if data is not None:
        if not said or said[-1]["role"] != "user":
            said.append({"role": "user", "content": []})
        said[-1]["content"].append({"text": dumps(data).decode()})
    return said


def task(messages: Sequence[Message], data: Json) -> list[JsonObject]:
    """What a user says, as one task for a graph or a swarm."""
    return [block for one in prompt(messages, data) for block in one["content"]]


def whole_message(message: JsonObject, message_id: str, author: str) -> Message:
    """A model's message: its text, its calls and its usage."""
    whole: Message = {
        "id": message_id,
        "role": "assistant",
        "content": "".join(b["text"] for b in message["content"] if "text" in b),
        "name": author,
    }
    if calls := calls_of(message):
        whole["tool_calls"] = [
            {"id": c["toolUseId"], "name": c["name"], "args": plain(c["input"])} for c in calls
        ]
    if used := counts(message):
        whole["usage"] = used
    return whole


def tool_message(result: JsonObject, name: str) -> Message:
    """What a tool gave back, or why it did not."""
    return {
        "id": f"{result['toolUseId']}-output",
        "role": "tool",
        "content": shown(result),
        "tool_call_id": result["toolUseId"],
        "name": name,
        "status": "error" if result.get("status") == "error" else "success",
    }


def calls_of(message: JsonObject) -> list[JsonObject]:
    """The tool uses of a model's message."""
    return [block["toolUse"] for block in message["content"] if "toolUse" in block]


def results_of(message: JsonObject) -> list[JsonObject]:
    """The tool results of a message."""
    return [block["toolResult"] for block in message["content"] if "toolResult" in block]


def counts(message: JsonObject) -> dict[str, int]:
    """What a model reported for a message; empty when that is nothing."""
    metadata: JsonObject = message.get("metadata") or {}
    used: JsonObject = metadata.get("usage") or {}
    if not used.get("totalTokens"):
        return {}
    return {
        "input_tokens": used["inputTokens"],
        "output_tokens": used["outputTokens"],
        "total_tokens": used["totalTokens"],
    }


def shown(result: JsonObject) -> str:
    """A tool's result as a text to read."""
    parts = [
        block["text"] if "text" in block else dumps(plain(block.get("json", block))).decode()
        for block in result.get("content") or ()
    ]
    return "\n".join(parts)


def packed(state: Any) -> Json:
    """State of Strands as JSON: it may hold images and documents by value."""
    return sdk("strands.types.session").encode_bytes_values(state)


def unpacked(state: Json) -> Any:
    """State of Strands from JSON."""
    return sdk("strands.types.session").decode_bytes_values(state)


def plain(value: Any) -> Json:
    """Any value as JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)


def _blocks(content: Json) -> list[JsonObject]:
    if not isinstance(content, list):
        return [{"text": content if isinstance(content, str) else dumps(content).decode()}]
    return [_block(block) for block in cast("list[Any]", content)]


def _block(block: Any) -> JsonObject:
    if not isinstance(block, dict):
        return {"text": str(block)}
    fields = cast("JsonObject", block)
    if fields.get("base64"):
        return _image(str(fields.get("mime_type") or "image/png"), str(fields["base64"]))
    address: Any = fields.get("image_url") or fields.get("url")
    if isinstance(address, dict):
        address = cast("JsonObject", address).get("url")
    if address:
        head, _, data = str(address).partition(";base64,")
        # an image elsewhere is named: Strands takes them by value only
        return _image(head.removeprefix("data:"), data) if data else {"text": str(address)}
    return {"text": str(fields.get("text") or dumps(fields).decode())}


def _image(mime_type: str, data: str) -> JsonObject:
    source = {"bytes": base64.b64decode(data)}
    return {"image": {"format": mime_type.rpartition("/")[2], "source": source}}
