"""Streams over HTTP: a new run's, or one joined at any time and from any point."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from agenthub.errors import Invalid
from agenthub.json import loads
from agenthub.runs import Run
from agenthub_rest import waiting
from agenthub_rest.api import Api, location, path_of
from agenthub_rest.bodies import ACCEPTED_MODES, RunCreate, stream_modes
from agenthub_rest.reading import flag, read
from agenthub_rest.sse import START, Frames, Position, answer
from agenthub_rest.submit import submit

EVERYTHING = sorted(ACCEPTED_MODES - {"messages"})
"""What a join that names no mode sees of what was recorded: messages as deltas, not repeated."""


class Streams(Api):
    """The routes that answer with server-sent events."""

    def routes(self) -> list[Route]:
        return [
            Route("/threads/{thread_id}/runs/stream", self.stream, methods=["POST"]),
            Route("/runs/stream", self.stream, methods=["POST"]),
            Route("/threads/{thread_id}/runs/{run_id}/stream", self.join, methods=["GET"]),
        ]

    async def stream(self, request: Request) -> Response:
        body = await read(request, RunCreate, self.max_body_bytes)
        run = await submit(self, request, body)
        cancel = body.on_disconnect == "cancel"
        return self._events(request, run, body.stream_mode, cancel=cancel, after=None)

    async def join(self, request: Request) -> Response:
        modes, after = _asked_modes(request), _position(request)
        run = await self.run(request)
        cancel = flag(request, "cancel_on_disconnect")
        return self._events(request, run, modes, cancel=cancel, after=after)

    def _events(
        self,
        request: Request,
        run: Run,
        modes: Sequence[str],
        *,
        cancel: bool,
        after: Position | None,
    ) -> Response:
        rendering = Frames(modes, after=after or START)
        finished = False

        async def frames() -> AsyncGenerator[bytes, None]:
            nonlocal finished
            seq = None if after is None else max(after.seq, run.after_seq)
            if rendering.messages is not None and seq is not None:
                # the `messages` mode needs the deltas before the id to repeat the message so far
                seq = run.after_seq
            async with aclosing(self.hub.follow_run(run, after=seq)) as slices:
                async for slice_ in slices:
                    rendered = rendering.render(slice_)
                    if rendered:
                        yield rendered
            finished = True

        async def left(_: Message) -> None:
            if cancel and not finished:
                await waiting.left(self.hub, self.who(request), run)

        # clients reconnect to it as it stands, so it carries what they asked for
        query = [("stream_mode", mode) for mode in modes]
        if cancel:
            query.append(("cancel_on_disconnect", "true"))
        where = f"{path_of(run)}/stream?{urlencode(query)}"
        return answer(frames(), headers={**location(run), "Location": where}, left=left)


def _asked_modes(request: Request) -> Sequence[str]:
    # `langgraph-sdk` sends an empty one for none
    asked = [mode for mode in request.query_params.getlist("stream_mode") if mode]
    try:
        if len(asked) == 1 and asked[0].startswith("["):
            return stream_modes(loads(asked[0]))
        return stream_modes(asked) if asked else EVERYTHING
    except ValueError as error:
        raise Invalid(f"stream_mode: {error}") from None


def _position(request: Request) -> Position | None:
    """Where the client stands; None = replay all."""
    text = request.headers.get("last-event-id", "")
    if text in ("", "-1"):
        return None
    position = Position.read(text)
    if position is None:
        raise Invalid(f"Last-Event-ID {text[:40]!r} is not an id of this stream")
    return position
