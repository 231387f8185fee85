"""Assistants that people make: configurations of an agent, their versions, and the runs they shape."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

from protocols.rest_client import http, refused, rest
from testkit import hub
from testkit.waiting import eventually


async def test_an_assistant_is_made_read_and_found(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        made = await client.assistants.create(
            "look",
            config={"tags": ["t"], "configurable": {"colour": "red"}},
            metadata={"mark": mark},
            name="Red eyes",
            description="Sees red.",
        )
        assert made == await client.assistants.get(made["assistant_id"])
        assert (made["graph_id"], made["version"], made["name"]) == ("look", 1, "Red eyes")
        assert made["config"] == {"tags": ["t"], "configurable": {"colour": "red"}}
        for how in ({"metadata": {"mark": mark}}, {"name": "red EY"}, {"graph_id": "look"}):
            found = await client.assistants.search(**how, limit=100)
            assert made in found
        assert await client.assistants.count(metadata={"mark": mark}) == 1
        assert await client.assistants.count(metadata={"mark": mark}, graph_id="plus") == 0
        schemas = await client.assistants.get_schemas(made["assistant_id"])
    assert schemas["graph_id"] == "look"


async def test_a_search_tells_how_many_there_are(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        for n in range(3):
            await client.assistants.create("plus", metadata={"mark": mark}, name=f"n{n}")
    async with http(hub_url) as raw:
        body = {"metadata": {"mark": mark}, "limit": 2, "select": ["name"]}
        page = await raw.post("/assistants/search", json=body)
        last = await raw.post("/assistants/search", json={**body, "offset": 2})
    assert page.json() == [{"name": "n0"}, {"name": "n1"}]
    assert (page.headers["x-pagination-total"], page.headers["x-pagination-next"]) == ("3", "2")
    assert last.headers["x-pagination-total"] == "3"
    assert "x-pagination-next" not in last.headers


async def test_an_id_is_taken_once(hub_url: str) -> None:
    chosen = str(uuid4())
    async with rest(hub_url) as client:
        made = await client.assistants.create("plus", assistant_id=chosen, name="first")
        with pytest.raises(ConflictError, match=chosen):
            await client.assistants.create("plus", assistant_id=chosen)
        again = await client.assistants.create(
            "plus", assistant_id=chosen, name="second", if_exists="do_nothing"
        )
        with pytest.raises(NotFoundError):
            await client.assistants.create("nobody")
        with pytest.raises(UnprocessableEntityError, match="either context or"):
            await client.assistants.create(
                "look", config={"configurable": {"colour": "red"}}, context={"colour": "blue"}
            )
    assert again == made


async def test_every_change_is_a_version_and_any_may_become_the_latest(hub_url: str) -> None:
    async with rest(hub_url) as client:
        made = await client.assistants.create(
            "look", context={"colour": "red"}, metadata={"a": 1}, name="one"
        )
        id_ = made["assistant_id"]
        second = await client.assistants.update(
            id_, context={"colour": "blue"}, metadata={"b": 2}, name="two"
        )
        assert (second["version"], second["metadata"]) == (2, {"a": 1, "b": 2})
        versions = await client.assistants.get_versions(id_)
        assert [(v["version"], v["name"]) for v in versions] == [(2, "two"), (1, "one")]
        back = await client.assistants.set_latest(id_, 1)
        assert {**back, "updated_at": None} == {**made, "updated_at": None}
        third = await client.assistants.update(id_, name="three")
        assert (third["version"], third["context"]) == (3, {"colour": "red"})
        with pytest.raises(NotFoundError, match="version 9"):
            await client.assistants.set_latest(id_, 9)
        assert len(await client.assistants.get_versions(id_, limit=2, offset=1)) == 2


async def test_a_run_gets_its_assistants_settings_and_its_own_win(hub_url: str) -> None:
    async with rest(hub_url) as client:
        made = await client.assistants.create(
            "look",
            config={"tags": ["mine"], "recursion_limit": 7, "configurable": {"colour": "red"}},
            metadata={"team": "a", "kind": "x"},
        )
        id_ = made["assistant_id"]
        thread = await client.threads.create()
        values: Any = await client.runs.wait(
            thread["thread_id"], id_, input={"seen": {}}, metadata={"kind": "y"}
        )
        seen = values["seen"]
        assert seen["context"] == {"colour": "red"}
        assert seen["configurable"]["colour"] == "red"
        assert "mine" in seen["tags"]
        assert seen["recursion_limit"] == 7
        (run,) = await client.runs.list(thread["thread_id"])
        assert run["assistant_id"] == id_
        assert run["metadata"] == {"team": "a", "kind": "y"}
        values = await client.runs.wait(
            thread["thread_id"], id_, input={"seen": {}}, context={"colour": "blue"}
        )
        assert values["seen"]["context"] == {"colour": "blue"}
        await client.assistants.update(id_, config={"configurable": {"colour": "green"}})
        values = await client.runs.wait(thread["thread_id"], id_, input={"seen": {}})
        assert values["seen"]["context"] == {"colour": "green"}
        latest: Any = (await client.runs.list(thread["thread_id"]))[0]
    assert latest["assistant_version"] == 2


async def test_an_agents_own_assistant_may_be_changed_and_not_deleted(hub_url: str) -> None:
    async with rest(hub_url) as client:
        own = await client.assistants.get("flaky")
        with pytest.raises(ConflictError, match="belongs to agent 'flaky'"):
            await client.assistants.delete(own["assistant_id"])
        changed = await client.assistants.update("flaky", metadata={"looked": "at"})
        assert changed["version"] == 2
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "flaky", input={"tries": 0})
        (run,) = await client.runs.list(thread["thread_id"])
        assert run["metadata"] == {"looked": "at"}
        assert run["assistant_id"] == own["assistant_id"]
        back = await client.assistants.set_latest("flaky", 1)
        assert back["metadata"] == {"created_by": "system"}
        await client.runs.wait(thread["thread_id"], "flaky", input={"tries": 0})
        latest = (await client.runs.list(thread["thread_id"]))[0]
        assert latest["metadata"] == {}


async def test_a_deleted_assistant_is_gone_and_its_runs_are_cancelled(hub_url: str) -> None:
    async with rest(hub_url) as client:
        made = await client.assistants.create("wait_for_ever")
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], made["assistant_id"], input={})
        await client.assistants.delete(made["assistant_id"])

        async def cancelled() -> bool:
            found = await client.runs.get(thread["thread_id"], run["run_id"])
            return found["status"] == "interrupted"

        await eventually(cancelled)
        for gone in (
            client.assistants.get(made["assistant_id"]),
            client.assistants.get_versions(made["assistant_id"]),
            client.assistants.delete(made["assistant_id"]),
            client.runs.create(thread["thread_id"], made["assistant_id"], input={}),
        ):
            with pytest.raises(NotFoundError):
                await gone
        await client.threads.get(thread["thread_id"])


async def test_an_assistants_threads_go_with_it_when_asked(hub_url: str) -> None:
    async with rest(hub_url) as client:
        made = await client.assistants.create("wait_for_ever")
        thread = await client.threads.create()
        await client.runs.create(thread["thread_id"], made["assistant_id"], input={})
        await client.assistants.delete(made["assistant_id"], delete_threads=True)
        with pytest.raises(NotFoundError):
            await client.threads.get(thread["thread_id"])


async def test_the_insides_of_an_agent_are_shown(hub_url: str) -> None:
    async with rest(hub_url) as client:
        inside = await client.assistants.get_subgraphs("questions_inside")
        assert inside.keys() == {"inner"}
        assert inside["inner"]["input_schema"]["properties"].keys() == {"log"}
        assert (
            await client.assistants.get_subgraphs("questions_inside", namespace="inner") == inside
        )
        assert await client.assistants.get_subgraphs("questions_inside", namespace="other") == {}
        assert await client.assistants.get_subgraphs("plus", recurse=True) == {}
        flat = await client.assistants.get_graph("questions_inside")
        deep = await client.assistants.get_graph("questions_inside", xray=True)
    assert [n["id"] for n in flat["nodes"]] == ["__start__", "inner", "__end__"]
    assert "inner:left" in [n["id"] for n in deep["nodes"]]


async def test_a_version_must_be_a_number(hub_url: str) -> None:
    async with http(hub_url) as raw:
        with refused(422, "version"):
            (await raw.post("/assistants/plus/latest", json={})).raise_for_status()


async def test_a_changed_system_assistant_is_known_to_every_replica(
    dsn: str, redis_url: str
) -> None:
    agents = hub.FIXTURES / "rest_agents.py"
    async with (
        hub.hub(hub.settings(dsn, redis_url, drain_seconds=0.0), agents) as first,
        hub.serving(hub.settings(dsn, redis_url)) as (second, _),
        rest(first) as one,
        rest(second) as other,
    ):
        await one.assistants.update("plus", metadata={"seen": "everywhere"})

        async def known() -> bool:
            thread = await other.threads.create()
            await other.runs.wait(thread["thread_id"], "plus", input={"x": 1})
            (run,) = await other.runs.list(thread["thread_id"])
            return run["metadata"] == {"seen": "everywhere"}

        await eventually(known)
