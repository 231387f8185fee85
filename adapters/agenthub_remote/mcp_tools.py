"""What an MCP server offers: its tools, listed by the official client, which also finds out the era."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agenthub.agents import AgentInfo
from agenthub.errors import AgentFailed
from agenthub.json import loads
from agenthub.remotes import Remote
from agenthub_remote import mcp_content, outgoing
from agenthub_remote.agents import CARD_SECONDS, RemoteAgent, agent_of
from agenthub_remote.mcp_content import Tool
from agenthub_remote.patience import TRANSIENT_STATUS, Broken, http_cause

ASK_SECONDS: Final = 10.0
PAGES: Final = 100
AWAY_STATUS: Final = TRANSIENT_STATUS - {500}
"""Answers of a gateway, or of a server that leaves. Not 500: some servers of the older era say so to the
question for the newer one, and the SDK then asks in their own."""
ME: Final = types.Implementation(name="agenthub", version="1")


async def agents_of(agent: RemoteAgent) -> Sequence[tuple[str, RemoteAgent]]:
    """The agent of the tool that was declared, or one for each tool, with the tool's name to add.

    Raises:
        AgentFailed: the server cannot be reached, or has no such tool.
    """
    listed = await _listed(agent.remote)
    if agent.remote.tool is not None:
        agent.heard = _named(agent.remote, listed, agent.remote.tool)
        agent.heard_until = asyncio.get_running_loop().time() + CARD_SECONDS
        return [("", agent)]
    if not listed:
        raise AgentFailed(f"the MCP server {agent.remote.url} offers no tool")
    found: list[tuple[str, RemoteAgent]] = []
    for tool in listed:
        remote = Remote(
            protocol="mcp",
            url=agent.remote.url,
            headers=agent.remote.headers,
            hosts=agent.remote.hosts,
            tool=tool.listed.name,
        )
        one = agent_of(remote)
        one.heard, one.heard_until = tool, asyncio.get_running_loop().time() + CARD_SECONDS
        found.append((tool.listed.name, one))
    return found


async def tool_of(agent: RemoteAgent) -> Tool:
    """The tool that an agent is, as it was listed within the last minutes.

    Raises:
        AgentFailed: as above.
    """
    if agent.heard is None or asyncio.get_running_loop().time() > agent.heard_until:
        await agents_of(agent)
    return cast("Tool", agent.heard)


def described(tool: Tool) -> AgentInfo:
    """An agent, as its tool has it."""
    return mcp_content.described(tool)


@asynccontextmanager
async def opened(remote: Remote, *, read_seconds: float) -> AsyncGenerator[httpx2.AsyncClient]:
    """An HTTP client for the server. A server that cannot answer just now, or the gateway in front of it,
    raises `httpx2.HTTPStatusError`: the SDK would take it for the server's own word."""
    headers = outgoing.secrets(remote)
    async with outgoing.client(httpx2, remote, headers=headers, read_seconds=read_seconds) as http:
        http.event_hooks["response"].append(_answered)
        yield http


async def _answered(response: httpx2.Response) -> None:
    if response.status_code in AWAY_STATUS and not _is_rpc_error(await response.aread()):
        response.raise_for_status()


def _is_rpc_error(body: bytes) -> bool:
    try:
        said = loads(body)
    except ValueError:
        return False
    return isinstance(said, dict) and "jsonrpc" in said and "error" in said


async def _listed(remote: Remote) -> list[Tool]:
    try:
        async with (
            asyncio.timeout(ASK_SECONDS),
            opened(remote, read_seconds=ASK_SECONDS) as http,
            Client(
                streamable_http_client(remote.url, http_client=http), cache=None, client_info=ME
            ) as client,
        ):
            return await _tools(client)
    except TimeoutError:
        raise AgentFailed(f"{remote.url} did not answer within {ASK_SECONDS:g} s") from Broken()
    except (MCPError, httpx2.HTTPError, ExceptionGroup) as errors:
        error = first(errors)
        if isinstance(error, AgentFailed):
            raise error from None
        if isinstance(error, MCPError) or http_cause(error) is not None:
            raise AgentFailed(f"the tools of {remote.url} cannot be listed: {error}") from error
        raise error from None


async def _tools(client: Client) -> list[Tool]:
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
    known = client.session.discover_result
    return [Tool(listed=tool, modern=modern, open=known) for tool in found]


def _named(remote: Remote, listed: Sequence[Tool], name: str) -> Tool:
    for tool in listed:
        if tool.listed.name == name:
            return tool
    known = ", ".join(sorted(tool.listed.name for tool in listed)) or "none"
    raise AgentFailed(f"the MCP server {remote.url} has no tool {name!r}; it has: {known}")


def first(errors: BaseException) -> BaseException:
    """The first error of a group of a task group's, which is what went wrong."""
    error = errors
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
