"""Token usage: each message once, however it arrives."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from agenthub_langgraph.usage import Usage
from testkit.agents import usage


def ends(counted: Usage, message: AIMessage) -> None:
    counted.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]]))


def chunk(id: Any, input: int, output: int) -> AIMessageChunk:
    return AIMessageChunk("x", id=id, usage_metadata=usage(input, output))


def test_nothing_reported_is_nothing_counted() -> None:
    counted = Usage()
    counted.add(AIMessageChunk("x"))
    counted.add("no message")
    counted.on_llm_end(LLMResult(generations=[[Generation(text="x")], []]))
    assert counted.total is None


def test_the_chunks_of_a_message_are_added_up() -> None:
    counted = Usage()
    counted.add(chunk("1", 7, 1))
    counted.add(chunk("1", 0, 2))
    counted.add(chunk("2", 1, 1))
    assert counted.total == usage(8, 4)


def test_a_model_that_reports_at_its_end_is_not_counted_by_its_chunks_too() -> None:
    before, after = Usage(), Usage()
    whole = AIMessage("x", id="1", usage_metadata=usage(7, 3))
    before.add(chunk("1", 7, 3))
    ends(before, whole)
    ends(after, whole)
    after.add(chunk("1", 7, 3))
    assert before.total == after.total == usage(7, 3)


def test_several_calls_are_added_up() -> None:
    counted = Usage()
    for id in ("1", "2"):
        ends(counted, AIMessage("x", id=id, usage_metadata=usage(7, 3)))
    assert counted.total == usage(14, 6)


def test_an_incomplete_report_counts_what_it_has() -> None:
    class Odd:
        id = "1"
        usage_metadata = {"input_tokens": 3, "output_tokens": None}  # noqa: RUF012

    counted = Usage()
    counted.add(Odd())
    assert counted.total == {"input_tokens": 3, "output_tokens": 0, "total_tokens": 0}
