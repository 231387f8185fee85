"""Threads, their state and their history, with the official client."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from protocols.rest_client import http, rest
from testkit.waiting import eventually

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"


async def finished(client: LangGraphClient, agent: str = "two_steps", **how: Any) -> str:
    """A thread with one finished run; its id."""
    thread = await client.threads.create(**how)
    await client.runs.wait(thread["thread_id"], agent, input={"log": ["start"]})
    return thread["thread_id"]


# --- threads -------------------------------------------------------------------------------------


async def test_a_new_thread_is_idle_and_empty(hub_url: str) -> None:
    async with rest(hub_url) as client:
        made = await client.threads.create(metadata={"u": "1"})
        read = await client.threads.get(made["thread_id"])
    assert made == read
    assert made["metadata"] == {"u": "1"}
    assert made["status"] == "idle"
    assert made["values"] is None
    assert made["interrupts"] == {}
    assert made["config"] == {}
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None


async def test_a_thread_may_be_given_an_id_once(hub_url: str) -> None:
    chosen = str(uuid4())
    async with rest(hub_url) as client:
        made = await client.threads.create(thread_id=chosen, metadata={"first": True})
        with pytest.raises(ConflictError, match=chosen):
            await client.threads.create(thread_id=chosen)
        again = await client.threads.create(
            thread_id=chosen, if_exists="do_nothing", metadata={"first": False}
        )
    assert made["thread_id"] == chosen
    assert again == made


async def test_a_finished_run_leaves_its_values_and_its_agent_on_the_thread(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.get(await finished(client, metadata={"u": "1"}))
        (assistant,) = await client.assistants.search(graph_id="two_steps")
    assert thread["status"] == "idle"
    assert thread["values"] == {"log": ["start", "first", "second"]}
    assert thread["metadata"] == {
        "u": "1",
        "graph_id": "two_steps",
        "assistant_id": assistant["assistant_id"],
    }
    assert thread["error"] is None


async def test_a_failed_run_leaves_its_error_and_what_it_had_done(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        with pytest.raises(Exception, match="the second step fails"):
            await client.runs.wait(thread["thread_id"], "fail_late", input={"log": []})
        thread = await client.threads.get(thread["thread_id"])
        state = await client.threads.get_state(thread["thread_id"])
    assert thread["status"] == "error"
    assert thread["error"] == {"error": "ValueError", "message": "the second step fails"}
    assert thread["values"] == state["values"] == {"log": ["first"]}
    assert state["next"] == ["broken"]
    assert "the second step fails" in state["tasks"][0]["error"]


async def test_metadata_is_merged(hub_url: str) -> None:
    async with rest(hub_url) as client:
        made = await client.threads.create(metadata={"a": 1, "b": {"c": 2}})
        changed = await client.threads.update(made["thread_id"], metadata={"b": 3, "d": 4})
        assert changed["metadata"] == {"a": 1, "b": 3, "d": 4}
        silent = await client.threads.update(
            made["thread_id"], metadata={"a": 0}, return_minimal=True
        )
        assert silent is None
        assert (await client.threads.get(made["thread_id"]))["metadata"]["a"] == 0
        with pytest.raises(NotFoundError):
            await client.threads.update(UNKNOWN, metadata={})


async def test_threads_are_searched_by_metadata_and_status_newest_first(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        idle = [(await client.threads.create(metadata={"mark": mark, "n": n})) for n in range(3)]
        asking = await client.threads.create(metadata={"mark": mark, "asks": True})
        await client.runs.wait(asking["thread_id"], "ask", input=1)

        async def ids(**how: Any) -> list[str]:
            found = await client.threads.search(
                **{"metadata": {"mark": mark}, **how}, sort_by="created_at", sort_order="desc"
            )
            return [t["thread_id"] for t in found]

        newest_first = [asking["thread_id"], *(t["thread_id"] for t in reversed(idle))]
        assert await ids() == newest_first
        assert await ids(metadata={"mark": mark, "n": 1}) == [idle[1]["thread_id"]]
        assert await ids(status="interrupted") == [asking["thread_id"]]
        assert await ids(status="error") == []
        assert await ids(limit=2, offset=1) == newest_first[1:3]
        selected = await client.threads.search(
            metadata={"mark": mark}, status="interrupted", select=["thread_id", "status"]
        )
        assert selected == [{"thread_id": asking["thread_id"], "status": "interrupted"}]
    async with http(hub_url) as raw:
        body = {"metadata": {"mark": mark}, "limit": 3}
        page = await raw.post("/threads/search", json=body)
        assert page.headers["x-pagination-next"] == "3"
        page = await raw.post("/threads/search", json={**body, "offset": 3})
        assert "x-pagination-next" not in page.headers
        assert page.headers["x-pagination-total"] == "4"


async def test_a_deleted_thread_is_gone_with_everything_on_it(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        (run,) = await client.runs.list(thread_id)
        await client.threads.delete(thread_id)
        for gone in (
            client.threads.get(thread_id),
            client.threads.get_state(thread_id),
            client.threads.get_history(thread_id),
            client.threads.delete(thread_id),
            client.runs.list(thread_id),
            client.runs.get(thread_id, run["run_id"]),
            client.runs.create(thread_id, "two_steps", input={"log": []}),
        ):
            with pytest.raises(NotFoundError):
                await gone


async def test_a_thread_with_a_running_run_is_busy_and_not_deleted(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "wait_for_ever", input={})

        async def running() -> bool:
            return (await client.runs.get(run["thread_id"], run["run_id"]))["status"] == "running"

        await eventually(running)
        assert (await client.threads.get(thread["thread_id"]))["status"] == "busy"
        with pytest.raises(ConflictError, match="cancel it first"):
            await client.threads.delete(thread["thread_id"])
        await client.runs.cancel(run["thread_id"], run["run_id"], wait=True)
        await client.threads.delete(thread["thread_id"])


# --- state ---------------------------------------------------------------------------------------


async def test_a_thread_that_ran_nothing_has_an_empty_state(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        state = await client.threads.get_state(thread["thread_id"])
        assert await client.threads.get_history(thread["thread_id"]) == []
    assert state["values"] == {}
    assert state["next"] == []
    assert state["checkpoint"]["checkpoint_id"] is None


async def test_the_state_is_read_by_checkpoint_in_every_form(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        history = await client.threads.get_history(thread_id)
        latest = await client.threads.get_state(thread_id)
        assert latest == history[0]
        assert latest["values"] == {"log": ["start", "first", "second"]}
        for state in history:
            at = state["checkpoint"]
            assert at["thread_id"] == thread_id
            assert await client.threads.get_state(thread_id, checkpoint=at) == state
            by_id = await client.threads.get_state(thread_id, checkpoint_id=at["checkpoint_id"])
            assert by_id == state
        for unknown in (UNKNOWN, "no-such-checkpoint", "x" * 300):
            with pytest.raises(NotFoundError):
                await client.threads.get_state(thread_id, checkpoint_id=unknown)


async def test_the_history_tells_each_step_newest_first(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        (run,) = await client.runs.list(thread_id)
        history = await client.threads.get_history(thread_id)
    assert [s["values"].get("log", []) for s in history] == [
        ["start", "first", "second"],
        ["start", "first"],
        ["start"],
        [],
    ]
    assert [s["next"] for s in history] == [[], ["second"], ["first"], ["__start__"]]
    assert [s["metadata"]["step"] for s in history] == [2, 1, 0, -1]
    assert {s["metadata"]["run_id"] for s in history} == {run["run_id"]}
    assert [t["name"] for s in history for t in s["tasks"]] == ["second", "first", "__start__"]
    ids = [s["checkpoint"]["checkpoint_id"] for s in history]
    parents = [s["parent_checkpoint"] and s["parent_checkpoint"]["checkpoint_id"] for s in history]
    assert parents == [*ids[1:], None]
    assert [s["created_at"] for s in history] == sorted(
        (s["created_at"] for s in history), reverse=True
    )


async def test_the_history_is_paged_with_before(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        everything = await client.threads.get_history(thread_id)
        seen: list[Any] = []
        before: Any = None
        while page := await client.threads.get_history(thread_id, limit=3, before=before):
            seen += page
            before = page[-1]["checkpoint"]
        assert seen == everything
        before_id: Any = everything[1]["checkpoint"]["checkpoint_id"]
        forms: list[Any] = [before_id, {"configurable": {"checkpoint_id": before_id}}]
        for form in forms:
            assert await client.threads.get_history(thread_id, before=form) == everything[2:]
        with_metadata = await client.threads.get_history(thread_id, metadata={"step": 1})
        assert with_metadata == [everything[1]]
    async with http(hub_url) as raw:
        page = await raw.get(f"/threads/{thread_id}/history?limit=1&before={before_id}")
        assert page.json() == everything[2:3]


async def test_a_run_from_an_earlier_checkpoint_is_a_fork(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        history = await client.threads.get_history(thread_id)
        at = history[1]["checkpoint"]
        values = await client.runs.wait(
            thread_id, "two_steps", input=None, checkpoint_id=at["checkpoint_id"]
        )
        assert values == {"log": ["start", "first", "second"]}
        forked = await client.threads.get_history(thread_id, limit=100)
        assert [s["metadata"]["source"] for s in forked[:2]] == ["loop", "fork"]
        assert forked[1]["parent_checkpoint"] == at
        assert forked[2:] == history
        values = await client.runs.wait(
            thread_id, "two_steps", input={"log": ["again"]}, checkpoint=history[2]["checkpoint"]
        )
    assert values == {"log": ["start", "again", "first", "second"]}


async def test_messages_in_a_state_have_langchains_shape(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        said = {"messages": [{"role": "user", "content": "hi"}]}
        values: Any = await client.runs.wait(thread["thread_id"], "chat", input=said)
        state: Any = await client.threads.get_state(thread["thread_id"])
        read = await client.threads.get(thread["thread_id"])
    human, ai = values["messages"]
    assert (human["type"], human["content"], human["additional_kwargs"]) == ("human", "hi", {})
    assert (ai["type"], ai["content"], ai["tool_calls"]) == ("ai", "one two three", [])
    assert read["values"] == values
    for shown, stored in zip(values["messages"], state["values"]["messages"], strict=True):
        assert {k: stored[k] for k in ("type", "content", "id")} == {
            k: shown[k] for k in ("type", "content", "id")
        }


async def test_threads_are_found_by_the_graph_that_ran_on_them(hub_url: str) -> None:
    async with rest(hub_url) as sdk:
        thread = await sdk.threads.create()
        await sdk.runs.wait(thread["thread_id"], "plus", input={"x": 1})

        found = await sdk.threads.search(metadata={"graph_id": "plus"}, limit=1)

    assert [t["thread_id"] for t in found] == [thread["thread_id"]]
