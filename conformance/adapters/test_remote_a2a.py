"""A2A agents of others as agents of this hub: told once, asked once, sent once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    Task,
    TaskState,
)

from agenthub.errors import AgentFailed, Invalid
from agenthub.json import JsonObject
from agenthub_remote import RemoteA2A
from agenthub_remote.a2a_card import described
from agenthub_remote.a2a_step import A2AStep
from conftest import Hubs
from protocols import a2a_client
from testkit.hub import FIXTURES
from testkit.remote import ADAPTER, Conversation, texts
from testkit.waiting import eventually

TOLD = "Once upon a time there was a hub that lost nothing."
BINDINGS = ("JSONRPC", "HTTP+JSON")


@pytest.fixture
async def far(hubs: Hubs) -> str:
    """Another hub, with the agents of the A2A tests."""
    return await hubs(FIXTURES / "a2a_agents.py")


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def story(far: str, binding: str) -> Conversation:
    return talk(far, "story", binding)


def talk(far: str, name: str, binding: str = "JSONRPC") -> Conversation:
    return Conversation(RemoteA2A(f"{far}/agents/{name}", binding=binding))


async def tasks(far: str, name: str, context: str) -> list[Task]:
    """The tasks of a context over there."""
    async with a2a_client.agent(far, name) as there:
        request = ListTasksRequest(context_id=context)
        return list((await there.client.list_tasks(request)).tasks)


async def test_what_streams_is_told_once_and_is_its_message(story: Conversation) -> None:
    outcome = await story.say("tell me")
    assert (outcome.status, story.io.tokens, texts(outcome)) == ("done", TOLD, [TOLD])
    assert {said["id"] for said in story.io.of("token")} == {outcome.messages[0]["id"]}
    assert [said["id"] for said in story.io.of("message")] == [outcome.messages[0]["id"]]


async def test_a_thread_here_is_one_context_there(far: str, story: Conversation) -> None:
    await story.say("tell me")
    context = story.state["context"]
    await story.say("and again")
    assert story.state == {"context": context}
    assert len(await tasks(far, "story", context)) == 2


async def test_structured_input_goes_as_data_and_comes_back_as_output(
    far: str, binding: str
) -> None:
    outcome = await talk(far, "add", binding).say(data={"a": 1, "b": 2})
    assert outcome.output == {"sum": 3, "types": ["int", "int"]}


async def test_each_question_is_asked_with_its_schema_and_answered_by_its_id(
    far: str, binding: str
) -> None:
    ship = talk(far, "ship", binding)
    asked = await ship.say("a boat")
    (ask,) = asked.asks
    assert (asked.status, ask.kind, ask.prompt) == ("paused", "input", "Ship a boat?")
    assert (ask.schema, ask.payload) == ({"type": "boolean"}, {"question": "Ship a boat?"})
    done = await ship.answer({ask.id: True})
    assert done.output == {"order": "a boat", "shipped": True}

    both = talk(far, "both", binding)
    asked = await both.say("go")
    assert [ask.prompt for ask in asked.asks] == [
        "What is your name?",
        "What is your favourite colour?",
    ]
    name, colour = (ask.id for ask in asked.asks)
    done = await both.answer({colour: "blue", name: "Ada"})
    assert (done.output["name"], done.output["colour"]) == ("Ada", "blue")


async def test_one_question_after_the_other_is_the_same_task_there(far: str, binding: str) -> None:
    book = talk(far, "book", binding)
    first = await book.say("go")
    context = book.state["context"]
    second = await book.answer({first.asks[0].id: "Oslo"})
    assert second.asks[0].schema == {"type": "integer"}
    done = await book.answer({second.asks[0].id: 3})
    assert done.output == {"from": "Oslo", "nights": 3}
    assert len(await tasks(far, "book", context)) == 1


async def test_a_message_past_an_open_question_closes_it_there(far: str, binding: str) -> None:
    ship = talk(far, "ship", binding)
    await ship.say("a boat")
    again = await ship.say("a train")
    assert (again.status, again.asks[0].prompt) == ("paused", "Ship a train?")
    states = sorted(a2a_client.state(t) for t in await tasks(far, "ship", ship.state["context"]))
    assert states == ["CANCELED", "INPUT_REQUIRED"]


async def test_a_failure_there_is_an_error_with_its_sentence(far: str, binding: str) -> None:
    with pytest.raises(AgentFailed, match="there is no such planet"):
        await talk(far, "fails", binding).say("go")


async def test_a_cancellation_here_cancels_there(far: str, binding: str) -> None:
    waits = talk(far, "waits", binding)
    step = waits.begin("for ever")
    saved = await waits.saved(times=2)
    await waits.stop(step, for_good=True)
    (task,) = await tasks(far, "waits", saved["context"])
    assert task.status.state == TaskState.TASK_STATE_CANCELED


async def test_a_message_that_is_cancelled_on_its_way_is_cancelled_when_it_has_arrived() -> None:
    far = Late()
    told = Conversation(RemoteA2A("http://far.example/agent")).io
    kept: JsonObject = {"message": {"messageId": "m"}, "since": datetime.now(UTC).isoformat()}
    client: Any = far
    await A2AStep(RemoteA2A("http://far.example/agent"), AgentCard(), client, kept, told).cancel()
    assert far.cancelled == ["late"]


@dataclass
class Late:
    """An agent that has a task only when it is looked for the third time."""

    looks: int = 0
    cancelled: list[str] = field(default_factory=list[str])

    async def list_tasks(self, _: ListTasksRequest) -> ListTasksResponse:
        self.looks += 1
        task = Task(id="late", history=[Message(message_id="m")])
        return ListTasksResponse(tasks=[task] if self.looks > 2 else [])

    async def cancel_task(self, request: CancelTaskRequest) -> None:
        self.cancelled.append(request.id)


async def test_a_worker_that_leaves_lets_the_task_go_on_and_the_next_one_follows_it(
    far: str, binding: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gated = talk(far, "gated", binding)
    step = gated.begin(data={"gate": str(gate)})
    saved = await gated.saved(times=2)
    await eventually(lambda: gated.io.tokens == "before the gate ", within=20)
    await gated.stop(step, for_good=False)
    gate.touch()
    outcome = await gated.take_over(saved)
    whole = "before the gate behind the gate "
    assert (gated.io.tokens, texts(outcome)) == (whole, [whole])
    assert outcome.output == {"told": whole}
    assert len(await tasks(far, "gated", saved["context"])) == 1


async def test_an_attempt_that_died_right_behind_its_send_is_found_and_not_sent_again(
    far: str, story: Conversation
) -> None:
    outcome = await story.say("tell me")
    in_flight = story.io.saves[0]
    assert "task" not in in_flight
    again = await story.take_over(in_flight)
    assert texts(again) == texts(outcome)
    assert len(await tasks(far, "story", story.state["context"])) == 1


async def test_an_attempt_that_died_before_its_send_sends(far: str, story: Conversation) -> None:
    await story.say("tell me")
    never = {**story.io.saves[0]}
    never["message"] = {**never["message"], "messageId": str(uuid4())}
    again = await story.take_over(never)
    assert texts(again) == [TOLD]
    assert len(await tasks(far, "story", story.state["context"])) == 1


async def test_an_answer_that_had_arrived_is_not_given_twice(far: str, binding: str) -> None:
    ship = talk(far, "ship", binding)
    asked = await ship.say("a boat")
    await ship.answer({asked.asks[0].id: True})
    answering = ship.io.saves[0]
    done = await ship.take_over(answering)
    assert done.output == {"order": "a boat", "shipped": True}
    (task,) = await tasks(far, "ship", answering["context"])
    heard = [m for m in task.history if m.message_id == answering["message"]["messageId"]]
    assert len(heard) == 1


async def test_an_answer_that_had_not_arrived_is_given_by_the_next_attempt(
    far: str, binding: str
) -> None:
    ship = talk(far, "ship", binding)
    asked = await ship.say("a boat")
    paused: JsonObject = dict(ship.state)
    body: JsonObject = {
        "messageId": str(uuid4()),
        "role": "ROLE_USER",
        "taskId": paused["task"],
        "contextId": paused["context"],
        "parts": [{"data": {"interrupts": {asked.asks[0].id: False}}}],
    }
    done = await ship.take_over({**paused, "message": body, "since": "2026-01-01T00:00:00+00:00"})
    assert done.output == {"order": "a boat", "shipped": False}


async def test_a_card_says_what_the_agent_is(far: str) -> None:
    agent = RemoteA2A(f"{far}/agents/ship")
    assert await ADAPTER.ask(agent) == [("", agent)]
    info = ADAPTER.describe(agent)
    assert (info.title, info.description) == ("Ship", "Ships an order when it is told to.")
    assert [skill["name"] for skill in info.skills] == ["Ship"]
    assert info.code_version
    # by the address of the card itself, too
    card = RemoteA2A(f"{far}/agents/ship/.well-known/agent-card.json")
    await ADAPTER.ask(card)
    assert described(card.heard) == info


async def test_a_signature_counts_by_keys_that_were_named_or_are_the_agents_own(
    far: str,
) -> None:
    base = f"{far}/agents/ship"
    await ADAPTER.ask(RemoteA2A(base, verify=True))
    await ADAPTER.ask(RemoteA2A(base, keys=f"{far}/.well-known/jwks.json"))
    with pytest.raises(AgentFailed, match="cannot be read"):
        await ADAPTER.ask(RemoteA2A(base, keys=f"{far}/agents"))
    old = f"{far}/agents/ship/v0.3/.well-known/agent-card.json"
    with pytest.raises(AgentFailed, match="is not signed"):
        await ADAPTER.ask(RemoteA2A(old, verify=True))


async def test_a_client_of_0_3_is_spoken_to_as_well(far: str) -> None:
    old = RemoteA2A(f"{far}/agents/ship/v0.3/.well-known/agent-card.json")
    ship = Conversation(old)
    asked = await ship.say("a boat")
    done = await ship.answer({asked.asks[0].id: True})
    assert done.output == {"order": "a boat", "shipped": True}


async def test_a_lost_send_that_nobody_can_look_up_is_not_repeated(far: str) -> None:
    old = Conversation(RemoteA2A(f"{far}/agents/story/v0.3/.well-known/agent-card.json"))
    await old.say("tell me")
    with pytest.raises(AgentFailed, match="it was not sent a second time"):
        await old.take_over(old.io.saves[0])


async def test_an_empty_message_is_refused_here(far: str) -> None:
    with pytest.raises(Invalid, match="the message is empty"):
        await talk(far, "story").say("  ")


async def test_a_remote_that_is_away_is_waited_for_and_a_refusal_is_not(far: str) -> None:
    with pytest.raises(AgentFailed, match="HTTP 404"):
        await talk(far, "nobody").say("hello")
    away = Conversation(RemoteA2A("http://127.0.0.1:9/agents/nobody"))
    step: asyncio.Task[Any] = away.begin("hello")
    done, _ = await asyncio.wait([step], timeout=0.5)
    assert not done
    step.cancel()
    await asyncio.wait([step])
