"""Agents' schemas as tools' schemas, and values on their way through."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from langgraph.graph import MessagesState, StateGraph

from agenthub.agents import AgentInfo
from agenthub.errors import Invalid
from agenthub.runs import Run
from agenthub_mcp import schemas
from agenthub_mcp.convert import to_input, to_result
from agenthub_mcp.tools import AgentTool, agent_tool

ID = UUID(int=7)


def tool(input: dict[str, Any] | None = None, output: dict[str, Any] | None = None) -> AgentTool:
    made = AgentInfo(
        name="agent", description="", input_schema=input or {}, output_schema=output or {}
    )
    return agent_tool(made)


def ended(output: Any, **changes: Any) -> Run:
    now = datetime.now(UTC)
    fields = {"kind": "input", "status": "success", "output": output, **changes}
    ids = {"run_id": ID, "thread_id": ID, "task_id": ID}
    return Run(tenant="t", agent="agent", created_at=now, updated_at=now, **ids, **fields)


def test_a_tool_without_description_still_has_one() -> None:
    assert tool().tool.description == "agent"


def test_a_typed_entrypoint_takes_its_fields_at_the_root() -> None:
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    made = tool({"$ref": "#/$defs/Text", "$defs": {"Text": text, "Other": {}}})
    shown = made.tool.input_schema
    assert set(shown["properties"]) == {"text", "thread_id"}
    assert shown["required"] == ["text"]
    assert "$defs" not in shown
    assert to_input(made, {"text": "x", "thread_id": str(ID)}) == ({"text": "x"}, ID)


def test_definitions_stay_where_references_find_them() -> None:
    item = {
        "type": "array",
        "items": {"$ref": "#/$defs/Item"},
        "$defs": {"Item": {"type": "integer"}},
    }
    made = tool(item, item)
    assert to_input(made, {"input": [1]}) == ([1], None)
    with pytest.raises(Invalid, match=r"\$.input\[0\]: 'x' is not of type 'integer'"):
        to_input(made, {"input": ["x"]})
    assert to_result(made, ended([1])).structured_content == {"result": [1], "thread_id": str(ID)}
    assert to_result(made, ended(["x"])).is_error


def test_a_field_of_the_agent_that_is_named_thread_id_stays_the_agents() -> None:
    own = {"type": "object", "properties": {"thread_id": {"type": "integer"}}}
    made = tool(own, own)
    given, thread_id = to_input(made, {"input": {"thread_id": 5}, "thread_id": str(ID)})
    assert (given, thread_id) == ({"thread_id": 5}, ID)
    assert to_result(made, ended({"thread_id": 5})).structured_content == {"thread_id": 5}


def test_a_result_that_allows_nothing_else_has_room_for_the_thread() -> None:
    strict = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "additionalProperties": False,
    }
    result = to_result(tool(output=strict), ended({"a": 1}))
    assert not result.is_error
    assert result.structured_content == {"a": 1, "thread_id": str(ID)}


def test_a_result_whose_schema_is_combined_is_left_as_it_is() -> None:
    combined = {"type": "object", "allOf": [{"additionalProperties": False}]}
    made = tool(output=combined)
    assert "properties" not in (made.tool.output_schema or {})
    assert to_result(made, ended({})).structured_content == {}


def test_a_chat_is_one_message_and_a_short_schema() -> None:
    graph = StateGraph(MessagesState).add_node("n", lambda s: s).set_entry_point("n").compile()
    made = tool(graph.get_input_jsonschema(), graph.get_output_jsonschema())
    assert made.form == "message"
    assert len(str(made.tool.input_schema)) + len(str(made.tool.output_schema)) < 1_000
    given, _ = to_input(made, {"message": "hello"})
    assert given == {"messages": [{"role": "user", "content": "hello"}]}


def test_other_state_of_a_chat_is_optional() -> None:
    state = {
        "type": "object",
        "properties": {"messages": {"type": "array", "items": {}}, "topic": {"type": "string"}},
        "required": ["messages", "topic"],
    }
    made = tool(state)
    assert made.tool.input_schema["required"] == ["message"]
    given, _ = to_input(made, {"message": "hello", "topic": "sea"})
    assert given == {"messages": [{"role": "user", "content": "hello"}], "topic": "sea"}


def test_messages_that_are_no_chat_are_left_alone() -> None:
    texts = {
        "type": "object",
        "properties": {"messages": {"type": "array", "items": {"type": "string"}}},
    }
    made = tool(texts, texts)
    assert made.form == "fields"
    result = to_result(made, ended({"messages": ["a", "b"]}))
    assert result.structured_content == {"messages": ["a", "b"], "thread_id": str(ID)}


def test_a_schema_that_is_none_is_not_enforced() -> None:
    made = tool({"type": "object", "properties": {"a": {"type": "nonsense"}}})
    assert to_input(made, {"a": 1}) == ({"a": 1}, None)


def test_a_reference_into_the_network_is_never_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(urllib.request, "urlopen", opened.append)
    remote = {"type": "object", "properties": {"a": {"$ref": "http://schemas.example/a.json"}}}
    assert to_input(tool(remote), {"a": 1}) == ({"a": 1}, None)
    assert opened == []


def test_a_complaint_is_short_however_large_the_value_is() -> None:
    checked_by = schemas.validator({"type": "object", "properties": {"a": {"type": "integer"}}})
    assert len(schemas.problems(checked_by, {"a": "x" * 100_000}) or "") < 1_000


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        ("error", {"error": "ValueError", "message": "no such city"}, "no such city"),
        ("timeout", None, "failed"),
        ("interrupted", None, "was cancelled"),
    ],
)
def test_a_run_without_a_result_says_what_became_of_it(
    status: str, error: dict[str, str] | None, text: str
) -> None:
    result = to_result(tool(), ended(None, status=status, error=error))
    assert result.is_error
    assert result.structured_content is None
    assert text in result.content[0].text  # type: ignore[union-attr]
    assert result.meta == dict.fromkeys(
        ("agenthub/task_id", "agenthub/run_id", "agenthub/thread_id"), str(ID)
    )
