"""Small plain values stand in their checkpoint and no row: they come back as what they were."""

from __future__ import annotations

import enum
import operator
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, StateGraph

from agenthub_langgraph.saver import HubSaver
from testkit.core import Core


class Colour(enum.StrEnum):
    """A text that is more than a text."""

    RED = "red"


class Holder(TypedDict):
    value: Any


def holding(saver: HubSaver, value: Any) -> Any:
    async def node(_: Holder) -> dict[str, Any]:
        return {"value": value}

    builder = StateGraph(Holder).add_node("hold", node)
    return builder.add_edge(START, "hold").compile(checkpointer=saver)


def at(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


STORED = "select count(*) from checkpoint_blobs where channel = 'value' and data <> ''"


@pytest.mark.parametrize(
    ("value", "apart"),
    [
        (True, False), (False, False), (0, False), (-7, False), (2**53 - 1, False), ("", False),
        ("snow ☃", False), ("x" * 200, False),
        (2**53, True), (2**63, True), (1.0, True), (1e16, True), ("x" * 201, True), ("two\nlines", True),
        ("nul\0", True), (b"bytes", True), ([1], True), ({"a": None}, True), (Colour.RED, True),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_value_comes_back_as_it_was(core: Core, value: Any, apart: bool) -> None:
    saver, thread = HubSaver(core.checkpoints, "default"), str(uuid4())
    await holding(saver, value).ainvoke({"value": "before"}, at(thread))
    found = (await holding(saver, None).aget_state(at(thread))).values["value"]
    assert found == value
    assert type(found) is type(value) or isinstance(value, Colour)
    assert bool(await core.value(STORED)) is apart


async def test_a_value_that_became_none_does_not_come_back_as_what_it_was(core: Core) -> None:
    saver, thread = HubSaver(core.checkpoints, "default"), str(uuid4())
    await holding(saver, None).ainvoke({"value": "before"}, at(thread))
    assert (await holding(saver, 1).aget_state(at(thread))).values == {"value": None}


class Sum(TypedDict):
    total: Annotated[int, operator.add]


def _added(total: int | None, writes: Any) -> int:
    return (total or 0) + sum(writes)


class DeltaSum(TypedDict):
    total: Annotated[int, DeltaChannel(_added)]


def adding(saver: HubSaver, schema: Any) -> Any:
    async def node(_: Any) -> dict[str, int]:
        return {"total": 10}

    builder = StateGraph(schema).add_node("add", node)
    return builder.add_edge(START, "add").compile(checkpointer=saver)


async def test_a_sum_goes_on_when_its_channel_begins_to_store_only_what_is_added(
    core: Core,
) -> None:
    saver, thread = HubSaver(core.checkpoints, "default"), str(uuid4())
    await adding(saver, Sum).ainvoke({"total": 1}, at(thread))
    delta = adding(saver, DeltaSum)
    await delta.ainvoke({"total": 2}, at(thread))
    assert (await delta.aget_state(at(thread))).values == {"total": 23}
