"""Reading a request: its body, bounded in size and depth, and the numbers and flags of its query."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from agenthub.errors import Invalid, TooLarge
from agenthub.json import Json, loads
from agenthub_rest.errors import sentence

MOST_LEVELS = 200
"""How deep a body may be nested: what is read must also be written, and the encoder ends at 254."""
MOST_DIGITS = 18
Model = TypeVar("Model", bound=BaseModel)


async def read(request: Request, model: type[Model], limit: int) -> Model:
    """Read and check a body; none is an empty object.

    Raises:
        TooLarge: more than `limit` bytes, noticed while they arrive.
        Invalid: not JSON, or not of this shape.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the request body is larger than {limit} bytes")
    return checked(model, decoded(bytes(body)) if body else {})


def decoded(body: bytes) -> Json:
    """The value of a JSON text. Raises `Invalid`."""
    try:
        value: Json = loads(body)
    except ValueError as error:
        raise Invalid(f"the body is not valid JSON: {error}") from None
    # most bodies have fewer brackets than levels are allowed
    if body.count(b"[") + body.count(b"{") > MOST_LEVELS and _is_deeper(value, MOST_LEVELS):
        raise Invalid(f"the body is nested deeper than {MOST_LEVELS} levels")
    return value


def checked(model: type[Model], value: Json) -> Model:
    """Check a decoded body. Raises `Invalid`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid(sentence(error)) from None


def number(request: Request, name: str, default: int, *, most: int = 1 << 31) -> int:
    """A non-negative number from the query. Raises `Invalid`."""
    text = request.query_params.get(name)
    if not text:
        return default
    if not is_digits(text) or int(text) > most:
        raise Invalid(f"{name}={text[:40]!r} is not a number from 0 to {most}")
    return int(text)


def flag(request: Request, name: str) -> bool:
    """A yes or no from the query; anything but yes is no."""
    return request.query_params.get(name, "").lower() in ("1", "true", "yes")


def is_digits(text: str) -> bool:
    """Whether it is a number that the database can hold; `isdigit` alone takes `²`."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _is_deeper(value: Json, levels: int) -> bool:
    level: list[Any] = [value]
    while level and levels >= 0:
        levels -= 1
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(cast("dict[str, Any]", one).values())
            elif isinstance(one, list):
                inner.extend(cast("list[Any]", one))
        level = inner
    return bool(level)
