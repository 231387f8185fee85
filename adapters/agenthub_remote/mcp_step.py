"""A step of an MCP tool: one call, until it has a result or asks.

What is called is saved before the call. A call that an attempt has lost is found again where the server
has given it a name (a task, a stream that can be resumed, a state to come back with); otherwise it is made
again only if the tool says that this does no harm.
"""

from __future__ import annotations

import asyncio

import mcp_types as types
from mcp import MCPError

from agenthub.adapting import Inbound, Io, Message, Outcome
from agenthub.errors import AgentFailed
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub_remote import mcp_asks, mcp_content
from agenthub_remote.agents import RemoteAgent
from agenthub_remote.mcp_call import Asked, Calling, Kept, Lost
from agenthub_remote.mcp_content import Tool
from agenthub_remote.mcp_handshake import HandshakeCall
from agenthub_remote.mcp_modern import ModernCall
from agenthub_remote.mcp_tools import first, tool_of
from agenthub_remote.patience import http_cause, patiently


async def step(agent: RemoteAgent, state: JsonObject, inbound: Inbound, io: Io) -> Outcome:
    """Call, or go on with a call; see `adapting.Adapter`.

    Raises:
        AgentFailed: the tool failed, or what became of the call is not known.
    """
    tool = await patiently(lambda: tool_of(agent))
    kept = Kept(agent.remote, io, state.get("thread"), state.get("arguments"), state.get("call"))
    try:
        return await _run(kept, tool, inbound)
    except (MCPError, Lost, ExceptionGroup) as errors:
        error = first(errors)
        if isinstance(error, MCPError):
            raise AgentFailed(f"{agent.remote.url}: {error}") from None
        if isinstance(error, Lost) or http_cause(error) is not None:
            raise AgentFailed(
                f"the connection to {agent.remote.url} was lost while {tool.listed.name!r} ran, and what "
                "became of it cannot be found out there: it was not called a second time"
            ) from error
        raise error from None


async def _run(kept: Kept, tool: Tool, inbound: Inbound) -> Outcome:
    calling = _calling(kept, tool)
    try:
        match inbound.kind:
            case "input":
                if kept.call is not None:
                    # what it asked is not approved by talking past it
                    await calling.cancel()
                kept.arguments = mcp_content.arguments(tool, inbound, kept.thread)
                came = await _begin(kept, tool)
            case "answers":
                came = await calling.resume(_replies(kept, inbound))
            case "continue":
                came = await _go_on(kept, tool, calling)
    except asyncio.CancelledError:
        if kept.io.cancelled():
            await _calling(kept, tool).cancel()
        raise
    if isinstance(came, Asked):
        return _paused(kept, came)
    return _done(kept, tool, came)


async def _begin(kept: Kept, tool: Tool) -> types.CallToolResult | Asked:
    kept.call = None
    return await _calling(kept, tool).begin()


async def _go_on(kept: Kept, tool: Tool, calling: Calling) -> types.CallToolResult | Asked:
    """Take over from an attempt that was lost in the middle of a call."""
    assert kept.call is not None
    if kept.call.get("found"):
        return await calling.resume(kept.call.get("replies") or {})
    if not tool.repeatable:
        raise Lost
    return await _begin(kept, tool)


def _calling(kept: Kept, tool: Tool) -> Calling:
    era = (kept.call or {}).get("era") or ("modern" if tool.modern else "handshake")
    return ModernCall(kept, tool) if era == "modern" else HandshakeCall(kept, tool)


def _replies(kept: Kept, inbound: Inbound) -> dict[str, JsonObject]:
    requests: dict[str, JsonObject] = (kept.call or {}).get("requests") or {}
    return {
        key: mcp_asks.reply(inbound.answers.get(key), request) for key, request in requests.items()
    }


def _paused(kept: Kept, asked: Asked) -> Outcome:
    assert kept.call is not None
    kept.call |= {"requests": dict(asked.requests), "found": True}
    return Outcome(status="paused", state=kept.to_json(), asks=mcp_asks.asks_of(asked.requests))


def _done(kept: Kept, tool: Tool, result: types.CallToolResult) -> Outcome:
    kept.call, kept.arguments = None, None
    mcp_content.require_success(tool, result)
    kept.thread = mcp_content.thread_of(result) or kept.thread
    told = mcp_content.message(result, str(new_id()), tool.listed.title or tool.listed.name)
    messages: list[Message] = [] if told is None else [told]
    for message in messages:
        kept.io.message(message)
    output: Json = result.structured_content
    return Outcome(status="done", state=kept.to_json(), messages=messages, output=output)
