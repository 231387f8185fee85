"""Writing to a thread's state: updates, seeds, time travel and forks, with the official client."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

from protocols.rest_client import http, refused, rest

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"


async def finished(client: LangGraphClient, agent: str = "two_steps") -> str:
    """A thread with one finished run; its id."""
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], agent, input={"log": ["start"]})
    return thread["thread_id"]


async def test_an_update_goes_through_the_reducers_and_makes_a_checkpoint(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        before: Any = await client.threads.get_state(thread_id)
        made: Any = await client.threads.update_state(thread_id, {"log": ["by hand"]})
        after: Any = await client.threads.get_state(thread_id)
        thread = await client.threads.get(thread_id)
        runs = await client.runs.list(thread_id)
    assert after["values"]["log"] == ["start", "first", "second", "by hand"]
    assert made["checkpoint_id"] == after["checkpoint_id"] == made["checkpoint"]["checkpoint_id"]
    assert after["parent_checkpoint_id"] == before["checkpoint_id"]
    assert after["metadata"]["source"] == "update"
    assert (thread["status"], thread["values"]) == ("idle", after["values"])
    assert len(runs) == 1, "an update is no run of anybody's"


async def test_an_update_as_a_node_is_followed_by_what_comes_after_that_node(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        await client.threads.update_state(thread_id, {"log": ["again"]}, as_node="first")
        state = await client.threads.get_state(thread_id)
        assert state["next"] == ["second"]
        values: Any = await client.runs.wait(thread_id, "two_steps", input=None)
    assert values["log"][-2:] == ["again", "second"]


async def test_an_update_at_an_earlier_checkpoint_is_a_fork(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        history = await client.threads.get_history(thread_id)
        early = history[1]
        assert early["values"]["log"] == ["start", "first"]
        made: Any = await client.threads.update_state(
            thread_id, {"log": ["other"]}, as_node="first", checkpoint=early["checkpoint"]
        )
        forked: Any = await client.threads.get_state(thread_id)
        assert forked["checkpoint_id"] == made["checkpoint_id"]
        assert forked["parent_checkpoint_id"] == early["checkpoint_id"]
        values: Any = await client.runs.wait(thread_id, "two_steps", input=None)
        assert values["log"] == ["start", "first", "other", "second"]
        everything = await client.threads.get_history(thread_id, limit=100)
    assert [s["checkpoint_id"] for s in everything[-4:]] == [s["checkpoint_id"] for s in history]


async def test_a_run_goes_on_from_any_checkpoint(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await finished(client)
        history = await client.threads.get_history(thread_id)
        again: Any = await client.runs.wait(
            thread_id, "two_steps", input=None, checkpoint=history[1]["checkpoint"]
        )
        other: Any = await client.runs.wait(
            thread_id,
            "two_steps",
            input={"log": ["more"]},
            checkpoint_id=history[1]["checkpoint_id"],
        )
    assert again["log"] == ["start", "first", "second"]
    assert other["log"] == ["start", "first", "more", "first", "second"]


async def test_an_update_closes_the_open_question(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "ask_both", input={"log": []})
        assert (await client.threads.get(thread["thread_id"]))["status"] == "interrupted"
        await client.threads.update_state(
            thread["thread_id"], {"log": ["left by hand"]}, as_node="left"
        )
        after = await client.threads.get(thread["thread_id"])
        with pytest.raises(ConflictError, match="no question is open"):
            await client.runs.create(
                thread["thread_id"], "ask_both", command={"resume": {"0" * 32: 1}}
            )
    assert after["interrupts"] == {}
    assert after["status"] == "idle"


async def test_a_refused_update_leaves_the_thread_as_it_was(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "ask_both", input={"log": []})
        before = await client.threads.get(thread["thread_id"])
        with pytest.raises(UnprocessableEntityError, match="does not exist"):
            await client.threads.update_state(thread["thread_id"], {"log": ["x"]}, as_node="nobody")
        after = await client.threads.get(thread["thread_id"])
        changing = ("updated_at", "state_updated_at")
        assert {k: v for k, v in after.items() if k not in changing} == {
            k: v for k, v in before.items() if k not in changing
        }
        ids = {i["id"]: "yes" for found in before["interrupts"].values() for i in found}
        values: Any = await client.runs.wait(
            thread["thread_id"], "ask_both", command={"resume": ids}
        )
    assert sorted(values["log"]) == ["left yes", "right yes"]


async def test_a_thread_with_a_run_in_flight_is_not_updated(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "wait_for_ever", input={})
        with pytest.raises(ConflictError):
            await client.threads.update_state(thread["thread_id"], {"x": 1})
        await client.runs.cancel(run["thread_id"], run["run_id"], wait=True)


async def test_what_cannot_be_updated_is_refused(hub_url: str) -> None:
    async with rest(hub_url) as client:
        empty = await client.threads.create()
        with pytest.raises(ConflictError, match="belongs to no agent"):
            await client.threads.update_state(empty["thread_id"], {"log": ["x"]})
        with pytest.raises(NotFoundError):
            await client.threads.update_state(UNKNOWN, {"log": ["x"]})
        with pytest.raises(NotFoundError, match="checkpoint"):
            await client.threads.update_state(
                await finished(client), {"log": ["x"]}, checkpoint_id=UNKNOWN
            )


async def test_a_thread_is_created_with_a_history(hub_url: str) -> None:
    steps: Any = [
        {"updates": [{"values": {"log": ["start"]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"log": ["one"]}, "as_node": "first"}]},
    ]
    async with rest(hub_url) as client:
        thread = await client.threads.create(graph_id="two_steps", supersteps=steps)
        history = await client.threads.get_history(thread["thread_id"])
        assert [s["values"].get("log") for s in history] == [["start", "one"], ["start"]]
        assert thread["values"] == {"log": ["start", "one"]}
        assert thread["metadata"]["graph_id"] == "two_steps"
        assert history[0]["next"] == ["second"]
        values: Any = await client.runs.wait(thread["thread_id"], "two_steps", input=None)
    assert values["log"] == ["start", "one", "second"]


async def test_a_command_of_a_superstep_may_go_somewhere(hub_url: str) -> None:
    command: Any = {"update": {"log": ["commanded"]}, "goto": "aside"}
    steps: Any = [
        {"updates": [{"values": {"log": ["start"]}, "as_node": "__start__"}]},
        {"updates": [{"values": None, "command": command, "as_node": "first"}]},
    ]
    async with rest(hub_url) as client:
        thread = await client.threads.create(graph_id="nowhere", supersteps=steps)
        state = await client.threads.get_state(thread["thread_id"])
    assert state["values"]["log"] == ["start", "commanded"]
    assert state["next"] == ["aside"]


async def test_a_thread_whose_history_is_refused_is_not_created(hub_url: str) -> None:
    chosen = "0190a5a5-1111-7000-8000-000000000001"
    steps = [{"updates": [{"values": {"log": ["x"]}, "as_node": "nobody"}]}]
    async with http(hub_url) as raw:
        body = {"thread_id": chosen, "metadata": {"graph_id": "two_steps"}, "supersteps": steps}
        with refused(422, "nobody"):
            (await raw.post("/threads", json=body)).raise_for_status()
        with refused(404):
            (await raw.get(f"/threads/{chosen}")).raise_for_status()


async def test_the_state_of_a_subgraph_is_shown_inside_its_step(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "questions_inside", input={"log": ["start"]})
        state: Any = await client.threads.get_state(thread["thread_id"], subgraphs=True)
        plain: Any = await client.threads.get_state(thread["thread_id"])
    (step,) = state["tasks"]
    assert step["name"] == "inner"
    assert step["state"]["values"]["log"] == ["start", "first"]
    assert step["checkpoint"]["checkpoint_ns"] == f"inner:{step['id']}"
    assert plain["tasks"][0]["state"] is None
