"""Questions of agents, put to MCP clients of every kind, and answered from anywhere."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from protocols.mcp_client import ERAS, MODERN, client, declined, http, said, task_of
from testkit.waiting import eventually


def given(result: types.CallToolResult) -> Any:
    assert not result.is_error, said(result)
    return result.structured_content["given"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ({"approved": True}, True),
        ({"approved": False}, False),
        ({"response": "later"}, "later"),
        ({"response": '{"decisions": []}'}, {"decisions": []}),
        ({"approved": False, "response": "why?"}, {"approved": False, "response": "why?"}),
        ({}, True),
        (declined(), {"action": "decline"}),
        (types.ElicitResult(action="cancel"), {"action": "cancel"}),
    ],
)
async def test_an_open_question_is_answered_with_what_was_filled_in(
    hub_url: str, era: str, reply: Any, answer: Any
) -> None:
    async with client(hub_url, era, {"Do it?": reply}) as mcp:
        assert given(await mcp.call_tool("approve", {"text": "now"})) == answer


@pytest.mark.parametrize("era", ERAS)
async def test_a_form_reaches_the_agent_as_an_object(hub_url: str, era: str) -> None:
    async with client(hub_url, era, {"Who": {"name": "Ann", "age": 30}}) as mcp:
        assert given(await mcp.call_tool("ask_person", {"text": "x"})) == {"name": "Ann", "age": 30}


@pytest.mark.parametrize("era", ERAS)
async def test_a_lone_value_reaches_the_agent_without_a_form(hub_url: str, era: str) -> None:
    async with client(hub_url, era, {"colour": {"answer": "blue"}}) as mcp:
        assert given(await mcp.call_tool("ask_colour", {"text": "x"})) == "blue"


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_that_does_not_fit_is_asked_for_again(hub_url: str, era: str) -> None:
    replies = {"colour": [{"answer": "green"}, {"answer": "red"}]}
    async with client(hub_url, era, replies) as mcp:
        assert given(await mcp.call_tool("ask_colour", {"text": "x"})) == "red"


@pytest.mark.parametrize("era", ERAS)
async def test_one_question_after_the_other_stays_one_call(hub_url: str, era: str) -> None:
    replies = {"city": {"answer": "Ghent"}, "street in Ghent": {"answer": "Quay"}}
    async with client(hub_url, era, dict(reversed(replies.items()))) as mcp:
        assert given(await mcp.call_tool("ask_twice", {"text": "x"})) == "Quay, Ghent"


@pytest.mark.parametrize("era", ERAS)
async def test_several_questions_at_once_are_all_put(hub_url: str, era: str) -> None:
    replies = {"size": {"answer": "big"}, "shape": {"answer": "round"}}
    async with client(hub_url, era, replies) as mcp:
        result = await mcp.call_tool("ask_both", {"text": "x"})
    assert result.structured_content["size"] == "big"
    assert result.structured_content["shape"] == "round"


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_without_elicitation_is_told_how_to_answer(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        asked = await mcp.call_tool("approve", {"text": "now"})
        assert asked.is_error
        assert "Do it? now" in said(asked)
        assert "resume_run" in said(asked)
        assert task_of(asked) in said(asked)
        answered = await mcp.call_tool("resume_run", {"task_id": task_of(asked), "answer": "yes"})
    assert given(answered) == "yes"
    assert task_of(answered) == task_of(asked)


@pytest.mark.parametrize("era", ERAS)
async def test_several_questions_are_answered_by_their_ids(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        asked = await mcp.call_tool("ask_both", {"text": "x"})
        task_id = task_of(asked)
        status = await mcp.call_tool("run_status", {"task_id": task_id})
        ids = {q["value"]: q["id"] for q in status.structured_content["questions"]}
        assert set(ids) == {"Which size?", "Which shape?"}
        refused = await mcp.call_tool("resume_run", {"task_id": task_id, "answer": "big"})
        assert refused.is_error
        assert all(id in said(refused) for id in ids.values())
        # One of the two: the other stays open.
        half = await mcp.call_tool(
            "resume_run", {"task_id": task_id, "answers": {ids["Which size?"]: "big"}}
        )
        assert half.is_error
        assert "Which shape?" in said(half)
        assert "Which size?" not in said(half)
        done = await mcp.call_tool("resume_run", {"task_id": task_id, "answer": "round"})
    assert done.structured_content["size"] == "big"
    assert done.structured_content["shape"] == "round"


@pytest.mark.parametrize("era", ERAS)
async def test_resume_run_can_end_in_the_next_question(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        first = await mcp.call_tool("ask_twice", {"text": "x"})
        second = await mcp.call_tool("resume_run", {"task_id": task_of(first), "answer": "Ghent"})
        assert second.is_error
        assert "Which street in Ghent?" in said(second)
        done = await mcp.call_tool("resume_run", {"task_id": task_of(first), "answer": "Quay"})
    assert given(done) == "Quay, Ghent"


@pytest.mark.parametrize("era", ERAS)
async def test_resume_run_puts_the_next_question_to_a_client_that_can_ask(
    hub_url: str, era: str
) -> None:
    async with client(hub_url, era) as mcp:
        first = await mcp.call_tool("ask_twice", {"text": "x"})
    async with client(hub_url, era, {"street": {"answer": "Quay"}}) as mcp:
        done = await mcp.call_tool("resume_run", {"task_id": task_of(first), "answer": "Ghent"})
    assert given(done) == "Quay, Ghent"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "either `answer` or `answers`"),
        ({"answer": "red", "answers": {}}, "either `answer` or `answers`"),
        ({"answer": "green"}, "'green' is not one of"),
        ({"answers": {"0" * 32: "red"}}, "is not open; open: "),
    ],
)
async def test_an_answer_that_cannot_be_given_leaves_the_question_open(
    hub_url: str, era: str, arguments: dict[str, Any], reason: str
) -> None:
    async with client(hub_url, era) as mcp:
        task_id = task_of(await mcp.call_tool("ask_colour", {"text": "x"}))
        refused = await mcp.call_tool("resume_run", {"task_id": task_id, **arguments})
        assert refused.is_error
        assert reason in said(refused)
        status = await mcp.call_tool("run_status", {"task_id": task_id})
        assert status.structured_content["status"] == "input_required"
        done = await mcp.call_tool("resume_run", {"task_id": task_id, "answer": "red"})
        assert given(done) == "red"
        again = await mcp.call_tool("resume_run", {"task_id": task_id, "answer": "red"})
    assert again.is_error
    assert "waits for no answer" in said(again)


@pytest.mark.parametrize("era", ERAS)
async def test_a_task_that_was_started_elsewhere_is_answered_here(hub_url: str, era: str) -> None:
    async with http(hub_url) as rest, client(hub_url, era) as mcp:
        thread_id = (await rest.post("/threads", json={})).json()["thread_id"]
        body = {"assistant_id": "approve", "input": {"text": "from afar"}}
        run = (await rest.post(f"/threads/{thread_id}/runs", json=body)).json()

        async def waits() -> bool:
            status = await mcp.call_tool("run_status", {"task_id": run["run_id"]})
            return status.structured_content["status"] == "input_required"

        await eventually(waits)
        done = await mcp.call_tool("resume_run", {"task_id": run["run_id"], "answer": True})
    assert given(done) is True


@pytest.mark.parametrize("era", ERAS)
async def test_a_thread_that_waits_for_an_answer_takes_no_new_input(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        asked = await mcp.call_tool("approve", {"text": "now"})
        assert asked.meta is not None
        thread_id = asked.meta["agenthub/thread_id"]
        refused = await mcp.call_tool("approve", {"text": "else", "thread_id": thread_id})
        assert refused.is_error
        done = await mcp.call_tool("resume_run", {"task_id": task_of(asked), "answer": 1})
    assert given(done) == 1


async def ask_colour(mcp: Any) -> types.InputRequiredResult:
    asked = await mcp.session.call_tool("ask_colour", {"text": "x"}, allow_input_required=True)
    assert isinstance(asked, types.InputRequiredResult)
    return asked


async def test_a_modern_question_may_be_answered_by_another_connection(hub_url: str) -> None:
    async with client(hub_url, MODERN, {"": {}}) as mcp:
        asked = await ask_colour(mcp)
    assert asked.input_requests is not None
    (id,) = asked.input_requests
    reply = types.ElicitResult(action="accept", content={"answer": "red"})
    async with client(hub_url, MODERN, {"": {}}) as mcp:
        done = await mcp.call_tool(
            "ask_colour",
            {"text": "x"},
            input_responses={id: reply, "unknown": reply},
            request_state=asked.request_state,
        )
        assert given(done) == "red"
        # Sent again, as after a lost response: the same result, and no second answer.
        again = await mcp.call_tool(
            "ask_colour",
            {"text": "x"},
            input_responses={id: reply},
            request_state=asked.request_state,
        )
    assert given(again) == "red"
    assert task_of(again) == task_of(done)


async def test_a_retry_without_an_answer_is_asked_again(hub_url: str) -> None:
    async with client(hub_url, MODERN, {"": {}}) as mcp:
        asked = await ask_colour(mcp)
        again = await mcp.session.call_tool(
            "ask_colour",
            {"text": "x"},
            request_state=asked.request_state,
            allow_input_required=True,
        )
    assert isinstance(again, types.InputRequiredResult)
    assert again.input_requests == asked.input_requests


@pytest.mark.parametrize("where", ["tampered", "other arguments", "other tool", "made up"])
async def test_a_request_state_that_is_not_ours_for_this_call_is_refused(
    hub_url: str, where: str
) -> None:
    async with client(hub_url, MODERN, {"": {}}) as mcp:
        state = (await ask_colour(mcp)).request_state
        assert state is not None
        name, arguments = "ask_colour", {"text": "x"}
        if where == "tampered":
            state = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
        elif where == "other arguments":
            arguments = {"text": "y"}
        elif where == "other tool":
            name = "echo"
        else:
            state = str(uuid4())
        with pytest.raises(MCPError) as refused:
            await mcp.call_tool(name, arguments, request_state=state)
    assert refused.value.code == types.INVALID_PARAMS
