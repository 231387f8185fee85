"""The agents of the benchmark: deterministic, without a model."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

EVENTS = 200
STEPS = 10
STEP_BYTES = 1024


class Number(TypedDict):
    x: int


class Text(TypedDict):
    log: Annotated[list[str], operator.add]


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


class Chunks(BaseChatModel):
    """Streams 200 chunks at once."""

    @property
    def _llm_type(self) -> str:
        return "chunks"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("word " * EVENTS))])

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for _i in range(EVENTS):
            yield ChatGenerationChunk(message=AIMessageChunk("word "))


def one(state: Number) -> Number:
    return {"x": state["x"] + 1}


async def stream(state: Number) -> Number:
    write = get_stream_writer()
    for i in range(EVENTS):
        write({"i": i})
    return {"x": state["x"]}


async def paced(state: Number) -> Number:
    write = get_stream_writer()
    for i in range(EVENTS // 4):
        write({"i": i})
        await asyncio.sleep(0.01)
    return {"x": state["x"]}


async def chunks(state: Number) -> Number:
    await Chunks().ainvoke("go")
    return {"x": state["x"]}


async def sleep(state: Number) -> Number:
    await asyncio.sleep(5)
    return {"x": state["x"]}


def step(_: Text) -> Text:
    return {"log": ["." * STEP_BYTES]}


def turn(state: Chat) -> dict[str, list[BaseMessage]]:
    return {"messages": [AIMessage("ok")]}


def single(schema: Any, node: Any) -> Any:
    """A graph of one node."""
    graph = StateGraph(schema)
    graph.add_node("n", node)
    graph.add_edge(START, "n")
    graph.add_edge("n", END)
    return graph.compile()


def ten() -> Any:
    """A graph of ten nodes, each writing 1 KB."""
    graph = StateGraph(Text)
    names = [f"n{i}" for i in range(STEPS)]
    for name in names:
        graph.add_node(name, step)
    for a, b in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(a, b)
    return graph.compile()


w_one = single(Number, one)
w_stream = single(Number, stream)
w_paced = single(Number, paced)
w_chunks = single(Number, chunks)
w_sleep = single(Number, sleep)
w_ten = ten()
w_turn = single(Chat, turn)
GRAPHS = {
    "w_one": w_one,
    "w_stream": w_stream,
    "w_paced": w_paced,
    "w_chunks": w_chunks,
    "w_sleep": w_sleep,
    "w_ten": w_ten,
    "w_turn": w_turn,
}
