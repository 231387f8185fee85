"""Tools of another hub as agents of this one, in both eras of MCP: a call outlives its process."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import Client

from agenthub.errors import AgentFailed
from agenthub_remote import RemoteMcp
from conftest import Hubs
from protocols import rest_client
from testkit.hub import FIXTURES
from testkit.remote import ADAPTER, Conversation, texts
from testkit.waiting import eventually

ERAS = ("modern", "handshake")


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The era that the far hub is taken for."""
    if request.param == "handshake":

        def client(*what: object, **how: object) -> Client:
            return Client(*what, mode="legacy", **how)

        monkeypatch.setattr("agenthub_remote.mcp_tools.Client", client)
    return request.param


@pytest.fixture
async def far(hubs: Hubs) -> str:
    """Another hub, with the agents of the MCP tests."""
    return await hubs(FIXTURES / "mcp_agents.py")


def talk(far: str, name: str) -> Conversation:
    return Conversation(RemoteMcp(f"{far}/mcp", tool=name))


async def test_an_agent_there_is_a_tool_here_and_remembers_its_thread(far: str, era: str) -> None:
    echo = talk(far, "echo")
    outcome = await echo.say("hello")
    assert (outcome.output["heard"], outcome.output["length"]) == ("hello", 5)
    chat = talk(far, "chat")
    first = await chat.say("one")
    second = await chat.say("two")
    assert (texts(first), texts(second)) == (["1: one"], ["2: two"])


async def test_a_question_comes_with_its_schema_and_is_answered_in_another_process(
    far: str, era: str
) -> None:
    asked = await talk(far, "ask_person").say("go")
    (ask,) = asked.asks
    assert (ask.prompt, (ask.schema or {})["required"]) == ("Who are you?", ["name"])
    elsewhere = Conversation(RemoteMcp(f"{far}/mcp", tool="ask_person"), state=asked.state)
    done = await elsewhere.answer({ask.id: {"name": "Ada", "age": 36}})
    assert done.output["given"] == {"name": "Ada", "age": 36}


async def test_one_question_after_the_other_is_the_same_call(far: str, era: str) -> None:
    twice = talk(far, "ask_twice")
    asked = await twice.say("go")
    again = await twice.answer({asked.asks[0].id: "Oslo"})
    assert again.asks[0].prompt == "Which street in Oslo?"
    done = await twice.answer({again.asks[0].id: "Karl Johans gate"})
    assert done.output["given"] == "Karl Johans gate, Oslo"


async def test_questions_at_once_are_all_asked(far: str, era: str) -> None:
    both = talk(far, "ask_both")
    outcome = await both.say("go")
    seen: list[str] = []
    while outcome.status == "paused":
        seen += [ask.prompt for ask in outcome.asks]
        outcome = await both.answer({ask.id: "blue" for ask in outcome.asks})
    assert sorted(seen) == ["Which shape?", "Which size?"]
    assert (outcome.output["size"], outcome.output["shape"]) == ("blue", "blue")


async def test_a_refusal_there_and_a_failure_there_are_told(far: str, era: str) -> None:
    approve = talk(far, "approve")
    asked = await approve.say("pay")
    done = await approve.answer({asked.asks[0].id: {"action": "decline"}})
    assert done.output["given"] == {"action": "decline"}
    with pytest.raises(AgentFailed, match="the library is closed on Sundays"):
        await talk(far, "fail").say("go")


async def test_a_call_is_followed_by_whoever_takes_over_and_made_once(
    hubs: Hubs, era: str, tmp_path: Path
) -> None:
    far = await hubs(FIXTURES / "a2a_agents.py")
    gate = tmp_path / "gate"
    gated = talk(far, "gated")
    step = gated.begin(data={"gate": str(gate)})
    saved = await eventually(
        lambda: next((s for s in gated.io.saves if s["call"].get("found")), None), within=20
    )
    await gated.stop(step, for_good=False)
    gate.touch()
    outcome = await gated.take_over(saved)
    assert outcome.output["told"] == "before the gate behind the gate "
    async with rest_client.rest(far) as there:
        (thread,) = await there.threads.search(ids=[outcome.output["thread_id"]])
        assert len(await there.runs.list(thread["thread_id"])) == 1


async def test_an_answer_of_an_attempt_that_died_is_not_given_twice(
    far: str, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: object) -> None:
        """A worker that dies leaves no session properly."""

    monkeypatch.setattr("agenthub_remote.mcp_handshake.Wire.leave", nothing)
    approve = talk(far, "approve")
    asked = await approve.say("pay")
    answer = {"action": "accept", "content": {"approved": True}}
    done = await approve.answer({asked.asks[0].id: answer})
    saves = approve.io.saves
    again = await approve.take_over(saves[0])
    assert again.output == done.output
    assert (await approve.take_over(saves[-1])).output == done.output
    async with rest_client.rest(far) as there:
        runs = await there.runs.list(done.output["thread_id"])
    # the call, and its one answer
    assert len(runs) == 2


async def test_a_cancellation_here_cancels_there(far: str, era: str) -> None:
    waits = talk(far, "wait_for_ever")
    step = waits.begin("go")

    async with rest_client.rest(far) as there:

        async def running() -> list[str]:
            busy = await there.threads.search(status="busy", limit=10)
            return [thread["thread_id"] for thread in busy]

        await eventually(running, within=20)
        await waits.stop(step, for_good=True)

        async def quiet() -> bool:
            return not await running()

        await eventually(quiet, within=20)


async def test_a_tool_says_what_it_is(far: str, era: str) -> None:
    agent = RemoteMcp(f"{far}/mcp", tool="echo")
    await ADAPTER.ask(agent)
    info = ADAPTER.describe(agent)
    assert info.description == "Says back what it was told, and how long it was."
    assert set(info.output_schema["properties"]) >= {"heard", "length"}
