"""The A2A surface: its routes, for agents that come and go.

Agents are routed by a path parameter against the catalogue in memory, so a newly published agent has
its card and its interface at once. The default agent's card is also at the root, where clients look.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agenthub.agents import AgentInfo
from agenthub.errors import HubError, NotFound, Unavailable
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_a2a.card import agent_card, agent_path, card_path, rendered
from agenthub_a2a.handler import Operations
from agenthub_a2a.jsonrpc import JsonRpc

CACHE_SECONDS = 60


class A2A:
    """Every agent as an A2A agent. `public_url=None` takes the address from each request."""

    def __init__(
        self,
        hub: Hub,
        *,
        public_url: str | None,
        default_agent: str | None,
        principal: Callable[[Request], Principal],
        max_body_bytes: int,
    ) -> None:
        self.hub = hub
        self.public_url = public_url
        self.default_agent = default_agent
        self.operations = Operations(hub)
        self.jsonrpc = JsonRpc(self.operations, principal=principal, max_body_bytes=max_body_bytes)

    @property
    def routes(self) -> Sequence[Route]:
        """The routes; the interface answers with and without a trailing slash."""
        rpc = self.jsonrpc.endpoint
        return [
            Route(agent_path("{name}"), rpc, methods=["POST"]),
            Route(f"{agent_path('{name}')}/", rpc, methods=["POST"]),
            Route(card_path("{name}"), self.card),
            Route("/.well-known/agent-card.json", self.default_card),
            Route("/agents", self.agents),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Nothing runs beside the requests."""
        yield

    async def card(self, request: Request) -> Response:
        """An agent's card."""
        try:
            return self._card(request, self.hub.agent(request.path_params["name"]))
        except HubError as error:
            return _missing(error)

    async def default_card(self, request: Request) -> Response:
        """The card of the default agent: the configured one, or the only one."""
        try:
            return self._card(request, self._default())
        except HubError as error:
            return _missing(error)

    async def agents(self, request: Request) -> Response:
        """What is deployed, with the addresses of cards and interfaces."""
        base = self._base_url(request)
        listed: list[JsonObject] = [
            {
                "name": info.name,
                "title": info.title or info.name,
                "description": info.description,
                "available": True,
                "card": f"{base}{card_path(info.name)}",
                "a2a": f"{base}{agent_path(info.name)}",
            }
            for info in self.hub.agents.all()
        ]
        for name, reason in self.hub.agents.unavailable().items():
            listed.append({"name": name, "available": False, "reason": reason})
        return JSONResponse({"agents": listed})

    def _default(self) -> AgentInfo:
        if self.default_agent is not None:
            return self.hub.agent(self.default_agent)
        infos = self.hub.agents.all()
        if len(infos) != 1:
            raise NotFound("there is no default agent: choose one from /agents, or configure it")
        return infos[0]

    def _card(self, request: Request, info: AgentInfo) -> Response:
        body, tag = rendered(agent_card(info, self._base_url(request)))
        headers = {
            "ETag": tag,
            "Cache-Control": f"public, max-age={CACHE_SECONDS}",
            # without a public URL the card depends on how the server was addressed
            "Vary": "Host",
        }
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or tag in [t.strip().removeprefix("W/") for t in known.split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    def _base_url(self, request: Request) -> str:
        return (self.public_url or str(request.base_url)).rstrip("/")


def _missing(error: HubError) -> JSONResponse:
    status, name = (503, "UNAVAILABLE") if isinstance(error, Unavailable) else (404, "NOT_FOUND")
    return JSONResponse(
        {"error": {"code": status, "status": name, "message": error.message}}, status
    )
