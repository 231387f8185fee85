"""The stream of a thread: all its runs, one after the other, followed for as long as the client wants.

An id is the run's and the place in it, `{run}-{seq}`, so it is good on any replica and at any time.
Without one a client sees the run that is open, and what comes; with `-` all that there ever was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import Invalid
from agenthub.ids import parse_id
from agenthub.principal import Principal
from agenthub.thread_stream import ThreadPosition, ThreadSlice, present
from agenthub_rest.api import Api
from agenthub_rest.reading import decoded
from agenthub_rest.sse import START, Frames, Position, answer
from agenthub_rest.streams import EVERYTHING

MODES = ("run_modes", "lifecycle", "state_update")
FROM_THE_BEGINNING = ("-", "-1", "0")


class ThreadStreams(Api):
    """The route that follows a thread."""

    def routes(self) -> list[Route]:
        return [Route("/threads/{thread_id}/stream", self.stream, methods=["GET"])]

    async def stream(self, request: Request) -> Response:
        who = self.who(request)
        modes = _modes(request)
        thread_id = parse_id(request.path_params["thread_id"], "thread id")
        await self.hub.thread(who, thread_id)
        last_event_id = request.headers.get("last-event-id", "")
        part = START
        if last_event_id in FROM_THE_BEGINNING:
            after = None
        elif last_event_id:
            after, part = await self._place(who, thread_id, last_event_id)
        else:
            after = await present(self.hub.streams, who.tenant, thread_id, replay=False)
        slices = self.hub.follow_thread(who, thread_id, after=after)
        starts = {} if after is None else {after.run.run_id: part}
        return answer(_frames(slices, modes, starts))

    async def _place(
        self, who: Principal, thread_id: UUID, last_event_id: str
    ) -> tuple[ThreadPosition, Position]:
        run_id, _, place = last_event_id.partition("-")
        position = Position.read(place)
        if position is not None and len(run_id) == 32:
            run = await self.hub.run(who, parse_id(run_id, "run of the Last-Event-ID"))
            if run.thread_id == thread_id:
                return ThreadPosition(run, position.seq), position
        raise Invalid(f"Last-Event-ID {last_event_id[:60]!r} is not an id of this stream")


async def _frames(
    slices: AsyncGenerator[ThreadSlice, None],
    modes: frozenset[str],
    starts: Mapping[UUID, Position],
) -> AsyncGenerator[bytes, None]:
    of_state = {"values"} if "state_update" in modes else set[str]()
    shown = of_state | set(EVERYTHING if "run_modes" in modes else ())
    lifecycle = bool(modes & {"run_modes", "lifecycle"})
    prefix, rendering = "", Frames(())
    async with aclosing(slices) as found:
        async for slice_ in found:
            if slice_.run is None:
                continue
            run_id = slice_.run.run_id
            if prefix != f"{run_id.hex}-":
                prefix = f"{run_id.hex}-"
                update = slice_.run.kind == "update"
                rendering = Frames(
                    of_state if update else shown,
                    after=starts.get(run_id, START),
                    prefix=prefix,
                    lifecycle=lifecycle and not update,
                )
            if rendered := rendering.render(slice_.events):
                yield rendered


def _modes(request: Request) -> frozenset[str]:
    # `langgraph-sdk` says `stream_mode` and the Agent Server reads `stream_modes`: we take either
    asked: list[str] = []
    for name in ("stream_mode", "stream_modes"):
        for text in request.query_params.getlist(name):
            asked.extend(_listed(text))
    wrong = [mode for mode in asked if mode not in MODES]
    if wrong:
        raise Invalid(f"stream_mode {wrong[0][:40]!r} is not one of {', '.join(MODES)}")
    return frozenset(asked or ["run_modes"])


def _listed(text: str) -> Sequence[str]:
    if text.startswith("["):
        return [str(mode) for mode in decoded(text.encode())]
    return [mode for mode in text.split(",") if mode]
