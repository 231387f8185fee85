"""The description of the REST surface: complete, true, and readable without the internet."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from pydantic import BaseModel
from starlette.routing import Route

from agenthub.service import Hub
from agenthub_rest import Rest
from agenthub_rest import answers as described
from agenthub_rest.operations import OPERATIONS
from protocols.rest_client import http, rest


def routes() -> set[tuple[str, str]]:
    """Every method of every path; a socket is none that OpenAPI could describe."""
    surface = Rest(cast("Hub", None), principal=cast("Any", None), max_body_bytes=1)
    return {
        (method, route.path)
        for route in surface.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_every_route_is_described_and_every_described_one_exists() -> None:
    assert routes() == set(OPERATIONS)


async def test_the_description_is_openapi_and_its_references_lead_somewhere(hub_url: str) -> None:
    async with http(hub_url) as raw:
        response = await raw.get("/openapi.json")
    document = response.json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    references = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', response.text))
    assert references
    assert references <= schemas.keys()
    ids = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(ids) == len(set(ids))


async def test_a_body_is_described_by_the_model_that_checks_it(hub_url: str) -> None:
    async with http(hub_url) as raw:
        document = (await raw.get("/openapi.json")).json()
    run = document["components"]["schemas"]["RunCreate"]
    assert run["required"] == ["assistant_id"]
    assert run["properties"]["priority"]["maximum"] == 5
    body = document["paths"]["/threads/{thread_id}/runs"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["$ref"].endswith("/RunCreate")


async def test_the_page_asks_nothing_of_other_hosts(hub_url: str) -> None:
    async with http(hub_url) as raw:
        response = await raw.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "/threads/{thread_id}/runs/wait" in response.text
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//|@import|<script", response.text)


def fits(model: type[BaseModel], shown: Any) -> None:
    model.model_validate(shown)
    assert shown.keys() == model.model_fields.keys()


async def test_what_is_answered_is_what_is_described(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        id_ = thread["thread_id"]
        await client.runs.wait(id_, "questions_inside", input={"log": []})
        (run,) = await client.runs.list(id_)
        state: Any = await client.threads.get_state(id_, subgraphs=True)
        await client.store.put_item(("described",), key="k", value={"n": 1})
        items: Any = await client.store.search_items(("described",))
        for model, shown in (
            (described.ThreadAnswer, await client.threads.get(id_)),
            (described.RunAnswer, (await raw.get(f"/runs/{run['run_id']}")).json()),
            (described.StateAnswer, state),
            (described.StepAnswer, state["tasks"][0]),
            (described.CheckpointAnswer, state["checkpoint"]),
            (described.InterruptAnswer, state["interrupts"][0]),
            (described.AssistantAnswer, await client.assistants.get("plus")),
            (described.SchemasAnswer, await client.assistants.get_schemas("plus")),
            (described.StorageAnswer, (await raw.get(f"/threads/{id_}/storage")).json()),
            (described.ItemAnswer, await client.store.get_item(("described",), key="k")),
            (described.FoundItemAnswer, items["items"][0]),
            (described.Problem, (await raw.get("/runs/nothing")).json()),
        ):
            fits(model, shown)


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_an_operation_is_told_in_a_sentence_of_its_own(method: str, path: str) -> None:
    summary = OPERATIONS[(method, path)].summary
    assert summary[0].isupper()
    assert not summary.endswith(".")
