"""Discovery: cards, the catalogue for machines, and the list of what is deployed.

Cards come from the catalogue in memory, so a newly published agent has its own at once. Which generation
of A2A a card is for is what its reader says in A2A-Version; what those get who say nothing is policy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agenthub.agents import AgentInfo
from agenthub.errors import HubError
from agenthub.json import JsonObject, dumps
from agenthub.service import Hub
from agenthub_a2a.call import default_agent
from agenthub_a2a.card import (
    Place,
    agent_path,
    card_0_3,
    card_1_0,
    card_merged,
    card_path,
    old_card_path,
)
from agenthub_a2a.errors import http_refusal
from agenthub_a2a.receive import SPOKEN, named_version
from agenthub_a2a.signatures import JWKS_PATH, CardSigner

CardCompat: TypeAlias = Literal["strict", "header", "merge"]
"""What a reader gets that names no version: the card of 1.0, that of 0.3 (as the specification takes
silence), or one that both generations read. `merge` holds for those that name 1.0, too: a cache in
between may not tell them apart."""
CACHE_SECONDS: Final = 60
CARD_TYPE: Final = "application/a2a-agent-card+json"
MCP_CARD_TYPE: Final = "application/mcp-server-card+json"
CATALOG_TYPE: Final = "application/ai-catalog+json"
JWKS_TYPE: Final = "application/jwk-set+json"

Render: TypeAlias = Callable[[AgentInfo, Place], JsonObject]


class Cards:
    """The public face of every agent. `public_url=None` takes the address from each request, and gRPC's
    from the one or the other unless `grpc_address` says it; `grpc_port=0` means that there is none."""

    def __init__(
        self,
        hub: Hub,
        *,
        public_url: str | None,
        default_agent: str | None,
        compat: CardCompat,
        grpc_port: int = 0,
        grpc_address: str | None = None,
        signer: CardSigner | None = None,
    ) -> None:
        self.hub = hub
        self.public_url = public_url
        self.default_agent = default_agent
        self.compat: CardCompat = compat
        self.grpc_port = grpc_port
        self.grpc_address = grpc_address
        self.signer = signer

    @property
    def routes(self) -> Sequence[Route]:
        return [
            Route(card_path("{name}"), self.card),
            Route(old_card_path("{name}"), self.old_card),
            Route("/.well-known/agent-card.json", self.default_card),
            Route("/.well-known/ai-catalog.json", self.catalog),
            *([Route(JWKS_PATH, self.keys)] if self.signer else []),
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
            info = default_agent(self.hub.agents, self.default_agent)
        except HubError as error:
            return http_refusal(error)
        return self._card(request, info, self._render(request))

    async def keys(self, request: Request) -> Response:
        """The keys that verify cards."""
        assert self.signer is not None
        return _cached(request, self.signer.jwks(), JWKS_TYPE)

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
            card = card_1_0(info, Place(base))
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

    def _card(self, request: Request, info: AgentInfo, render: Render) -> Response:
        place = self.place(self._base_url(request), info)
        content = render(info, place)
        if self.signer is None or render is not card_1_0:
            return _cached(request, content, "application/json")
        # every replica signs for itself, and no two signatures are alike: the tag is that of what was signed
        tag = f'W/"{_digest(content, self.signer.kid)}"'
        signed = partial(card_1_0, info, place, self.signer)
        return _confirmed(request, tag, signed, "application/json")

    def place(self, base_url: str, info: AgentInfo) -> Place:
        """Where an agent is for those who reached the hub at `base_url`."""
        if not self.grpc_port:
            return Place(base_url)
        # host and port, and no more: that is how A2A writes the address of gRPC
        host = urlsplit(base_url).netloc.rpartition("@")[2]
        host = host if host.endswith("]") else host.rpartition(":")[0] or host
        address = self.grpc_address or f"{host}:{self.grpc_port}"
        return Place(base_url, address, self._is_default(info))

    def place_of(self, request: Request, info: AgentInfo) -> Place:
        """Where an agent is for the client that made a request."""
        return self.place(self._base_url(request), info)

    def _is_default(self, info: AgentInfo) -> bool:
        try:
            return default_agent(self.hub.agents, self.default_agent).name == info.name
        except HubError:
            return False

    def _base_url(self, request: Request) -> str:
        return (self.public_url or str(request.base_url)).rstrip("/")


def _cached(request: Request, content: JsonObject, media_type: str) -> Response:
    """An answer that is sent once and then confirmed by its tag."""
    return _confirmed(request, f'"{_digest(content)}"', lambda: content, media_type)


def _confirmed(
    request: Request, tag: str, content: Callable[[], JsonObject], media_type: str
) -> Response:
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={CACHE_SECONDS}",
        # without a public URL the addresses are those by which the server was reached
        "Vary": "Host, A2A-Version",
    }
    known = request.headers.get("if-none-match", "")
    tags = [one.strip().removeprefix("W/") for one in known.split(",")]
    if known.strip() == "*" or tag.removeprefix("W/") in tags:
        return Response(status_code=304, headers=headers)
    return Response(dumps(content()), headers=headers, media_type=media_type)


def _digest(content: JsonObject, salt: str = "") -> str:
    return hashlib.sha256(dumps(content) + salt.encode()).hexdigest()[:32]
