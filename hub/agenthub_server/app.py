"""The ASGI application: the surfaces over one hub."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

from agenthub.config import Config
from agenthub.declared import PassedOn
from agenthub.errors import HubError
from agenthub.principal import ANONYMOUS, Principal
from agenthub.service import Hub
from agenthub.surface import Surface
from agenthub_a2a import A2A, OverGrpc
from agenthub_mcp import Mcp
from agenthub_rest import Rest, http_error, hub_error, unexpected
from agenthub_server.cli.banner import base_url

LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"


def principal(_: Request) -> Principal:
    """Everyone is the same caller until authentication comes."""
    return ANONYMOUS


def over_grpc(config: Config) -> OverGrpc | None:
    """A2A's gRPC server, where a port is set; its callers are known by their metadata, not by a request."""
    if not config.grpc_port:
        return None
    return OverGrpc(
        port=config.grpc_port,
        http_url=base_url(config),
        host=config.host,
        address=config.grpc_address,
        principal=lambda _: ANONYMOUS,
    )


def surfaces(
    hub: Hub,
    config: Config,
    state_key: bytes,
    passed_on: PassedOn | None = None,
    *,
    card_keys: Sequence[bytes] = (),
) -> Sequence[Surface]:
    """REST, MCP and A2A; the one whose calls are the most and the shortest is looked at first."""
    return (
        Rest(
            hub,
            principal=principal,
            max_body_bytes=config.max_body_bytes,
            allowed_origins=config.allowed_origins,
            passed_on=passed_on,
        ),
        Mcp(
            hub,
            principal=principal,
            state_keys=[state_key],
            allowed_hosts=config.allowed_hosts,
            allowed_origins=config.allowed_origins,
            max_body_bytes=config.max_body_bytes,
            soft_deadline_seconds=config.soft_deadline_seconds,
            public_url=config.public_url,
            with_fixtures=config.mcp_fixtures,
        ),
        A2A(
            hub,
            public_url=config.public_url,
            default_agent=config.default_agent,
            principal=principal,
            max_body_bytes=config.max_body_bytes,
            card_compat=config.card_compat,
            grpc=over_grpc(config),
            card_keys=card_keys,
        ),
    )


def without(mounted: Sequence[Surface], names: Collection[str]) -> Sequence[Surface]:
    """The surfaces but for those named: `mcp`, `a2a`."""
    gone = tuple(kind for name, kind in (("mcp", Mcp), ("a2a", A2A)) if name in names)
    return [surface for surface in mounted if not isinstance(surface, gone)]


def create_app(
    mounted: Sequence[Surface],
    allowed_origins: Sequence[str] = (),
    *,
    cors: Mapping[str, Any] | None = None,
    own: Starlette | None = None,
) -> Starlette:
    """The application; its lifespan is the surfaces', and that of a project's own application. `cors`
    replaces single settings of the middleware."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            for surface in mounted:
                await stack.enter_async_context(surface.running())
            state: Mapping[str, Any] | None = None
            if own is not None:
                state = await stack.enter_async_context(own.router.lifespan_context(own))
            yield state or {}

    return Starlette(
        routes=[route for surface in mounted for route in surface.routes],
        middleware=[
            Middleware(
                CORSMiddleware,
                **_cors(allowed_origins, cors or {}),
            )
        ],
        exception_handlers={
            HubError: hub_error,
            HTTPException: http_error,
            Exception: unexpected,
        },
        lifespan=lifespan,
    )


def _cors(allowed_origins: Sequence[str], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        # not "*": any page in a browser could drive a hub on that machine
        "allow_origins": list(allowed_origins),
        "allow_origin_regex": LOCAL_ORIGIN,
        "allow_methods": ["*"],
        "allow_headers": ["*"],
        "expose_headers": [
            "content-location",
            "location",
            "mcp-session-id",
            "x-pagination-next",
            "x-pagination-total",
        ],
        **changes,
    }
