"""The event-streaming protocol over HTTP: events as server-sent events, commands as JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import Invalid
from agenthub.ids import parse_id
from agenthub.json import dumps
from agenthub_rest import protocol_stream
from agenthub_rest.api import Api
from agenthub_rest.errors import JsonResponse
from agenthub_rest.protocol_bodies import SEQ, Command, Subscribe
from agenthub_rest.protocol_commands import Commands, failure
from agenthub_rest.protocol_events import ProtocolEvent
from agenthub_rest.reading import is_digits, read
from agenthub_rest.sse import answer, frame


class EventStreaming(Api):
    """The routes of the protocol; a subscription lasts as long as its connection."""

    def routes(self) -> list[Route]:
        return [
            Route("/threads/{thread_id}/stream/events", self.events, methods=["POST"]),
            Route("/threads/{thread_id}/commands", self.command, methods=["POST"]),
        ]

    async def events(self, request: Request) -> Response:
        body = await read(request, Subscribe, self.max_body_bytes)
        who = self.who(request)
        thread_id = parse_id(request.path_params["thread_id"], "thread id")
        await self.hub.thread(who, thread_id)
        since = position(request.headers.get("last-event-id"))
        since = body.since if since is None else since
        found = protocol_stream.follow(self.hub, who, thread_id, body.filter(), since=since)
        return answer(_frames(found))

    async def command(self, request: Request) -> Response:
        thread_id = parse_id(request.path_params["thread_id"], "thread id")
        try:
            command = await read(request, Command, self.max_body_bytes)
        except Invalid as error:
            return JsonResponse(dumps(failure(None, error)), 400)
        commands = Commands(self.hub, self.who(request), thread_id)
        return JsonResponse(dumps(await commands.answer(command)))


async def _frames(found: AsyncGenerator[ProtocolEvent, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(found) as told:
        async for event in told:
            yield frame(event.method, dumps(event.to_json()), str(event.seq))


def position(text: str | None) -> int | None:
    """The `seq` that a client stands behind. Raises `Invalid`."""
    if not text:
        return None
    if not is_digits(text) or int(text) > SEQ:
        raise Invalid(f"Last-Event-ID {text[:40]!r} is not an id of this stream")
    return int(text)
