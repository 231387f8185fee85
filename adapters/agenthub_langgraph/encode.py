"""Values of a graph as JSON bytes: messages, models, interrupts and whatever else users put there."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, cast

import orjson
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.types import Interrupt
from pydantic import BaseModel

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS
DEEPEST = 200


def encode(value: Any) -> bytes:
    """JSON of any value. What has no JSON form is shown as its `repr`, never an error: a stream
    must not break because a state holds a file handle."""
    try:
        return orjson.dumps(value, default=plain, option=OPTIONS)
    except TypeError:
        # lone surrogates, integers beyond 64 bits, odd keys, circles: the slow way knows them all
        return json.dumps(_tame(value, frozenset()), allow_nan=False, ensure_ascii=False).encode()


def plain(value: Any) -> Any:
    """One step of the way from an object to JSON. What can be read only once stays unread."""
    if isinstance(value, BaseModel):
        return dumped(value)
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
    if isinstance(value, Collection) and not isinstance(value, (str, type)):
        return list(cast("Collection[Any]", value))
    return repr(value)


def _is_its_fields(kind: type[BaseModel]) -> bool:
    """Whether a dump of such a model says of each field just what is in it."""
    told = kind.__pydantic_decorators__
    return (
        kind.model_dump is BaseModel.model_dump
        and not (told.field_serializers or told.model_serializers or told.computed_fields)
        and not any(f.exclude or f.exclude_if for f in kind.model_fields.values())
    )


PLAIN_MESSAGES: Final[dict[type[BaseMessage], int]] = {
    kind: len(kind.model_fields)
    for kind in (AIMessage, HumanMessage, SystemMessage, ToolMessage)
    if _is_its_fields(kind)
}
"""Messages that are dumped without being looked into, and how many fields they have."""


def dumped(value: BaseModel) -> dict[str, Any]:
    """As `model_dump`, for an encoder: models inside may come as themselves. Not to be changed."""
    kind = type(value)
    known = PLAIN_MESSAGES.get(cast("type[BaseMessage]", kind))
    if known == len(value.__dict__) and not value.__pydantic_extra__:
        # a long chat is a thousand of these, twice with every turn
        return cast("dict[str, Any]", value.__dict__)
    if kind.model_dump is BaseModel.model_dump:
        # what it does, without its eighteen options
        return value.__pydantic_serializer__.to_python(value)
    return value.model_dump()


def _tame(value: Any, around: frozenset[int]) -> Any:
    """A value that `json` can encode and every reader can decode. `around`: the ids of what holds it."""
    match value:
        case None | bool():
            return value
        case str():
            return _text(value)
        case int():
            return int(value)
        case float():
            return value if math.isfinite(value) else None
        case _ if id(value) in around or len(around) > DEEPEST:
            return f"<{type(value).__name__}: circular or too deep>"
        case dict():
            inside = around | {id(cast("object", value))}
            members = cast("dict[Any, Any]", value)
            return {_key(k): _tame(v, inside) for k, v in members.items()}
        case list() | tuple():
            inside = around | {id(cast("object", value))}
            return [_tame(v, inside) for v in cast("list[Any]", value)]
        case _:
            return _tame(_step(value), around | {id(value)})


def _step(value: Any) -> Any:
    """`plain`, for what the fast encoder does not know itself; an object that fails to show its inside is
    shown from outside."""
    try:
        return orjson.loads(orjson.dumps(value, option=OPTIONS))
    except TypeError:
        pass
    try:
        return plain(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _text(key)
    try:
        return next(iter(orjson.loads(orjson.dumps({key: None}, option=OPTIONS))))
    except TypeError:
        try:
            return _text(repr(key))
        except Exception:
            return f"<{type(key).__name__}>"


def _text(text: str) -> str:
    """Without lone surrogates, which neither UTF-8 nor Postgres knows."""
    return str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def interrupt(value: Interrupt[Any]) -> dict[str, Any]:
    """An interrupt as clients see it."""
    schema = value.response_schema
    return {
        "value": value.value,
        "id": value.id,
        "response_schema": schema if isinstance(schema, dict) else None,
    }
