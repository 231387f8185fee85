"""Messages, and ADK's events and contents, which are Gemini's."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from agenthub.adapting import Message
from agenthub.json import Json, JsonObject, dumps

OWN = "adk_request_"
"""What ADK's own calls begin with: they ask people, and are no tools."""


def sdk(module: str) -> Any:
    """A module of ADK or of Gemini's client, which only the agent's own environment has."""
    return import_module(module)


def content(messages: Sequence[Message], data: Json) -> Any:
    """What a user says. Structured input is said as JSON, behind the words that it belongs to."""
    types = sdk("google.genai.types")
    parts = [part for one in messages for part in _parts(one.get("content"))]
    if data is not None:
        parts.append(types.Part(text=dumps(data).decode()))
    return types.Content(role="user", parts=parts)


def responses(given: Sequence[tuple[str, str, JsonObject]]) -> Any:
    """What people answer, as responses to calls: `(call id, name, response)`."""
    types = sdk("google.genai.types")
    made = [types.FunctionResponse(id=id, name=name, response=r) for id, name, r in given]
    return types.Content(
        role="user", parts=[types.Part(function_response=response) for response in made]
    )


def whole_message(event: Any, message_id: str) -> Message | None:
    """A model's event as one message: its text, its calls and its usage; None when it has neither."""
    text = "".join(p.text for p in parts_of(event) if p.text and not p.thought)
    calls = calls_of(event)
    if not text and not calls:
        return None
    message: Message = {
        "id": message_id,
        "role": "assistant",
        "content": text,
        "name": event.author,
    }
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "name": call.name, "args": plain(call.args or {})} for call in calls
        ]
    if used := counts(event.usage_metadata):
        message["usage"] = used
    return message


def tool_message(call_id: str, name: str, response: Any) -> Message:
    """What a tool gave back; ADK wraps what is no object."""
    error = failure(response)
    return {
        "id": f"{call_id}-output",
        "role": "tool",
        "content": shown(response) if error is None else error,
        "tool_call_id": call_id,
        "name": name,
        "status": "success" if error is None else "error",
    }


def parts_of(event: Any) -> Sequence[Any]:
    """The parts of an event's content."""
    return (event.content.parts if event.content else None) or ()


def calls_of(event: Any) -> list[Any]:
    """The calls of tools in an event, without those that ask people."""
    return [call for call in event.get_function_calls() if not call.name.startswith(OWN)]


def counts(used: Any) -> dict[str, int]:
    """What a model reported; empty when that is nothing."""
    if used is None or not used.total_token_count:
        return {}
    given = (used.prompt_token_count or 0) + (used.tool_use_prompt_token_count or 0)
    total = used.total_token_count
    return {"input_tokens": given, "output_tokens": total - given, "total_tokens": total}


def failure(response: Any) -> str | None:
    """Why a tool failed, or was not run, as ADK says it; None when it did not."""
    fields = cast("JsonObject", response) if isinstance(response, dict) else {}
    error = fields.get("error")
    if error is None:
        return None
    said = fields.get("reason")
    return f"{error} {said}" if said else str(error)


def shown(response: Any) -> str:
    """A response as a text to read."""
    fields = cast("JsonObject", response) if isinstance(response, dict) else {"result": response}
    value: Any = fields["result"] if set(fields) == {"result"} else fields
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(plain(value)).decode()


def plain(value: Any) -> Json:
    """Any value as JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str, by_alias=False)


def _parts(content: Json) -> list[Any]:
    types = sdk("google.genai.types")
    if not isinstance(content, list):
        text = content if isinstance(content, str) else dumps(content).decode()
        return [types.Part(text=text)]
    return [_part(types, block) for block in cast("list[Any]", content)]


def _part(types: Any, block: Any) -> Any:
    if not isinstance(block, dict):
        return types.Part(text=str(block))
    fields = cast("JsonObject", block)
    mime_type = str(fields.get("mime_type") or "image/png")
    if fields.get("base64"):
        return types.Part.from_bytes(data=base64.b64decode(fields["base64"]), mime_type=mime_type)
    address: Any = fields.get("image_url") or fields.get("url")
    if isinstance(address, dict):
        address = cast("JsonObject", address).get("url")
    if address:
        head, _, data = str(address).partition(";base64,")
        if data:
            return types.Part.from_bytes(
                data=base64.b64decode(data), mime_type=head.removeprefix("data:")
            )
        return types.Part.from_uri(file_uri=str(address), mime_type=mime_type)
    return types.Part(text=str(fields.get("text") or dumps(fields).decode()))
