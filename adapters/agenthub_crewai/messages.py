"""Messages, and what CrewAI's models and tools are given and give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from typing import Any, cast

from agenthub.adapting import Message
from agenthub.json import Json, JsonObject, dumps


def sdk(module: str = "crewai") -> Any:
    """A module of CrewAI, which only the agent's own environment has."""
    return import_module(module)


def with_data(messages: Sequence[JsonObject], data: Json) -> list[JsonObject]:
    """Messages with structured input, which is said as JSON behind the last one."""
    told = [*messages]
    if data is None:
        return told
    text = dumps(data).decode()
    if told and told[-1]["role"] == "user":
        told[-1] = {**told[-1], "content": f"{told[-1]['content']}\n\n{text}"}
    else:
        told.append({"role": "user", "content": text})
    return told


def to_model(message: Message) -> JsonObject:
    """A message as CrewAI keeps them, which is OpenAI's form."""
    told: JsonObject = {"role": message["role"], "content": text_of(message.get("content"))}
    if message.get("tool_calls"):
        told["content"] = told["content"] or None
        told["tool_calls"] = [called(c["id"], c["name"], c["args"]) for c in message["tool_calls"]]
    if message.get("tool_call_id"):
        told["tool_call_id"] = message["tool_call_id"]
        told["name"] = message.get("name") or ""
    return told


def called(id: str, name: str, args: Json) -> JsonObject:
    """A call of a tool in OpenAI's form; arguments that are a text stay as they were written."""
    text = args if isinstance(args, str) else json.dumps(args)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": text}}


def calls_of(answer: Any) -> list[JsonObject]:
    """The calls in what a model answered, whichever provider's they are; none if it is something else.
    Their arguments are as the provider has them: the next prompt repeats them to the letter."""
    if not isinstance(answer, list):
        return []
    extract = sdk("crewai.utilities.agent_utils").extract_tool_call_info
    found: list[Any] = [extract(one) for one in cast("list[Any]", answer)]
    return [{"id": c[0], "name": c[1], "args": c[2]} for c in found if c is not None]


def arguments(given: Any) -> Json:
    """A call's arguments; what is no JSON is shown as it came."""
    if isinstance(given, str):
        try:
            return json.loads(given or "{}")
        except ValueError:
            return given
    return plain(given or {})


def text_of(content: Any) -> str:
    """The text of a content."""
    if isinstance(content, str):
        return content
    blocks = cast("list[Any]", content) if isinstance(content, list) else []
    texts = [
        str(cast("JsonObject", b).get("text") or "") if isinstance(b, dict) else str(b)
        for b in blocks
    ]
    return "".join(texts)


def shown(value: Any) -> str:
    """A value as a text to read."""
    return value if isinstance(value, str) else dumps(plain(value)).decode()


def plain(value: Any) -> Json:
    """Any value as JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)


def digest(*parts: Any) -> str:
    """The same for the same contents, in any process."""
    text = json.dumps(parts, default=str, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:24]
