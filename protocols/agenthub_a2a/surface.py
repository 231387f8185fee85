"""The A2A surface: its routes, for agents that come and go, and its gRPC server, where there is one.

Agents are routed by a path parameter against the catalogue in memory, so a newly published agent has
its card and its interfaces at once. The default agent's card is also at the root, where clients look.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

from starlette.requests import Request
from starlette.routing import Route

from agenthub.errors import Unavailable
from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_a2a.card import agent_path
from agenthub_a2a.cards import CardCompat, Cards
from agenthub_a2a.handler import Operations
from agenthub_a2a.http_json import HttpJson
from agenthub_a2a.jsonrpc import JsonRpc
from agenthub_a2a.receive import Intake
from agenthub_a2a.signatures import CardSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class OverGrpc:
    """gRPC beside HTTP. Clients see it at `address` (`host:port`; None: the host of the HTTP address, and
    this port), and HTTP, which its calls say nothing of, at `http_url`; `principal` is given a call's
    metadata, with its keys in lower case."""

    port: int
    http_url: str
    principal: Callable[[Mapping[str, str]], Principal]
    host: str = "127.0.0.1"
    address: str | None = None


class A2A:
    """Every agent as an A2A agent. `public_url=None` takes the address from each request; without
    `grpc` there is only HTTP. Of the `card_keys` (32 bytes each) the first signs cards; without any they
    are not signed."""

    def __init__(
        self,
        hub: Hub,
        *,
        public_url: str | None,
        default_agent: str | None,
        principal: Callable[[Request], Principal],
        max_body_bytes: int,
        card_compat: str = "strict",
        grpc: OverGrpc | None = None,
        card_keys: Sequence[bytes] = (),
    ) -> None:
        self.hub = hub
        self.default_agent = default_agent
        self.max_body_bytes = max_body_bytes
        self.grpc = grpc
        signer = CardSigner(card_keys) if card_keys else None
        self.operations = Operations(hub, signer=signer)
        self.cards = Cards(
            hub,
            public_url=public_url,
            default_agent=default_agent,
            compat=cast("CardCompat", card_compat),
            grpc_port=grpc.port if grpc else 0,
            grpc_address=grpc.address if grpc else None,
            signer=signer,
        )
        intake = Intake(
            hub,
            principal=principal,
            place=self.cards.place_of,
            max_body_bytes=max_body_bytes,
        )
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
        """Serve gRPC, if it is on; nothing else runs beside the requests.

        Raises:
            Unavailable: its port is taken, or its packages are not installed.
        """
        if self.grpc is None:
            yield
            return
        async with self._serving(self.grpc):
            yield

    def _serving(self, grpc: OverGrpc) -> AbstractAsyncContextManager[None]:
        try:
            from agenthub_a2a.grpc_binding import Grpc
        except ImportError as missing:
            raise Unavailable(
                f"gRPC needs a package that is not installed ({missing.name}): install agenthub[grpc], "
                "or leave AGENTHUB_GRPC_PORT out"
            ) from None
        return Grpc(
            hub=self.hub,
            operations=self.operations,
            host=grpc.host,
            port=grpc.port,
            default_agent=self.default_agent,
            principal=grpc.principal,
            place=partial(self.cards.place, grpc.http_url),
            max_message_bytes=self.max_body_bytes,
        ).running()
