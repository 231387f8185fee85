"""The REST surface: the routes that `langgraph-sdk` calls, and the server's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agenthub.declared import PassedOn
from agenthub.json import dumps
from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_rest import openapi
from agenthub_rest.assistants import Assistants
from agenthub_rest.crons import Crons
from agenthub_rest.deliveries import DeliveryRoutes
from agenthub_rest.errors import JsonResponse
from agenthub_rest.protocol import EventStreaming
from agenthub_rest.protocol_socket import Sockets
from agenthub_rest.runs import Runs
from agenthub_rest.states import ThreadStates
from agenthub_rest.store import Store
from agenthub_rest.streams import Streams
from agenthub_rest.thread_streams import ThreadStreams
from agenthub_rest.threads import Threads

# what is called most comes first, since the router looks at one route after the other; streams and crons
# before runs: `stream` must not be taken for the id of a run
GROUPS = (
    *(Streams, Crons, Runs, Threads, ThreadStates),
    *(ThreadStreams, EventStreaming, Assistants, Store, DeliveryRoutes),
)


class Rest:
    """`agenthub.surface.Surface` for the Runs API."""

    def __init__(
        self,
        hub: Hub,
        *,
        principal: Callable[[Request], Principal],
        max_body_bytes: int,
        allowed_origins: Sequence[str] = (),
        passed_on: PassedOn | None = None,
    ) -> None:
        self.hub = hub
        groups = [
            group(hub, principal, max_body_bytes, passed_on or PassedOn()) for group in GROUPS
        ]
        sockets = Sockets(hub, principal, max_body_bytes, allowed_origins)
        self._routes: list[BaseRoute] = [route for group in groups for route in group.routes()]
        self._routes += sockets.routes()
        self._document, self._page = openapi.encoded()

    @property
    def routes(self) -> Sequence[BaseRoute]:
        return [
            *self._routes,
            Route("/ok", self.ok, methods=["GET"]),
            Route("/info", self.info, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/docs", self.docs, methods=["GET"]),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Nothing runs beside the requests."""
        yield

    async def ok(self, request: Request) -> Response:
        if request.query_params.get("check_db") in ("1", "true"):
            await self.hub.agents.refresh()
        return JsonResponse(dumps({"ok": True}))

    async def openapi(self, request: Request) -> Response:
        return JsonResponse(self._document)

    async def docs(self, request: Request) -> Response:
        return Response(self._page, media_type="text/html")

    async def info(self, request: Request) -> Response:
        body = {
            "version": version("agenthub"),
            "langgraph_py_version": version("langgraph"),
            "flags": {
                "assistants": True,
                "crons": True,
                "langsmith": False,
                "strict_resume": True,
            },
            "host": {"kind": "agenthub"},
            "agents": [a.name for a in self.hub.agents.all()],
            "unavailable": self.hub.agents.unavailable(),
        }
        return JsonResponse(dumps(body))
