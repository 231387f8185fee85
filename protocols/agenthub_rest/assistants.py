"""Assistants over HTTP: an agent's own and the ones that people made, with their versions."""

from __future__ import annotations

import asyncio
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.agents import AgentInfo
from agenthub.archive import RunQuery
from agenthub.assistants import Assistant, AssistantChange, AssistantDraft, AssistantQuery
from agenthub.errors import Conflict, Invalid
from agenthub.ids import parse_id
from agenthub.json import JsonObject, dumps
from agenthub_rest import render
from agenthub_rest.api import Api, paged, selected
from agenthub_rest.assistant_bodies import (
    AssistantCount,
    AssistantCreate,
    AssistantLatest,
    AssistantPatch,
    AssistantSearch,
    AssistantVersions,
    Settings,
)
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import flag, is_digits, read


class Assistants(Api):
    """The routes of assistants. An agent's name is accepted wherever an id is."""

    def routes(self) -> list[Route]:
        one = "/assistants/{assistant_id}"
        return [
            Route("/assistants", self.create, methods=["POST"]),
            Route("/assistants/search", self.search, methods=["POST"]),
            Route("/assistants/count", self.count, methods=["POST"]),
            Route(one, self.assistant, methods=["GET", "PATCH", "DELETE"]),
            Route(one + "/schemas", self.schemas, methods=["GET"]),
            Route(one + "/graph", self.graph, methods=["GET"]),
            Route(one + "/subgraphs", self.subgraphs, methods=["GET"]),
            Route(one + "/subgraphs/{namespace}", self.subgraphs, methods=["GET"]),
            Route(one + "/versions", self.versions, methods=["POST"]),
            Route(one + "/latest", self.set_latest, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        body = await read(request, AssistantCreate, self.max_body_bytes)
        settings = _settings(body)
        draft = AssistantDraft(
            agent=body.graph_id,
            name=body.name,
            description=body.description,
            config=settings.config or {},
            context=settings.context or {},
            metadata=body.metadata or {},
            assistant_id=_id(body.assistant_id),
            exists_ok=body.if_exists == "do_nothing",
        )
        made = await self.hub.assistants.create(self.who(request), draft)
        return JsonResponse(dumps(render.assistant(made)))

    async def search(self, request: Request) -> Response:
        body = await read(request, AssistantSearch, self.max_body_bytes)
        who, query = self.who(request), _query(body)
        found = await self.hub.assistants.search(who, query)
        headers = await paged(
            len(found), query.limit, query.offset, lambda: self.hub.assistants.count(who, query)
        )
        rendered = [selected(render.assistant(a), body.select) for a in found]
        return JsonResponse(dumps(rendered), headers=headers)

    async def count(self, request: Request) -> Response:
        body = await read(request, AssistantCount, self.max_body_bytes)
        count = await self.hub.assistants.count(self.who(request), _query(body))
        return JsonResponse(dumps(count))

    async def assistant(self, request: Request) -> Response:
        # one route for all methods: with several, the router would tell of the first one's alone
        match request.method:
            case "PATCH":
                found = await self._patched(request)
            case "DELETE":
                return await self.delete(request)
            case _:
                found = await self.hub.assistants.get(self.who(request), _name(request))
        return JsonResponse(dumps(render.assistant(found)))

    async def _patched(self, request: Request) -> Assistant:
        body = await read(request, AssistantPatch, self.max_body_bytes)
        return await self.hub.assistants.update(
            self.who(request), _name(request), _settings(body, body.graph_id, body.name)
        )

    async def delete(self, request: Request) -> Response:
        who, hub = self.who(request), self.hub
        gone = await hub.assistants.delete(who, _name(request))
        its = RunQuery(assistant_id=gone.assistant_id)
        cancelled = await hub.cancel_runs(who, its, reason="the assistant was deleted")
        if flag(request, "delete_threads"):
            await asyncio.gather(*(hub.wait(who, run) for run in cancelled))
            for thread_id in await hub.archive.threads_of(who.tenant, gone.assistant_id):
                try:
                    await hub.threads.delete(who.tenant, thread_id)
                except Conflict:  # another assistant's run is running there
                    continue
        return Response(status_code=204)

    async def versions(self, request: Request) -> Response:
        body = await read(request, AssistantVersions, self.max_body_bytes)
        found = await self.hub.assistants.versions(
            self.who(request),
            _name(request),
            metadata=body.metadata,
            limit=body.limit,
            offset=body.offset,
        )
        return JsonResponse(dumps([render.assistant(a) for a in found]))

    async def set_latest(self, request: Request) -> Response:
        body = await read(request, AssistantLatest, self.max_body_bytes)
        latest = await self.hub.assistants.set_latest(
            self.who(request), _name(request), body.version
        )
        return JsonResponse(dumps(render.assistant(latest)))

    # --- what its agent is ----------------------------------------------------------------------

    async def _agent(self, request: Request) -> AgentInfo:
        return (await self.hub.assistants.resolve(self.who(request), _name(request)))[0]

    async def schemas(self, request: Request) -> Response:
        info = await self._agent(request)
        schemas = {
            "graph_id": info.name,
            "input_schema": info.input_schema or None,
            "output_schema": info.output_schema or None,
            "state_schema": info.state_schema,
            "config_schema": info.config_schema,
            "context_schema": info.context_schema,
        }
        return JsonResponse(dumps(schemas))

    async def graph(self, request: Request) -> Response:
        info = await self._agent(request)
        xray = request.query_params.get("xray", "").lower()
        if xray not in ("", "true", "false") and not is_digits(xray):
            raise Invalid(f"xray={xray[:40]!r} is not true, false or a number of levels")
        deep = xray not in ("false", "0", "")
        return JsonResponse(dumps(info.drawing_inside if deep else info.drawing))

    async def subgraphs(self, request: Request) -> Response:
        info = await self._agent(request)
        wanted = request.path_params.get("namespace")
        found: JsonObject = {
            ns: schemas
            for ns, schemas in info.subgraphs.items()
            if _is_within(ns, wanted, recurse=flag(request, "recurse"))
        }
        return JsonResponse(dumps(found))


def _is_within(ns: str, wanted: str | None, *, recurse: bool) -> bool:
    if wanted is None:
        return recurse or "|" not in ns
    inner = ns.removeprefix(f"{wanted}|")
    return ns == wanted or (inner != ns and (recurse or "|" not in inner))


def _id(chosen: str | None) -> UUID | None:
    return None if chosen is None else parse_id(chosen, "assistant id")


def _name(request: Request) -> str:
    return request.path_params["assistant_id"]


def _settings(body: Settings, agent: str | None = None, name: str | None = None) -> AssistantChange:
    config = None
    if body.config is not None:
        config = body.config.model_dump(exclude_defaults=True)
        if "policy" in config:  # what its parts default to is part of it
            config["policy"] = body.config.policy.model_dump(exclude_none=True)
    return AssistantChange(
        agent=agent,
        name=name,
        description=body.description,
        config=config,
        context=body.context,
        metadata=body.metadata,
    )


def _query(body: AssistantCount) -> AssistantQuery:
    query = AssistantQuery(
        agents=() if body.graph_id is None else (body.graph_id,),
        name=body.name,
        metadata=body.metadata,
    )
    if not isinstance(body, AssistantSearch):
        return query
    return AssistantQuery(
        agents=query.agents,
        name=query.name,
        metadata=query.metadata,
        sort_by=body.sort_by,
        descending=body.sort_order == "desc",
        limit=body.limit,
        offset=body.offset,
    )
