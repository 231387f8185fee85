"""The REST surface: the routes that `langgraph-sdk` calls, and the server's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.json import dumps
from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_rest.assistants import Assistants
from agenthub_rest.errors import JsonResponse
from agenthub_rest.runs import Runs
from agenthub_rest.streams import Streams
from agenthub_rest.threads import Threads


class Rest:
    """`agenthub.surface.Surface` for the Runs API."""

    def __init__(
        self, hub: Hub, *, principal: Callable[[Request], Principal], max_body_bytes: int
    ) -> None:
        self.hub = hub
        # streams before runs: `stream` must not be taken for the id of a run
        groups = [
            group(hub, principal, max_body_bytes) for group in (Assistants, Threads, Streams, Runs)
        ]
        self._routes = [route for group in groups for route in group.routes()]

    @property
    def routes(self) -> Sequence[Route]:
        return [
            *self._routes,
            Route("/ok", self.ok, methods=["GET"]),
            Route("/info", self.info, methods=["GET"]),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Nothing runs beside the requests."""
        yield

    async def ok(self, request: Request) -> Response:
        if request.query_params.get("check_db") in ("1", "true"):
            await self.hub.agents.refresh()
        return JsonResponse(dumps({"ok": True}))

    async def info(self, request: Request) -> Response:
        body = {
            "version": version("agenthub"),
            "langgraph_py_version": version("langgraph"),
            "flags": {
                "assistants": True,
                "crons": False,
                "langsmith": False,
                "strict_resume": True,
            },
            "host": {"kind": "agenthub"},
            "agents": [a.name for a in self.hub.agents.all()],
            "unavailable": self.hub.agents.unavailable(),
        }
        return JsonResponse(dumps(body))
