"""What a foreign agent publishes: a chat, with structured input and output where it has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agenthub.agents import AgentInfo, resolved
from agenthub.json import JsonObject

_MESSAGE: JsonObject = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "role": {"type": "string"},
        "content": {"anyOf": [{"type": "string"}, {"type": "array"}]},
    },
    "required": ["content"],
}
_MESSAGES: JsonObject = {"type": "array", "title": "Messages", "items": _MESSAGE}


def published(info: AgentInfo, **changes: Any) -> AgentInfo:
    """The description of a driven agent: `{"messages", "data"}` in, `{"messages", "output"}` out, where
    `data` and `output` have the schemas that its adapter derived."""
    given, told = info.input_schema, info.output_schema
    input_schema = _with({"messages": _MESSAGES}, "data", given)
    output_schema = _with({"messages": _MESSAGES}, "output", told)
    output_schema["required"] = ["messages", "output"] if told else ["messages"]
    if not given:
        input_schema["required"] = ["messages"]
    return replace(
        info,
        input_schema=input_schema,
        output_schema=output_schema,
        state_schema=output_schema,
        output_keys=None,
        **changes,
    )


def _with(properties: JsonObject, name: str, schema: JsonObject) -> JsonObject:
    """An object with one more property; its definitions move to the root, where references find them."""
    if not schema:
        return {"type": "object", "properties": properties}
    inner = {k: v for k, v in resolved(schema).items() if k not in ("$defs", "$schema")}
    whole: JsonObject = {"type": "object", "properties": {**properties, name: inner}}
    if schema.get("$defs"):
        whole["$defs"] = schema["$defs"]
    return whole
