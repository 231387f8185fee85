"""Parts: JSON and text as A2A carries them.

`google.protobuf.Value` knows only doubles, so an integer that a client sends arrives as `10.0`;
`from_value` gives integral numbers back as integers. Files have a module of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from a2a.types.a2a_pb2 import Part
from a2a.utils.errors import ContentTypeNotSupportedError
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

from agenthub.json import Json, JsonObject

TEXT: Final = "text/plain"
JSON: Final = "application/json"
MODES: Final = (TEXT, JSON)
EXACT_INTEGERS: Final = 2**53


def text_part(text: str) -> Part:
    """A part of plain text."""
    return Part(text=text, media_type=TEXT)


def data_part(value: Json) -> Part:
    """A part of JSON."""
    return Part(data=ParseDict(value, Value()), media_type=JSON)


def from_value(value: Value) -> Json:
    """The JSON of a data part, with integers as integers."""
    return _integral(MessageToDict(value))


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


def _integral(value: Json) -> Json:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < EXACT_INTEGERS else value
    if isinstance(value, dict):
        return {k: _integral(v) for k, v in cast("JsonObject", value).items()}
    if isinstance(value, list):
        return [_integral(item) for item in cast("list[Json]", value)]
    return value
