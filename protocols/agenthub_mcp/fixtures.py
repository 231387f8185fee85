"""Fixtures: what the official suite wants of a server and no agent can be. Never in production.

Sampling, roots, logging, fixed resources and prompts, a header of the suite's own. All else that the suite
calls is an agent (`agenthub_conformance/fixtures/mcp_suite.toml`). `AGENTHUB_MCP_FIXTURES` adds these to
whatever the server offers itself: each handler of the server stays, and is asked for all that is not ours.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

import mcp_types as types
from mcp.server import Server
from mcp.server.subscriptions import (
    PromptsListChanged,
    ServerEvent,
    SubscriptionBus,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import BaseModel

from agenthub.json import JsonObject
from agenthub.ports import Tail
from agenthub_mcp.caller import Context
from agenthub_mcp.tools import object_schema

Handler: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
R = TypeVar("R", bound=BaseModel)

PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQAAAAA3bvkkAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
ALIASES: Final = {
    "test_input_required_result_tampered_state": "test_input_required_result_tampered"
}
"""Names of the suite that are longer than those of agents, and the agents that they mean."""
BEFORE_TASK: Final = "test_tool_with_task"
"""An agent that is always a task, and whose argument the server asks for before the task begins."""
_TEMPLATE: Final = re.compile(r"test://template/([^/]+)/data")
QUIET_SECONDS: Final = 3600.0
_LOG_PAUSE_SECONDS: Final = 0.05
_EVENTS: Final[dict[str, ServerEvent]] = {
    "test_trigger_tool_change": ToolsListChanged(),
    "test_trigger_prompt_change": PromptsListChanged(),
}


def _tool(name: str, description: str, **properties: JsonObject) -> types.Tool:
    schema = object_schema(list(properties), **properties)
    return types.Tool(name=name, description=description, input_schema=schema)


TOOLS: Final = (
    _tool("test_input_required_result_capabilities", "Asks for what the client declares."),
    _tool("test_input_required_result_list_roots", "Asks for the client's roots."),
    _tool("test_input_required_result_multiple_inputs", "Asks for three things at once."),
    _tool("test_input_required_result_sampling", "Asks for a model's answer."),
    _tool("test_input_required_result_tampered_state", "Asks under a state that is sealed."),
    _tool("test_logging_tool", "Logs, if the request allows it."),
    _tool("test_missing_capability", "Needs sampling."),
    _tool("test_sampling", "Asks the client's model.", prompt={"type": "string"}),
    _tool("test_tool_with_logging", "Logs three times."),
    _tool("test_trigger_prompt_change", "Says that the prompts have changed."),
    _tool("test_trigger_tool_change", "Says that the tools have changed."),
    _tool(
        "test_x_mcp_header",
        "Takes an argument that a header repeats.",
        region={"type": "string", "x-mcp-header": "Region"},
    ),
)
_NAMES: Final = frozenset(tool.name for tool in TOOLS)
RESOURCES: Final = (
    types.Resource(
        uri="test://static-text",
        name="static-text",
        description="A text that never changes.",
        mime_type="text/plain",
    ),
    types.Resource(
        uri="test://static-binary",
        name="static-binary",
        description="An image that never changes.",
        mime_type="image/png",
    ),
    types.Resource(
        uri="test://watched-resource",
        name="watched-resource",
        description="A resource to subscribe to.",
        mime_type="text/plain",
    ),
)
TEMPLATE: Final = types.ResourceTemplate(
    uri_template="test://template/{id}/data",
    name="template",
    description="Data by id.",
    mime_type="application/json",
)


def _prompt(name: str, description: str, *arguments: str) -> types.Prompt:
    taken = [
        types.PromptArgument(name=a, description=f"The {a}.", required=True) for a in arguments
    ]
    return types.Prompt(name=name, description=description, arguments=taken)


PROMPTS: Final = (
    _prompt("test_simple_prompt", "A prompt without arguments."),
    _prompt("test_prompt_with_arguments", "A prompt with two arguments.", "arg1", "arg2"),
    _prompt("test_prompt_with_embedded_resource", "A prompt with a resource.", "resourceUri"),
    _prompt("test_prompt_with_image", "A prompt with an image."),
    _prompt("test_input_required_result_prompt", "A prompt that asks for its context."),
)


class Fixtures:
    """The suite's fixtures on this replica; `loops` must run, so that changes reach all replicas."""

    def __init__(self, tail: Tail, bus: SubscriptionBus) -> None:
        self.tail = tail
        self.bus = bus
        self.loops = [partial(self._relay, name, event) for name, event in _EVENTS.items()]

    def install(self, server: Server[dict[str, Any]]) -> None:
        """Add the fixtures to what the server offers."""
        page, none = types.PaginatedRequestParams, types.EmptyResult
        own: list[tuple[str, type[types.RequestParams], Callable[..., Awaitable[Any]]]] = [
            ("tools/call", types.CallToolRequestParams, self._call),
            ("resources/list", page, _list_resources),
            ("resources/templates/list", page, _list_templates),
            ("resources/read", types.ReadResourceRequestParams, _read),
            ("resources/subscribe", types.SubscribeRequestParams, partial(_accept, none)),
            ("resources/unsubscribe", types.UnsubscribeRequestParams, partial(_accept, none)),
            ("prompts/list", page, _list_prompts),
            ("prompts/get", types.GetPromptRequestParams, _get_prompt),
            ("completion/complete", types.CompleteRequestParams, _complete),
            ("logging/setLevel", types.SetLevelRequestParams, partial(_accept, none)),
        ]
        for method, params, handler in own:
            theirs = server.get_request_handler(method)
            rest = None if theirs is None else theirs.handler
            server.add_request_handler(method, params, partial(handler, rest))

    async def _relay(self, name: str, event: ServerEvent) -> None:
        """Tell this replica's listeners of what any replica announces."""
        async with self.tail.follow(_topic(name)) as following:
            while True:
                if await following.next(timeout=QUIET_SECONDS) is not None:
                    await self.bus.publish(event)

    async def _call(
        self, rest: Handler, ctx: Context, params: types.CallToolRequestParams
    ) -> BaseModel | JsonObject:
        name = params.name
        if name in ALIASES:
            return await rest(ctx, params.model_copy(update={"name": ALIASES[name]}))
        if name == BEFORE_TASK:
            return await _before_task(rest, ctx, params)
        if name not in _NAMES:
            return await rest(ctx, params)
        if name in _EVENTS:
            self.tail.publish(_topic(name), ())
            return _said("announced")
        if name == "test_sampling":
            return await _sample(ctx, str((params.arguments or {}).get("prompt")))
        if name == "test_missing_capability":
            return _needs_sampling(ctx)
        if name.endswith("_with_logging"):
            return await _log(ctx)
        if name.startswith("test_input_required"):
            return _input_required(ctx, params)
        return _said(f"{name}: {json.dumps(params.arguments or {})}")


