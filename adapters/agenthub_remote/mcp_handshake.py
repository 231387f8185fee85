"""A call of the handshake era, by hand: a session, a request, and the stream of its answer.

The SDK's session belongs to a process: it answers open questions with errors when it is left. A call of
ours outlives processes, so what names it to the server is kept: the session, the request, and the last
event's id. Where a server numbers no events, a question holds its connection open in this process, for
`HOLD_SECONDS`, and is lost with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, cast
from uuid import uuid4

import httpx2
import mcp_types as types
from mcp import MCPError
from mcp_types.version import LATEST_HANDSHAKE_VERSION

from agenthub import tracing
from agenthub.errors import AgentFailed
from agenthub.json import Json, JsonObject, dumps, loads
from agenthub_remote import mcp_asks, outgoing
from agenthub_remote.mcp_call import Asked, Kept, Lost, tell
from agenthub_remote.mcp_content import Tool
from agenthub_remote.mcp_tools import ME, opened
from agenthub_remote.patience import TRANSIENT_STATUS, Broken, once, patiently

READ_SECONDS: Final = 300.0
CANCEL_SECONDS: Final = 3.0
HOLD_SECONDS: Final = 3600.0
RETRY_SECONDS: Final = 1.0
SESSION: Final = "mcp-session-id"
VERSION: Final = "mcp-protocol-version"
LAST_EVENT: Final = "last-event-id"
REFUSED: Final[JsonObject] = {"code": -32601, "message": "this client does not offer that"}

_held: dict[str, Held] = {}


class HandshakeCall:
    """`agenthub_remote.mcp_call.Calling`. Kept: `session`, `version`, `request` (the call's id), `token` (of
    the last event), `replies` by the ids of the questions, and in the end `result`; `held` names a
    connection of this process."""

    def __init__(self, kept: Kept, tool: Tool) -> None:
        self.kept = kept
        self.tool = tool

    async def begin(self) -> types.CallToolResult | Asked:
        """See `Calling`."""
        async with AsyncExitStack() as stack:
            wire = await self._wire(stack)
            await patiently(wire.initialize)
            wire.request = f"call-{uuid4()}"
            await self.kept.note(**wire.place())
            stream = await wire.call(self.tool.listed.name, self.kept.arguments or {})
            return await self._follow(stack, wire, stream)

    async def resume(self, replies: Mapping[str, JsonObject]) -> types.CallToolResult | Asked:
        """See `Calling`."""
        call = dict(self.kept.call or {})
        if call.get("result"):
            return types.CallToolResult.model_validate(call["result"], by_name=False)
        if call.get("again"):
            self.kept.call = None
            return await self.begin()
        if call.get("held"):
            return await self._take(str(call["held"]), replies)
        ids: JsonObject = call.get("ids") or {}
        if replies:
            await self.kept.note(replies=dict(replies))
        async with AsyncExitStack() as stack:
            wire = await self._wire(stack)
            for key, reply in replies.items():
                answer: JsonObject = {"id": ids.get(key, key), "result": reply}
                # again, if an attempt that was lost has sent it: a question counts one answer
                await patiently(lambda answer=answer: wire.post(answer))
                wire.answered.add(answer["id"])
            return await self._follow(stack, wire, await patiently(wire.reopen))

    async def cancel(self) -> None:
        """See `Calling`."""
        call = self.kept.call or {}
        held = _held.pop(str(call.get("held")), None)
        if held is not None:
            await held.close()
        if not call.get("request"):
            return
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": call["request"]}}
        with suppress(httpx2.HTTPError, MCPError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS), AsyncExitStack() as stack:
                wire = await self._wire(stack)
                await wire.post(cancelled)
                await wire.leave()

    async def _wire(self, stack: AsyncExitStack) -> Wire:
        http = await stack.enter_async_context(opened(self.kept.remote, read_seconds=READ_SECONDS))
        return Wire(http, self.kept, stack)

    async def _take(self, name: str, replies: Mapping[str, JsonObject]) -> Any:
        held = _held.pop(name, None)
        if held is None:
            raise AgentFailed(
                f"the MCP server {self.kept.remote.url} keeps a question no longer than its connection, "
                "which is gone: ask again"
            )
        held.timer.cancel()
        self.kept.call = {k: v for k, v in (self.kept.call or {}).items() if k != "held"}
        async with held.stack.pop_all() as stack:
            held.wire.kept = self.kept
            ids = held.wire.ids
            for key, result in replies.items():
                await held.wire.post({"id": ids.get(key, key), "result": result})
            held.wire.answered |= {ids.get(key, key) for key in replies}
            return await self._follow(stack, held.wire, held.stream)

    async def _follow(
        self, stack: AsyncExitStack, wire: Wire, stream: AsyncIterator[JsonObject]
    ) -> types.CallToolResult | Asked:
        """Read until there is a result or a question, over as many connections as it takes."""
        while True:
            try:
                async for message in stream:
                    if "result" in message:
                        # a session that was left tells nobody any more what came of its call
                        await self.kept.note(result=message["result"], found=True)
                        await wire.leave()
                        return types.CallToolResult.model_validate(message["result"], by_name=False)
                    if "error" in message:
                        await wire.leave()
                        return self._error(message["error"])
                    asked = cast("JsonObject", message.get("params") or {})
                    return self._asked(stack, wire, message, asked, stream)
            except (httpx2.HTTPError, Broken) as error:
                if wire.token is None:
                    raise Lost from error
            if wire.token is None:
                raise Lost
            await asyncio.sleep(wire.retry_seconds)
            stream = await patiently(wire.reopen)

    def _asked(
        self,
        stack: AsyncExitStack,
        wire: Wire,
        message: JsonObject,
        params: JsonObject,
        stream: AsyncIterator[JsonObject],
    ) -> Asked:
        key = str(message["id"])
        wire.ids[key] = message["id"]
        call: JsonObject = {**wire.place(), "ids": dict(wire.ids)}
        if wire.token is None:
            held = Held(stack.pop_all(), wire, stream)
            call["held"] = held.name
        self.kept.call = call
        return Asked({key: {"method": mcp_asks.ELICIT, "params": params}})

    def _error(self, error: JsonObject) -> Asked:
        """An error of the call; one is a request to be somewhere else first, and to call again then."""
        data: Json = error.get("data")
        named = cast("JsonObject", data).get("elicitations") if isinstance(data, dict) else None
        if error.get("code") != mcp_asks.URL_NEEDED or not isinstance(named, list):
            code = int(error.get("code") or 0)
            raise MCPError(code=code, message=str(error.get("message") or "it failed"))
        wanted = [cast("JsonObject", one) for one in cast("list[Json]", named)]
        self.kept.call = {"era": "handshake", "again": True}
        return Asked(
            {
                str(one.get("elicitationId") or n): {"method": mcp_asks.ELICIT, "params": one}
                for n, one in enumerate(wanted)
            }
        )


class Wire:
    """The requests of one session, and the stream of its one call."""

    def __init__(self, http: httpx2.AsyncClient, kept: Kept, stack: AsyncExitStack) -> None:
        call = kept.call or {}
        self.http = http
        self.kept = kept
        self.stack = stack
        self.session: str | None = call.get("session")
        self.version = str(call.get("version") or LATEST_HANDSHAKE_VERSION)
        self.request = str(call.get("request") or "")
        self.token: str | None = call.get("token")
        self.ids: dict[str, Any] = dict(call.get("ids") or {})
        self.answered: set[Any] = set()
        self.retry_seconds = RETRY_SECONDS

    def place(self) -> JsonObject:
        """What names the call to the server."""
        return {
            "era": "handshake",
            "session": self.session,
            "version": self.version,
            "request": self.request,
            "token": self.token,
        }

    async def initialize(self) -> None:
        """Open a session."""
        params: JsonObject = {
            "protocolVersion": LATEST_HANDSHAKE_VERSION,
            "capabilities": {"elicitation": {"form": {}, "url": {}}},
            "clientInfo": ME.model_dump(by_alias=True, exclude_none=True),
        }
        body = {"id": f"initialize-{uuid4()}", "method": "initialize", "params": params}
        self.session = None
        async for message in self._sent(body):
            if "error" in message:
                raise MCPError.from_error_data(types.ErrorData.model_validate(message["error"]))
            if "result" in message:
                self.version = str(message["result"]["protocolVersion"])
                await self.post({"method": "notifications/initialized"})
                return
        raise Broken(f"{self.kept.remote.url} did not answer to initialize")

    async def call(self, name: str, arguments: JsonObject) -> AsyncIterator[JsonObject]:
        """Call a tool: the messages of its stream that are not answered here. Only what has certainly
        not been sent is sent again."""
        meta = {"progressToken": self.request, **(tracing.current() or {})}
        params = {"name": name, "arguments": arguments, "_meta": meta}
        body = {"id": self.request, "method": "tools/call", "params": params}
        try:
            return self._messages(await once(lambda: self._open(body)))
        except httpx2.HTTPError as error:
            raise Lost from error

    async def reopen(self) -> AsyncIterator[JsonObject]:
        """The call's stream from behind the last event that was seen."""
        assert self.token is not None
        return self._messages(await self._get(self.token))

    async def post(self, message: JsonObject) -> None:
        """Send what gets no answer."""
        response = await self.http.post(
            self.kept.remote.url,
            content=dumps({"jsonrpc": "2.0", **message}),
            headers=self._headers(),
        )
        self._check(response)

    async def leave(self) -> None:
        """End the session: nothing else is asked in it. That a server forgets it anyway is its own affair."""
        if self.session is not None:
            with suppress(httpx2.HTTPError, TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await self.http.delete(self.kept.remote.url, headers=self._headers())

    async def _open(self, body: JsonObject) -> httpx2.Response:
        request = self.http.build_request(
            "POST",
            self.kept.remote.url,
            content=dumps({"jsonrpc": "2.0", **body}),
            headers=self._headers(),
        )
        return await self._streamed(request)

    async def _get(self, token: str) -> httpx2.Response:
        headers = {**self._headers(), "accept": "text/event-stream", LAST_EVENT: token}
        return await self._streamed(
            self.http.build_request("GET", self.kept.remote.url, headers=headers)
        )

    async def _streamed(self, request: httpx2.Request) -> httpx2.Response:
        response = await self.http.send(request, stream=True)
        self.stack.push_async_callback(response.aclose)
        if response.status_code >= 400:
            await response.aread()
        self._check(response)
        self.session = response.headers.get(SESSION) or self.session
        return response

    async def _sent(self, body: JsonObject) -> AsyncIterator[JsonObject]:
        async for message in self._messages(await self._open(body)):
            yield message

    async def _messages(self, response: httpx2.Response) -> AsyncIterator[JsonObject]:
        """Results, errors and questions; all else is dealt with as it comes."""
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            await response.aread()
            message = cast("JsonObject", loads(response.content))
            yield message
            return
        events = httpx2.EventSource(response, max_event_size=outgoing.MOST_BYTES)
        async for event in events:
            if event.retry is not None:
                self.retry_seconds = min(event.retry / 1000, 10.0)
            known, self.token = self.token, event.id or self.token
            if self.token is not None and known is None and self.request:
                # from now on whoever takes over can find the call
                await self.kept.note(**self.place(), found=True)
            if event.data and (message := await self._heard(loads(event.data.encode()))):
                yield message

    async def _heard(self, message: JsonObject) -> JsonObject | None:
        """A message, if it is for the one who called."""
        method = message.get("method")
        if method is None:
            return message
        if "id" not in message:
            if method == "notifications/progress":
                said: JsonObject = message.get("params") or {}
                tell(self.kept.io, said.get("progress", 0), said.get("total"), said.get("message"))
            return None
        if method == mcp_asks.ELICIT:
            return None if message["id"] in self.answered else message
        answer: JsonObject = {"result": {}} if method == "ping" else {"error": REFUSED}
        await self.post({"id": message["id"], **answer})
        return None

    def _headers(self) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        if self.session is not None:
            headers |= {SESSION: self.session, VERSION: self.version}
        return headers

    def _check(self, response: httpx2.Response) -> None:
        if response.status_code == 404 and self.session is not None:
            raise AgentFailed(f"the MCP server {self.kept.remote.url} has forgotten the session")
        status = response.status_code
        if 400 <= status < 500 and status not in TRANSIENT_STATUS:
            raise AgentFailed(f"the MCP server {self.kept.remote.url} refused: HTTP {status}")
        response.raise_for_status()


class Held:
    """A connection that a question keeps open, until it is answered or nobody has for long enough."""

    def __init__(
        self, stack: AsyncExitStack, wire: Wire, stream: AsyncIterator[JsonObject]
    ) -> None:
        self.name = str(uuid4())
        self.stack = stack
        self.wire = wire
        self.stream = stream
        self.closing: asyncio.Task[None] | None = None
        self.timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._expire)
        _held[self.name] = self

    async def close(self) -> None:
        """Give the connection up."""
        self.timer.cancel()
        await self.stack.aclose()

    def _expire(self) -> None:
        _held.pop(self.name, None)
        self.closing = asyncio.create_task(self.close())
