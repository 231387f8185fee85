"""A2A streams over the wire: what they say, when they close, and that everyone hears the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from a2a.types.a2a_pb2 import CancelTaskRequest, StreamResponse
from a2a.utils.errors import InvalidParamsError, UnsupportedOperationError
from google.protobuf.json_format import MessageToDict

from agenthub_a2a.card import GENERATION
from protocols.a2a_client import (
    PATIENCE_SECONDS,
    Agent,
    agent,
    collect,
    data,
    kinds,
    state,
    streamed,
    text,
)
from testkit.waiting import eventually

TOLD = "Once upon a time there was a hub that lost nothing."


def generations(events: list[StreamResponse]) -> list[float]:
    """The generation that each update carries."""
    updates = [
        e.status_update if e.HasField("status_update") else e.artifact_update for e in events
    ]
    return [u.metadata[GENERATION] for u in updates if u.task_id]


async def test_a_stream_is_the_task_then_its_text_then_its_result_and_its_end(hub_url: str) -> None:
    async with agent(hub_url, "story", streaming=True) as story:
        events = await collect(story.stream("tell"))
        said = kinds(events)
        assert (said[:2], said[-2:]) == (["task", "WORKING"], ["result", "COMPLETED"])
        assert set(said[2:-2]) == {"output"}
        assert state(events[0].task) == "SUBMITTED"
        assert streamed(events, "output") == TOLD
        assert events[-2].artifact_update.last_chunk
        assert generations(events) == sorted(generations(events))
        read = await story.get(events[0].task)
    assert read.status.timestamp == events[-1].status_update.status.timestamp
    assert text(read, "output") == TOLD
    assert read.metadata[GENERATION] == generations(events)[-1]
    assert read.artifacts[-1] == events[-2].artifact_update.artifact


async def test_only_the_first_chunk_replaces_and_the_others_append(hub_url: str) -> None:
    async with agent(hub_url, "story", streaming=True) as story:
        events = await collect(story.stream("tell"))
    appends = [
        e.artifact_update.append
        for e in events
        if e.artifact_update.artifact.artifact_id == "output"
    ]
    assert appends == [False, *[True] * (len(appends) - 1)]
    assert len(appends) < len(TOLD.split()), "chunks are coalesced"


async def test_a_sending_stream_closes_at_a_question_and_the_answer_opens_another(
    hub_url: str,
) -> None:
    async with agent(hub_url, "ship", streaming=True) as ship:
        asked = await collect(ship.stream("shoes"))
        assert kinds(asked) == ["task", "WORKING", "INPUT_REQUIRED"]
        task = await ship.get(asked[0].task)
        assert asked[-1].status_update.status.message == task.status.message
        answered = await collect(ship.stream("yes", task=task))
    assert kinds(answered) == ["task", "WORKING", "result", "COMPLETED"]
    assert state(answered[0].task) == "WORKING"
    assert [m.parts[0].text for m in answered[0].task.history] == ["shoes", "Ship shoes?", "yes"]


async def test_a_failure_ends_a_stream_with_its_reason(hub_url: str) -> None:
    async with agent(hub_url, "fails", streaming=True) as fails:
        events = await collect(fails.stream("go"))
    assert kinds(events)[-1] == "FAILED"
    message = events[-1].status_update.status.message
    assert "there is no such planet" in message.parts[0].text


async def test_a_refused_message_is_an_error_and_not_a_stream(hub_url: str) -> None:
    async with agent(hub_url, "ship", streaming=True) as ship:
        (task, *_) = await collect(ship.stream("shoes"))
        with pytest.raises(InvalidParamsError, match="fit question"):
            await collect(ship.stream("perhaps", task=task.task))
        assert state(await ship.get(task.task)) == "INPUT_REQUIRED"


async def test_two_subscribers_hear_the_same_through_a_question_and_its_answer(
    hub_url: str,
) -> None:
    async with (
        agent(hub_url, "ship", streaming=True) as ship,
        agent(hub_url, "ship", streaming=True) as other,
    ):
        (first, *_) = await collect(ship.stream("shoes"))
        task = first.task
        streams = [aiter(ship.subscribe(task)), aiter(other.subscribe(task))]
        snapshots = [await anext(stream) for stream in streams]
        assert [state(s.task) for s in snapshots] == ["INPUT_REQUIRED"] * 2
        answering = await collect(other.stream("yes", task=task))
        heard = [await collect(stream) for stream in streams]
    assert [kinds(events) for events in heard] == [["WORKING", "result", "COMPLETED"]] * 2
    assert generations(heard[0]) == generations(heard[1]) == generations(answering)
    assert data_of(heard[0]) == data_of(heard[1]) == {"order": "shoes", "shipped": True}


def data_of(events: list[StreamResponse]) -> object:
    """The result that a stream told."""
    (result,) = [
        e.artifact_update.artifact
        for e in events
        if e.artifact_update.artifact.artifact_id == "result"
    ]
    return MessageToDict(result.parts[0].data)


async def half_told(stream: AsyncIterator[StreamResponse]) -> list[StreamResponse]:
    """A stream up to where the agent waits at its gate."""
    events: list[StreamResponse] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for event in stream:
            events.append(event)
            if streamed(events, "output") == "before the gate ":
                return events
    raise AssertionError(f"the stream ended: {kinds(events)}")


async def test_whoever_subscribes_in_the_middle_gets_what_was_said_and_then_the_rest(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with (
        agent(hub_url, "gated", streaming=True) as gated,
        agent(hub_url, "gated", streaming=True) as late,
    ):
        stream = aiter(gated.stream({"gate": str(gate)}))
        before = await half_told(stream)
        subscribed = aiter(late.subscribe(before[0].task))
        snapshot = (await anext(subscribed)).task
        assert state(snapshot) == "WORKING"
        assert text(snapshot, "output") == "before the gate "
        gate.touch()
        rest, mine = await collect(subscribed), await collect(stream)
    whole = "before the gate behind the gate "
    assert streamed(rest, "output", text(snapshot, "output")) == whole
    assert streamed(before + mine, "output") == whole
    assert kinds(rest)[-2:] == kinds(mine)[-2:] == ["result", "COMPLETED"]
    assert "WORKING" not in kinds(rest), "it was working already"


async def test_a_client_that_leaves_does_not_stop_its_task(hub_url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with agent(hub_url, "gated", streaming=True) as gated:
        events = await half_told(aiter(gated.stream({"gate": str(gate)})))
    # the connection is closed now
    async with agent(hub_url, "gated") as again:
        assert state(await again.get(events[0].task)) == "WORKING"
        gate.touch()

        async def completed() -> bool:
            return state(await again.get(events[0].task)) == "COMPLETED"

        await eventually(completed)
        assert data(await again.get(events[0].task)) == {"told": "before the gate behind the gate "}


async def test_a_cancelled_task_ends_its_streams(hub_url: str) -> None:
    async with (
        agent(hub_url, "waits", streaming=True) as waits,
        agent(hub_url, "waits", streaming=True) as other,
    ):
        stream = aiter(waits.stream("go"))
        task = (await anext(stream)).task
        subscribed = aiter(other.subscribe(task))
        await anext(subscribed)
        await other.client.cancel_task(CancelTaskRequest(id=task.id))
        assert kinds(await collect(stream))[-1] == "CANCELED"
        assert kinds(await collect(subscribed))[-1] == "CANCELED"


async def test_a_waiting_task_that_is_cancelled_ends_its_subscriptions(hub_url: str) -> None:
    async with agent(hub_url, "ship", streaming=True) as ship:
        (first, *_) = await collect(ship.stream("shoes"))
        subscribed = aiter(ship.subscribe(first.task))
        await anext(subscribed)
        await ship.client.cancel_task(CancelTaskRequest(id=first.task.id))
        assert kinds(await collect(subscribed)) == ["CANCELED"]


async def test_an_ended_task_cannot_be_subscribed_to(hub_url: str) -> None:
    async with agent(hub_url, "echo", streaming=True) as echo:
        (first, *_) = await collect(echo.stream("hello"))
        with pytest.raises(UnsupportedOperationError, match="ended"):
            await collect(echo.subscribe(first.task))


async def test_a_repeated_streaming_send_with_its_key_attaches_to_the_same_task(
    hub_url: str, tmp_path: Path
) -> None:
    gate, key = tmp_path / "gate", {"Idempotency-Key": str(tmp_path)}
    async with (
        agent(hub_url, "gated", streaming=True) as gated,
        agent(hub_url, "gated", streaming=True) as other,
    ):

        def send(client: Agent) -> AsyncIterator[StreamResponse]:
            return aiter(client.stream({"gate": str(gate)}, message_id="m", headers=key))

        first = send(gated)
        before = await half_told(first)
        second = send(other)
        snapshot = (await anext(second)).task
        assert snapshot.id == before[0].task.id
        assert text(snapshot, "output") == "before the gate "
        gate.touch()
        rests = [await collect(first), await collect(second)]
        assert [kinds(rest)[-1] for rest in rests] == ["COMPLETED"] * 2
        (ended,) = await collect(send(other))
    assert state(ended.task) == "COMPLETED"


async def test_a_stream_is_server_sent_events_of_whole_json_rpc_answers(hub_url: str) -> None:
    message = {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
    body = {
        "jsonrpc": "2.0",
        "id": "mine",
        "method": "SendStreamingMessage",
        "params": {"message": message},
    }
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client:
        response = await client.post(f"{hub_url}/agents/echo/a2a", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.splitlines() if line.startswith("data: ")]
    answers = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {(a["jsonrpc"], a["id"]) for a in answers} == {("2.0", "mine")}
    assert [next(iter(a["result"])) for a in answers] == [
        "task",
        "statusUpdate",
        "artifactUpdate",
        "statusUpdate",
    ]
