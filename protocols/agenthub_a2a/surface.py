"""The A2A surface: its routes, for agents that come and go.

Agents are routed by a path parameter against the catalogue in memory, so a newly published agent has
its card and its interfaces at once. The default agent's card is also at the root, where clients look.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from starlette.requests import Request
from starlette.routing import Route

from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_a2a.card import agent_path
from agenthub_a2a.cards import CardCompat, Cards
from agenthub_a2a.handler import Operations
from agenthub_a2a.http_json import HttpJson
from agenthub_a2a.jsonrpc import JsonRpc
from agenthub_a2a.receive import Intake


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
        card_compat: str = "strict",
    ) -> None:
        self.hub = hub
        self.operations = Operations(hub)
        self.cards = Cards(
            hub,
            public_url=public_url,
            default_agent=default_agent,
            compat=cast("CardCompat", card_compat),
        )
        intake = Intake(hub, principal=principal, max_body_bytes=max_body_bytes)
        self.jsonrpc = JsonRpc(self.operations, intake)
        self.http_json = HttpJson(self.operations, intake)

    @property
    def routes(self) -> Sequence[Route]:
        """The routes; the interface answers with and without a trailing slash."""
        rpc = self.jsonrpc.endpoint
        return [
            Route(agent_path("{name}"), rpc, methods=["POST"]),
            Route(f"{agent_path('{name}')}/", rpc, methods=["POST"]),
            *self.http_json.routes,
            *self.cards.routes,
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Nothing runs beside the requests."""
        yield
