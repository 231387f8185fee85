"""Values of a graph as JSON bytes: messages, models, interrupts and whatever else users put there."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import orjson
from langgraph.types import Interrupt
from pydantic import BaseModel

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS


def encode(value: Any) -> bytes:
    """JSON of any value. What has no JSON form is shown as its `repr`, never an error: a stream
    must not break because a state holds a file handle."""
    try:
        return orjson.dumps(value, default=plain, option=OPTIONS)
    except TypeError:
        # lone surrogates, integers beyond 64 bits, odd keys: the slow encoder knows a way
        return json.dumps(value, default=plain, skipkeys=True).encode()


def plain(value: Any) -> Any:
    """One step of the way from an object to JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Interrupt):
        return interrupt(cast("Interrupt[Any]", value))
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(cast("bytes", value))).decode()
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": str(value)}
    if hasattr(value, "__iter__") and not isinstance(value, (str, type)):
        return list(value)
    return repr(value)


def interrupt(value: Interrupt[Any]) -> dict[str, Any]:
    """An interrupt as clients see it."""
    schema = value.response_schema
    return {
        "value": value.value,
        "id": value.id,
        "response_schema": schema if isinstance(schema, dict) else None,
    }
