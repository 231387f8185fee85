"""The MCP server: the SDK's low-level `Server` with our two tool methods and sealed request state.

One instance serves both eras and both kinds of endpoint; what differs is read from each request. An
exception that is no answer of ours is logged and hidden: the handshake path of the SDK would tell it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

from agenthub.errors import HubError, Unavailable
from agenthub.ids import parse_id
from agenthub.principal import Principal
from agenthub_mcp.built_in import BuiltIn
from agenthub_mcp.caller import Caller, Context
from agenthub_mcp.calls import Calls, Outcome
from agenthub_mcp.errors import refused, told
from agenthub_mcp.replies import RESUME_RUN
from agenthub_mcp.tools import Toolbox

log = logging.getLogger(__name__)

WhoIs: TypeAlias = Callable[[Request], Principal]

NAME: Final = "agenthub"
LIST_TTL_MS: Final = 5_000
DISCOVER_TTL_MS: Final = 60_000
STATE_TTL_SECONDS: Final = 7 * 86_400.0
"""How long a question may lie with a client; the task itself waits longer."""
INSTRUCTIONS: Final = (
    "Each tool is an agent. A result names its thread_id: pass it back to continue the conversation. "
    "An agent that waits for an answer is answered with resume_run, and a long one is looked after "
    "with run_status."
)


class Tools:
    """The handlers of `tools/list` and `tools/call`."""

    def __init__(self, tools: Toolbox, calls: Calls, built_in: BuiltIn, who_is: WhoIs) -> None:
        self.tools = tools
        self.calls = calls
        self.built_in = built_in
        self.who_is = who_is

    async def list(
        self, ctx: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """All tools in one page; the order never changes."""
        with hiding("tools/list"):
            self.who_is(_request(ctx))
            listed = self.tools.listed(only_agent(ctx))
        return types.ListToolsResult(tools=listed, ttl_ms=LIST_TTL_MS, cache_scope="private")

    async def call(self, ctx: Context, params: types.CallToolRequestParams) -> Outcome:
        """Call an agent or a built-in tool, or go on with a call that ended in a question."""
        with hiding(f"tools/call of {params.name!r}"):
            caller = Caller(ctx, self.who_is(_request(ctx)))
            try:
                return await self._call(caller, params)
            except HubError as error:
                return told(error)

    async def _call(self, caller: Caller, params: types.CallToolRequestParams) -> Outcome:
        name = params.name
        built_in = name in self.tools.built_in
        tool = None if built_in else self.tools.agent(name)
        only = only_agent(caller.ctx)
        if not built_in and (tool is None or only not in (None, name)):
            raise self._unknown(name)
        if caller.modern and params.request_state is not None:
            return await self.calls.retry(
                caller,
                parse_id(params.request_state, "requestState"),
                params.input_responses or {},
                disconnect_cancels=name != RESUME_RUN,
            )
        arguments = params.arguments or {}
        if tool is None:
            return await self.built_in.call(caller, name, arguments)
        return await self.calls.start(caller, tool, arguments)

    def _unknown(self, name: str) -> Exception:
        reason = self.tools.agents.unavailable().get(name)
        if reason is not None:
            return Unavailable(f"The agent {name!r} is not available now: {reason}")
        return MCPError(types.INVALID_PARAMS, f"Unknown tool: {name!r}")


@contextmanager
def hiding(what: str) -> Generator[None]:
    """Keep unexpected exceptions from the client, which gets nothing but JSON-RPC errors."""
    try:
        yield
    except MCPError:
        raise
    except HubError as error:
        raise refused(error) from None
    except Exception:
        log.exception("%s failed", what)
        raise MCPError(types.INTERNAL_ERROR, "Internal error") from None


def only_agent(ctx: Context) -> str | None:
    """The agent of `/mcp/{agent}`; None on `/mcp`."""
    name: str | None = _request(ctx).path_params.get("agent")
    return name


def make_server(
    handlers: Tools, listen: ListenHandler, *, state_keys: Sequence[bytes]
) -> Server[dict[str, Any]]:
    """The SDK's server over our handlers. `state_keys[0]` seals, every key opens."""

    def owner(ctx: Context) -> str:
        who = handlers.who_is(_request(ctx))
        return f"{who.tenant}/{who.subject}"

    server = Server(
        NAME,
        version=version(NAME),
        title="Agent Hub",
        instructions=INSTRUCTIONS,
        cache_hints={"server/discover": CacheHint(ttl_ms=DISCOVER_TTL_MS)},
        get_tool_input_schema=handlers.tools.input_schema,
        on_list_tools=handlers.list,
        on_call_tool=handlers.call,
        on_subscriptions_listen=listen,
    )
    security = RequestStateSecurity(keys=state_keys, ttl=STATE_TTL_SECONDS, bind_principal=owner)
    server.middleware.append(RequestStateBoundary(security, default_audience=NAME))
    return server


def _request(ctx: Context) -> Request:
    assert ctx.request is not None, "served over HTTP"
    return ctx.request
