"""Discovery: cards, the catalogue for machines, and the list of what is deployed.

Cards come from the catalogue in memory, so a newly published agent has its own at once. Which generation
of A2A a card is for is what its reader says in A2A-Version; what those get who say nothing is policy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agenthub.agents import AgentInfo
from agenthub.errors import HubError, NotFound
from agenthub.json import JsonObject, dumps
from agenthub.service import Hub
from agenthub_a2a.card import (
    agent_path,
    card_0_3,
    card_1_0,
    card_merged,
    card_path,
    old_card_path,
)
from agenthub_a2a.errors import http_refusal
from agenthub_a2a.receive import SPOKEN, named_version

CardCompat: TypeAlias = Literal["strict", "header", "merge"]
"""What a reader gets that names no version: the card of 1.0, that of 0.3 (as the specification takes
silence), or one that both generations read. `merge` holds for those that name 1.0, too: a cache in
between may not tell them apart."""
CACHE_SECONDS: Final = 60
CARD_TYPE: Final = "application/a2a-agent-card+json"
MCP_CARD_TYPE: Final = "application/mcp-server-card+json"
CATALOG_TYPE: Final = "application/ai-catalog+json"

Render: TypeAlias = Callable[[AgentInfo, str], JsonObject]


class Cards:
    """The public face of every agent. `public_url=None` takes the address from each request."""

    def __init__(
        self, hub: Hub, *, public_url: str | None, default_agent: str | None, compat: CardCompat
    ) -> None:
        self.hub = hub
        self.public_url = public_url
        self.default_agent = default_agent
        self.compat: CardCompat = compat

    @property
    def routes(self) -> Sequence[Route]:
        return [
            Route(card_path("{name}"), self.card),
            Route(old_card_path("{name}"), self.old_card),
            Route("/.well-known/agent-card.json", self.default_card),
            Route("/.well-known/ai-catalog.json", self.catalog),
            Route("/agents", self.agents),
        ]

    async def card(self, request: Request) -> Response:
        """An agent's card."""
        try:
            info = self.hub.agent(request.path_params["name"])
        except HubError as error:
            return http_refusal(error)
        return self._card(request, info, self._render(request))

    async def old_card(self, request: Request) -> Response:
        """An agent's card for clients of 0.3."""
        try:
            info = self.hub.agent(request.path_params["name"])
        except HubError as error:
            return http_refusal(error)
        return self._card(request, info, card_0_3)

    async def default_card(self, request: Request) -> Response:
        """The card of the default agent: the configured one, or the only one."""
        try:
            info = self._default()
        except HubError as error:
            return http_refusal(error)
        return self._card(request, info, self._render(request))

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
                "mcp": f"{base}/mcp/{info.name}",
            }
            for info in self.hub.agents.all()
        ]
        for name, reason in self.hub.agents.unavailable().items():
            listed.append({"name": name, "available": False, "reason": reason})
        return JSONResponse({"agents": listed})

    async def catalog(self, request: Request) -> Response:
        """Every agent as an A2A agent and as an MCP server, by the AI Catalog specification."""
        base = self._base_url(request)
        entries: list[JsonObject] = []
        for info in self.hub.agents.all():
            card = card_1_0(info, base)
            said: JsonObject = {
                "displayName": card["name"],
                "description": card["description"],
                "version": card["version"],
                "tags": sorted({tag for skill in card["skills"] for tag in skill["tags"]}),
            }
            a2a = f"{base}{agent_path(info.name)}"
            mcp = f"{base}/mcp/{info.name}"
            url = f"{base}{card_path(info.name)}"
            entries.append({"identifier": a2a, "mediaType": CARD_TYPE, "url": url, **said})
            server: JsonObject = {
                "name": info.name,
                "description": card["description"],
                "version": card["version"],
                "remotes": [{"type": "streamable-http", "url": mcp}],
            }
            entries.append({"identifier": mcp, "mediaType": MCP_CARD_TYPE, "data": server, **said})
        catalog = {"specVersion": "1.0", "host": {"displayName": "Agent Hub"}, "entries": entries}
        return _cached(request, catalog, CATALOG_TYPE)

    def _render(self, request: Request) -> Render:
        said = named_version(request)
        if SPOKEN["0.3"].fullmatch(said):
            return card_0_3
        if self.compat == "merge":
            return card_merged
        return card_0_3 if self.compat == "header" and not said else card_1_0

    def _default(self) -> AgentInfo:
        if self.default_agent is not None:
            return self.hub.agent(self.default_agent)
        infos = self.hub.agents.all()
        if len(infos) != 1:
            raise NotFound("there is no default agent: choose one from /agents, or configure it")
        return infos[0]

    def _card(self, request: Request, info: AgentInfo, render: Render) -> Response:
        return _cached(request, render(info, self._base_url(request)), "application/json")

    def _base_url(self, request: Request) -> str:
        return (self.public_url or str(request.base_url)).rstrip("/")


def _cached(request: Request, content: JsonObject, media_type: str) -> Response:
    """An answer that is sent once and then confirmed by its tag."""
    body = dumps(content)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={CACHE_SECONDS}",
        # without a public URL the addresses are those by which the server was reached
        "Vary": "Host, A2A-Version",
    }
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in [t.strip().removeprefix("W/") for t in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)
