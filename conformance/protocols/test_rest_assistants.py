"""Assistants and the server's own routes, with the official client."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest
from langgraph_sdk.errors import NotFoundError

from agenthub.errors import HubError
from agenthub_rest.errors import STATUS
from protocols.rest_client import http, rest

NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


async def test_an_assistant_has_the_id_that_langgraph_users_compute(hub_url: str) -> None:
    async with rest(hub_url) as client:
        (found,) = await client.assistants.search(
            graph_id="plus", metadata={"created_by": "system"}
        )
        by_id = await client.assistants.get(found["assistant_id"])
        by_name = await client.assistants.get("plus")
    assert found["assistant_id"] == str(uuid5(NAMESPACE, "plus"))
    assert found == by_id == by_name
    assert found["graph_id"] == "plus"
    assert found["metadata"] == {"created_by": "system"}
    assert found["version"] == 1


async def test_assistants_are_searched_by_name_metadata_and_page(hub_url: str) -> None:
    async with rest(hub_url) as client:
        everything = await client.assistants.search(limit=100)
        assert {a["graph_id"] for a in everything} >= {"plus", "chat", "ask", "ask_both"}
        asking = await client.assistants.search(name="ASK")
        assert {a["graph_id"] for a in asking} == {"ask", "ask_both"}
        assert await client.assistants.search(graph_id="as") == []
        assert await client.assistants.search(metadata={"created_by": "me"}) == []
        assert len(await client.assistants.search(metadata={"created_by": "system"})) == 10
        assert await client.assistants.count() == len(everything)
        first = await client.assistants.search(limit=2, response_format="object")
        rest_of_them = await client.assistants.search(
            limit=100, offset=int(first["next"] or 0), response_format="object"
        )
        assert first["assistants"] + rest_of_them["assistants"] == everything
        assert rest_of_them["next"] is None
        backwards = await client.assistants.search(
            limit=100, sort_by="graph_id", sort_order="desc", select=["graph_id"]
        )
    assert backwards == [
        {"graph_id": name} for name in sorted((a["graph_id"] for a in everything), reverse=True)
    ]


async def test_an_assistant_tells_its_schemas_and_its_drawing(hub_url: str) -> None:
    async with rest(hub_url) as client:
        schemas = await client.assistants.get_schemas("look")
        drawing = await client.assistants.get_graph("two_steps")
    assert schemas["graph_id"] == "look"
    assert schemas["input_schema"]["properties"].keys() == {"seen"}
    assert schemas["context_schema"]["properties"].keys() == {"colour"}
    assert [n["id"] for n in drawing["nodes"]] == ["__start__", "first", "second", "__end__"]
    assert len(drawing["edges"]) == 3


@pytest.mark.parametrize("unknown", ["nobody", "0190a5a5-0000-7000-8000-000000000000"])
async def test_an_unknown_assistant_is_not_found(hub_url: str, unknown: str) -> None:
    async with rest(hub_url) as client:
        with pytest.raises(NotFoundError, match=unknown) as refused:
            await client.assistants.get(unknown)
        assert refused.value.code == "not_found"


@pytest.mark.parametrize("body", [{"name": "a\0b"}, {"description": "\0"}])
async def test_text_that_cannot_be_stored_is_refused(hub_url: str, body: dict[str, str]) -> None:
    async with http(hub_url) as raw:
        changed = await raw.patch("/assistants/plus", json=body)
        found = await raw.post("/assistants/search", json={"name": "\0"})
    assert (changed.status_code, found.status_code) == (422, 422)
    assert "NUL" in changed.text


async def test_the_server_says_that_it_is_well_and_what_it_is(hub_url: str) -> None:
    async with http(hub_url) as raw:
        assert (await raw.get("/ok")).json() == {"ok": True}
        assert (await raw.get("/ok?check_db=1")).json() == {"ok": True}
        info = (await raw.get("/info")).json()
    assert info["flags"]["assistants"] is True
    assert info["flags"]["strict_resume"] is True
    assert "plus" in info["agents"]
    assert info["unavailable"] == {}


def test_every_error_of_the_hub_has_a_status() -> None:
    found = [HubError]
    for kind in found:
        found.extend(kind.__subclasses__())
    assert set(found) == set(STATUS)
