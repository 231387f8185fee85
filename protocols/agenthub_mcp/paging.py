"""Paging: lists in pieces, by a cursor that means the same on every replica.

A cursor is the key of the last item of a page, so that what comes and goes meanwhile moves nothing.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import mcp_types as types
from mcp.shared.exceptions import MCPError

T = TypeVar("T")

PAGE: Final = 100


def page(
    items: Sequence[T], key: Callable[[T], str], cursor: str | None, *, size: int = PAGE
) -> tuple[list[T], str | None]:
    """The items behind a cursor, and the cursor of the next page. `items` are in the order of `key`.

    Raises:
        MCPError: the cursor is none of ours.
    """
    last = None if cursor is None else read_cursor(cursor)
    rest = [item for item in items if last is None or key(item) > last]
    here = rest[:size]
    return here, make_cursor(key(here[-1])) if len(rest) > size else None


def make_cursor(last: str) -> str:
    """The cursor behind this key."""
    return urlsafe_b64encode(last.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The key in a cursor. Raises `MCPError`."""
    try:
        last = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    # the decoder passes over what is no base64
    if make_cursor(last) != cursor:
        raise bad_cursor()
    return last


def bad_cursor() -> MCPError:
    """The refusal of a cursor that no list gave out."""
    return MCPError(types.INVALID_PARAMS, "The cursor is none of this list; begin without one")
