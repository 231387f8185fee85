"""The handshake era (2025-11-25 and before) over HTTP, without anything that stays in this process.

A session is a row; a call is a stream of rows that any replica can pass on, resume and finish. Only
`tools/call` and `tasks/result` get a stream: all else is answered at once, as JSON. A client that loses its
connection resumes by `Last-Event-ID` at whatever replica it reaches, which then takes over the call.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import mcp_types as types
import pydantic_core
from mcp.server import NotificationOptions, Server
from mcp.server.connection import Connection
from mcp.server.runner import ServerRunner
from mcp.server.streamable_http import (
    LAST_EVENT_ID_HEADER,
    MCP_SESSION_ID_HEADER,
    REQUEST_CANCELLED,
    check_accept_headers,
)
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from pydantic import ValidationError
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agenthub.errors import HubError
from agenthub.json import JsonObject, dumps, text
from agenthub.ports import Tail
from agenthub.principal import Principal
from agenthub.sessions import Session, SessionStore
from agenthub_mcp import core_tasks
from agenthub_mcp.calls import Calls
from agenthub_mcp.exchange import Brief, answer, call_key, encoded
from agenthub_mcp.news import News
from agenthub_mcp.server import WhoIs
from agenthub_mcp.serving import Serving, reply
from agenthub_mcp.wire import Replay, read_event_id

log = logging.getLogger(__name__)

STREAMED: Final = frozenset({"tools/call", "tasks/result"})
"""What takes its time, and may ask questions on the way."""
PING_SECONDS: Final = 15
NOBODY: Final = Principal(subject="")
"""Who has a session without being known: its calls are refused one by one, by their handlers."""


class Handshake:
    """The endpoint, as an ASGI application; `serving.run` must be running."""

    def __init__(
        self,
        server: Server[dict[str, Any]],
        sessions: SessionStore,
        tail: Tail,
        *,
        serving: Serving,
        calls: Calls,
        news: News,
        principal: WhoIs,
        security: TransportSecuritySettings,
        poll_seconds: float,
    ) -> None:
        self.server = server
        self.sessions = sessions
        self.tail = tail
        self.serving = serving
        self.calls = calls
        self.news = news
        self.principal = principal
        self.security = TransportSecurityMiddleware(security)
        self.replay = Replay(sessions, tail, poll_seconds=poll_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        request = Request(scope, receive)
        response = await self.security.validate_request(request, request.method == "POST")
        if response is None:
            methods = {"POST": self._post, "GET": self._get, "DELETE": self._delete}
            serve = methods.get(request.method)
            response = not_allowed() if serve is None else await serve(request)
        await response(scope, receive, send)

    # --- POST -----------------------------------------------------------------------------------

    async def _post(self, request: Request) -> Response:
        if not all(check_accept_headers(request)):
            return refusal(406, "Client must accept both application/json and text/event-stream")
        message = await read(request)
        if isinstance(message, Response):
            return message
        if isinstance(message, types.JSONRPCRequest) and message.method == "initialize":
            return await self._initialize(request, message)
        if isinstance(message, types.JSONRPCRequest) and message.method in STREAMED:
            return await self._call(request, message)
        session = await self._session(request)
        if isinstance(session, Response):
            return session
        if isinstance(message, types.JSONRPCRequest):
            response = await self.serving.reply(
                session, Brief(request, message.id), message.method, message.params
            )
            return responding(response, of(session.session_id))
        if isinstance(message, types.JSONRPCNotification):
            if message.method == "notifications/cancelled":
                await self._take_back(self._who(request), session, message.params or {})
        elif message.id is not None:
            question = str(message.id)
            await answer(self.sessions, self.tail, session, question, await request.body())
        return Response(status_code=202, headers=of(session.session_id))

    async def _initialize(self, request: Request, message: types.JSONRPCRequest) -> Response:
        channel = Brief(request, message.id)
        connection = Connection.for_loop(channel)
        options = self.server.create_initialization_options(
            NotificationOptions(tools_changed=True, prompts_changed=True, resources_changed=True),
            extensions={},  # those that there are belong to the other era
        )
        if (message.params or {}).get("protocolVersion") == core_tasks.VERSION:
            options.capabilities.tasks = core_tasks.CAPABILITY
        runner = ServerRunner(self.server, connection, {}, init_options=options)
        response = await reply(message.id, runner.on_request(channel, "initialize", message.params))
        if "error" in response:
            return responding(response)
        who = self._who(request)
        session = Session(
            tenant=who.tenant,
            session_id=uuid4(),  # nothing that could be guessed from another one
            subject=who.subject,
            version=connection.protocol_version,
            client=message.params or {},
        )
        await self.sessions.open(session)
        return responding(response, of(session.session_id))

    async def _call(self, request: Request, message: types.JSONRPCRequest) -> Response:
        session_id = session_id_of(request)
        if isinstance(session_id, Response):
            return session_id
        who = self._who(request)
        stream_id = uuid4()
        # before anything can be in it, so that the stream need not be read from the log
        self.tail.prepare(stream_id)
        stream = await self.sessions.begin(
            who.tenant,
            session_id,
            subject=who.subject,
            stream_id=stream_id,
            request_id=text(message.id),
            request=await request.body(),
            owner=self.serving.replica_id,
        )
        if stream is None:
            return unknown_session()
        self.serving.start(request, stream)
        return streaming(stream.session, self.replay.begun(stream.session, stream_id))

    async def _take_back(self, who: Principal, session: Session, params: Mapping[str, Any]) -> None:
        request_id = params.get("requestId")
        if not encodable(request_id):
            return
        error = {"code": REQUEST_CANCELLED, "message": "Request cancelled"}
        message = dumps({"jsonrpc": "2.0", "id": request_id, "error": error})
        for stream in await self.sessions.take_back(session, text(request_id), message):
            self.replay.ended(stream, message)
            self.serving.tell(stream)
            await self.calls.take_back(who, call_key(stream.stream_id))

    # --- GET and DELETE -------------------------------------------------------------------------

    async def _get(self, request: Request) -> Response:
        _, sse = check_accept_headers(request)
        if not sse:
            return refusal(406, "Client must accept text/event-stream")
        session = await self._session(request)
        if isinstance(session, Response):
            return session
        last = request.headers.get(LAST_EVENT_ID_HEADER)
        only: str | None = request.path_params.get("agent")
        if last is None or self.news.knows(last):
            return streaming(session, self.news.of(session, only, last))
        place = read_event_id(last)
        at = None if place is None else await self.sessions.position(session, place[0])
        if place is None or at is None:
            return refusal(400, f"There is no event {last[:80]!r} to go on from")
        stream_id, seq = place
        if not at.ended and not await self.serving.serves(stream_id):
            adopted = await self.sessions.adopt(session, stream_id, owner=self.serving.replica_id)
            if adopted is not None:
                self.serving.start(request, adopted)
        return streaming(session, self.replay.after(session, stream_id, seq, at))

    async def _delete(self, request: Request) -> Response:
        session = await self._session(request)
        if isinstance(session, Response):
            return session
        await self.sessions.close(session)
        self.news.closed(session)
        return Response(status_code=200)

    # --- sessions -------------------------------------------------------------------------------

    async def _session(self, request: Request) -> Session | Response:
        session_id = session_id_of(request)
        if isinstance(session_id, Response):
            return session_id
        who = self._who(request)
        session = await self.sessions.get(who.tenant, session_id)
        if session is None or session.subject != who.subject:
            return unknown_session()
        return session

    def _who(self, request: Request) -> Principal:
        try:
            return self.principal(request)
        except HubError as unknown:
            log.debug("a client without a name: %s", unknown)
            return NOBODY


async def read(request: Request) -> types.JSONRPCMessage | Response:
    """The message of a POST, or what is wrong with it."""
    try:
        raw: Any = pydantic_core.from_json(await request.body())
    except ValueError:
        return refusal(400, "Parse error: the body is not JSON", code=types.PARSE_ERROR)
    try:
        message = types.jsonrpc_message_adapter.validate_python(raw, by_name=False)
    except ValidationError:
        return refusal(400, "The body is not one JSON-RPC message")
    if isinstance(message, types.JSONRPCRequest) and not encodable(message.id):
        return refusal(400, "The id is no number of 64 bits and no valid text")
    # it goes into every report of progress: found out there, it would be after the run was made
    if isinstance(message, types.JSONRPCRequest) and not encodable(
        progress_token_from_params(message.params)
    ):
        return refusal(400, "The progressToken is no number of 64 bits and no valid text")
    return message


def session_id_of(request: Request) -> UUID | Response:
    """The session that a request names, or why there is none."""
    given = request.headers.get(MCP_SESSION_ID_HEADER)
    if given is None:
        return refusal(400, "Missing session ID: send `initialize` first")
    try:
        return UUID(given)
    except ValueError:
        return unknown_session()


def of(session_id: UUID) -> dict[str, str]:
    """The header of every answer in a session."""
    return {MCP_SESSION_ID_HEADER: session_id.hex}


def encodable(request_id: Any) -> bool:
    """Whether an id can be given back as it came."""
    try:
        dumps(request_id)
    except TypeError:
        return False
    return True


def responding(response: JsonObject, headers: Mapping[str, str] | None = None) -> Response:
    """A response in one piece."""
    return Response(encoded(response), media_type="application/json", headers=headers)


def streaming(session: Session, frames: AsyncGenerator[bytes]) -> Response:
    """A response that is a stream."""
    headers = {"cache-control": "no-cache, no-transform", **of(session.session_id)}
    return EventSourceResponse(frames, headers=headers, ping=PING_SECONDS)


def unknown_session() -> Response:
    """What a client takes as a sign to begin again."""
    return refusal(404, "Session not found")


def not_allowed() -> Response:
    """The answer to methods that have no meaning here."""
    response = refusal(405, "Method Not Allowed")
    response.headers["allow"] = "GET, POST, DELETE"
    return response


def refusal(status: int, message: str, *, code: int = types.INVALID_REQUEST) -> Response:
    """A JSON-RPC error to no request in particular."""
    error = {"code": code, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=status)
