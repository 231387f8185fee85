"""The MCP server: the SDK's low-level `Server` with our two tool methods and sealed request state.

One instance serves both eras and both kinds of endpoint; what differs is read from each request. An
exception that is no answer of ours is logged and hidden: the handshake path of the SDK would tell it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, ServerRequestContext
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

from agenthub.errors import HubError, Unavailable
from agenthub.ids import parse_id
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub_mcp import core_tasks
from agenthub_mcp.built_in import BuiltIn
from agenthub_mcp.caller import TASKS, Caller, Context
from agenthub_mcp.calls import Calls, Outcome
from agenthub_mcp.core_tasks import CoreTasks
from agenthub_mcp.errors import refused, told
from agenthub_mcp.listening import Listening
from agenthub_mcp.paging import page
from agenthub_mcp.reading import Reading
from agenthub_mcp.replies import RESUME_RUN
from agenthub_mcp.tasks import TaskParams, TaskUpdateParams, require_tasks
from agenthub_mcp.tools import Toolbox

log = logging.getLogger(__name__)

WhoIs: TypeAlias = Callable[[Request], Principal]
Serve: TypeAlias = Callable[[Caller, str | None, Any], Awaitable[Any]]
"""A handler of ours: the caller, the only agent of its endpoint if there is one, the params."""
Handler: TypeAlias = Callable[[Context, Any], Awaitable[Any]]

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

    def __init__(
        self,
        tools: Toolbox,
        calls: Calls,
        built_in: BuiltIn,
        core_tasks: CoreTasks,
        who_is: WhoIs,
    ) -> None:
        self.core_tasks = core_tasks
        self.tools = tools
        self.calls = calls
        self.built_in = built_in
        self.who_is = who_is

    async def list(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """All tools, in pages; the order never changes."""
        with hiding("tools/list"):
            self.who_is(_request(ctx))
            with_tasks = ctx.protocol_version == core_tasks.VERSION
            listed = self.tools.listed(only_agent(ctx), with_tasks=with_tasks)
            cursor = None if params is None else params.cursor
            tools, following = page(listed, self.tools.key, cursor)
        return types.ListToolsResult(
            tools=tools, next_cursor=following, ttl_ms=LIST_TTL_MS, cache_scope="private"
        )

    async def call_as_task(self, ctx: Context, params: types.CallToolRequestParams) -> JsonObject:
        """Call an agent as a task of the revision 2025-11-25."""
        with hiding(f"tools/call of {params.name!r}"):
            caller = Caller(ctx, self.who_is(_request(ctx)))
            tool = self.tools.agent(params.name)
            if params.name in self.tools.built_in:
                raise MCPError(
                    types.METHOD_NOT_FOUND, f"The tool {params.name!r} cannot be called as a task"
                )
            if tool is None or only_agent(ctx) not in (None, params.name):
                raise self._unknown(params.name)
            try:
                return await self.core_tasks.call(caller, tool, params.arguments or {})
            except HubError as error:
                # there is no result to tell it in
                raise MCPError(types.INVALID_PARAMS, error.message) from None

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
        if tool is not None and tool.info.task == "required":
            _require_task(caller, name)
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
        return await self.calls.start(caller, tool, arguments, params.input_responses)

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


def _require_task(caller: Caller, name: str) -> None:
    """Refuse a plain call of what is always a task, where the revision knows tasks. Raises `MCPError`."""
    if caller.modern:
        require_tasks(caller)
    elif caller.ctx.protocol_version == core_tasks.VERSION:
        raise MCPError(types.METHOD_NOT_FOUND, f"The tool {name!r} must be called as a task")


def make_server(
    handlers: Tools, reading: Reading, listening: Listening, *, state_keys: Sequence[bytes]
) -> Server[dict[str, Any]]:
    """The SDK's server over our handlers. `state_keys[0]` seals, every key opens."""
    core, tasks = handlers.core_tasks, handlers.core_tasks.tasks

    def answering(method: str, serve: Serve) -> Handler:
        async def handle(ctx: Context, params: Any) -> Any:
            with hiding(method):
                caller = Caller(ctx, handlers.who_is(_request(ctx)))
                return await serve(caller, only_agent(ctx), params)

        return handle

    def by_era(modern: Serve | None, old: Serve) -> Serve:
        async def serve(caller: Caller, only: str | None, params: Any) -> Any:
            chosen = modern if caller.modern else old
            known = caller.modern or caller.ctx.protocol_version == core_tasks.VERSION
            if chosen is None or not known:
                raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
            return await chosen(caller, only, params)

        return serve

    def of_all(serve: Callable[[Caller, Any], Awaitable[Any]]) -> Serve:
        # a task is found by its id, whatever endpoint is asked
        return lambda caller, _, params: serve(caller, params)

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
    )
    # by name: what some of them return has no type in the SDK
    server.add_request_handler("tools/call", types.CallToolRequestParams, handlers.call)
    page_ = types.PaginatedRequestParams
    served: list[tuple[str, type[types.RequestParams], Serve]] = [
        ("subscriptions/listen", types.SubscriptionsListenRequestParams, listening),
        ("resources/list", page_, reading.list),
        ("resources/templates/list", page_, reading.templates),
        ("resources/read", types.ReadResourceRequestParams, reading.read),
        ("resources/subscribe", types.SubscribeRequestParams, reading.subscribe),
        ("resources/unsubscribe", types.UnsubscribeRequestParams, reading.unsubscribe),
        ("prompts/list", page_, reading.list_prompts),
        ("prompts/get", types.GetPromptRequestParams, reading.get_prompt),
        ("completion/complete", types.CompleteRequestParams, reading.complete),
        ("tasks/get", TaskParams, by_era(of_all(tasks.get), of_all(core.get))),
        ("tasks/cancel", TaskParams, by_era(of_all(tasks.cancel), of_all(core.cancel))),
        ("tasks/result", TaskParams, by_era(None, of_all(core.result))),
        ("tasks/list", page_, by_era(None, core.list)),
    ]
    for method, params, serve in served:
        server.add_request_handler(method, params, answering(method, serve))
    update = answering("tasks/update", by_era(of_all(tasks.update), _not_known))
    server.add_request_handler("tasks/update", TaskUpdateParams, update)
    server.extensions = {TASKS: {}}
    security = RequestStateSecurity(keys=state_keys, ttl=STATE_TTL_SECONDS, bind_principal=owner)
    server.middleware.append(RequestStateBoundary(security, default_audience=NAME))
    server.middleware.append(partial(_as_task, handlers))
    return server


async def _as_task(
    handlers: Tools, ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> Any:
    """Serve the calls that are to be tasks of 2025-11-25: the SDK knows no such result."""
    params = ctx.params or {}
    asked = ctx.method == "tools/call" and params.get("task") is not None
    if not asked or ctx.protocol_version != core_tasks.VERSION:
        return await call_next(ctx)
    given = types.CallToolRequestParams.model_validate(params, by_name=False)
    return await handlers.call_as_task(ctx, given)


async def _not_known(caller: Caller, only: str | None, params: Any) -> Any:
    raise MCPError(types.METHOD_NOT_FOUND, "Method not found")


def _request(ctx: Context) -> Request:
    assert ctx.request is not None, "served over HTTP"
    return ctx.request
