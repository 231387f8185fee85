"""Whether values fit the schemas of agents: the input of a first message, and the answer to a question.

A schema that cannot be used is the agent's mistake, not the caller's, and is not enforced. Nothing is ever
fetched for one.
"""

from __future__ import annotations

from typing import Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from agenthub.agents import AgentInfo, resolved
from agenthub.errors import Invalid
from agenthub.json import Json, JsonObject

MOST_COMPILED: Final = 1000
LONGEST: Final = 200
_TEXTS_AND_NUMBERS: Final = frozenset({"string", "number", "integer", "boolean", "null"})
# of agents' inputs: compiling costs fifty times as much as checking. The schema is kept with what it became,
# so that no other one gets its id
_compiled: dict[int, tuple[JsonObject, Draft202012Validator | None]] = {}


def misfit(value: Json, schema: JsonObject | None) -> str | None:
    """Why a value does not fit, in a sentence; None when it does."""
    return _wrong(_validator(schema), value) if schema else None


def fitting(info: AgentInfo, value: Json) -> Json:
    """The value, once it fits the agent's input. Of a chat, messages may have any form that LangChain knows,
    and the other fields of its state need not be there.

    Raises:
        Invalid: it does not.
    """
    known = _compiled.get(id(info.input_schema))
    if known is None:
        if len(_compiled) >= MOST_COMPILED:
            _compiled.clear()
        known = info.input_schema, _validator(_enforced(info.input_schema))
        _compiled[id(info.input_schema)] = known
    if (wrong := _wrong(known[1], value)) is not None:
        raise Invalid(f"the input does not fit agent {info.name!r}: {wrong}")
    return value


def _enforced(schema: JsonObject) -> JsonObject:
    root = resolved(schema)
    properties: JsonObject = root.get("properties") or {}
    messages: JsonObject | None = properties.get("messages")
    if messages is None or messages.get("type", "array") != "array":
        return schema
    items: JsonObject = messages.get("items") or {}
    if items.get("type") in _TEXTS_AND_NUMBERS:
        return schema
    return {**root, "properties": {**properties, "messages": {}}, "required": []}


def _validator(schema: JsonObject) -> Draft202012Validator | None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return None
    # a registry of its own: the default one would fetch remote references
    return Draft202012Validator(schema, registry=Registry())


def _wrong(validator: Draft202012Validator | None, value: Json) -> str | None:
    if validator is None:
        return None
    try:
        found = next(iter(validator.iter_errors(value)), None)  # pyright: ignore[reportUnknownMemberType]  # an overload is untyped
    except Unresolvable:
        return None
    if found is None:
        return None
    said = found.message if len(found.message) <= LONGEST else f"{found.message[:LONGEST]}…"
    return f"{found.json_path}: {said}" if found.absolute_path else said
