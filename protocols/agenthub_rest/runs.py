"""Runs over HTTP: create, wait, stream, join, list, cancel; on threads and stateless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import Conflict, Invalid, NotFound
from agenthub.ids import parse_id
from agenthub.json import dumps, loads
from agenthub.runs import Run
from agenthub.service import Start
from agenthub_rest import render, waiting
from agenthub_rest.api import Api
from agenthub_rest.bodies import RunCreate, read, stream_modes
from agenthub_rest.errors import JsonResponse
from agenthub_rest.sse import Frames

HEARTBEAT_SECONDS = 5
STATUSES = ("pending", "running", "success", "error", "timeout", "interrupted")


class Runs(Api):
    """The routes of runs."""

    def routes(self) -> list[Route]:
        on_thread = "/threads/{thread_id}/runs"
        one = on_thread + "/{run_id}"
        return [
            Route(on_thread, self.create, methods=["POST"]),
            Route(on_thread, self.list, methods=["GET"]),
            Route(on_thread + "/wait", self.wait, methods=["POST"]),
            Route(on_thread + "/stream", self.stream, methods=["POST"]),
            Route("/runs", self.create, methods=["POST"]),
            Route("/runs/wait", self.wait, methods=["POST"]),
            Route("/runs/stream", self.stream, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one + "/join", self.join, methods=["GET"]),
            Route(one + "/stream", self.join_stream, methods=["GET"]),
            Route(one + "/cancel", self.cancel, methods=["POST"]),
        ]

    # --- creating -------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        body, run = await self._start(request)
        del body
        return JsonResponse(dumps(render.run(run)), headers=_location(run))

    async def wait(self, request: Request) -> Response:
        body, run = await self._start(request)
        who = self.who(request)

        async def gone() -> None:
            if body.on_disconnect == "cancel":
                await self._cancel_quietly(request, run)

        headers = {**_location(run), "Location": f"{_path(run)}/join"}
        return await waiting.respond(waiting.result(self.hub, who, run), headers, gone=gone)

    async def stream(self, request: Request) -> Response:
        body, run = await self._start(request)
        return self._events(
            request, run, body.stream_mode, cancel=body.on_disconnect == "cancel", after=None
        )

    async def _start(self, request: Request) -> tuple[RunCreate, Run]:
        body = await read(request, RunCreate, self.max_body_bytes)
        who = self.who(request)
        on_thread = request.path_params.get("thread_id")
        thread_id = None if on_thread is None else parse_id(on_thread, "thread id")
        info = self.hub.agent(body.assistant_id)
        if body.command is not None and body.command.resume is not None:
            if thread_id is None:
                raise Invalid(
                    "a resume needs the thread that waits: POST it to /threads/{thread_id}/runs"
                )
            return body, await self.hub.resume(
                who,
                thread_id,
                body.command.resume,
                request=body.request(),
                metadata=body.metadata,
                origin={"protocol": "rest"},
                multitask=body.multitask_strategy,
            )
        start = Start(
            agent=info.name,
            request=body.request(),
            thread_id=thread_id,
            make_thread=body.if_not_exists == "create",
            ephemeral=thread_id is None and body.on_completion == "delete",
            multitask=body.multitask_strategy,
            metadata=body.metadata,
            origin={"protocol": "rest"},
            delay=timedelta(seconds=body.after_seconds),
            idempotency_key=request.headers.get("idempotency-key"),
            request_hash=body.model_dump_json() if "idempotency-key" in request.headers else "",
        )
        return body, await self.hub.start(who, start)

    # --- reading --------------------------------------------------------------------------------

    async def get(self, request: Request) -> Response:
        return JsonResponse(dumps(render.run(await self._run(request))))

    async def list(self, request: Request) -> Response:
        query = request.query_params
        status = query.get("status")
        if status is not None and status not in STATUSES:
            raise Invalid(f"status {status!r} is not one of {', '.join(STATUSES)}")
        found = await self.hub.thread_runs(
            self.who(request),
            parse_id(request.path_params["thread_id"], "thread id"),
            status=status,
            limit=self.number(request, "limit", 10, most=1000),
            offset=self.number(request, "offset", 0),
        )
        return JsonResponse(dumps([render.run(run) for run in found]))

    async def _run(self, request: Request) -> Run:
        run_id = parse_id(request.path_params["run_id"], "run id")
        run = await self.hub.run(self.who(request), run_id)
        if run.thread_id != parse_id(request.path_params["thread_id"], "thread id"):
            raise NotFound(f"there is no run {str(run_id)!r} on this thread")
        return run

    # --- following ------------------------------------------------------------------------------

    async def join(self, request: Request) -> Response:
        run = await self._run(request)

        async def gone() -> None:
            if _truthy(request, "cancel_on_disconnect"):
                await self._cancel_quietly(request, run)

        return await waiting.respond(
            waiting.result(self.hub, self.who(request), run), _location(run), gone=gone
        )

    async def join_stream(self, request: Request) -> Response:
        run = await self._run(request)
        return self._events(
            request,
            run,
            _asked_modes(request),
            cancel=_truthy(request, "cancel_on_disconnect"),
            after=_last_event_id(request),
        )

    def _events(
        self, request: Request, run: Run, modes: Sequence[str], *, cancel: bool, after: int | None
    ) -> Response:
        seen = asyncio.Event()

        async def frames() -> AsyncGenerator[bytes, None]:
            rendering = Frames(modes, after=after or 0)
            # the `messages` mode needs the deltas before the id to repeat the message so far
            start = run.after_seq if rendering.messages is not None and after else after
            async with aclosing(self.hub.follow_run(run, after=start)) as slices:
                async for slice_ in slices:
                    rendered = rendering.render(slice_)
                    if rendered:
                        yield rendered
            seen.set()

        async def closed() -> None:
            if cancel and not seen.is_set():
                await self._cancel_quietly(request, run)

        return EventSourceResponse(
            frames(),
            headers={
                **_location(run),
                "Location": f"{_path(run)}/stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            },
            ping=HEARTBEAT_SECONDS,
            ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
            background=BackgroundTask(closed),
        )

    # --- cancelling -----------------------------------------------------------------------------

    async def cancel(self, request: Request) -> Response:
        run = await self._run(request)
        action = request.query_params.get("action", "interrupt")
        if action not in ("interrupt", "rollback"):
            raise Invalid(f"action {action!r} is not interrupt or rollback")
        who = self.who(request)
        await self.hub.cancel_run(who, run.run_id, action=action)
        if not _truthy(request, "wait"):
            return Response(status_code=202)

        async def ended() -> bytes:
            await self.hub.wait(who, run)
            return b"{}"

        return await waiting.respond(ended(), {**_location(run), "Location": f"{_path(run)}/join"})

    async def _cancel_quietly(self, request: Request, run: Run) -> None:
        try:
            await self.hub.cancel_run(
                self.who(request), run.run_id, reason="the client disconnected"
            )
        except (NotFound, Conflict):
            return


def _path(run: Run) -> str:
    return f"/threads/{run.thread_id}/runs/{run.run_id}"


def _location(run: Run) -> dict[str, str]:
    return {"Content-Location": _path(run)}


def _truthy(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("1", "true", "yes")


def _asked_modes(request: Request) -> Sequence[str]:
    asked = request.query_params.getlist("stream_mode")
    try:
        if len(asked) == 1 and asked[0].startswith("["):
            return stream_modes(loads(asked[0]))
        # a join that names no mode sees everything that was recorded
        return stream_modes(asked) if asked else ["values", "updates", "messages-tuple", "custom"]
    except ValueError as error:
        raise Invalid(str(error)) from None


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get("last-event-id")
    if text is None or text == "-1":
        return None
    if not text.isdigit():
        raise Invalid(f"Last-Event-ID {text!r} is not an id of this stream")
    return int(text)
