"""Thread states over HTTP: at any checkpoint, through time, and written to."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import HubError, Invalid
from agenthub.ids import parse_id
from agenthub.json import JsonObject, dumps
from agenthub.principal import Principal
from agenthub.threads import StateUpdate, StepView, ThreadState
from agenthub_rest import render
from agenthub_rest.api import Api
from agenthub_rest.bodies import plain
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import checked, flag, read
from agenthub_rest.thread_bodies import History, StateAt, StateWrite

DEEPEST = 20
"""Subgraphs in subgraphs that are shown."""


class ThreadStates(Api):
    """The routes of a thread's state and history."""

    def routes(self) -> list[Route]:
        one = "/threads/{thread_id}"
        return [
            Route(one + "/state", self.state, methods=["GET", "POST"]),
            Route(one + "/state/checkpoint", self.state_at_body, methods=["POST"]),
            Route(one + "/state/{checkpoint_id}", self.get, methods=["GET"]),
            Route(one + "/history", self.history, methods=["GET", "POST"]),
        ]

    async def state(self, request: Request) -> Response:
        # one route for both methods: with two, the router would tell of the first one's alone
        return await (self.update(request) if request.method == "POST" else self.get(request))

    async def get(self, request: Request) -> Response:
        checkpoint_id = request.path_params.get("checkpoint_id")
        try:
            at = None if checkpoint_id is None else plain(checkpoint_id)
        except ValueError as error:
            raise Invalid(f"the checkpoint id {error}") from None
        who = self.who(request)
        found = await self.hub.state(who, _thread_id(request), at)
        return await self._shown(who, found, subgraphs=flag(request, "subgraphs"))

    async def state_at_body(self, request: Request) -> Response:
        body = await read(request, StateAt, self.max_body_bytes)
        who, at = self.who(request), body.checkpoint
        found = await self.hub.state(
            who, _thread_id(request), at.checkpoint_id, ns=at.checkpoint_ns
        )
        return await self._shown(who, found, subgraphs=body.subgraphs)

    async def _shown(self, who: Principal, found: ThreadState, *, subgraphs: bool) -> Response:
        if subgraphs:
            inside = await self._inside(who, found, DEEPEST)
            return JsonResponse(dumps(render.state(found, inside)))
        places = await self._places(who, found) if found.steps else None
        return JsonResponse(dumps(render.state(found, places=places)))

    async def _places(self, who: Principal, found: ThreadState) -> dict[str, str]:
        """The namespaces of the subgraphs that are next, by the step that is in them."""
        thread = await self.hub.thread(who, found.thread_id)
        if thread.agent is None:
            return {}
        try:
            known = self.hub.agent(thread.agent).subgraphs
        except HubError:  # it is not deployed any more
            return {}
        outside = [part.split(":")[0] for part in found.ns.split("|") if part]
        return {
            step.id: _below(found.ns, step)
            for step in found.steps
            if "|".join([*outside, step.name]) in known
        }

    async def _inside(self, who: Principal, found: ThreadState, deep: int) -> dict[str, JsonObject]:
        """The latest states of the subgraphs that are next, by the step that is in them."""
        states: dict[str, JsonObject] = {}
        for step in found.steps if deep else ():
            inner = await self.hub.states.get(
                who.tenant, found.thread_id, ns=_below(found.ns, step)
            )
            if inner is not None:
                states[step.id] = render.state(inner, await self._inside(who, inner, deep - 1))
        return states

    async def update(self, request: Request) -> Response:
        body = await read(request, StateWrite, self.max_body_bytes)
        made = await self.hub.update_state(
            self.who(request),
            _thread_id(request),
            [[StateUpdate(body.values, body.as_node)]],
            checkpoint_id=body.checkpoint_id or body.checkpoint.checkpoint_id,
            ns=body.checkpoint.checkpoint_ns,
        )
        at = render.state(made)["checkpoint"]
        answer = {"checkpoint": at, "configurable": at, "checkpoint_id": made.checkpoint_id}
        return JsonResponse(dumps(answer))

    async def history(self, request: Request) -> Response:
        if request.method == "POST":
            body = await read(request, History, self.max_body_bytes)
        else:
            body = checked(History, dict(request.query_params))
        found = await self.hub.history(
            self.who(request),
            _thread_id(request),
            limit=body.limit,
            before=body.before,
            metadata=body.metadata,
            ns=body.checkpoint.checkpoint_ns,
        )
        return JsonResponse(dumps([render.state(s) for s in found]))


def _thread_id(request: Request) -> UUID:
    return parse_id(request.path_params["thread_id"], "thread id")


def _below(ns: str, step: StepView) -> str:
    """The namespace of what runs in a step."""
    return f"{ns}|{step.name}:{step.id}" if ns else f"{step.name}:{step.id}"
