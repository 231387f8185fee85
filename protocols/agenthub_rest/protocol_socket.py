"""The event-streaming protocol over a WebSocket: many subscriptions and all commands on one connection.

A subscription's id says what it asks for, so any replica can restore it after a reconnect.
"""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import Request
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from agenthub.errors import HubError, Invalid
from agenthub.ids import new_id, parse_id
from agenthub.json import JsonObject, dumps, loads
from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_rest import protocol_bodies as bodies
from agenthub_rest import protocol_stream
from agenthub_rest.errors import STATUS
from agenthub_rest.protocol import position
from agenthub_rest.protocol_commands import Commands, Refused, failure, success
from agenthub_rest.protocol_events import CHANNELS, Filter, ProtocolEvent, microseconds
from agenthub_rest.reading import checked, decoded

EVERYTHING = Filter(CHANNELS)
MOST_SUBSCRIPTIONS = 100
LOCAL_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
NOT_TEXT = 1003
TOO_LARGE = 1009
REFUSED = 4000
"""Added to an HTTP status, it is the code that a refused connection is closed with."""


class Sockets:
    """The route of the WebSocket."""

    def __init__(
        self,
        hub: Hub,
        principal: Callable[[Request], Principal],
        max_body_bytes: int,
        allowed_origins: Sequence[str],
    ) -> None:
        self.hub = hub
        self.who = principal
        self.max_body_bytes = max_body_bytes
        self.allowed_origins = allowed_origins

    def routes(self) -> list[WebSocketRoute]:
        return [WebSocketRoute("/threads/{thread_id}/stream/events", self.connected)]

    async def connected(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            # no CORS stands before a WebSocket: without this any page could talk to a local hub
            if not self._may(socket):
                await socket.close(REFUSED + 403, "this origin is not allowed")
                return
            who = self.who(Request({**socket.scope, "type": "http", "method": "GET"}))
            thread_id = parse_id(socket.path_params["thread_id"], "thread id")
        except HubError as error:
            await socket.close(REFUSED + STATUS[type(error)], error.message[:100])
            return
        async with asyncio.TaskGroup() as group:
            connection = Connection(socket, self.hub, who, thread_id, group)
            with suppress(WebSocketDisconnect):
                await connection.serve(self.max_body_bytes)

    def _may(self, socket: WebSocket) -> bool:
        origin = socket.headers.get("origin")
        if origin is None or origin in self.allowed_origins or LOCAL_ORIGIN.fullmatch(origin):
            return True
        return urlsplit(origin).netloc == socket.headers.get("host")


@dataclass(slots=True)
class _Subscription:
    """What a client asked for, and the `seq` up to which it has it."""

    wanted: Filter
    seen: int


class Connection:
    """One client: its subscriptions, and its commands one after the other.

    All subscriptions share one reader, so that events come in the order of the thread. A new one takes
    the reader back to where it begins, and what the others have seen is told to the new one alone.
    """

    def __init__(
        self,
        socket: WebSocket,
        hub: Hub,
        who: Principal,
        thread_id: UUID,
        group: asyncio.TaskGroup,
    ) -> None:
        self.socket = socket
        self.hub = hub
        self.who = who
        self.thread_id = thread_id
        self.commands = Commands(hub, who, thread_id)
        self._group = group
        self._subscriptions: dict[str, _Subscription] = {}
        self._reading: asyncio.Task[None] | None = None
        self._seen: int | None = None

    async def serve(self, most_bytes: int) -> None:
        """Answer until the client goes away."""
        try:
            while True:
                message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                # `receive_text` would take a binary frame for a mistake of the server
                text: str | None = message.get("text")
                if text is None:
                    await self.socket.close(NOT_TEXT, "send commands as text")
                    return
                if len(text) > most_bytes:
                    await self.socket.close(TOO_LARGE, f"more than {most_bytes} bytes")
                    return
                await self._tell(await self._answer(text))
        finally:
            if self._reading is not None:
                self._reading.cancel()

    async def _answer(self, text: str) -> JsonObject:
        try:
            command = checked(bodies.Command, decoded(text.encode()))
        except Invalid as error:
            return failure(None, error)
        try:
            match command.method:
                case "subscription.subscribe":
                    result = await self._subscribe(command.params)
                case "subscription.unsubscribe":
                    result = self._unsubscribe(command.params)
                case "subscription.reconnect":
                    result = await self._reconnect(command.params)
                case _:
                    return await self.commands.answer(command)
        except (HubError, Refused) as error:
            return failure(command.id, error)
        return success(command.id, result)

    async def _subscribe(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.Subscribe, params)
        name = _named(body.filter())
        await self._follow([name], body.since)
        return {"subscription_id": name}

    def _unsubscribe(self, params: JsonObject) -> JsonObject:
        name = checked(bodies.Unsubscribe, params).subscription_id
        if self._subscriptions.pop(name, None) is None:
            raise Refused("no_such_subscription", f"there is no subscription {name[:60]!r} here")
        return {}

    async def _reconnect(self, params: JsonObject) -> JsonObject:
        """Subscriptions of another connection go on behind the last event that it has seen."""
        body = checked(bodies.Reconnect, params)
        since = position(body.last_event_id)
        if body.run_id is not None:
            await self.hub.run(self.who, parse_id(body.run_id, "run id"))
        await self._follow(body.subscriptions, since)
        return {"restored": True}

    async def _follow(self, names: Sequence[str], since: int | None) -> None:
        """Start subscriptions, or let them go on from elsewhere."""
        wanted = {name: _filter_of(name) for name in names}
        if len(self._subscriptions.keys() | wanted) > MOST_SUBSCRIPTIONS:
            raise Invalid(f"a connection has at most {MOST_SUBSCRIPTIONS} subscriptions")
        start = await self._start(since)
        if self._reading is not None:
            self._reading.cancel()
        for known in self._subscriptions.values():
            known.seen = max(known.seen, self._seen or 0)
        for name, filter_ in wanted.items():
            self._subscriptions[name] = _Subscription(filter_, since or 0)
        self._reading = self._group.create_task(self._read(start))

    async def _start(self, since: int | None) -> int | None:
        """From where a reader tells a new subscription all that it asks for, and the others the rest."""
        if self._seen is None:
            return since
        if since is None:
            run = await self.hub.streams.log.current_run(self.who.tenant, self.thread_id)
            if run is not None and run.started_at is not None:
                return min(self._seen, microseconds(run.started_at))
            return self._seen
        return min(self._seen, since)

    async def _read(self, start: int | None) -> None:
        found = protocol_stream.follow(self.hub, self.who, self.thread_id, EVERYTHING, since=start)
        with suppress(WebSocketDisconnect):
            async with aclosing(found) as told:
                async for event in told:
                    if self._is_asked_for(event):
                        await self._tell(event.to_json())
                    self._seen = max(event.seq, self._seen or 0)

    def _is_asked_for(self, event: ProtocolEvent) -> bool:
        return any(
            event.seq > one.seen and one.wanted.matches(event)
            for one in self._subscriptions.values()
        )

    async def _tell(self, message: JsonObject) -> None:
        await self.socket.send_text(dumps(message).decode())


def _named(wanted: Filter) -> str:
    asked = [sorted(wanted.channels), wanted.namespaces, wanted.depth]
    told = urlsafe_b64encode(dumps(asked)).decode().rstrip("=")
    return f"{new_id().hex}.{told}"


def _filter_of(name: str) -> Filter:
    """Read what `_named` wrote. Raises `Refused`."""
    told = name.partition(".")[2]
    try:
        asked = loads(urlsafe_b64decode(told + "=" * (-len(told) % 4)))
        body = bodies.Subscribe.model_validate(
            {"channels": asked[0], "namespaces": asked[1], "depth": asked[2]}
        )
    except (ValueError, LookupError, TypeError):
        raise Refused("no_such_subscription", f"there is no subscription {name[:60]!r}") from None
    return body.filter()
