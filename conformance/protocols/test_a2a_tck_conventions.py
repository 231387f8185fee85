"""The conventions of the official TCK and of the declarative suite: every prefix, over every binding.

The TCK itself cannot be installed here (it is published nowhere but in its repository), so these are its
scenarios, driven by the official client, and what it asserts of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict

from protocols.a2a_client import Agent, agent, collect, kinds, request, state
from protocols.mcp_client import http
from testkit.receiver import receiving
from testkit.waiting import eventually

BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")
NAMES = {
    "tck-complete-task": "COMPLETED", "tck-delayed-complete": "COMPLETED",
    "tck-artifact-text": "COMPLETED", "tck-artifact-file": "COMPLETED",
    "tck-artifact-file-url": "COMPLETED", "tck-artifact-data": "COMPLETED",
    "tck-input-required": "INPUT_REQUIRED", "tck-auth-required": "AUTH_REQUIRED",
    "tck-reject-task": "REJECTED", "tck-unheard-of": "COMPLETED",
    "tck-multi-turn": "INPUT_REQUIRED", "tck-task-failure": "FAILED",
}  # fmt: skip
STREAMS = {
    "tck-stream-001": ["Stream hello from TCK"],
    "tck-stream-002": [],
    "tck-stream-003": ["Stream task lifecycle"],
    "tck-stream-ordering-001": ["Ordered output"],
    "tck-stream-artifact-text": ["Streamed text content"],
    "tck-stream-artifact-chunked": ["chunk-1 ", "chunk-2"],
    "tck-stream-basic": ["basic"],
    "tck-stream-chunked": ["chunk-1 ", "chunk-2"],
    "test-resubscribe-message-id": [],
}
FILE = {"mediaType": "text/plain", "filename": "output.txt"}
ARTIFACTS = {
    "tck-artifact-text": {"text": "Generated text content", "mediaType": "text/plain"},
    "tck-artifact-file": {"raw": "dGNr", **FILE},
    "tck-artifact-file-url": {"url": "https://example.com/output.txt", **FILE},
    "tck-artifact-data": {"data": {"key": "value", "count": 42.0}, "mediaType": "application/json"},
}


@dataclass
class Seen:
    """What one binding showed."""

    sent: dict[str, pb.Task] = field(default_factory=dict[str, pb.Task])
    read: dict[str, pb.Task] = field(default_factory=dict[str, pb.Task])
    told: dict[str, list[pb.StreamResponse]] = field(
        default_factory=dict[str, list[pb.StreamResponse]]
    )
    message: dict[str, list[pb.StreamResponse]] = field(
        default_factory=dict[str, list[pb.StreamResponse]]
    )


def by_id(name: str, text: str = "TCK", **how: Any) -> pb.SendMessageRequest:
    """A message as the TCK sends it: its id says what is wanted, the same one again and again."""
    return request(text, message_id=f"{name}-1c0ffee", **how)


async def answer(one: Agent, asked: pb.SendMessageRequest) -> pb.StreamResponse:
    """The one answer to a message."""
    (only,) = [event async for event in one.client.send_message(asked)]
    return only


async def observe(stack: AsyncExitStack, hub_url: str, binding: str) -> Seen:
    one = await stack.enter_async_context(agent(hub_url, "tck", binding=binding))
    streaming = await stack.enter_async_context(
        agent(hub_url, "tck", binding=binding, streaming=True)
    )
    seen = Seen()

    async def send(name: str) -> None:
        seen.sent[name] = (await answer(one, by_id(name))).task
        seen.read[name] = await one.get(seen.sent[name])

    async def stream(name: str) -> None:
        seen.told[name] = await collect(streaming.client.send_message(by_id(name)))

    async def message() -> None:
        asked = by_id("tck-message-response")
        seen.message["send"] = [event async for event in one.client.send_message(asked)]
        seen.message["stream"] = await collect(streaming.client.send_message(asked))

    await asyncio.gather(message(), *map(send, NAMES), *map(stream, STREAMS))
    return seen


@pytest.fixture(scope="module")
async def seen(grpc_hub: tuple[str, str]) -> AsyncGenerator[dict[str, Seen]]:
    """Everything at once: the suites want some of it to take seconds."""
    async with AsyncExitStack() as stack:
        shown = await asyncio.gather(*(observe(stack, grpc_hub[0], b) for b in BINDINGS))
        yield dict(zip(BINDINGS, shown, strict=True))


@pytest.mark.parametrize("binding", BINDINGS)
def test_every_prefix_comes_to_its_state(seen: dict[str, Seen], binding: str) -> None:
    assert {name: state(task) for name, task in seen[binding].sent.items()} == NAMES
    assert {name: state(task) for name, task in seen[binding].read.items()} == NAMES
    for name in ("tck-complete-task", "tck-reject-task", "tck-delayed-complete"):
        said = {"tck-complete-task": "Hello from TCK", "tck-reject-task": "rejected"}
        (part,) = seen[binding].read[name].status.message.parts
        assert part.text == said.get(name, "Done after delay")


@pytest.mark.parametrize("binding", BINDINGS)
def test_artifacts_hold_what_their_prefix_says_and_nothing_beside(
    seen: dict[str, Seen], binding: str
) -> None:
    for name, part in ARTIFACTS.items():
        (artifact,) = seen[binding].read[name].artifacts
        assert [MessageToDict(p) for p in artifact.parts] == [part]


@pytest.mark.parametrize("binding", BINDINGS)
def test_streams_are_the_task_its_updates_in_order_and_its_end(
    seen: dict[str, Seen], binding: str
) -> None:
    for name, texts in STREAMS.items():
        events = seen[binding].told[name]
        assert (kinds(events)[:2], kinds(events)[-1]) == (["task", "WORKING"], "COMPLETED")
        updates = [e.artifact_update for e in events if e.HasField("artifact_update")]
        assert [u.artifact.parts[0].text for u in updates] == texts
        assert len({u.artifact.artifact_id for u in updates}) == min(1, len(texts))
        # the first makes the artifact, the others add to it, and the last one says so
        assert [u.append for u in updates] == [n > 0 for n in range(len(texts))]
        assert [u.last_chunk for u in updates] == [n == len(texts) - 1 for n in range(len(texts))]


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_message_is_the_whole_answer(seen: dict[str, Seen], binding: str) -> None:
    for how in ("send", "stream"):
        (only,) = seen[binding].message[how]
        assert only.HasField("message")
        assert only.message.parts[0].text == "Direct message response"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_is_carried_on_by_the_same_ids_and_its_history_holds_both(
    grpc_hub: tuple[str, str], binding: str
) -> None:
    async with agent(grpc_hub[0], "tck", binding=binding) as one:
        first = (await answer(one, by_id("tck-input-required", "TCK first"))).task
        again = (await answer(one, by_id("tck-input-required", "TCK first"))).task
        assert first.id != again.id, "the same message without a task is a new task"
        follow_up = by_id("tck-complete-task", "TCK second", task=first, historyLength=10)
        done = (await answer(one, follow_up)).task
        none = await one.client.get_task(pb.GetTaskRequest(id=first.id, history_length=0))
    assert (state(done), done.id, done.context_id) == ("COMPLETED", first.id, first.context_id)
    said = [m.parts[0].text for m in done.history if m.role == pb.Role.ROLE_USER]
    assert said == ["TCK first", "TCK second"]
    assert list(none.history) == []


@pytest.mark.parametrize("binding", BINDINGS)
async def test_who_does_not_wait_sees_the_task_at_work_and_may_cancel_it(
    grpc_hub: tuple[str, str], binding: str
) -> None:
    async with agent(grpc_hub[0], "tck", binding=binding) as one:
        asked = by_id("tck-long-running", returnImmediately=True)
        task = (await answer(one, asked)).task
        waits = (await answer(one, by_id("tck-cancel", returnImmediately=True))).task
        cancelled = await one.client.cancel_task(pb.CancelTaskRequest(id=waits.id))
        ended = await one.client.cancel_task(pb.CancelTaskRequest(id=task.id))
    assert state(task) in ("SUBMITTED", "WORKING")
    assert (state(cancelled), state(ended)) == ("CANCELED", "CANCELED")


@pytest.mark.parametrize("binding", BINDINGS)
async def test_two_subscribers_of_a_waiting_task_hear_the_same_to_its_end(
    grpc_hub: tuple[str, str], binding: str
) -> None:
    hub_url, _ = grpc_hub
    async with (
        agent(hub_url, "tck", binding=binding) as one,
        agent(hub_url, "tck", binding=binding, streaming=True) as two,
        agent(hub_url, "tck", binding=binding, streaming=True) as three,
    ):
        task = (await answer(one, by_id("tck-input-required"))).task
        streams = [aiter(who.subscribe(task)) for who in (two, three)]
        snapshots = [await anext(stream) for stream in streams]
        await answer(one, by_id("tck-complete-task", task=task))
        heard = [await collect(stream) for stream in streams]
    assert snapshots[0] == snapshots[1]
    assert heard[0] == heard[1], "byte for byte, timestamps included"
    assert kinds(heard[0]) == ["WORKING", "COMPLETED"]


def keys_of(value: Any) -> set[str]:
    """The names of all fields, however deep."""
    if isinstance(value, list):
        return set[str]().union(*map(keys_of, cast("list[Any]", value)))
    if not isinstance(value, dict):
        return set()
    fields = cast("dict[str, Any]", value)
    return set(fields).union(*map(keys_of, fields.values()))


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_fields_that_nobody_knows_are_ignored_and_the_answer_is_proto_json(
    grpc_hub: tuple[str, str], binding: str
) -> None:
    said = {
        "messageId": "tck-input-required-1",
        "role": "ROLE_USER",
        "parts": [{"text": "TCK", "tckUnknown": 1}],
        "tckUnknownField": "should be ignored",
    }
    params: Any = {"message": said, "tckExtraParam": 42}
    body: Any = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
    path = "" if binding == "JSONRPC" else "/message:send"
    async with http(f"{grpc_hub[0]}/agents/tck/a2a") as raw:
        answered = await raw.post(
            path, json=body if path == "" else params, headers={"A2A-Version": "1.0"}
        )
    answer = answered.json()
    task = (answer["result"] if path == "" else answer)["task"]
    assert [key for key in keys_of(task) if re.fullmatch("[a-z]+(_[a-z]+)+", key)] == []
    assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert {message["role"] for message in task["history"]} == {"ROLE_USER"}
    assert re.fullmatch(r"[-0-9]{10}T[:0-9]{8}(\.\d+)?Z", task["status"]["timestamp"])


async def test_a_webhook_on_this_machine_is_told_with_its_credentials(
    grpc_hub: tuple[str, str],
) -> None:
    async with receiving() as webhook, agent(grpc_hub[0], "tck") as one:
        config = {
            "id": "push",
            "url": webhook.url,
            "authentication": {"scheme": "Bearer", "credentials": "token"},
        }
        asked = by_id("tck-input-required", taskPushNotificationConfig=config)
        task = (await answer(one, asked)).task
        await answer(one, by_id("tck-complete-task", task=task))

        async def told() -> bool:
            return bool(webhook.got) and "COMPLETED" in webhook.got[-1].body.decode()

        await eventually(told)
    assert {got.headers["authorization"] for got in webhook.got} == {"Bearer token"}
    assert {next(iter(got.json)) for got in webhook.got} == {"task"}
    status = webhook.got[-1].json["task"]["status"]
    assert status["message"]["parts"][0]["text"] == "Hello from TCK"
