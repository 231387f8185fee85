"""Assistants over HTTP: each agent's system assistant. Versions and one's own come with the full API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.agents import AgentInfo
from agenthub.json import dumps
from agenthub_rest import render
from agenthub_rest.api import Api
from agenthub_rest.bodies import AssistantSearch, read
from agenthub_rest.errors import JsonResponse


class Assistants(Api):
    """The routes of assistants. An agent's name is accepted wherever an id is."""

    def routes(self) -> list[Route]:
        one = "/assistants/{assistant_id}"
        return [
            Route("/assistants/search", self.search, methods=["POST"]),
            Route(one, self.get, methods=["GET"]),
            Route(one + "/schemas", self.schemas, methods=["GET"]),
            Route(one + "/graph", self.graph, methods=["GET"]),
        ]

    def _agent(self, request: Request) -> AgentInfo:
        return self.hub.agent(request.path_params["assistant_id"])

    async def search(self, request: Request) -> Response:
        body = await read(request, AssistantSearch, self.max_body_bytes)
        found = [
            render.assistant(info)
            for info in self.hub.agents.all()
            if body.graph_id in (None, info.name)
            and (body.name is None or body.name.lower() in (info.title or info.name).lower())
            and (body.metadata or {}).items() <= {"created_by": "system"}.items()
        ]
        return JsonResponse(dumps(found[body.offset : body.offset + body.limit]))

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
