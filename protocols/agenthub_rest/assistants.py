"""Assistants over HTTP: each agent's system assistant. Versions and one's own come with the full API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.agents import AgentInfo
from agenthub.json import JsonObject, dumps
from agenthub_rest import render
from agenthub_rest.api import Api, page, selected
from agenthub_rest.bodies import AssistantSearch
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import read


class Assistants(Api):
    """The routes of assistants. An agent's name is accepted wherever an id is."""

    def routes(self) -> list[Route]:
        one = "/assistants/{assistant_id}"
        return [
            Route("/assistants/search", self.search, methods=["POST"]),
            Route("/assistants/count", self.count, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one + "/schemas", self.schemas, methods=["GET"]),
            Route(one + "/graph", self.graph, methods=["GET"]),
        ]

    def _agent(self, request: Request) -> AgentInfo:
        return self.hub.agent(request.path_params["assistant_id"])

    def _matching(self, wanted: AssistantSearch) -> list[JsonObject]:
        found = [
            assistant
            for assistant in map(render.assistant, self.hub.agents.all())
            if wanted.graph_id in (None, assistant["graph_id"])
            and (wanted.name is None or wanted.name.lower() in assistant["name"].lower())
            and all(assistant["metadata"].get(k) == v for k, v in (wanted.metadata or {}).items())
        ]
        found.sort(key=lambda a: a[wanted.sort_by], reverse=wanted.sort_order == "desc")
        return found

    async def search(self, request: Request) -> Response:
        wanted = await read(request, AssistantSearch, self.max_body_bytes)
        found = self._matching(wanted)[wanted.offset : wanted.offset + wanted.limit + 1]
        shown, headers = page(found, wanted.limit, wanted.offset)
        return JsonResponse(dumps([selected(a, wanted.select) for a in shown]), headers=headers)

    async def count(self, request: Request) -> Response:
        wanted = await read(request, AssistantSearch, self.max_body_bytes)
        return JsonResponse(dumps(len(self._matching(wanted))))

    async def get(self, request: Request) -> Response:
        return JsonResponse(dumps(render.assistant(self._agent(request))))

    async def schemas(self, request: Request) -> Response:
        info = self._agent(request)
        return JsonResponse(
            dumps(
                {
                    "graph_id": info.name,
                    "input_schema": info.input_schema or None,
                    "output_schema": info.output_schema or None,
                    "state_schema": info.state_schema,
                    "config_schema": info.config_schema,
                    "context_schema": info.context_schema,
                }
            )
        )

    async def graph(self, request: Request) -> Response:
        return JsonResponse(dumps(self._agent(request).drawing))
