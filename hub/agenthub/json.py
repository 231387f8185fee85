"""JSON as the core sees it: a type, and one pair of fast functions."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias, cast

import orjson

Json: TypeAlias = Any
"""A value that survives `dumps` and `loads`: user payloads, never our own records."""

JsonObject: TypeAlias = dict[str, Any]

EXACT_INTEGERS: Final = 2**53
OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def dumps(value: Json) -> bytes:
    """Encode a plain value. Raises `TypeError` for anything that is not JSON."""
    return orjson.dumps(value, option=OPTIONS)


def loads(data: bytes | str) -> Json:
    """Decode. Raises `ValueError` for malformed input."""
    return orjson.loads(data)


def text(value: Json) -> str:
    """Encode to `str`, as the jsonb parameters of the driver want it; NUL, which jsonb cannot hold,
    becomes U+FFFD."""
    return without_nul(dumps(value).decode())


def integral(value: Json) -> Json:
    """A value whose numbers came as doubles, as protobuf's do: with those that are integers as integers."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < EXACT_INTEGERS else value
    if isinstance(value, dict):
        return {k: integral(v) for k, v in cast("JsonObject", value).items()}
    if isinstance(value, list):
        return [integral(item) for item in cast("list[Json]", value)]
    return value


def without_nul(encoded: str) -> str:
    """Replace escaped NULs in JSON text; an escaped backslash before `u0000` is left alone."""
    if "\\u0000" not in encoded:
        return encoded
    return re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1\\ufffd", encoded)