# --- tools --------------------------------------------------------------------------------------


async def _before_task(
    rest: Handler, ctx: Context, params: types.CallToolRequestParams
) -> BaseModel | JsonObject:
    reply = (params.input_responses or {}).get("user_name")
    if isinstance(reply, types.ElicitResult):
        given = {"user_name": str((reply.content or {}).get("name"))}
        update = {"arguments": given, "input_responses": None, "request_state": None}
        return await rest(ctx, params.model_copy(update=update))
    if params.arguments:
        return await rest(ctx, params)
    asked: types.InputRequests = {"user_name": _elicit("What is your name?", "name")}
    return types.InputRequiredResult(input_requests=asked, request_state="asked")


async def _sample(ctx: Context, prompt: str) -> types.CallToolResult:
    reply = await ctx.session.send_request(
        _sampling(prompt, 100),
        types.CreateMessageResult,
        metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
    )
    return _said(f"LLM response: {getattr(reply.content, 'text', '')}")


async def _log(ctx: Context) -> types.CallToolResult:
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        told = types.LoggingMessageNotificationParams(level="info", data=message)
        logged = types.LoggingMessageNotification(params=told)
        await ctx.session.send_notification(logged, related_request_id=ctx.request_id)
        await asyncio.sleep(_LOG_PAUSE_SECONDS)
    return _said("Logged three times.")


def _needs_sampling(ctx: Context) -> types.CallToolResult:
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "Missing required client capability",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return _said("The client can sample.")


def _input_required(
    ctx: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    asked: types.InputRequests = {
        "user_name": _elicit("What is your name?", "name"),
        "question": _sampling("What is the capital of France?", 100),
        "client_roots": types.ListRootsRequest(params=types.RequestParams()),
    }
    declared = ctx.session.client_capabilities or types.ClientCapabilities()
    wanted = {
        "test_input_required_result_sampling": {"question"},
        "test_input_required_result_list_roots": {"client_roots"},
        "test_input_required_result_capabilities": {
            *(["user_name"] if declared.elicitation else []),
            *(["question"] if declared.sampling else []),
        },
    }.get(params.name, set(asked))
    given = params.input_responses or {}
    if wanted <= given.keys():
        return _said("; ".join(f"{k}: {given[k].model_dump_json()}" for k in sorted(wanted)))
    missing = {key: asked[key] for key in sorted(wanted)}
    return types.InputRequiredResult(input_requests=missing, request_state="asked")


def _elicit(message: str, field: str) -> types.ElicitRequest:
    schema = object_schema([field], **{field: {"type": "string"}})
    return types.ElicitRequest(
        params=types.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def _sampling(prompt: str, max_tokens: int) -> types.CreateMessageRequest:
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[said], max_tokens=max_tokens)
    )


