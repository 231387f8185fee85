"""Runs over HTTP: create, wait, join, list, find, cancel, delete; on threads and stateless.

Streams: `streams`. A run can be read by its id alone, and searched for across threads.
"""

from __future__ import annotations

from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.archive import RunQuery
from agenthub.errors import Invalid, NotFound
from agenthub.ids import parse_id
from agenthub.json import dumps
from agenthub.runs import CancelAction, Run
from agenthub_rest import render, waiting
from agenthub_rest.api import Api, location, paged, path_of, selected
from agenthub_rest.bodies import RunBatch, RunCreate, RunsCancel, RunSearch
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import flag, number, read
from agenthub_rest.submit import submit

STATUSES = ("pending", "running", "success", "error", "timeout", "interrupted")
VERBS = frozenset({"wait", "stream", "batch", "cancel", "search", "count", "crons"})
"""What stands where a run's id would."""


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
            Route("/runs/batch", self.batch, methods=["POST"]),
            Route("/runs/cancel", self.cancel_many, methods=["POST"]),
            Route("/runs/search", self.search, methods=["POST"]),
            Route("/runs/count", self.count, methods=["POST"]),
            Route("/runs/{run_id}", self.get_anywhere, methods=["GET"]),
            Route(one, self.one, methods=["GET", "DELETE"]),
            Route(one + "/join", self.join, methods=["GET"]),
            Route(one + "/cancel", self.cancel, methods=["POST"]),
        ]

    async def runs(self, request: Request) -> Response:
        # one route for both methods: with two, the router would tell of the first one's alone
        return await (self.create(request) if request.method == "POST" else self.list(request))

    async def create(self, request: Request) -> Response:
        body = await read(request, RunCreate, self.max_body_bytes)
        run = await submit(self, request, body, follow=False)
        return JsonResponse(dumps(render.run(run)), headers=location(run))

    async def batch(self, request: Request) -> Response:
        body = await read(request, RunBatch, self.max_body_bytes)
        who = self.who(request)
        for one in body.root:
            # none is created when one cannot be
            await self.hub.assistants.resolve(who, one.assistant_id)
        made = [
            await submit(self, request, one, follow=False, nth=nth)
            for nth, one in enumerate(body.root)
        ]
        return JsonResponse(dumps([render.run(run) for run in made]))

    async def wait(self, request: Request) -> Response:
        body = await read(request, RunCreate, self.max_body_bytes)
        run = await submit(self, request, body)
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

    # --- reading --------------------------------------------------------------------------------

    async def one(self, request: Request) -> Response:
        run = await self.run(request)
        if request.method == "DELETE":
            await self.hub.delete_run(self.who(request), run.run_id)
            return Response(status_code=204)
        return JsonResponse(dumps(render.run(run)))

    async def get_anywhere(self, request: Request) -> Response:
        if request.path_params["run_id"] in VERBS:
            # the router would look no further than a path that fits
            raise HTTPException(405, headers={"Allow": "POST"})
        run_id = parse_id(request.path_params["run_id"], "run id")
        run = await self.hub.run(self.who(request), run_id)
        return JsonResponse(dumps(render.run(run)), headers=location(run))

    async def list(self, request: Request) -> Response:
        status = request.query_params.get("status") or None
        if status is not None and status not in STATUSES:
            raise Invalid(f"status {status[:40]!r} is not one of {', '.join(STATUSES)}")
        who = self.who(request)
        thread_id = parse_id(request.path_params["thread_id"], "thread id")
        limit = number(request, "limit", 10, most=1000)
        offset = number(request, "offset", 0)
        found = await self.hub.thread_runs(
            who, thread_id, status=status, limit=limit, offset=offset
        )
        query = RunQuery(thread_id=thread_id, status=() if status is None else (status,))
        headers = await paged(
            len(found), limit, offset, lambda: self.hub.archive.count_runs(who.tenant, query)
        )
        fields = request.query_params.getlist("select")
        rendered = [selected(render.run(run), fields) for run in found]
        return JsonResponse(dumps(rendered), headers=headers)

    async def search(self, request: Request) -> Response:
        body = await read(request, RunSearch, self.max_body_bytes)
        who, archive = self.who(request), self.hub.archive
        query = await self._query(request, body)
        found = await archive.runs(who.tenant, query)
        headers = await paged(
            len(found), query.limit, query.offset, lambda: archive.count_runs(who.tenant, query)
        )
        rendered = [selected(render.run(run), body.select) for run in found]
        return JsonResponse(dumps(rendered), headers=headers)

    async def count(self, request: Request) -> Response:
        body = await read(request, RunSearch, self.max_body_bytes)
        query = await self._query(request, body)
        count = await self.hub.archive.count_runs(self.who(request).tenant, query)
        return JsonResponse(dumps(count))

    async def _query(self, request: Request, body: RunSearch) -> RunQuery:
        one_or_many = body.status or ()
        status = (one_or_many,) if isinstance(one_or_many, str) else one_or_many
        query = RunQuery(
            thread_id=None if body.thread_id is None else parse_id(body.thread_id, "thread id"),
            status=status,
            metadata=body.metadata,
            limit=body.limit,
            offset=body.offset,
        )
        if body.assistant_id is None:
            return query
        info, assistant = await self.hub.assistants.resolve(self.who(request), body.assistant_id)
        if assistant is None or assistant.assistant_id == info.assistant_id:
            return replace(query, agent=info.name)
        return replace(query, assistant_id=assistant.assistant_id)

    # --- cancelling -----------------------------------------------------------------------------

    async def cancel(self, request: Request) -> Response:
        run = await self.run(request)
        who = self.who(request)
        await self.hub.cancel_run(who, run.run_id, action=_action(request))
        if not flag(request, "wait"):
            return Response(status_code=202)

        async def ended() -> bytes:
            await self.hub.wait(who, run)
            return b"{}"

        headers = {**location(run), "Location": f"{path_of(run)}/join"}
        return await waiting.respond(request, ended(), headers)

    async def cancel_many(self, request: Request) -> Response:
        body = await read(request, RunsCancel, self.max_body_bytes)
        who, action = self.who(request), _action(request)
        query = RunQuery(
            thread_id=None if body.thread_id is None else parse_id(body.thread_id, "thread id"),
            run_ids=[parse_id(i, "run id") for i in body.run_ids] or None,
            status=(body.status,) if body.status in ("pending", "running") else (),
        )
        if not await self.hub.cancel_runs(who, query, action=action):
            raise NotFound("there is no open run to cancel")
        return Response(status_code=204)


def _action(request: Request) -> CancelAction:
    action = request.query_params.get("action") or "interrupt"
    if action not in ("interrupt", "rollback"):
        raise Invalid(f"action {action[:40]!r} is not interrupt or rollback")
    return action
