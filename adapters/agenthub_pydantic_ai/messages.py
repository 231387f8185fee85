"""Messages and Pydantic AI's model messages, which are its own history."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from agenthub.adapting import Message
from agenthub.json import Json, JsonObject, dumps


def sdk(module: str = "pydantic_ai") -> Any:
    """A module of Pydantic AI, which only the agent's own environment has; imported at the first step."""
    return import_module(module)


def history(messages: Any) -> Json:
    """Model messages as JSON."""
    return sdk("pydantic_ai.messages").ModelMessagesTypeAdapter.dump_python(messages, mode="json")


def model_messages(history: Json) -> list[Any]:
    """Model messages from JSON."""
    return sdk("pydantic_ai.messages").ModelMessagesTypeAdapter.validate_python(history)


def prompt_and_history(messages: Sequence[Message], data: Json) -> tuple[Any, list[Any]]:
    """What a user says now, and what is to stand before it. Structured input is said as JSON."""
    parts = sdk("pydantic_ai.messages")
    said: list[Any] = []
    before: list[Any] = []
    for message in messages:
        match message["role"]:
            case "system":
                text = parts.SystemPromptPart(text_of(message["content"]))
                before.append(parts.ModelRequest(parts=[text]))
            case "assistant":
                text = parts.TextPart(text_of(message["content"]))
                before.append(parts.ModelResponse(parts=[text]))
            case _:
                said += user_content(message.get("content"))
    if data is not None:
        said.append(dumps(data).decode())
    return said[0] if len(said) == 1 else said or None, before


def user_content(content: Json) -> list[Any]:
    """A user's content: texts, and images by address or by value."""
    if not isinstance(content, list):
        return [text_of(content)]
    parts: list[Any] = []
    for block in cast("list[Any]", content):
        fields: JsonObject = (
            cast("JsonObject", block) if isinstance(block, dict) else {"text": block}
        )
        address: Any = fields.get("image_url") or fields.get("url")
        if isinstance(address, dict):
            address = cast("JsonObject", address).get("url")
        if fields.get("base64"):
            kind = str(fields.get("mime_type") or "image/png")
            data = base64.b64decode(fields["base64"])
            parts.append(sdk().BinaryContent(data, media_type=kind))
        elif address:
            parts.append(sdk().ImageUrl(str(address)))
        else:
            parts.append(str(fields.get("text") or dumps(fields).decode()))
    return parts


def whole_message(response: Any, message_id: str, author: str) -> Message:
    """A model's response as one message: its text, its calls and its usage."""
    message: Message = {
        "id": message_id,
        "role": "assistant",
        "content": "".join(p.content for p in response.parts if p.part_kind == "text"),
        "usage": counts(response.usage),
    }
    if author:
        message["name"] = author
    calls = [
        {"id": p.tool_call_id, "name": p.tool_name, "args": arguments(p)}
        for p in response.parts
        if p.part_kind == "tool-call"
    ]
    if calls:
        message["tool_calls"] = calls
    return message


def tool_message(part: Any) -> Message:
    """What a tool gave back, or why it is to be called anew."""
    retry = part.part_kind == "retry-prompt"
    failed = retry or getattr(part, "outcome", "success") != "success"
    return {
        "id": f"{part.tool_call_id}-output",
        "role": "tool",
        "content": part.model_response() if retry else shown(part.content),
        "tool_call_id": part.tool_call_id,
        "name": part.tool_name or "",
        "status": "error" if failed else "success",
    }


def arguments(part: Any) -> Json:
    """A call's arguments; what is no JSON object is shown as it came."""
    try:
        return part.args_as_dict()
    except (ValueError, AssertionError):
        return part.args


def counts(usage: Any) -> dict[str, int]:
    """Pydantic AI's usage, of a request or of a run."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def shown(value: Any) -> str:
    """A value as a text to read."""
    return value if isinstance(value, str) else dumps(plain(value)).decode()


def plain(value: Any) -> Json:
    """Any value as JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)


def text_of(content: Json) -> str:
    """The text of a content."""
    if isinstance(content, str):
        return content
    blocks = cast("list[Any]", content) if isinstance(content, list) else []
    return "".join(
        str(cast("JsonObject", b).get("text", "")) for b in blocks if isinstance(b, dict)
    )