def _said(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


def _topic(name: str) -> UUID:
    """Where replicas announce a change to each other."""
    return uuid5(NAMESPACE_URL, f"agenthub:mcp:{name}")


# --- resources, prompts and completion ----------------------------------------------------------


async def _listed(rest: Handler | None, ctx: Context, params: Any, empty: R, **more: Any) -> R:
    """A list of the server's with ours on its last page."""
    page: R = empty if rest is None else await rest(ctx, params)
    if getattr(page, "next_cursor", None) is not None:
        return page
    added = {key: [*getattr(page, key), *values] for key, values in more.items()}
    return page.model_copy(update=added)


async def _list_resources(rest: Handler | None, ctx: Context, params: Any) -> BaseModel:
    empty = types.ListResourcesResult(resources=[], ttl_ms=5_000, cache_scope="private")
    return await _listed(rest, ctx, params, empty, resources=RESOURCES)


async def _list_templates(rest: Handler | None, ctx: Context, params: Any) -> BaseModel:
    empty = types.ListResourceTemplatesResult(
        resource_templates=[], ttl_ms=5_000, cache_scope="private"
    )
    return await _listed(rest, ctx, params, empty, resource_templates=[TEMPLATE])


async def _list_prompts(rest: Handler | None, ctx: Context, params: Any) -> BaseModel:
    empty = types.ListPromptsResult(prompts=[], ttl_ms=5_000, cache_scope="private")
    return await _listed(rest, ctx, params, empty, prompts=PROMPTS)


async def _read(
    rest: Handler | None, ctx: Context, params: types.ReadResourceRequestParams
) -> BaseModel:
    uri = str(params.uri)
    template = _TEMPLATE.fullmatch(uri)
    contents: types.TextResourceContents | types.BlobResourceContents
    if template is not None:
        id_ = template[1]
        data = {"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"}
        contents = types.TextResourceContents(
            uri=uri, mime_type="application/json", text=json.dumps(data)
        )
    elif uri == "test://static-binary":
        contents = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    elif uri in {str(resource.uri) for resource in RESOURCES}:
        text = "This is the content of the static text resource."
        contents = types.TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    elif rest is not None:
        return await rest(ctx, params)
    else:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[contents], ttl_ms=5_000, cache_scope="private")


async def _get_prompt(
    rest: Handler | None, ctx: Context, params: types.GetPromptRequestParams
) -> BaseModel:
    given = params.arguments or {}
    content: types.ContentBlock
    match params.name:
        case "test_simple_prompt":
            content = _text("This is a simple prompt for testing.")
        case "test_prompt_with_arguments":
            content = _text(
                f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"
            )
        case "test_prompt_with_embedded_resource":
            resource = types.TextResourceContents(
                uri=given.get("resourceUri", "test://static-text"),
                mime_type="text/plain",
                text="Embedded resource content for testing.",
            )
            content = types.EmbeddedResource(type="resource", resource=resource)
        case "test_prompt_with_image":
            content = types.ImageContent(type="image", data=PNG, mime_type="image/png")
        case "test_input_required_result_prompt":
            reply = (params.input_responses or {}).get("user_context")
            if not isinstance(reply, types.ElicitResult):
                asked = _elicit("What context should the prompt use?", "context")
                return types.InputRequiredResult(
                    input_requests={"user_context": asked}, request_state="asked"
                )
            content = _text(f"Context: {(reply.content or {}).get('context')}")
        case _ if rest is not None:
            return await rest(ctx, params)
        case _:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name!r}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])


async def _complete(
    rest: Handler | None, ctx: Context, params: types.CompleteRequestParams
) -> BaseModel:
    ours = {prompt.name for prompt in PROMPTS} | {TEMPLATE.uri_template}
    named = getattr(params.ref, "name", None) or str(getattr(params.ref, "uri", ""))
    if rest is not None and named not in ours:
        return await rest(ctx, params)
    return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


async def _accept(
    empty: type[types.EmptyResult], rest: Handler | None, ctx: Context, params: Any
) -> BaseModel | JsonObject:
    if rest is not None and not str(getattr(params, "uri", "")).startswith("test://"):
        return await rest(ctx, params)
    return empty()


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)
