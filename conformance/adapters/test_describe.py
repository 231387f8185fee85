"""Descriptions: what clients learn about an agent from its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

import pytest
from langchain.agents import create_agent
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel, Field, WithJsonSchema
from typing_extensions import TypedDict

from agenthub.agents import resolved, text_input
from agenthub.json import dumps
from agenthub_langgraph.describe import describe
from testkit.agents import ScriptedChat

if TYPE_CHECKING:
    from somewhere import Unknown


WRITTEN = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"street": {"$anchor": "street", "type": "string"}},
    "type": "object",
    "properties": {"street": {"$ref": "#/$defs/street"}},
    "additionalProperties": False,
}


class Request(TypedDict):
    """What the customer wrote."""

    message: str
    limit: NotRequired[int]


@dataclass
class Order:
    number: str
    count: int = 1


class Reply(BaseModel):
    """What was decided."""

    text: str = Field(description="For the customer")


@entrypoint()
async def typed(request: Request) -> Reply:
    """Handles a request."""
    return Reply(text=request["message"])


@entrypoint()
async def ordered(order: Order, *, previous: Unknown | None = None) -> list[str]:
    return []


@entrypoint()
async def saved(text: str) -> entrypoint.final[str, int]:
    return entrypoint.final(value=text, save=1)


@entrypoint()
async def bare(anything):
    return anything


@entrypoint()
async def loose(anything: Any) -> dict:
    return {}


@entrypoint()
async def unresolved(anything: Unknown) -> str:
    return ""


def shape(schema: Any) -> Any:
    """(type, properties, required) of a schema."""
    schema = resolved(schema)
    return (
        schema.get("type"),
        {name: p.get("type") for name, p in schema.get("properties", {}).items()},
        schema.get("required"),
    )


@pytest.mark.parametrize(
    ("agent", "given", "returned"),
    [
        (
            typed,
            ("object", {"message": "string", "limit": "integer"}, ["message"]),
            ("object", {"text": "string"}, ["text"]),
        ),
        (
            ordered,
            ("object", {"number": "string", "count": "integer"}, ["number"]),
            ("array", {}, None),
        ),
        (saved, ("string", {}, None), ("string", {}, None)),
        (bare, (None, {}, None), (None, {}, None)),
        (loose, (None, {}, None), (None, {}, None)),
        (unresolved, (None, {}, None), ("string", {}, None)),
    ],
)
def test_the_schemas_of_a_workflow_come_from_its_annotations(
    agent: Any, given: Any, returned: Any
) -> None:
    info = describe("a", agent)
    assert shape(info.input_schema) == given
    assert shape(info.output_schema) == returned
    assert info.output_keys is None
    dumps(info.to_json())


def test_a_workflow_is_described_by_its_docstring() -> None:
    assert describe("a", typed).description == "Handles a request."
    assert describe("a", ordered).description == "The agent 'a'."
    assert describe("a", typed, description="Better.").description == "Better."
    assert describe("my_big-agent", typed).title == "My big agent"


class Working(TypedDict):
    """Works on a question."""

    question: str
    draft: str
    answer: str


class Asked(TypedDict):
    question: str


class Answered(TypedDict):
    answer: str


class Strict(BaseModel):
    question: str
    draft: str = ""


class Chat(MessagesState):
    notes: str


def graph(state: Any, **schemas: Any) -> Any:
    builder = StateGraph(state, **schemas)
    builder.add_node("a", lambda _: {})
    builder.add_edge(START, "a")
    return builder.compile()


WORKING = {"question": "string", "draft": "string", "answer": "string"}


@pytest.mark.parametrize(
    ("agent", "given", "returned"),
    [
        # nothing but the code fills in a state in full
        (graph(Working), (WORKING, None), (WORKING, None)),
        (
            graph(Working, input_schema=Asked, output_schema=Answered),
            ({"question": "string"}, ["question"]),
            ({"answer": "string"}, ["answer"]),
        ),
        (
            graph(Working, input_schema=Asked),
            ({"question": "string"}, ["question"]),
            (WORKING, None),
        ),
        # a model is checked when the run begins, so what it requires is required
        (
            graph(Strict),
            ({"question": "string", "draft": "string"}, ["question"]),
            ({"question": "string", "draft": "string"}, ["question"]),
        ),
        (
            graph(MessagesState),
            ({"messages": "array"}, ["messages"]),
            ({"messages": "array"}, ["messages"]),
        ),
        (
            graph(Chat),
            ({"messages": "array", "notes": "string"}, None),
            ({"messages": "array", "notes": "string"}, None),
        ),
    ],
)
def test_the_schemas_of_a_graph_ask_for_what_a_caller_must_give(
    agent: Any, given: Any, returned: Any
) -> None:
    info = describe("a", agent)
    assert shape(info.input_schema)[1:] == given
    assert shape(info.output_schema)[1:] == returned
    assert set(info.output_keys or ()) == set(returned[0])
    dumps(info.to_json())


@pytest.mark.parametrize(
    "agent",
    [graph(MessagesState), graph(Chat), create_agent(ScriptedChat(replies=[]), [])],
    ids=["messages", "state", "create_agent"],
)
def test_a_chat_graph_takes_text_as_a_user_message(agent: Any) -> None:
    info = describe("a", agent)
    assert text_input(info, "hi") == {"messages": [{"role": "user", "content": "hi"}]}
    dumps(info.to_json())


def test_a_graph_is_described_by_its_state() -> None:
    assert describe("a", graph(Working)).description == "Works on a question."
    assert describe("a", graph(Asked)).description == "The agent 'a'."
    assert describe("a", graph(dict)).description == "The agent 'a'."


def test_a_graph_is_drawn_and_its_context_described() -> None:
    builder = StateGraph(Working, context_schema=Order)
    builder.add_node("a", lambda _: {})
    builder.add_edge(START, "a")
    info = describe("a", builder.compile())
    assert [node["id"] for node in info.drawing["nodes"]] == ["__start__", "a", "__end__"]
    assert shape(info.context_schema)[1] == {"number": "string", "count": "integer"}


def test_a_state_that_has_no_schema_leaves_the_agent_servable() -> None:
    class Odd(TypedDict):
        call: Annotated[Any, add_messages]
        thing: type[object]

    info = describe("a", graph(Odd))
    dumps(info.to_json())


def test_a_schema_that_is_written_out_is_published_word_for_word() -> None:
    @entrypoint()
    async def written(given: Annotated[dict[str, Any], WithJsonSchema(WRITTEN)]) -> None: ...

    # what Pydantic itself cannot: it looks for the definition among its own
    assert describe("a", written).input_schema == WRITTEN
