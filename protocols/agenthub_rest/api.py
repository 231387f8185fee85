"""What the groups of routes share: the hub, the caller, and reading a query."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from agenthub.errors import Invalid
from agenthub.principal import Principal
from agenthub.service import Hub


class Api:
    """A group of routes over the hub."""

    def __init__(
        self, hub: Hub, principal: Callable[[Request], Principal], max_body_bytes: int
    ) -> None:
        self.hub = hub
        self.who = principal
        self.max_body_bytes = max_body_bytes

    @staticmethod
    def number(request: Request, name: str, default: int, *, most: int = 1 << 31) -> int:
        """A non-negative number from the query. Raises `Invalid`."""
        text = request.query_params.get(name)
        if text is None:
            return default
        if not text.isdigit() or int(text) > most:
            raise Invalid(f"{name}={text!r} is not a number from 0 to {most}")
        return int(text)
