"""The form of the approval page: a question's fields as HTML, and what was filled in as a reply.

The fields are those of the protocol's own forms (`forms.form`), so an answer given here and one given in a
client's form reach the agent alike. Everything that comes from an agent is text, and is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final, cast

from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject
from agenthub_mcp.forms import form

NUMBERS: Final = ("integer", "number")
INPUTS: Final = {"email": "email", "uri": "url", "date": "date"}


def fields_of(question: Interrupt) -> JsonObject:
    """The fields of a question, by name."""
    return cast("JsonObject", form(question.response_schema)[1]["properties"])


def shown(question: Interrupt, given: Mapping[str, list[str]]) -> str:
    """The fields as HTML, with what was filled in before."""
    kind, schema = form(question.response_schema)
    required: list[str] = schema.get("required") or []
    rows = [
        _row(name, field, given.get(name, []), needed=name in required, long=kind == "json")
        for name, field in fields_of(question).items()
    ]
    return "\n".join(rows)


def content_of(question: Interrupt, given: Mapping[str, list[str]]) -> JsonObject:
    """What was filled in, as the content of a reply; what is empty was not filled in."""
    content: JsonObject = {}
    for name, field in fields_of(question).items():
        values = [value for value in given.get(name, []) if value != ""]
        if field["type"] == "array":
            if values:
                content[name] = values
        elif values:
            content[name] = _value(field, values[0])
    return content


def _value(field: JsonObject, value: str) -> Json:
    """A value of the field's type; as it stands when it is none, so that the check can say so."""
    if field["type"] == "boolean":
        return value == "true"
    if field["type"] in NUMBERS:
        try:
            return int(value) if field["type"] == "integer" else float(value)
        except ValueError:
            return value
    return value


def _row(name: str, field: JsonObject, given: list[str], *, needed: bool, long: bool) -> str:
    label = escape(str(field.get("title") or name))
    told = field.get("description")
    about = f'<small id="about-{escape(name)}">{escape(str(told))}</small>' if told else ""
    described = f' aria-describedby="about-{escape(name)}"' if told else ""
    mark = " (needed)" if needed else ""
    attributes = f'id="field-{escape(name)}" name="{escape(name)}"{described}'
    attributes += " required" if needed and field["type"] != "array" else ""
    return (
        f'<p><label for="field-{escape(name)}">{label}{mark}</label>{about}'
        f"{_input(field, given, attributes, long=long)}</p>"
    )


def _input(field: JsonObject, given: list[str], attributes: str, *, long: bool) -> str:
    before = given or _default(field)
    value = escape(before[0]) if before else ""
    if field["type"] == "boolean":
        return _choice([("true", "Yes"), ("false", "No")], before, attributes)
    choices = _choices(field)
    if choices:
        several = field["type"] == "array"
        return _choice(choices, before, attributes, several=several)
    if long:
        return f'<textarea {attributes} rows="8" spellcheck="false">{value}</textarea>'
    if field["type"] in NUMBERS:
        step = "1" if field["type"] == "integer" else "any"
        return f'<input type="number" step="{step}" {attributes} value="{value}">'
    kind = INPUTS.get(str(field.get("format")), "text")
    return f'<input type="{kind}" autocomplete="off" {attributes} value="{value}">'


def _choices(field: JsonObject) -> list[tuple[str, str]]:
    """The choices of a field, with their titles; none for a field without."""
    of: JsonObject = field.get("items") or field
    titled: list[JsonObject] = of.get("oneOf") or of.get("anyOf") or []
    if titled:
        return [(str(c["const"]), str(c["title"])) for c in titled]
    values: list[str] = of.get("enum") or []
    names: list[str] = of.get("enumNames") or values
    return [(v, str(names[n]) if n < len(names) else v) for n, v in enumerate(values)]


def _choice(
    choices: list[tuple[str, str]], before: list[str], attributes: str, *, several: bool = False
) -> str:
    options = [] if several else ['<option value=""></option>']
    for value, title in choices:
        chosen = " selected" if value in before else ""
        options.append(f'<option value="{escape(value)}"{chosen}>{escape(title)}</option>')
    multiple = " multiple" if several else ""
    return f"<select {attributes}{multiple}>{''.join(options)}</select>"


def _default(field: JsonObject) -> list[str]:
    default: Json = field.get("default")
    if default is None:
        return []
    if isinstance(default, bool):
        return ["true" if default else "false"]
    if isinstance(default, list):
        return [str(one) for one in cast("list[Json]", default)]
    return [str(default)]
