"""Parts: JSON and text as A2A carries them.

`google.protobuf.Value` knows only doubles, so an integer that a client sends arrives as `10.0`;
`from_value` gives integral numbers back as integers. Files have a module of their own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

from a2a.types.a2a_pb2 import Message, Part
from a2a.utils.errors import ContentTypeNotSupportedError
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.struct_pb2 import Value

from agenthub.errors import Invalid
from agenthub.json import Json, JsonObject, integral, text

TEXT: Final = "text/plain"
JSON: Final = "application/json"
MODES: Final = (TEXT, JSON)
DEEPEST: Final = 60
"""Messages that a value may be deep: two for each of its levels, which are three in binary, where parsers
take a hundred, and a data part is some of them down."""
LEVELS: Final = DEEPEST // 2
"""The same, of JSON."""


def text_part(text: str) -> Part:
    """A part of plain text."""
    return Part(text=text, media_type=TEXT)


def data_part(value: Json) -> Part:
    """A part of JSON; as text where it is nested deeper than clients can read it."""
    try:
        data = ParseDict(value, Value(), max_recursion_depth=DEEPEST)
    except ParseError:
        return Part(text=text(value), media_type=JSON)
    return Part(data=data, media_type=JSON)


def insist_shallow(message: Message) -> None:
    """Insist that what a client sends can be shown again: its task would be unreadable with all that are
    listed beside it.

    Raises:
        Invalid: data or metadata are deeper than `data_part` would make them.
    """
    for value in (message, *message.parts):
        if _deep_metadata(value):
            raise Invalid(f"the metadata are nested deeper than {LEVELS - 1} levels")
    if any(_too_deep([part.data], LEVELS) for part in message.parts):
        raise Invalid(
            f"a data part is nested deeper than {LEVELS - 1} levels; send it as JSON in a text part"
        )


def flattened(message: Message) -> None:
    """Give data that are too deep for clients as text, and leave such metadata out: messages were once
    taken with them."""
    for part in message.parts:
        if _too_deep([part.data], LEVELS):
            part.text, part.media_type = text(from_value(part.data)), JSON
    for value in (message, *message.parts):
        if _deep_metadata(value):
            value.ClearField("metadata")


def _deep_metadata(message: Message | Part) -> bool:
    return _too_deep(message.metadata.fields.values(), LEVELS - 1)


def _too_deep(values: Iterable[Value], levels: int) -> bool:
    """Whether these and what they hold have more levels. Nothing is copied: binary could not hold it."""
    for _ in range(levels):
        values = [inner for outer in values for inner in _within(outer)]
        if not values:
            return False
    return True


def _within(value: Value) -> Iterable[Value]:
    match value.WhichOneof("kind"):
        case "struct_value":
            return value.struct_value.fields.values()
        case "list_value":
            return value.list_value.values
        case _:
            return ()


def part_of(block: JsonObject) -> Part:
    """A content block that an agent emitted (`agenthub.emitted.Artifact`)."""
    if block["type"] == "text":
        return text_part(block["text"])
    if block["type"] == "data":
        return data_part(block["data"])
    part = Part(media_type=block["mime_type"], filename=block.get("filename") or "")
    if "url" in block:
        part.url = block["url"]
    else:
        part.raw = base64.b64decode(block["base64"])
    return part


def from_value(value: Value) -> Json:
    """The JSON of a data part, with integers as integers."""
    return integral(MessageToDict(value))


def texts_and_data(parts: Iterable[Part]) -> tuple[list[str], list[Json]]:
    """The text parts that say something, and the data parts.

    Raises:
        ContentTypeNotSupportedError: a part is a file.
    """
    texts: list[str] = []
    data: list[Json] = []
    for part in parts:
        match part.WhichOneof("content"):
            case "text" if part.text.strip():
                texts.append(part.text)
            case "data":
                data.append(from_value(part.data))
            case "raw" | "url":
                raise ContentTypeNotSupportedError(
                    f"a file answers nothing here; send parts of {' or '.join(MODES)}"
                )
            case _:
                pass
    return texts, data
