"""Runs over HTTP: create, wait, join, list, cancel; on threads and stateless. Streams: `streams`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import Invalid
from agenthub.ids import parse_id
from agenthub.json import dumps
from agenthub.runs import Run
from agenthub_rest import render, waiting
from agenthub_rest.api import Api, location, path_of, selected
from agenthub_rest.bodies import RunCreate
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import flag, number, read
from agenthub_rest.submit import submit

STATUSES = ("pending", "running", "success", "error", "timeout", "interrupted")


class Runs(Api):
    """The routes of runs that answer with one JSON value."""

    def routes(self) -> list[Route]:
        on_thread = "/threads/{thread_id}/runs"
        one = on_thread + "/{run_id}"
        return [
            Route(on_thread, self.runs, methods=["GET", "POST"]),
            Route(on_thread + "/wait", self.wait, methods=["POST"]),
            Route("/runs", self.create, methods=["POST"]),
            Route("/runs/wait", self.wait, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one + "/join", self.join, methods=["GET"]),
            Route(one + "/cancel", self.cancel, methods=["POST"]),
        ]

    async def runs(self, request: Request) -> Response:
        # one route for both methods: with two, the router would tell of the first one's alone
        return await (self.create(request) if request.method == "POST" else self.list(request))

    async def create(self, request: Request) -> Response:
        body = await read(request, RunCreate, self.max_body_bytes)
        run = await submit(self.hub, self.who(request), request, body)
        return JsonResponse(dumps(render.run(run)), headers=location(run))

    async def wait(self, request: Request) -> Response:
        body = await read(request, RunCreate, self.max_body_bytes)
        run = await submit(self.hub, self.who(request), request, body)
        return await self._result(request, run, cancel=body.on_disconnect == "cancel")

    async def join(self, request: Request) -> Response:
        run = await self.run(request)
        return await self._result(request, run, cancel=flag(request, "cancel_on_disconnect"))

    async def _result(self, request: Request, run: Run, *, cancel: bool) -> Response:
        who = self.who(request)
        return await waiting.respond(
            request,
            waiting.result(self.hub, who, run),
            {**location(run), "Location": f"{path_of(run)}/join"},
            gone=(lambda: waiting.left(self.hub, who, run)) if cancel else None,
        )

    async def get(self, request: Request) -> Response:
        return JsonResponse(dumps(render.run(await self.run(request))))

    async def list(self, request: Request) -> Response:
        status = request.query_params.get("status") or None
        if status is not None and status not in STATUSES:
            raise Invalid(f"status {status[:40]!r} is not one of {', '.join(STATUSES)}")
        found = await self.hub.thread_runs(
            self.who(request),
            parse_id(request.path_params["thread_id"], "thread id"),
            status=status,
            limit=number(request, "limit", 10, most=1000),
            offset=number(request, "offset", 0),
        )
        fields = request.query_params.getlist("select")
        return JsonResponse(dumps([selected(render.run(run), fields) for run in found]))

    async def cancel(self, request: Request) -> Response:
        run = await self.run(request)
        action = request.query_params.get("action") or "interrupt"
        if action not in ("interrupt", "rollback"):
            raise Invalid(f"action {action[:40]!r} is not interrupt or rollback")
        who = self.who(request)
        await self.hub.cancel_run(who, run.run_id, action=action)
        if not flag(request, "wait"):
            return Response(status_code=202)

        async def ended() -> bytes:
            await self.hub.wait(who, run)
            return b"{}"

        headers = {**location(run), "Location": f"{path_of(run)}/join"}
        return await waiting.respond(request, ended(), headers)
