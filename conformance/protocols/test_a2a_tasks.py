"""A2A tasks over the wire with the official client: sending, answering, reading, listing, cancelling."""

from __future__ import annotations

from uuid import uuid4

import pytest
from a2a.types.a2a_pb2 import CancelTaskRequest, ListTasksRequest, ListTasksResponse, Task
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.timestamp_pb2 import Timestamp

from agenthub_a2a.card import GENERATION
from protocols.a2a_client import Agent, agent, data, questions, state, text
from testkit.waiting import eventually

# --- sending -------------------------------------------------------------------------------------


async def test_a_message_comes_back_as_a_completed_task_with_its_result(hub_url: str) -> None:
    async with agent(hub_url, "echo") as echo:
        task = await echo.send("hello", message_id="my-message")
        assert state(task) == "COMPLETED"
        assert data(task) == "hello"
        assert text(task, "result") == "hello"
        (said,) = task.history
        assert (said.message_id, said.task_id, said.context_id) == (
            "my-message",
            task.id,
            task.context_id,
        )
        assert task.metadata[GENERATION] > 0
        read = await echo.get(task)
    assert (read.id, read.artifacts, read.history) == (task.id, task.artifacts, task.history)
    assert read.metadata == task.metadata


async def test_numbers_reach_the_agent_as_what_they_are(hub_url: str) -> None:
    async with agent(hub_url, "add") as add:
        task = await add.send({"a": 40, "b": 2})
        assert data(task) == {"sum": 42, "types": ["int", "int"]}
        task = await add.send({"a": 40, "b": 2.5})
        assert data(task)["types"] == ["int", "float"]


async def test_a_chat_agent_takes_text_and_its_last_answer_is_the_text_of_the_result(
    hub_url: str,
) -> None:
    async with agent(hub_url, "story") as story:
        task = await story.send("tell")
    assert text(task, "result") == "Once upon a time there was a hub that lost nothing."
    assert text(task, "output") == text(task, "result")
    assert [m["type"] for m in data(task)["messages"]] == ["human", "ai"]


async def test_a_failure_is_a_failed_task_that_says_why(hub_url: str) -> None:
    async with agent(hub_url, "fails") as fails:
        task = await fails.send("go")
        assert state(task) == "FAILED"
        assert "there is no such planet" in task.status.message.parts[0].text
        assert await fails.get(task) is not None


async def test_a_client_that_will_not_wait_gets_the_task_at_once(hub_url: str) -> None:
    async with agent(hub_url, "waits") as waits:
        task = await waits.send("go", returnImmediately=True)
        assert state(task) in ("SUBMITTED", "WORKING")

        async def working() -> bool:
            return state(await waits.get(task)) == "WORKING"

        await eventually(working)
        await cancel(waits, task)


async def test_a_repeated_message_id_is_a_new_task(hub_url: str) -> None:
    async with agent(hub_url, "echo") as echo:
        tasks = [await echo.send("hello", message_id="same") for _ in range(2)]
    assert tasks[0].id != tasks[1].id


