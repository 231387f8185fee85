"""What the groups of routes share: the hub, the caller, and where a run is found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request

from agenthub.declared import PassedOn
from agenthub.errors import NotFound
from agenthub.ids import parse_id
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub


class Api:
    """A group of routes over the hub."""

    def __init__(
        self,
        hub: Hub,
        principal: Callable[[Request], Principal],
        max_body_bytes: int,
        passed_on: PassedOn,
    ) -> None:
        self.hub = hub
        self.who = principal
        self.max_body_bytes = max_body_bytes
        self.passed_on = passed_on

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


async def paged(
    shown: int, limit: int, offset: int, count: Callable[[], Awaitable[int]]
) -> dict[str, str]:
    """The headers of a page: how many there are, counted only if the page does not tell."""
    whole = shown < limit and (shown > 0 or offset == 0)
    total = offset + shown if whole else await count()
    headers = {"X-Pagination-Total": str(total)}
    if shown and offset + shown < total:
        headers["X-Pagination-Next"] = str(offset + shown)
    return headers


def selected(rendered: JsonObject, fields: Sequence[str] | None) -> JsonObject:
    """The fields that the client selected; all without a selection."""
    return rendered if not fields else {k: v for k, v in rendered.items() if k in fields}
