"""stdio: a hub's `/mcp` for clients that can only launch a command, in both protocol eras.

The SDK's two transports back to back: what a client writes to standard input goes to the hub, what the hub
answers goes to standard output, one message a line. In between, each message gets the headers that HTTP
wants and stdio does not know. Streams, questions of the server and progress pass through; a call of the
handshake era whose connection is lost goes on by `Last-Event-ID`; a hub that restarts is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Final, Protocol, cast

import httpx2
import mcp_types as types
from mcp.client.streamable_http import streamable_http_client
from mcp.server.stdio import stdio_server
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

log = logging.getLogger(__name__)

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
NAMED_BY: Final = {
    **NAME_BEARING_METHODS,
    **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), "taskId"),
}
"""Which parameter of a method the `Mcp-Name` header repeats."""
CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 300.0
"""Longest silence of a stream; the hub's are never silent for a minute."""
PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before each attempt to reach a hub that is not there: one that restarts is back within that time."""
GATEWAYS: Final = (502, 503, 504)
"""What a balancer answers for a hub that is not there."""
LAST_WORDS_SECONDS: Final = 1.0
"""How long answers to the last requests are waited for when standard input ends."""


class Incoming(Protocol):
    """Where a transport's messages come from."""

    def __aiter__(self) -> Any:
        """The messages; an exception is a line that was none."""
        ...


class Outgoing(Protocol):
    """Where messages go."""

    async def send(self, item: SessionMessage, /) -> None:
        """Pass one on."""
        ...


class Patient(httpx2.AsyncBaseTransport):
    """HTTP that waits for a hub that restarts, and answers 503 where the SDK would give up for good."""

    def __init__(self, pauses: Sequence[float] = PAUSES) -> None:
        self.pauses = pauses
        self._inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=None))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; again only when the hub cannot have seen it, or when that does no harm."""
        harmless = request.method == "GET"
        for attempt, pause in enumerate(self.pauses, 1):
            await asyncio.sleep(pause)
            try:
                response = await self._inner.handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as away:
                reason = type(away).__name__
            except httpx2.TransportError as lost:
                reason = type(lost).__name__
                if not harmless:
                    break
            else:
                if (
                    not harmless
                    or response.status_code not in GATEWAYS
                    or attempt == len(self.pauses)
                ):
                    return response
                reason = str(response.status_code)
                await response.aclose()
            log.info("%s %s: %s", request.method, request.url, reason)
        log.warning("%s %s failed", request.method, request.url)
        told = f"The hub at {request.url} could not be reached, or the connection to it was lost."
        error = {"code": types.CONNECTION_CLOSED, "message": told}
        body = {"jsonrpc": "2.0", "id": None, "error": error}
        return httpx2.Response(503, json=body, request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def bridge(url: str, headers: Mapping[str, str] | None = None) -> None:
    """Serve this process's standard input and output by the hub's endpoint `url`, until input ends."""
    async with (
        stdio_server() as (lines, out),
        out,  # which nobody else closes
        _client(url, headers) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=None) as (answers, up),
    ):
        passing = Passing()
        async with asyncio.TaskGroup() as group:
            down = group.create_task(passing.down(answers, out))
            await passing.up(lines, up, out)
            await passing.settled()
            down.cancel()


class Passing:
    """Messages in both directions, and what has to be remembered of them."""

    def __init__(self) -> None:
        self._version: str | None = None
        self._headers: dict[str, dict[tuple[str, ...], str]] = {}
        self._asked: dict[types.RequestId, str] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def up(self, lines: Incoming, up: Outgoing, out: Outgoing) -> None:
        """Pass on what the client says, to the end of its input."""
        async for line in lines:
            if isinstance(line, Exception):
                # JSON-RPC wants an answer, and there is no id to answer to
                error = types.ErrorData(
                    code=types.PARSE_ERROR, message="Parse error: a line is no JSON-RPC message"
                )
                refusal = types.JSONRPCError(jsonrpc="2.0", id=None, error=error)
                await out.send(SessionMessage(refusal))
                continue
            message = line.message
            if isinstance(message, types.JSONRPCRequest):
                self._asked[message.id] = message.method
                self._quiet.clear()
            elif isinstance(message, types.JSONRPCNotification):
                self._forget_cancelled(message)
            metadata = ClientMessageMetadata(headers=self._stamps(message))
            await up.send(replace(line, metadata=metadata))

    async def down(self, answers: Incoming, out: Outgoing) -> None:
        """Pass on what the hub says."""
        async for answer in answers:
            if isinstance(answer, Exception):
                log.warning("the hub said what is no JSON-RPC message: %s", answer)
                continue
            message = answer.message
            if isinstance(message, types.JSONRPCResponse):
                self._learn(self._asked.get(message.id), message.result)
            await out.send(SessionMessage(message))
            if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
                self._forget(message.id)

    async def settled(self) -> None:
        """Wait a moment for the answers to what was asked last."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._quiet.wait()
        except TimeoutError:
            log.debug("input ended before %d answers", len(self._asked))

    def _stamps(self, message: types.JSONRPCMessage) -> dict[str, str]:
        """The headers of a message: those of its own era."""
        params = _params(message)
        if isinstance(message, types.JSONRPCRequest) and message.method == "initialize":
            self._version = None  # whatever a probe of the client's has said before
            return {}
        meta = params.get("_meta")
        given = cast("dict[str, Any]", meta).get(VERSION_KEY) if isinstance(meta, dict) else None
        version = given if isinstance(given, str) else self._version
        if version is None:
            return {}
        headers = {MCP_PROTOCOL_VERSION_HEADER: version}
        if given is None or not isinstance(message, types.JSONRPCRequest):
            return headers
        self._version = version
        headers[MCP_METHOD_HEADER] = message.method
        name = params.get(NAMED_BY.get(message.method, ""))
        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
        if message.method == "tools/call" and isinstance(params.get("arguments"), dict):
            repeated = self._headers.get(str(name), {})
            headers.update(mcp_param_headers(repeated, params["arguments"]))
        return headers

    def _learn(self, method: str | None, result: Mapping[str, Any]) -> None:
        if method == "initialize" and isinstance(result.get("protocolVersion"), str):
            self._version = result["protocolVersion"]
        elif method == "tools/list" and self._version in MODERN_PROTOCOL_VERSIONS:
            tools: list[dict[str, Any]] = result.get("tools") or []
            for tool in tools:
                self._headers[tool["name"]] = x_mcp_header_map(tool.get("inputSchema"))

    def _forget_cancelled(self, message: types.JSONRPCNotification) -> None:
        if message.method == "notifications/cancelled":
            self._forget(_params(message).get("requestId"))

    def _forget(self, request_id: types.RequestId | None) -> None:
        if request_id is not None:
            self._asked.pop(request_id, None)
        if not self._asked:
            self._quiet.set()


@asynccontextmanager
async def _client(
    url: str, headers: Mapping[str, str] | None
) -> AsyncGenerator[httpx2.AsyncClient]:
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=SILENCE_SECONDS)
    async with httpx2.AsyncClient(
        transport=Patient(),
        headers=dict(headers or {}),
        timeout=timeout,
        # no proxy stands between two programs of one machine
        trust_env=not _is_local(url),
    ) as client:
        yield client


def _is_local(url: str) -> bool:
    host = httpx2.URL(url).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _params(message: types.JSONRPCMessage) -> dict[str, Any]:
    if isinstance(message, types.JSONRPCRequest | types.JSONRPCNotification):
        return dict(message.params or {})
    return {}