async def test_an_idempotency_key_makes_a_repeated_send_the_same_task(hub_url: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    async with agent(hub_url, "echo") as echo, agent(hub_url, "story") as story:
        first = await echo.send("hello", message_id="m", headers=key)
        again = await echo.send("hello", message_id="m", headers=key)
        assert again.id == first.id
        assert again.artifacts == first.artifacts
        with pytest.raises(InvalidParamsError, match="idempotency key"):
            await echo.send("something else", message_id="m", headers=key)
        # another agent's keys are another's
        assert (await story.send("hello", message_id="m", headers=key)).id != first.id


# --- contexts ------------------------------------------------------------------------------------


async def test_a_context_is_given_by_the_server_and_carries_several_tasks(hub_url: str) -> None:
    async with agent(hub_url, "story") as story:
        first = await story.send("one")
        second = await story.send("two", context_id=first.context_id)
    assert second.context_id == first.context_id
    assert second.id != first.id
    assert len(data(second)["messages"]) == 4, "it is one conversation"


async def test_a_client_may_choose_a_uuid_as_context(hub_url: str) -> None:
    chosen = str(uuid4())
    async with agent(hub_url, "echo") as echo:
        task = await echo.send("hello", context_id=chosen)
    assert task.context_id == chosen


async def test_a_context_of_another_agent_is_refused(hub_url: str) -> None:
    async with agent(hub_url, "echo") as echo, agent(hub_url, "story") as story:
        task = await echo.send("hello")
        with pytest.raises(UnsupportedOperationError):
            await story.send("hello", context_id=task.context_id)


async def test_a_context_with_a_waiting_task_refuses_a_new_one_and_names_it(hub_url: str) -> None:
    async with agent(hub_url, "ship") as ship:
        task = await ship.send("shoes")
        with pytest.raises(UnsupportedOperationError, match=task.id):
            await ship.send("boots", context_id=task.context_id)
        assert state(await ship.get(task)) == "INPUT_REQUIRED"


# --- questions -----------------------------------------------------------------------------------


async def test_a_question_pauses_the_task_and_its_answer_completes_it(hub_url: str) -> None:
    async with agent(hub_url, "ship") as ship:
        task = await ship.send("shoes")
        assert state(task) == "INPUT_REQUIRED"
        assert task.status.message.parts[0].text == "Ship shoes?"
        (question,) = questions(task)
        assert question["responseSchema"] == {"type": "boolean"}
        done = await ship.send("yes", task=task)
        assert (done.id, done.context_id) == (task.id, task.context_id)
        assert data(done) == {"order": "shoes", "shipped": True}
        roles = [m.parts[0].text for m in done.history]
        assert roles == ["shoes", "Ship shoes?", "yes"]
        assert done.history[1].message_id == task.status.message.message_id
        assert (await ship.get(done)).history == done.history


async def test_an_answer_may_be_given_by_the_id_of_its_question(hub_url: str) -> None:
    async with agent(hub_url, "ship") as ship:
        task = await ship.send("shoes")
        (question,) = questions(task)
        done = await ship.send({"interrupts": {question["id"]: False}}, task=task)
    assert data(done) == {"order": "shoes", "shipped": False}


async def test_a_task_may_ask_again(hub_url: str) -> None:
    async with agent(hub_url, "book") as book:
        task = await book.send("a trip")
        task = await book.send("Berlin", task=task)
        assert state(task) == "INPUT_REQUIRED"
        assert task.status.message.parts[0].text == "How many nights?"
        done = await book.send("3", task=task)
    assert data(done) == {"from": "Berlin", "nights": 3}


async def test_several_questions_at_once_are_answered_by_id_one_or_all(hub_url: str) -> None:
    async with agent(hub_url, "both") as both:
        task = await both.send("go")
        ids = {q["value"]: q["id"] for q in questions(task)}
        name, colour = ids["What is your name?"], ids["What is your favourite colour?"]
        with pytest.raises(InvalidParamsError, match=name):
            await both.send("Galahad", task=task)
        partly = await both.send({"interrupts": {name: "Galahad"}}, task=task)
        assert state(partly) == "INPUT_REQUIRED"
        assert [q["id"] for q in questions(partly)] == [colour]
        done = await both.send("Blue", task=partly)
    assert (data(done)["name"], data(done)["colour"]) == ("Galahad", "Blue")


async def test_what_does_not_answer_the_question_changes_nothing(hub_url: str) -> None:
    async with agent(hub_url, "ship") as ship:
        task = await ship.get(await ship.send("shoes"))
        for wrong in ("perhaps", {"interrupts": {"0" * 32: True}}, {"interrupts": {"no": True}}):
            with pytest.raises(InvalidParamsError):
                await ship.send(wrong, task=task)
        other = str(uuid4())
        with pytest.raises(InvalidParamsError, match=task.context_id):
            await ship.send("yes", task=task, context_id=other)
        assert await ship.get(task) == task


async def test_a_finished_task_takes_no_more_messages(hub_url: str) -> None:
    async with agent(hub_url, "echo") as echo:
        task = await echo.send("hello")
        with pytest.raises(UnsupportedOperationError, match="ended"):
            await echo.send("more", task=task)


async def test_a_working_task_takes_no_messages_now(hub_url: str) -> None:
    async with agent(hub_url, "waits") as waits:
        task = await waits.send("go", returnImmediately=True)
        with pytest.raises(UnsupportedOperationError, match="busy"):
            await waits.send("more", task=task)
        with pytest.raises(UnsupportedOperationError):
            await waits.send("more", context_id=task.context_id)
        await cancel(waits, task)


# --- reading -------------------------------------------------------------------------------------


async def test_unknown_tasks_and_tasks_of_other_agents_do_not_exist(hub_url: str) -> None:
    async with agent(hub_url, "echo") as echo, agent(hub_url, "story", streaming=True) as story:
        task = await echo.send("hello")
        for foreign in (task, Task(id=str(uuid4())), Task(id="nonsense")):
            with pytest.raises(TaskNotFoundError):
                await story.get(foreign)
            with pytest.raises(TaskNotFoundError):
                await cancel(story, foreign)
            with pytest.raises(TaskNotFoundError):
                await story.send("hello", task=foreign)
            with pytest.raises(TaskNotFoundError):
                await anext(aiter(story.subscribe(foreign)))


async def test_the_history_is_as_long_as_the_client_wants(hub_url: str) -> None:
    async with agent(hub_url, "ship") as ship:
        task = await ship.send("shoes")
        done = await ship.send("yes", task=task, historyLength=1)
        assert [m.parts[0].text for m in done.history] == ["yes"]
        assert len((await ship.get(done, history_length=0)).history) == 0
        assert len((await ship.get(done, history_length=2)).history) == 2
        assert len((await ship.get(done)).history) == 3


async def listed(agent: Agent, **wanted: object) -> ListTasksResponse:
    return await agent.client.list_tasks(ListTasksRequest(**wanted))  # type: ignore[arg-type]


async def test_tasks_are_listed_by_page_latest_first_each_once(hub_url: str) -> None:
    async with agent(hub_url, "echo") as echo:
        context = str(uuid4())
        made = [await echo.send(str(n), context_id=context) for n in range(5)]
        pages: list[ListTasksResponse] = []
        token = ""
        while not pages or token:
            page = await listed(echo, context_id=context, page_size=2, page_token=token)
            pages.append(page)
            token = page.next_page_token
    assert [len(p.tasks) for p in pages] == [2, 2, 1]
    assert [t.id for p in pages for t in p.tasks] == [t.id for t in reversed(made)]
    assert {(p.total_size, p.page_size) for p in pages} == {(5, 2)}


async def test_a_list_leaves_artifacts_and_history_out_unless_they_are_wanted(hub_url: str) -> None:
    async with agent(hub_url, "story") as story:
        task = await story.send("tell")
        (brief,) = (await listed(story, context_id=task.context_id, history_length=0)).tasks
        assert not brief.artifacts
        assert not brief.history
        (whole,) = (await listed(story, context_id=task.context_id, include_artifacts=True)).tasks
    assert whole.artifacts == task.artifacts
    assert whole.history == task.history


async def test_a_list_is_filtered_by_state_and_time(hub_url: str) -> None:
    async with agent(hub_url, "ship") as ship:
        context = str(uuid4())
        done = await ship.send("no", task=await ship.send("shoes", context_id=context))
        open_ = await ship.send("boots", context_id=context)

        async def ids(**wanted: object) -> list[str]:
            return [t.id for t in (await listed(ship, context_id=context, **wanted)).tasks]

        assert await ids(status="TASK_STATE_COMPLETED") == [done.id]
        assert await ids(status="TASK_STATE_INPUT_REQUIRED") == [open_.id]
        for none in ("SUBMITTED", "WORKING", "FAILED", "CANCELED", "REJECTED", "AUTH_REQUIRED"):
            assert await ids(status=f"TASK_STATE_{none}") == []
        changed = (await ship.get(open_)).status.timestamp
        assert await ids(status_timestamp_after=changed) == [open_.id]
        later = Timestamp(seconds=changed.seconds + 60)
        assert await ids(status_timestamp_after=later) == []
        assert await ids() == [open_.id, done.id]
        assert len((await listed(ship, context_id="no-such-context")).tasks) == 0


async def test_a_working_task_is_listed_as_working(hub_url: str) -> None:
    async with agent(hub_url, "waits") as waits:
        task = await waits.send("go", returnImmediately=True)

        async def found() -> bool:
            page = await listed(waits, context_id=task.context_id, status="TASK_STATE_WORKING")
            return [t.id for t in page.tasks] == [task.id]

        await eventually(found)
        none = await listed(waits, context_id=task.context_id, status="TASK_STATE_SUBMITTED")
        assert len(none.tasks) == 0
        await cancel(waits, task)


# --- cancelling ----------------------------------------------------------------------------------


async def cancel(agent: Agent, task: Task) -> Task:
    return await agent.client.cancel_task(CancelTaskRequest(id=task.id))


async def test_a_working_task_is_cancelled(hub_url: str) -> None:
    async with agent(hub_url, "waits") as waits:
        task = await waits.send("go", returnImmediately=True)
        assert state(await cancel(waits, task)) == "CANCELED"
        assert state(await waits.get(task)) == "CANCELED"


async def test_a_waiting_task_is_cancelled_and_its_question_is_closed(hub_url: str) -> None:
    async with agent(hub_url, "ship") as ship:
        task = await ship.send("shoes")
        assert state(await cancel(ship, task)) == "CANCELED"
        with pytest.raises(UnsupportedOperationError, match="canceled"):
            await ship.send("yes", task=task)
        # the context is free again
        assert state(await ship.send("boots", context_id=task.context_id)) == "INPUT_REQUIRED"


async def test_a_task_that_has_ended_cannot_be_cancelled(hub_url: str) -> None:
    async with agent(hub_url, "echo") as echo:
        task = await echo.send("hello")
        with pytest.raises(TaskNotCancelableError):
            await cancel(echo, task)
        assert state(await echo.get(task)) == "COMPLETED"
