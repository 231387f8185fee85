"""Tasks that other surfaces started, answered or ended, as A2A shows them."""

from __future__ import annotations

from uuid import uuid4

from a2a.types.a2a_pb2 import ListTasksRequest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from protocols.a2a_client import agent, collect, data, kinds, questions, state, text


def rest(hub_url: str) -> LangGraphClient:
    return get_client(url=hub_url, api_key=None)


async def test_a_run_of_rest_is_a_task_of_a2a_in_the_context_of_its_thread(hub_url: str) -> None:
    async with rest(hub_url) as client, agent(hub_url, "story") as story:
        thread = await client.threads.create()
        said = {"messages": [{"role": "user", "content": "tell"}]}
        await client.runs.wait(thread["thread_id"], "story", input=said)
        wanted = ListTasksRequest(context_id=thread["thread_id"])
        (listed,) = (await story.client.list_tasks(wanted)).tasks
        task = await story.get(listed)
    assert state(task) == "COMPLETED"
    assert text(task, "output") == text(task, "result")
    assert len(data(task)["messages"]) == 2
    assert len(task.history) == 0, "nobody sent an A2A message"


async def test_a_question_to_rest_is_answered_over_a2a(hub_url: str) -> None:
    async with rest(hub_url) as client, agent(hub_url, "ship") as ship:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "ship", input="shoes")
        wanted = ListTasksRequest(context_id=thread["thread_id"])
        (task,) = (await ship.client.list_tasks(wanted)).tasks
        assert state(task) == "INPUT_REQUIRED"
        done = await ship.send("no", task=task)
        assert data(done) == {"order": "shoes", "shipped": False}
        assert [m.parts[0].text for m in done.history] == ["Ship shoes?", "no"]
        values = await client.threads.get_state(thread["thread_id"])
    assert values["next"] == []


async def test_a_question_to_a2a_is_answered_over_rest_before_the_eyes_of_a_subscriber(
    hub_url: str,
) -> None:
    async with rest(hub_url) as client, agent(hub_url, "ship", streaming=True) as ship:
        (first, *_) = await collect(ship.stream("shoes"))
        subscribed = aiter(ship.subscribe(first.task))
        snapshot = (await anext(subscribed)).task
        (question,) = questions(snapshot)
        await client.runs.wait(
            snapshot.context_id, "ship", command={"resume": {question["id"]: True}}
        )
        assert kinds(await collect(subscribed)) == ["WORKING", "result", "COMPLETED"]
        task = await ship.get(snapshot)
    assert data(task) == {"order": "shoes", "shipped": True}
    assert [m.parts[0].text for m in task.history] == ["shoes", "Ship shoes?"]


async def test_a_subscription_ends_when_rest_puts_a_new_input_in_place_of_the_question(
    hub_url: str,
) -> None:
    async with rest(hub_url) as client, agent(hub_url, "ship", streaming=True) as ship:
        (first, *_) = await collect(ship.stream("shoes", context_id=str(uuid4())))
        subscribed = aiter(ship.subscribe(first.task))
        snapshot = (await anext(subscribed)).task
        await client.runs.wait(snapshot.context_id, "ship", input="boots")
        assert kinds(await collect(subscribed)) == ["CANCELED"]
        assert state(await ship.get(snapshot)) == "CANCELED"
