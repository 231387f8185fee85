"""The MCP surface: `/mcp` with every agent, `/mcp/{agent}` with one, for clients of every revision.

The modern era (2026-07-28) is the SDK's stateless path: nothing is kept between requests. The handshake
era is an endpoint of our own, whose sessions are in the database. Either way any replica may serve any
request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import mcp_types as types
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourcesListChanged,
    ToolsListChanged,
)
from mcp.server.transport_security import (
    RequestBodyLimitMiddleware,
    TransportSecuritySettings,
)
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agenthub.background import in_background
from agenthub.catalogue import Agents
from agenthub.chance import spread
from agenthub.errors import NotFound, Unavailable
from agenthub.principal import DEFAULT_TENANT
from agenthub.service import Hub
from agenthub_mcp import built_in, fixtures
from agenthub_mcp.approval import Approvals
from agenthub_mcp.approval_page import ApprovalPage
from agenthub_mcp.background import Background
from agenthub_mcp.built_in import BuiltIn
from agenthub_mcp.caller import DISCONNECTED
from agenthub_mcp.calls import Calls
from agenthub_mcp.core_tasks import CoreTasks
from agenthub_mcp.handshake import Handshake
from agenthub_mcp.listening import Listening
from agenthub_mcp.news import Lists, News
from agenthub_mcp.prompts import Prompts
from agenthub_mcp.reading import Reading
from agenthub_mcp.resources import Resources, agent_resource
from agenthub_mcp.server import Tools, WhoIs, make_server
from agenthub_mcp.serving import Serving
from agenthub_mcp.tasks import Tasks
from agenthub_mcp.tools import Toolbox

log = logging.getLogger(__name__)

LOCAL_HOSTS: Final = tuple(
    form for name in ("127.0.0.1", "localhost", "[::1]") for form in (name, f"{name}:*")
)
LOCAL_ORIGINS: Final = tuple(f"{scheme}://{h}" for scheme in ("http", "https") for h in LOCAL_HOSTS)
MAX_BODY_BYTES: Final = 4 << 20
SWEEP_SECONDS: Final = 60.0
SWEPT: Final = 500
"""Rows that one sweep removes at most."""


class Mcp:
    """The surface. `state_keys` are secrets of 32 bytes or more, the same on every replica.

    `soft_deadline_seconds` is how long a call may take before the caller gets a handle instead of a
    result (0: for ever). `grace_seconds` pass between a modern client's disconnect and the
    cancellation of its run. Hosts and origins are allowed beside localhost; `:*` means any port.
    `public_url` is the hub's address in links to its pages; default: from the request. `with_fixtures`
    adds the tools of the official suite, and is for tests alone.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        principal: WhoIs,
        state_keys: Sequence[bytes],
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        max_body_bytes: int = MAX_BODY_BYTES,
        soft_deadline_seconds: float = 50.0,
        grace_seconds: float = 0.0,
        public_url: str | None = None,
        with_fixtures: bool = False,
    ) -> None:
        self.hub = hub
        self._bus = InMemorySubscriptionBus()
        self._background = Background(hub, grace_seconds=grace_seconds)
        more = fixtures.TOOLS if with_fixtures else ()
        tools = Toolbox(hub.agents, (*built_in.TOOLS, *more))
        approvals = Approvals(state_keys, public_url=public_url)
        calls = Calls(
            hub,
            tools,
            self._background,
            approvals,
            soft_deadline_seconds=soft_deadline_seconds,
        )
        tasks, resources, prompts = Tasks(calls), Resources(hub), Prompts(hub.agents)
        handlers = Tools(tools, calls, BuiltIn(hub, calls), CoreTasks(tasks), principal)
        reading = Reading(resources, prompts, hub.sessions, hub.streams.tail)
        self._listen = Listening(tasks, resources, self._bus)
        lists: Lists = {
            "tools": tools.listed,
            "prompts": prompts.listed,
            "resources": lambda only: [agent_resource(info) for info in resources.agents(only)],
        }
        server = make_server(handlers, reading, self._listen, state_keys=state_keys)
        self._fixtures = fixtures.Fixtures(hub.streams.tail, self._bus) if with_fixtures else None
        if self._fixtures is not None:
            self._fixtures.install(server)
        security = TransportSecuritySettings(
            allowed_hosts=[*LOCAL_HOSTS, *allowed_hosts],
            allowed_origins=[*LOCAL_ORIGINS, *allowed_origins],
        )
        self._manager = StreamableHTTPSessionManager(
            server, security_settings=security, max_request_body_size=max_body_bytes
        )
        sessions, tail = hub.sessions, hub.streams.tail
        poll_seconds = hub.streams.poll_seconds
        self._serving = Serving(server, sessions, tail, poll_seconds=poll_seconds)
        handshake = Handshake(
            server,
            sessions,
            tail,
            serving=self._serving,
            calls=calls,
            news=News(sessions, hub.agents, lists, resources, tail),
            principal=principal,
            security=security,
            poll_seconds=poll_seconds,
        )
        endpoint = Endpoint(
            hub.agents,
            modern=self._manager.asgi_app,
            handshake=RequestBodyLimitMiddleware(handshake, max_body_bytes),
        )
        paths = ("/mcp", "/mcp/", "/mcp/{agent}", "/mcp/{agent}/")
        self.routes = [
            *(Route(path, endpoint=endpoint) for path in paths),
            ApprovalPage(hub, approvals, principal).route,
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Open while the server serves; once."""
        fixture_loops = () if self._fixtures is None else self._fixtures.loops
        try:
            async with (
                in_background(self._announce, self._serving.run, self._sweep, *fixture_loops),
                self._manager.run(),
            ):
                try:
                    yield
                finally:
                    self._listen.close()
                    await self._serving.aclose()
        finally:
            await self._background.aclose()

    async def _announce(self) -> None:
        """Tell listeners that the lists have changed, whenever the catalogue has."""
        known = self.hub.agents.version
        async for version in self.hub.agents.changes():
            if version != known:
                known = version
                for changed in (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()):
                    await self._bus.publish(changed)

    async def _sweep(self) -> None:
        """Remove what old sessions have left, for ever, a little at a time."""
        while True:
            # not all replicas in the same moment
            await asyncio.sleep(SWEEP_SECONDS * spread(0.5, 1.5))
            try:
                while await self.hub.sessions.sweep(DEFAULT_TENANT, limit=SWEPT) == SWEPT:
                    pass
            except Exception:
                log.exception("old sessions could not be removed")


class Endpoint:
    """One URL for both eras, which the version header tells apart."""

    def __init__(self, agents: Agents, *, modern: ASGIApp, handshake: ASGIApp) -> None:
        self.agents = agents
        self.modern = modern
        self.handshake = handshake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        only: str | None = scope["path_params"].get("agent")
        if only is not None and not _is_deployed(self.agents, only):
            await _no_such_agent(only)(scope, receive, send)
            return

        async def watched() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                scope[DISCONNECTED] = True
            return message

        # Blanks around a value are not part of it (RFC 9110 §5.5), and not every HTTP parser knows.
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
        if version is None or version in HANDSHAKE_PROTOCOL_VERSIONS:
            await self.handshake(scope, receive, send)
        else:
            await self.modern(scope, watched, send)


def _is_deployed(agents: Agents, name: str) -> bool:
    """Whether there is an agent of this very name; assistant ids are for REST."""
    try:
        return agents.get(name).name == name
    except Unavailable:
        return True
    except NotFound:
        return False


def _no_such_agent(name: str) -> JSONResponse:
    error = {"code": types.INVALID_REQUEST, "message": f"There is no agent {name!r}"}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=404)
