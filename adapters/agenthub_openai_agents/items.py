"""Messages and the items of the Responses API, which are the SDK's own history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, cast

from agenthub.adapting import Message
from agenthub.json import Json, JsonObject, dumps


def sdk(module: str = "agents") -> Any:
    """A module of the SDK, which only the agent's own environment has; imported at the first step."""
    return import_module(module)


def input_items(messages: Iterable[Message], data: Json = None) -> list[JsonObject]:
    """What a user says, as input items; structured input without any words is said as JSON."""
    items = [
        {
            "role": m["role"] if m["role"] in ("system", "assistant") else "user",
            "content": _parts(m),
        }
        for m in messages
    ]
    if data is not None:
        items.append({"role": "user", "content": dumps(data).decode()})
    return items


def _parts(message: Message) -> Any:
    content = message.get("content")
    if not isinstance(content, list) or message["role"] == "assistant":
        return _text(content)
    return [_part(block) for block in cast("list[Any]", content)]


def _part(block: Any) -> JsonObject:
    if not isinstance(block, dict):
        return {"type": "input_text", "text": str(block)}
    fields = cast("JsonObject", block)
    match fields.get("type"):
        case "text" | "input_text" | "output_text":
            return {"type": "input_text", "text": str(fields.get("text", ""))}
        case "image_url":
            url: Any = fields.get("image_url")
            return _image(cast("JsonObject", url).get("url") if isinstance(url, dict) else url)
        case "image" if fields.get("url"):
            return _image(fields["url"])
        case "image" if fields.get("base64"):
            return _image(f"data:{fields.get('mime_type', 'image/png')};base64,{fields['base64']}")
        case _:
            return {"type": "input_text", "text": dumps(fields).decode()}


def _image(url: Any) -> JsonObject:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def _text(content: Json) -> str:
    if isinstance(content, str):
        return content
    blocks = cast("list[Any]", content) if isinstance(content, list) else []
    texts = (cast("JsonObject", b).get("text") for b in blocks if isinstance(b, dict))
    return "".join(str(text) for text in texts if text)


def whole_message(response: Any, message_id: str, author: str) -> Message | None:
    """A model's response as one message: its text, its calls and its usage; None when it has neither."""
    text, calls = "", list[JsonObject]()
    for item in response.output:
        if item.type == "message":
            text += "".join(
                getattr(p, "text", None) or getattr(p, "refusal", "") for p in item.content
            )
        elif item.type == "function_call":
            calls.append({"id": item.call_id, "name": item.name, "args": arguments(item.arguments)})
    if not text and not calls:
        return None
    message: Message = {"id": message_id, "role": "assistant", "content": text, "name": author}
    if calls:
        message["tool_calls"] = calls
    if response.usage is not None:
        message["usage"] = counts(response.usage)
    return message


def tool_message(item: Any, names: dict[str, str]) -> Message:
    """What a tool, or a handoff, gave back."""
    call_id = str(field(item.raw_item, "call_id") or "")
    output = getattr(item, "output", None)
    if output is None:
        output = field(item.raw_item, "output")
    return {
        "id": f"{call_id}-output",
        "role": "tool",
        "content": output if isinstance(output, str) else dumps(plain(output)).decode(),
        "tool_call_id": call_id,
        "name": names.get(call_id, ""),
    }


def complete(items: Sequence[JsonObject]) -> bool:
    """Whether every call in a history has its output, so that a model can go on from it."""
    called = {i["call_id"] for i in items if i.get("type") == "function_call"}
    return called <= {i["call_id"] for i in items if i.get("type") == "function_call_output"}


def arguments(text: str | None) -> Json:
    """A call's arguments; a text that is no JSON stays one."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def counts(usage: Any) -> dict[str, int]:
    """The SDK's usage, of one response or of many."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def field(raw: Any, name: str) -> Any:
    """A field of a raw item, which is an object or a mapping."""
    return cast("JsonObject", raw).get(name) if isinstance(raw, dict) else getattr(raw, name, None)


def plain(value: Any) -> Json:
    """Any value of the SDK's as JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)
