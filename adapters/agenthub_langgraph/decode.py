"""Stored channel values as JSON, without importing anything that they name.

LangGraph's msgpack wraps objects as (module, name, argument, …). A reader that only shows state takes
the argument and never looks at the names, so a checkpoint of an untrusted graph is only data here.
"""

from __future__ import annotations

import base64
from typing import Any, cast

import ormsgpack

from agenthub.json import Json, JsonObject, dumps, loads

NUMPY = 6
DELTA_SNAPSHOT = 7
END = "__end__"
ROOT = "__root__"


class StateDecoder:
    """`agenthub.states.Decoder` for LangGraph's serializer."""

    def decode(self, type_: str, data: bytes) -> Json:
        """A channel's value. What cannot be shown as JSON is shown by its kind."""
        match type_:
            case "null" | "empty":
                return None
            case "msgpack":
                return _shown(_unpack(data))
            case "json":
                return loads(data)
            case "bytes" | "bytearray":
                return base64.b64encode(data).decode()
            case _:
                return f"<{type_}: not readable here>"

    def values(self, channels: JsonObject) -> Json:
        """The state as users see it: an entrypoint's is its last result, a graph's its fields."""
        if END in channels:
            return channels[END]
        if ROOT in channels:
            return channels[ROOT]
        return {
            name: value
            for name, value in channels.items()
            if not name.startswith(("__", "branch:")) and value is not None
        }


def _unpack(data: bytes) -> Json:
    return ormsgpack.unpackb(data, ext_hook=_extension, option=ormsgpack.OPT_NON_STR_KEYS)


def _shown(value: Json) -> Json:
    """The value itself where it is JSON; otherwise with its bytes and odd keys as text."""
    try:
        dumps(value)
    except TypeError:
        return _as_text(value)
    return value


def _as_text(value: Any) -> Json:
    match value:
        case dict():
            fields = cast("dict[Any, Any]", value)
            return {_key(k): _as_text(v) for k, v in fields.items()}
        case list() | tuple():
            return [_as_text(v) for v in cast("list[Any]", value)]
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return value


def _key(key: Any) -> Any:
    """A key as JSON may have it; the others as Python writes them."""
    return key if key is None or isinstance(key, (str, int, float)) else repr(key)


def _extension(code: int, data: bytes) -> Any:
    inner = _unpack(data)
    if code == DELTA_SNAPSHOT:
        return inner
    parts = cast("list[Any]", inner)
    if code == NUMPY:
        return f"<array {parts[0]} {parts[1]}>"
    return parts[2]
