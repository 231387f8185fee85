"""Forms: a question's schema, cut down to the flat forms that MCP hosts can show.

Elicitation allows one object of texts, numbers, booleans and choices (one or several of a list, each with
a title or without), and nothing inside them. A schema that says more than that is asked for as one field
that takes JSON, and checked afterwards.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, cast

from agenthub.json import Json, JsonObject

FormKind: TypeAlias = Literal["open", "fields", "value", "json"]
"""`open`: no schema was given. `fields`: the object itself. `value`: a lone value. `json`: a text."""

VALUE: Final = "answer"
OPEN_FORM: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "title": "Approve", "description": "Yes or no."},
        "response": {
            "type": "string",
            "title": "Response",
            "description": "What to tell the agent, in words or as JSON, if it wants to know more.",
        },
    },
}
_KEPT: Final[dict[str, tuple[str, ...]]] = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "boolean": (),
}
_ABOUT: Final = ("title", "description", "default")
_FORMATS: Final = frozenset({"date", "date-time", "email", "uri"})


def form(schema: JsonObject | None) -> tuple[FormKind, JsonObject]:
    """The form for an answer of this schema."""
    if schema is None:
        return "open", OPEN_FORM
    root = _resolved(schema, schema)
    if root.get("type") == "object" and root.get("properties"):
        fields = _fields(root, schema)
        return ("json", _json_form(schema)) if fields is None else ("fields", fields)
    field = _field(root, schema)
    if field is None:
        return "json", _json_form(schema)
    return "value", {"type": "object", "properties": {VALUE: field}, "required": [VALUE]}


def _fields(root: JsonObject, schema: JsonObject) -> JsonObject | None:
    """The form of an object; optional properties that do not fit are left out, required ones may not."""
    required: list[str] = list(root.get("required") or ())
    fields: JsonObject = {}
    for name, given in cast("JsonObject", root["properties"]).items():
        field = _field(_resolved(given, schema), schema)
        if field is not None:
            fields[name] = field
        elif name in required:
            return None
    return {"type": "object", "properties": fields, "required": required} if fields else None


def _field(given: JsonObject, schema: JsonObject) -> JsonObject | None:
    """A primitive, without what the forms do not know; None when it is not one."""
    given = _not_null(given, schema)
    if given.get("type") == "array":
        return _several(given, schema)
    titled = _titled(given.get("oneOf", given.get("anyOf")))
    if titled is not None and given.get("type", "string") == "string":
        return {"type": "string", **_kept(given, *_ABOUT), "oneOf": titled}
    choices: Json = given.get("enum", [given["const"]] if "const" in given else None)
    kind: Json = given.get("type", "string" if choices else None)
    if not isinstance(kind, str) or kind not in _KEPT:
        return None
    field: JsonObject = {"type": kind, **_kept(given, *_ABOUT, *_KEPT[kind])}
    if choices is not None:
        if kind != "string" or not all(isinstance(c, str) for c in choices):
            return None
        field = {"type": kind, **_kept(given, *_ABOUT, "enumNames"), "enum": choices}
    elif given.get("format") in _FORMATS:
        field["format"] = given["format"]
    return field


def _several(given: JsonObject, schema: JsonObject) -> JsonObject | None:
    """A choice of several; None when the list may hold anything else."""
    items = _resolved(given.get("items") or {}, schema)
    titled = _titled(items.get("anyOf", items.get("oneOf")))
    if titled is not None:
        shown: JsonObject = {"anyOf": titled}
    elif _all_texts(items.get("enum")):
        shown = {"type": "string", "enum": items["enum"]}
    else:
        return None
    return {"type": "array", **_kept(given, *_ABOUT, "minItems", "maxItems"), "items": shown}


def _titled(choices: Json) -> list[Json] | None:
    """The choices of `{"const", "title"}`, both texts; None when they are anything else."""
    if not isinstance(choices, list) or not choices:
        return None
    shown: list[Json] = []
    for choice in cast("list[Json]", choices):
        fields = cast("JsonObject", choice) if isinstance(choice, dict) else {}
        if not _all_texts([fields.get("const"), fields.get("title")]):
            return None
        shown.append(_kept(fields, "const", "title"))
    return shown


def _all_texts(values: Json) -> bool:
    return isinstance(values, list) and all(isinstance(v, str) for v in cast("list[Json]", values))


def _kept(given: JsonObject, *names: str) -> JsonObject:
    return {k: given[k] for k in names if given.get(k) is not None}


def _not_null(given: JsonObject, schema: JsonObject) -> JsonObject:
    """The other half of a value that may be null: a form leaves it out instead."""
    for key in ("anyOf", "oneOf"):
        others = [o for o in given.get(key) or () if o.get("type") != "null"]
        if len(others) == 1:
            rest = {k: v for k, v in given.items() if k != key}
            return {**_resolved(others[0], schema), **rest}
    kind: Json = given.get("type")
    if isinstance(kind, list):
        others = [k for k in cast("list[str]", kind) if k != "null"]
        return {**given, "type": others[0]} if len(others) == 1 else given
    return given


def _resolved(given: JsonObject, schema: JsonObject) -> JsonObject:
    """Follow one reference to a definition of the schema itself."""
    target = given.get("$ref")
    if not isinstance(target, str) or not target.startswith("#/$defs/"):
        return given
    definitions: JsonObject = schema.get("$defs") or {}
    found: JsonObject | None = definitions.get(target.removeprefix("#/$defs/"))
    rest = {k: v for k, v in given.items() if k != "$ref"}
    return given if found is None else {**found, **rest}


def _json_form(schema: JsonObject) -> JsonObject:
    title = schema.get("title")
    return {
        "type": "object",
        "properties": {
            VALUE: {
                "type": "string",
                "title": title if isinstance(title, str) else "Answer",
                "description": "The answer as JSON.",
            }
        },
        "required": [VALUE],
    }
