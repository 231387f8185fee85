"""Streams that break and go on: every event has an id, and a reader that names it hears the rest."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc as services

from agenthub_a2a.card import GENERATION
from protocols.a2a_client import PATIENCE_SECONDS, agent, collect, kinds, state, streamed
from protocols.a2a_raw import Raw, Told

BINDINGS = ("JSONRPC", "HTTP+JSON")
TOLD = "Once upon a time there was a hub that lost nothing."


@pytest.fixture
async def raw_of(hub_url: str) -> AsyncGenerator[Any]:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as http:

        def one(name: str, binding: str) -> Raw:
            http.base_url = f"{hub_url}/agents/{name}/a2a"
            return Raw(http, binding)

        yield one


@pytest.mark.parametrize("binding", BINDINGS)
async def test_every_event_but_the_result_has_its_generation_as_id(
    raw_of: Any, binding: str
) -> None:
    raw = raw_of("story", binding)
    async with raw.stream(raw.sent("tell")) as stream:
        told = [one async for one in stream]
    assert kinds([told[0].event]) == ["task"]
    for one in told[1:]:
        event = one.event
        update = event.status_update if event.HasField("status_update") else event.artifact_update
        expected = None if kinds([event]) == ["result"] else str(int(update.metadata[GENERATION]))
        assert one.id == expected
    ids = [int(one.id) for one in told if one.id]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_reader_goes_on_behind_any_event_without_a_gap_or_a_repeat(
    raw_of: Any, binding: str
) -> None:
    raw = raw_of("story", binding)
    async with raw.stream(raw.sent("tell")) as stream:
        told = [one async for one in stream]
    task = told[0].event.task
    places = [(i, one.id) for i, one in enumerate(told) if one.id]
    assert len(places) >= 3
    for place, id in places[:-1]:
        async with raw.stream(raw.subscribed(task.id), last=id) as stream:
            rest = [one.event async for one in stream]
        before = streamed([one.event for one in told[: place + 1]], "output")
        assert streamed(rest, "output", before) == TOLD
        expected = kinds([one.event for one in told[place + 1 :]])
        # text may be cut elsewhere
        assert [k for k in kinds(rest[1:]) if k != "output"] == [
            k for k in expected if k != "output"
        ]
        assert kinds(rest[:1]) == ["WORKING"]
        assert rest[0].status_update.metadata[GENERATION] == int(id)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_reader_goes_on_while_the_agent_does(
    raw_of: Any, tmp_path: Path, binding: str
) -> None:
    gate = tmp_path / "gate"
    raw = raw_of("gated", binding)
    heard: list[Told] = []
    async with raw.stream(raw.sent({"gate": str(gate)})) as stream:
        async for one in stream:
            heard.append(one)
            if one.event.HasField("artifact_update"):
                break
    task = heard[0].event.task
    async with raw.stream(raw.subscribed(task.id), last=heard[-1].id) as stream:
        gate.touch()
        rest = [one.event async for one in stream]
    assert kinds(rest)[0] == "WORKING"
    assert "task" not in kinds(rest)
    assert kinds(rest)[-2:] == ["result", "COMPLETED"]
    before = streamed([one.event for one in heard], "output")
    assert streamed(rest, "output", before) == "before the gate behind the gate "


async def test_a_stream_that_closed_at_a_question_goes_on_behind_it(
    raw_of: Any, hub_url: str
) -> None:
    raw = raw_of("ship", "JSONRPC")
    async with raw.stream(raw.sent("shoes")) as stream:
        told = [one async for one in stream]
    async with agent(hub_url, "ship", streaming=True) as ship:
        answered = await collect(ship.stream("yes", task=told[0].event.task))
    async with raw.stream(raw.subscribed(told[0].event.task.id), last=told[-1].id) as stream:
        rest = [one.event async for one in stream]
    assert kinds(rest[:1]) == ["INPUT_REQUIRED"]
    assert rest[1:] == answered[1:]
    assert state(answered[0].task) == "WORKING"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_place_that_is_none_is_refused(raw_of: Any, hub_url: str, binding: str) -> None:
    raw = raw_of("story", binding)
    async with raw.stream(raw.sent("tell")) as stream:
        told = [one async for one in stream]
    task = told[0].event.task
    last = told[-1].id
    assert last is not None
    # everything was said, and nothing will follow
    assert await raw.refusal(task.id, last) == "UNSUPPORTED_OPERATION"
    assert await raw.refusal(task.id, str(int(last) + 1)) == "UNSUPPORTED_OPERATION"
    for nonsense in ("x", "-1", "1.5", "9" * 30):
        assert await raw.refusal(task.id, nonsense) == "INVALID_PARAMS"
    async with agent(hub_url, "ship") as ship:
        foreign = await ship.send("shoes")
    assert await raw.refusal(foreign.id, "1") == "TASK_NOT_FOUND"


async def test_a_reader_goes_on_over_grpc(grpc_hub: tuple[str, str]) -> None:
    async with agent(grpc_hub[0], "story", streaming=True, binding="GRPC") as story:
        told = await collect(story.stream("tell"))
    async with grpc.aio.insecure_channel(grpc_hub[1]) as channel:
        request = pb.SubscribeToTaskRequest(tenant="story", id=told[0].task.id)
        place = str(int(told[1].status_update.metadata[GENERATION]))
        call = services.A2AServiceStub(channel).SubscribeToTask(
            request, metadata=(("last-event-id", place),)
        )
        rest = [event async for event in call]
    assert kinds(rest)[-1] == "COMPLETED"
    assert streamed(rest, "output") == TOLD
