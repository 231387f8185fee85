"""Schemas: what an agent takes and returns, in the form that a tool must have.

Both sides of a tool are objects, in both protocol eras: one tool with another root would make the
whole list invalid for handshake clients. The schema of chat messages, forty times as long as all the
rest, is replaced by a short one: a calling model writes one message and reads one answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, cast

from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from agenthub.errors import Invalid
from agenthub.json import Json, JsonObject, dumps

log = logging.getLogger(__name__)

InputForm: TypeAlias = Literal["message", "fields", "value"]
"""How a tool takes its input: one message for a chat, the fields of an object, or `input`."""

THREAD_ID: Final = "thread_id"
_DEFINITIONS: Final = "#/$defs/"
_THREAD_ARGUMENT: Final[JsonObject] = {
    "type": "string",
    "description": "The conversation to continue: the thread_id of an earlier result. "
    "Omit it to start a new one.",
}
_THREAD_RESULT: Final[JsonObject] = {
    "type": "string",
    "description": "Pass it back as thread_id to continue this conversation.",
}
_MESSAGE: Final[JsonObject] = {"type": "string", "description": "What to say to the agent."}
_MESSAGES: Final[JsonObject] = {
    "type": "array",
    "description": "The messages of this turn; the thread keeps all of them.",
    "items": {
        "type": "object",
        "properties": {"type": {"type": "string"}, "content": {}},
    },
}
_TEXTS_AND_NUMBERS: Final = frozenset({"string", "number", "integer", "boolean", "null"})
_COMBINED: Final = frozenset(
    {"$ref", "allOf", "anyOf", "oneOf", "not", "if", "unevaluatedProperties", "propertyNames"}
    | {"maxProperties"}
)
"""At the root of a schema: whether a further property is allowed cannot be told at a glance."""


def rooted(schema: JsonObject) -> JsonObject:
    """The schema with its root in place: a typed `@entrypoint` has it among the definitions."""
    target = schema.get("$ref")
    definitions: JsonObject = schema.get("$defs") or {}
    if not isinstance(target, str) or not target.startswith(_DEFINITIONS):
        return schema
    root: JsonObject | None = definitions.get(target.removeprefix(_DEFINITIONS))
    return schema if root is None else _pruned({**root, **_without(schema, "$ref")})


def input_form(schema: JsonObject) -> InputForm:
    """How a tool takes the input of an agent with this input schema."""
    properties = _properties(schema)
    if _is_chat(properties) and "message" not in properties:
        return "message"
    return "fields" if _is_object(schema) and THREAD_ID not in properties else "value"


def arguments_schema(schema: JsonObject, form: InputForm) -> JsonObject:
    """What a tool's arguments must fit, without `thread_id`."""
    if form == "message":
        # The other fields are the graph's state: it does not need them, whatever their types say.
        fields = {k: v for k, v in _properties(schema).items() if k != "messages"}
        schema = {
            **_without(schema, "title"),
            "type": "object",
            "properties": {"message": _MESSAGE, **fields},
            "required": ["message"],
        }
        return _pruned(schema)
    if form == "fields":
        return {**_without(schema, "title"), "type": "object"}
    return _as_property(schema, "input")


def tool_input(arguments: JsonObject) -> JsonObject:
    """The input schema to show: the arguments, and an optional `thread_id`."""
    fields = {**_properties(arguments), THREAD_ID: _THREAD_ARGUMENT}
    return {**arguments, "properties": fields}


def is_wrapped(output: JsonObject) -> bool:
    """Whether a tool returns an agent's output as `{"result": output}`."""
    return not _is_object(output)


def tool_output(output: JsonObject) -> JsonObject:
    """The output schema to show: an object, with an optional `thread_id` where one fits."""
    if is_wrapped(output):
        schema = _as_property(output, "result")
    else:
        schema = {**_without(output, "title"), "type": "object"}
        properties = _properties(schema)
        if _is_chat(properties):
            schema["properties"] = {**properties, "messages": _MESSAGES}
            schema = _pruned(schema)
    if takes_thread(schema):
        schema["properties"] = {**_properties(schema), THREAD_ID: _THREAD_RESULT}
    return schema


def takes_thread(output: JsonObject) -> bool:
    """Whether a result of this schema has room for the hub's `thread_id`."""
    theirs = _properties(output).get(THREAD_ID, _THREAD_RESULT)
    return theirs == _THREAD_RESULT and not _COMBINED & output.keys()


def validator(schema: JsonObject) -> Validator | None:
    """Compile a schema; None, with a warning, when it is none. Nothing is ever fetched."""
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as wrong:
        log.warning("a schema of an agent is not valid and is not enforced: %s", wrong.message)
        return None
    # An empty registry: the default one would load references over the network.
    return kind(schema, registry=Registry())


def problems(checked_by: Validator | None, value: Json) -> str | None:
    """What is wrong with a value, in a sentence or two; None when it fits."""
    if checked_by is None:
        return None
    try:
        found = sorted(checked_by.iter_errors(value), key=lambda e: len(e.absolute_path))[:3]
    except Unresolvable as missing:
        log.warning("a schema of an agent is not enforced: %s", missing)
        return None
    if not found:
        return None
    told = (
        f"{error.json_path}: {_short(error.message)}" if error.absolute_path else error.message
        for error in found
    )
    return "; ".join(_short(t) for t in told)


def storable(value: Json) -> Json:
    """The value, when it can be kept.

    Raises:
        Invalid: numbers beyond 64 bits, half of a surrogate pair, or nested beyond all measure.
    """
    try:
        dumps(value)
    except TypeError as wrong:
        raise Invalid(f"The value cannot be stored: {wrong}") from None
    return value


def _is_object(schema: JsonObject) -> bool:
    return schema.get("type") == "object" or ("type" not in schema and "properties" in schema)


def _is_chat(properties: JsonObject) -> bool:
    """Whether `messages` are chat messages rather than, say, a list of strings."""
    messages: JsonObject | None = properties.get("messages")
    if messages is None or messages.get("type", "array") != "array":
        return False
    items: JsonObject = messages.get("items") or {}
    return items.get("type") not in _TEXTS_AND_NUMBERS


def _as_property(schema: JsonObject, name: str) -> JsonObject:
    """An object with one required property. Definitions stay at the root, where `$ref` finds them."""
    roots = {k: schema[k] for k in ("$schema", "$defs", "definitions") if k in schema}
    inner = _without(schema, "title", *roots)
    return {**roots, "type": "object", "properties": {name: inner}, "required": [name]}


def _pruned(schema: JsonObject) -> JsonObject:
    """Drop the definitions that nothing refers to any more."""
    definitions: JsonObject = schema.get("$defs") or {}
    used: set[str] = set()
    waiting = set(_references({k: v for k, v in schema.items() if k != "$defs"}))
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in used:
            used.add(name)
            waiting.update(_references(definitions[name]))
    kept = {k: v for k, v in definitions.items() if k in used}
    return {**_without(schema, "$defs"), **({"$defs": kept} if kept else {})}


def _references(node: Json) -> Iterable[str]:
    if isinstance(node, dict):
        fields = cast("JsonObject", node)
        target = fields.get("$ref")
        if isinstance(target, str) and target.startswith(_DEFINITIONS):
            yield target.removeprefix(_DEFINITIONS).split("/")[0]
        for value in fields.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in cast("list[Json]", node):
            yield from _references(value)


def _properties(schema: JsonObject) -> JsonObject:
    return schema.get("properties") or {}


def _without(schema: JsonObject, *names: str) -> JsonObject:
    return {k: v for k, v in schema.items() if k not in names}


def _short(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
