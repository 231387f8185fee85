"""Deliveries over HTTP: what is on its way, what was given up, and trying it again."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.deliveries import Delivery
from agenthub.errors import Invalid
from agenthub.ids import parse_id
from agenthub.json import JsonObject, dumps
from agenthub_rest.api import Api, paged
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import number

STATES = ("pending", "sending", "done", "dead")


class DeliveryRoutes(Api):
    """The routes of deliveries."""

    def routes(self) -> list[Route]:
        one = "/deliveries/{delivery_id}"
        return [
            Route("/deliveries", self.list, methods=["GET"]),
            Route(one, self.get, methods=["GET"]),
            Route(one + "/redrive", self.redrive, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        state = request.query_params.get("state") or None
        if state is not None and state not in STATES:
            raise Invalid(f"state {state[:40]!r} is not one of {', '.join(STATES)}")
        run = request.query_params.get("run_id") or None
        limit = max(1, number(request, "limit", 10, most=1000))
        offset = number(request, "offset", 0)
        who, outbox = self.who(request), self.hub.deliveries.outbox

        run_id = None if run is None else parse_id(run, "run id")
        found = await outbox.list(
            who.tenant, state=state, run_id=run_id, limit=limit, offset=offset
        )
        headers = await paged(
            len(found),
            limit,
            offset,
            lambda: outbox.count(who.tenant, state=state, run_id=run_id),
        )
        return JsonResponse(dumps([_json(delivery) for delivery in found]), headers=headers)

    async def get(self, request: Request) -> Response:
        delivery = await self.hub.deliveries.get(self.who(request), _delivery_id(request))
        return JsonResponse(dumps(_json(delivery)))

    async def redrive(self, request: Request) -> Response:
        driven = await self.hub.deliveries.redrive(self.who(request), _delivery_id(request))
        return JsonResponse(dumps(_json(driven)))


def _delivery_id(request: Request) -> UUID:
    return parse_id(request.path_params["delivery_id"], "delivery id")


def _json(delivery: Delivery) -> JsonObject:
    return {
        "delivery_id": str(delivery.delivery_id),
        "kind": delivery.kind,
        "run_id": str(delivery.run_id),
        "url": delivery.target,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "reason": delivery.reason,
        "response_status": delivery.response_status,
        "next_attempt_at": delivery.available_at if delivery.state == "pending" else None,
        "give_up_at": delivery.give_up_at,
        "created_at": delivery.created_at,
        "ended_at": delivery.ended_at,
    }
