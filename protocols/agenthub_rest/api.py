"""What the groups of routes share: the hub, the caller, and where a run is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.requests import Request

from agenthub.errors import NotFound
from agenthub.ids import parse_id
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub

Item = TypeVar("Item")


class Api:
    """A group of routes over the hub."""

    def __init__(
        self, hub: Hub, principal: Callable[[Request], Principal], max_body_bytes: int
    ) -> None:
        self.hub = hub
        self.who = principal
        self.max_body_bytes = max_body_bytes

    async def run(self, request: Request) -> Run:
        """The run that the path names. Raises `Invalid` or `NotFound`."""
        run_id = parse_id(request.path_params["run_id"], "run id")
        thread_id = parse_id(request.path_params["thread_id"], "thread id")
        run = await self.hub.run(self.who(request), run_id)
        if run.thread_id != thread_id:
            raise NotFound(f"there is no run {str(run_id)!r} on this thread")
        return run


def path_of(run: Run) -> str:
    """Where a run is found."""
    return f"/threads/{run.thread_id}/runs/{run.run_id}"


def location(run: Run) -> dict[str, str]:
    """The header that names the run; clients read the ids from it."""
    return {"Content-Location": path_of(run)}


def page(found: Sequence[Item], limit: int, offset: int) -> tuple[Sequence[Item], dict[str, str]]:
    """A page of `found`, which holds one more than asked for if there is one, and its headers."""
    shown = found[:limit]
    more = len(found) > limit
    headers = {"X-Pagination-Total": str(offset + len(shown) + more)}
    if more:
        headers["X-Pagination-Next"] = str(offset + limit)
    return shown, headers


def selected(rendered: JsonObject, fields: Sequence[str] | None) -> JsonObject:
    """The fields that the client selected; all without a selection."""
    return rendered if not fields else {k: v for k, v in rendered.items() if k in fields}
