"""Questions of agents, asked and answered over REST with the official client; and commands."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient

from protocols.rest_client import named, parts, refused, rest

NO_SUCH_ID = "0" * 32


async def asked(client: LangGraphClient, agent: str, input_: Any) -> tuple[str, list[Any]]:
    """A thread whose agent asks: its id and the questions."""
    thread = await client.threads.create()
    values: Any = await client.runs.wait(thread["thread_id"], agent, input=input_)
    return thread["thread_id"], values["__interrupt__"]


async def answered(client: LangGraphClient, thread_id: str, agent: str, answer: Any) -> Any:
    return await client.runs.wait(thread_id, agent, command={"resume": answer})


async def unchanged(client: LangGraphClient, thread_id: str) -> Any:
    """All that a client can see of a thread."""
    return [
        await client.threads.get(thread_id),
        await client.threads.get_history(thread_id, limit=100),
        await client.runs.list(thread_id, limit=100),
    ]


async def test_a_question_is_shown_wherever_one_looks(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, (question,) = await asked(client, "ask", 2)
        assert question == {
            "id": question["id"],
            "value": {"question": "use 4?"},
            "response_schema": None,
        }
        assert len(question["id"]) == 32
        thread: Any = await client.threads.get(thread_id)
        state: Any = await client.threads.get_state(thread_id)
        (run,) = await client.runs.list(thread_id)
        run = await client.runs.get(thread_id, run["run_id"])
    assert thread["status"] == "interrupted"
    assert thread["error"] is None
    assert list(thread["interrupts"].values()) == [[question]]
    assert state["interrupts"] == [question]
    (task,) = state["tasks"]
    assert (task["id"], task["name"]) == (next(iter(thread["interrupts"])), "ask")
    assert task["interrupts"] == [question]
    assert state["next"] == ["ask"]
    assert run["status"] == "success", "as the Agent Server has it"
    assert run["interrupts"] == [question]


async def test_a_question_is_streamed_in_updates_and_values(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        found = await parts(
            client.runs.stream(
                thread["thread_id"],
                "ask_both",
                input={"log": []},
                stream_mode=["values", "updates"],
            )
        )
        state: Any = await client.threads.get_state(thread["thread_id"])
        joined = await client.runs.join(thread["thread_id"], found[0].data["run_id"])
    updates = named(found, "updates")
    questions = [q for update in updates for q in update["__interrupt__"]]
    assert sorted(q["value"] for q in questions) == ["left?", "right?"]
    assert all(set(q) == {"id", "value", "response_schema"} for q in questions)
    ids = sorted(q["id"] for q in questions)
    shown = [q["id"] for values in named(found, "values") for q in values.get("__interrupt__", ())]
    assert sorted(shown) == ids, "each by itself, as LangGraph has it"
    assert named(found, "values")[-1]["log"] == []
    assert sorted(q["id"] for q in joined["__interrupt__"]) == ids
    assert joined["log"] == []
    assert sorted(q["id"] for q in state["interrupts"]) == ids
    assert found[-1].data["status"] == "success"


@pytest.mark.parametrize("answer", ["yes", False, 0, "", [1], {"a": "yes"}, {}])
async def test_the_only_question_is_answered_by_a_value(hub_url: str, answer: Any) -> None:
    async with rest(hub_url) as client:
        thread_id, _ = await asked(client, "ask", 2)
        assert await answered(client, thread_id, "ask", answer) == {"doubled": 4, "answer": answer}
        thread = await client.threads.get(thread_id)
        state = await client.threads.get_state(thread_id)
    assert (thread["status"], thread["interrupts"]) == ("idle", {})
    assert thread["values"] == {"doubled": 4, "answer": answer}
    assert (state["next"], state["interrupts"]) == ([], [])


async def test_a_question_is_answered_by_its_id_and_the_answer_streams_on(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, (question,) = await asked(client, "ask", 2)
        found = await parts(
            client.runs.stream(
                thread_id,
                "ask",
                command={"resume": {question["id"]: "yes"}},
                stream_mode=["custom", "updates", "values"],
            )
        )
        runs: Any = await client.runs.list(thread_id)
    assert named(found, "custom") == [], "the task before the question is not repeated"
    assert named(found, "values")[-1] == {"doubled": 4, "answer": "yes"}
    assert found[0].event == "metadata"
    assert len({run["task_id"] for run in runs}) == 1
    assert runs[0]["run_id"] != runs[1]["run_id"] == runs[0]["task_id"]


async def test_several_questions_are_answered_together(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, questions = await asked(client, "ask_both", {"log": []})
        answers = {q["id"]: q["value"].upper() for q in questions}
        values = await answered(client, thread_id, "ask_both", answers)
    assert values == {"log": ["left LEFT?", "right RIGHT?"]}


async def test_several_questions_are_answered_one_at_a_time(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, questions = await asked(client, "ask_both", {"log": []})
        first, second = sorted(questions, key=lambda q: q["value"])
        values = await answered(client, thread_id, "ask_both", {second["id"]: "two"})
        assert values["__interrupt__"] == [first]
        thread = await client.threads.get(thread_id)
        assert [q for asked_ in thread["interrupts"].values() for q in asked_] == [first]
        # what is answered is answered
        with refused(409, first["id"]):
            await answered(client, thread_id, "ask_both", {second["id"]: "again"})
        values = await answered(client, thread_id, "ask_both", {first["id"]: "one"})
    assert values == {"log": ["left one", "right two"]}


async def test_several_questions_need_an_answer_that_says_which(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, questions = await asked(client, "ask_both", {"log": []})
        before = await unchanged(client, thread_id)
        with refused(422, questions[0]["id"]):
            await answered(client, thread_id, "ask_both", "yes")
        assert await unchanged(client, thread_id) == before


async def test_an_answer_to_an_unknown_question_names_those_that_are_open(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, (question,) = await asked(client, "ask", 2)
        before = await unchanged(client, thread_id)
        for wrong in ({NO_SUCH_ID: "yes"}, {NO_SUCH_ID: "yes", question["id"]: "yes"}):
            with refused(409, f"interrupt '{NO_SUCH_ID}' is not open; open: {question['id']}"):
                await answered(client, thread_id, "ask", wrong)
        assert await unchanged(client, thread_id) == before
        done = await answered(client, thread_id, "ask", {question["id"]: "yes"})
        assert done == {"doubled": 4, "answer": "yes"}
        before = await unchanged(client, thread_id)
        with refused(409, "nothing to resume"):
            await answered(client, thread_id, "ask", {question["id"]: "yes"})
        assert await unchanged(client, thread_id) == before


async def test_there_is_nothing_to_resume_where_nothing_was_asked(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        with refused(409, "has not run any agent"):
            await answered(client, thread["thread_id"], "ask", "yes")
        await client.runs.wait(thread["thread_id"], "plus", input={"x": 1})
        with refused(409, "nothing to resume"):
            await answered(client, thread["thread_id"], "plus", "yes")
        with refused(422, "needs the thread"):
            await client.runs.wait(None, "ask", command={"resume": "yes"})
        with refused(404):
            await answered(client, "0190a5a5-0000-7000-8000-000000000000", "ask", "yes")


async def test_another_agent_does_not_answer(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, _ = await asked(client, "ask", 2)
        before = await unchanged(client, thread_id)
        with refused(409, "belongs to agent 'ask', not 'plus'"):
            await answered(client, thread_id, "plus", "yes")
        assert await unchanged(client, thread_id) == before


async def test_a_new_input_takes_the_place_of_the_question(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, (first,) = await asked(client, "ask", 2)
        values: Any = await client.runs.wait(thread_id, "ask", input=3)
        (second,) = values["__interrupt__"]
        assert second["value"] == {"question": "use 6?"}
        with refused(409, second["id"]):
            await answered(client, thread_id, "ask", {first["id"]: "yes"})
        runs: Any = await client.runs.list(thread_id)
        assert len({run["task_id"] for run in runs}) == 2
        done = await answered(client, thread_id, "ask", "yes")
    assert done == {"doubled": 6, "answer": "yes"}


async def test_a_stateless_run_that_asks_is_answered_on_its_thread(hub_url: str) -> None:
    async with rest(hub_url) as client:
        seen: list[Any] = []
        await client.runs.wait(None, "ask", input=2, on_run_created=seen.append)
        done = await answered(client, seen[0]["thread_id"], "ask", "yes")
    assert done == {"doubled": 4, "answer": "yes"}


# --- static breakpoints --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "log", "next_"),
    [
        ({"interrupt_before": ["second"]}, ["first"], ["second"]),
        ({"interrupt_after": ["first"]}, ["first"], ["second"]),
        ({"interrupt_before": "*"}, [], ["first"]),
    ],
)
@pytest.mark.parametrize("on", ["no input", "its id", "a value"])
async def test_a_breakpoint_stops_the_run_and_it_goes_on(
    hub_url: str, how: Any, log: list[str], next_: list[str], on: str
) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        thread_id = thread["thread_id"]
        values: Any = await client.runs.wait(thread_id, "two_steps", input={"log": []}, **how)
        assert values["log"] == log
        state: Any = await client.threads.get_state(thread_id)
        assert (state["values"].get("log", []), state["next"]) == (log, next_)
        thread = await client.threads.get(thread_id)
        assert thread["status"] == "interrupted"
        ((question,),) = thread["interrupts"].values()
        assert question["value"] == {"question": "Continue?", "breakpoint": next_}
        if on == "no input":
            done = await client.runs.wait(thread_id, "two_steps", input=None)
        else:
            answer = {question["id"]: None} if on == "its id" else True
            done = await answered(client, thread_id, "two_steps", answer)
        assert done == {"log": ["first", "second"]}
        runs: Any = await client.runs.list(thread_id)
        assert len({run["task_id"] for run in runs}) == 1
        assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_a_breakpoint_at_every_node_stops_at_each(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        seen: list[Any] = []
        input_: Any = {"log": []}
        for _ in range(3):
            values: Any = await client.runs.wait(
                thread["thread_id"], "two_steps", input=input_, interrupt_before="*"
            )
            seen.append(values["log"])
            input_ = None
    assert seen == [[], ["first"], ["first", "second"]]


# --- commands ------------------------------------------------------------------------------------


async def test_goto_runs_the_node_that_it_names(hub_url: str) -> None:
    async with rest(hub_url) as client:
        for goto, log in (
            ("aside", ["aside"]),
            (["aside", "first"], ["aside", "first"]),
            ({"node": "aside", "input": {"to": "x"}}, ["aside x"]),
            ([{"node": "aside", "input": {"to": n}} for n in "ab"], ["aside a", "aside b"]),
        ):
            command: Any = {"goto": goto}
            thread = await client.threads.create()
            await client.runs.wait(thread["thread_id"], "nowhere", input={"log": ["a"]})
            values: Any = await client.runs.wait(thread["thread_id"], "nowhere", command=command)
            assert sorted(values["log"]) == sorted(["a", "first", *log])


async def test_update_writes_to_the_state(hub_url: str) -> None:
    async with rest(hub_url) as client:
        for update in ({"log": ["new"]}, [("log", ["new"])]):
            command: Any = {"update": update, "goto": "aside"}
            thread = await client.threads.create()
            await client.runs.wait(thread["thread_id"], "nowhere", input={"log": ["a"]})
            values = await client.runs.wait(thread["thread_id"], "nowhere", command=command)
            assert values == {"log": ["a", "first", "new", "aside"]}


async def test_a_resume_may_update_and_go_elsewhere(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, questions = await asked(client, "ask_both", {"log": []})
        command: Any = {
            "resume": {q["id"]: "yes" for q in questions},
            "update": {"log": ["meanwhile"]},
        }
        values: Any = await client.runs.wait(thread_id, "ask_both", command=command)
    assert sorted(values["log"]) == ["left yes", "meanwhile", "right yes"]


async def test_a_command_comes_before_an_input_that_is_given_too(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id, _ = await asked(client, "ask", 2)
        done = await client.runs.wait(thread_id, "ask", input={}, command={"resume": "yes"})
        assert done == {"doubled": 4, "answer": "yes"}
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "nowhere", input={"log": []})
        command: Any = {"goto": "aside"}
        done = await client.runs.wait(
            thread["thread_id"], "nowhere", input={"log": ["ignored"]}, command=command
        )
        assert done == {"log": ["first", "aside"]}


@pytest.mark.parametrize(
    "command", [{"goto": 5}, {"goto": {"nod": "x"}}, {"update": 5}, {"update": [["log"]]}]
)
async def test_a_command_that_means_nothing_is_refused(hub_url: str, command: Any) -> None:
    async with rest(hub_url) as client:
        with refused(422, "command."):
            await client.runs.wait(None, "nowhere", command=command)
