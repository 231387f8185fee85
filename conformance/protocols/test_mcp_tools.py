"""Agents as MCP tools, in both protocol eras, with the official client."""

from __future__ import annotations

import json
from uuid import uuid4

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from protocols.mcp_client import (
    ERAS,
    LEGACY,
    MODERN,
    Heard,
    client,
    http,
    modern_call,
    modern_headers,
    open_session,
    said,
    task_of,
)

pytestmark = pytest.mark.parametrize("era", ERAS)

BUILT_IN = ["cancel_run", "resume_run", "run_status"]


async def listed(url: str, era: str, path: str = "/mcp") -> list[types.Tool]:
    async with client(url, era, path=path) as mcp:
        return (await mcp.list_tools()).tools


async def test_every_agent_is_a_tool_by_name_and_then_come_the_built_in_ones(
    hub_url: str, era: str
) -> None:
    names = [tool.name for tool in await listed(hub_url, era)]
    assert {"add", "approve", "chat", "echo", "steps"} < set(names)
    assert names == [*sorted(names[:-3]), *BUILT_IN]


async def test_a_tool_has_a_description_and_objects_on_both_sides(hub_url: str, era: str) -> None:
    for tool in await listed(hub_url, era):
        assert tool.description
        assert tool.input_schema["type"] == "object"
        assert tool.output_schema is None or tool.output_schema["type"] == "object"


async def test_both_eras_see_the_same_tools(hub_url: str, era: str) -> None:
    other = LEGACY if era == MODERN else MODERN
    mine, theirs = await listed(hub_url, era), await listed(hub_url, other)
    # which ones may be tasks is a word of 2025-11-25 alone
    shown = [[t.model_dump(exclude={"execution"}) for t in tools] for tools in (mine, theirs)]
    assert shown[0] == shown[1]


async def test_an_object_comes_back_as_structured_content_and_as_the_same_json(
    hub_url: str, era: str
) -> None:
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("echo", {"text": "ahoy"})
    thread_id = result.structured_content["thread_id"]
    assert result.structured_content == {"heard": "ahoy", "length": 4, "thread_id": thread_id}
    assert json.loads(said(result)) == result.structured_content
    assert result.meta is not None
    assert result.meta["agenthub/thread_id"] == thread_id
    assert task_of(result)


async def test_an_agent_without_objects_takes_input_and_returns_result(
    hub_url: str, era: str
) -> None:
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("add", {"input": [1, 2, 3]})
    assert result.structured_content["result"] == 6


async def test_an_agent_without_types_gets_and_returns_any_json(hub_url: str, era: str) -> None:
    value = {"deep": [None, True, {"empty": {}}]}
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("anything", {"input": value})
    assert result.structured_content["result"] == value


async def test_a_chat_takes_a_message_and_answers_in_words(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("chat", {"message": "hello"})
    assert isinstance(result.content[0], types.TextContent)
    assert result.content[0].text == "1: hello"
    assert [m["content"] for m in result.structured_content["messages"]] == ["1: hello"]


async def test_a_thread_id_continues_the_conversation(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        first = await mcp.call_tool("chat", {"message": "hello"})
        thread_id = first.structured_content["thread_id"]
        second = await mcp.call_tool("chat", {"message": "again", "thread_id": thread_id})
        fresh = await mcp.call_tool("chat", {"message": "hello", "thread_id": ""})
    assert [m["content"] for m in second.structured_content["messages"]] == ["2: again"]
    assert second.structured_content["thread_id"] == thread_id
    assert fresh.structured_content["thread_id"] != thread_id


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "'text' is a required property"),
        ({"text": 7}, "7 is not of type 'string'"),
        ({"text": "x", "thread_id": "nowhere"}, "'nowhere' is not a UUID"),
        ({"text": "x", "thread_id": str(uuid4())}, "no thread"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_in_words(
    hub_url: str, era: str, arguments: dict[str, object], reason: str
) -> None:
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("echo", arguments)
    assert result.is_error
    assert result.structured_content is None
    assert reason in said(result)


@pytest.mark.parametrize("value", [2**70, "\ud800", 10**400])
async def test_a_value_that_cannot_be_kept_is_refused(
    hub_url: str, era: str, value: object
) -> None:
    headers = modern_headers("tools/call", "anything")
    async with http(hub_url) as raw:
        if era == LEGACY:
            headers = await open_session(raw)
        body = json.dumps(modern_call("anything", {"input": value}))
        headers["Content-Type"] = "application/json"
        answer = await raw.post("/mcp/anything", content=body, headers=headers)
    # One of the two paths of the SDK cannot even read half of a surrogate pair.
    assert "cannot be stored" in answer.text or "Parse error" in answer.text


async def test_an_agent_that_fails_says_why_and_nothing_more(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("fail", {"text": "x"})
    assert result.is_error
    assert "the library is closed on Sundays" in said(result)
    assert "Traceback" not in said(result)
    assert ".py" not in said(result)


async def test_an_output_that_breaks_its_own_schema_is_told_and_not_lost(
    hub_url: str, era: str
) -> None:
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("lie", {"text": "the output"})
    assert result.is_error
    assert "'length' is a required property" in said(result)
    assert "the output" in said(result)


async def test_an_unknown_tool_is_a_protocol_error(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        with pytest.raises(MCPError, match="Unknown tool: 'nobody'") as refused:
            await mcp.call_tool("nobody", {})
    assert refused.value.code == types.INVALID_PARAMS


async def test_an_agent_has_an_endpoint_of_its_own(hub_url: str, era: str) -> None:
    for path in ("/mcp/echo", "/mcp/echo/"):
        assert [t.name for t in await listed(hub_url, era, path)] == ["echo", *BUILT_IN]
    async with client(hub_url, era, path="/mcp/echo") as mcp:
        assert not (await mcp.call_tool("echo", {"text": "x"})).is_error
        with pytest.raises(MCPError, match="Unknown tool"):
            await mcp.call_tool("add", {"input": []})


async def test_progress_rises_and_names_the_steps(hub_url: str, era: str) -> None:
    heard = Heard()
    async with client(hub_url, era) as mcp:
        await mcp.call_tool("steps", {"done": []}, progress_callback=heard)
    assert heard.messages[0].startswith("step ")
    assert heard.numbers == sorted(set(heard.numbers))


async def test_a_finished_task_can_be_looked_up(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        result = await mcp.call_tool("echo", {"text": "x"})
        status = await mcp.call_tool("run_status", {"task_id": task_of(result)})
    assert status.structured_content["status"] == "completed"
    assert status.structured_content["agent"] == "echo"
    assert status.structured_content["result"] == result.structured_content


async def test_an_unknown_task_is_told_as_unknown(hub_url: str, era: str) -> None:
    async with client(hub_url, era) as mcp:
        for tool in ("run_status", "cancel_run"):
            result = await mcp.call_tool(tool, {"task_id": str(uuid4())})
            assert result.is_error
            assert "there is no run" in said(result)
