"""Remote agents behind the SDKs' own servers, as they come: what is not an Agent Hub is served as well."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from mcp import Client

from agenthub import tracing
from agenthub.errors import AgentFailed, Invalid
from agenthub_remote import RemoteA2A, RemoteMcp, mcp_handshake
from testkit.processes import free_port, process
from testkit.remote import ADAPTER, Conversation, texts
from testkit.waiting import eventually

SCRIPT = Path(__file__).parent / "scripts" / "far.py"
ERAS = ("modern", "handshake")


@dataclass(frozen=True, slots=True)
class Far:
    """The servers of `far.py`, and what they have noted."""

    url: str
    file: Path

    def talk(self, path: str = "/a2a") -> Conversation:
        return Conversation(RemoteA2A(f"{self.url}{path}"))

    def tool(self, name: str) -> Conversation:
        return Conversation(RemoteMcp(f"{self.url}/mcp", tool=name))

    def notes(self, what: str) -> int:
        said = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        return said.count(what)


@pytest.fixture(scope="module")
async def far(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Far]:
    port, notes = free_port(), tmp_path_factory.mktemp("far") / "notes"
    url = f"http://127.0.0.1:{port}"
    ready = f"{url}/a2a/.well-known/agent-card.json"
    argv = [sys.executable, SCRIPT, str(port), notes]
    async with process(argv, ready=ready, stop_within=1.0):
        yield Far(url, notes)


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The era that the server is taken for: it speaks both."""
    if request.param == "handshake":
        make = _handshake
        monkeypatch.setattr("agenthub_remote.mcp_tools.Client", make)
    return request.param


def _handshake(*what: object, **how: object) -> Client:
    return Client(*what, mode="legacy", **how)


# --- A2A ------------------------------------------------------------------------------------------


async def test_status_messages_chunks_and_data_are_each_told_once(far: Far) -> None:
    chunks = far.talk()
    outcome = await chunks.say("chunks")
    assert texts(outcome) == ["thinking", "almost", "one two three"]
    assert (chunks.io.tokens, outcome.output) == ("one two three", {"count": 3})
    assert [m["content"] for m in chunks.io.of("message")] == texts(outcome)


async def test_an_agent_that_does_not_stream_is_polled(far: Far) -> None:
    outcome = await far.talk("/polled").say("chunks")
    assert texts(outcome) == ["thinking", "almost", "one two three"]
    assert outcome.output == {"count": 3}


async def test_a_message_in_the_place_of_a_task_is_the_answer(far: Far) -> None:
    outcome = await far.talk().say("message")
    assert (outcome.status, texts(outcome)) == ("done", ["only a word"])


async def test_files_are_kept_as_content_blocks(far: Far) -> None:
    outcome = await far.talk().say("file")
    text, image = outcome.messages[0]["content"]
    assert text == {"type": "text", "text": "look"}
    assert image == {
        "type": "image", "mime_type": "image/png", "filename": "a.png", "base64": "iVBORw==",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/a2a", "/polled"])
async def test_a_question_in_words_is_answered_on_the_same_task(far: Far, path: str) -> None:
    said = f"in {uuid4()}"
    talk = far.talk(path)
    asked = await talk.say("ask")
    (ask,) = asked.asks
    assert (ask.kind, ask.prompt, ask.schema) == ("input", "Which city?", None)
    done = await talk.answer({ask.id: said})
    assert (done.status, texts(done)) == ("done", [f"heard {said}"])
    # and so does a message that is no answer in form
    await talk.say("ask")
    assert texts(await talk.say(said)) == [f"heard {said}"]


@pytest.mark.parametrize("path", ["/a2a", "/polled"])
async def test_what_was_told_before_a_question_is_not_told_behind_it(far: Far, path: str) -> None:
    talk = far.talk(path)
    asked = await talk.say("begin")
    assert (texts(asked), talk.io.tokens) == (["before, "], "before, ")
    done = await talk.answer({asked.asks[0].id: "on"})
    assert (texts(done), talk.io.tokens) == (["behind"], "behind")


async def test_a_sign_in_is_a_question_of_its_own_kind(far: Far) -> None:
    talk = far.talk()
    asked = await talk.say("auth")
    assert [(ask.kind, ask.prompt) for ask in asked.asks] == [("auth", "Sign in, please.")]
    done = await talk.answer({asked.asks[0].id: "done"})
    assert texts(done) == ["heard done"]


async def test_a_rejection_is_an_error_with_its_sentence(far: Far) -> None:
    with pytest.raises(AgentFailed, match="not for me"):
        await far.talk().say("reject")


@pytest.mark.parametrize("path", ["/a2a", "/polled"])
async def test_a_cancellation_reaches_the_agent(far: Far, path: str) -> None:
    before = far.notes("a2a cancelled")
    talk = far.talk(path)
    step = talk.begin("wait")
    await talk.saved(times=2)
    await talk.stop(step, for_good=True)
    await eventually(lambda: far.notes("a2a cancelled") == before + 1)


@pytest.mark.parametrize("path", ["/a2a", "/polled"])
async def test_a_message_that_was_sent_is_found_and_not_sent_again(far: Far, path: str) -> None:
    said = f"once {uuid4()}"
    talk = far.talk(path)
    await talk.say(said)
    again = await talk.take_over(talk.io.saves[0])
    assert texts(again) == [f"heard {said}"]
    assert far.notes(f"a2a {said}") == 1


@pytest.mark.parametrize("cut", ["cut early", "cut late"])
@pytest.mark.parametrize("path", ["/a2a", "/polled"])
async def test_a_message_whose_connection_is_lost_is_looked_up_and_not_sent_again(
    far: Far, path: str, cut: str
) -> None:
    said = f"{cut} {uuid4()}"
    outcome = await far.talk(path).say(said)
    assert texts(outcome) == [f"heard {said}"]
    assert far.notes(f"a2a {said}") == 1


async def test_the_trace_of_a_run_goes_along(far: Far) -> None:
    parent = f"00-{uuid4().hex}-b7ad6b7169203331-01"
    with tracing.within({"traceparent": parent}):
        await far.talk().say("hello")
    assert far.notes(f"trace {parent}") == 1


# --- where calls may go ---------------------------------------------------------------------------


async def test_a_card_leads_nowhere_that_was_not_allowed(far: Far) -> None:
    with pytest.raises(AgentFailed, match="leads to 'localhost:1', which is not its own host"):
        await ADAPTER.ask(RemoteA2A(f"{far.url}/astray"))
    allowed = RemoteA2A(f"{far.url}/astray", hosts=["localhost:1"])
    await ADAPTER.ask(allowed)


async def test_a_redirect_leads_nowhere_else_either(far: Far) -> None:
    with pytest.raises(AgentFailed, match="leads to 'localhost:1', which is not its own host"):
        await ADAPTER.ask(RemoteA2A(f"{far.url}/elsewhere"))


async def test_an_answer_that_is_too_large_is_not_read(far: Far) -> None:
    with pytest.raises(AgentFailed, match="more than 16777216 bytes"):
        await ADAPTER.ask(RemoteA2A(f"{far.url}/large"))


async def test_a_secret_comes_from_the_environment_and_its_absence_is_told(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = Conversation(RemoteA2A(f"{far.url}/a2a", headers={"Authorization": "env:FAR_TOKEN"}))
    with pytest.raises(Invalid, match="needs the variable FAR_TOKEN"):
        await talk.say("hello")
    monkeypatch.setenv("FAR_TOKEN", "Bearer secret")
    assert texts(await talk.say("hello")) == ["heard hello"]
    assert "secret" not in str((talk.state, talk.io.told))


# --- MCP ------------------------------------------------------------------------------------------


async def test_a_server_without_a_tool_named_is_an_agent_for_each(far: Far, era: str) -> None:
    found = dict(await ADAPTER.ask(RemoteMcp(f"{far.url}/mcp")))
    assert set(found) == {"count", "weather", "forecast", "wait", "fail", "once", "sample"}
    info = ADAPTER.describe(found["count"])
    assert info.description == "Counts, and says how far it is."
    assert info.input_schema["required"] == ["to"]
    with pytest.raises(AgentFailed, match="has no tool 'nix'; it has: count, fail, forecast"):
        await ADAPTER.ask(RemoteMcp(f"{far.url}/mcp", tool="nix"))


async def test_a_tool_is_called_and_its_progress_told(far: Far, era: str) -> None:
    count = far.tool("count")
    outcome = await count.say(data={"to": 2})
    assert (outcome.status, outcome.output) == ("done", {"counted": 2})
    told = [said["data"] for said in count.io.of("event")]
    assert told == [
        {"progress": 1.0, "total": 2.0, "message": "at 1"},
        {"progress": 2.0, "total": 2.0, "message": "at 2"},
    ]


async def test_a_question_with_a_state_is_answered_by_coming_back_with_it(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast = far.tool("forecast")
    asked = await forecast.say("Monday")
    (ask,) = asked.asks
    assert (ask.prompt, (ask.schema or {})["required"]) == ("Which city?", ["city"])
    # in another process, by what is JSON
    elsewhere = Conversation(RemoteMcp(f"{far.url}/mcp", tool="forecast"), state=forecast.state)
    done = await elsewhere.answer({ask.id: {"city": "Oslo"}})
    assert texts(done) == ["sunny in Oslo on Monday by the state"]
    again = await forecast.answer({ask.id: {"action": "decline"}})
    assert texts(again) == ["sunny in decline on Monday by the state"]


async def test_a_question_in_mid_call_is_answered_on_its_connection(
    far: Far, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if era == "modern":
        monkeypatch.setattr("agenthub_remote.mcp_tools.Client", _handshake)
    before = far.notes("mcp weather")
    for answer, said in (
        ({"city": "Oslo"}, "sunny in Oslo on Monday"),
        ("Oslo", "sunny in Oslo on Monday"),
        ({"action": "decline"}, "decline, then"),
        (None, "cancel, then"),
    ):
        weather = far.tool("weather")
        asked = await weather.say("Monday")
        assert asked.asks[0].prompt == "Which city?"
        done = await weather.answer({asked.asks[0].id: answer})
        assert texts(done) == [said]
    assert far.notes("mcp weather") == before + 4


async def test_a_connection_that_held_a_question_and_is_gone_is_an_error_that_says_so(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenthub_remote.mcp_tools.Client", _handshake)
    weather = far.tool("weather")
    asked = await weather.say("Monday")
    for held in list(mcp_handshake._held.values()):
        await held.close()
    mcp_handshake._held.clear()
    with pytest.raises(AgentFailed, match="no longer than its connection, which is gone"):
        await weather.answer({asked.asks[0].id: "Oslo"})


async def test_a_server_that_wants_a_model_is_refused_and_goes_on(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenthub_remote.mcp_tools.Client", _handshake)
    (said,) = texts(await far.tool("sample").say(data={}))
    assert str(said).startswith("refused")


async def test_a_tools_error_is_an_error_with_its_words(far: Far, era: str) -> None:
    with pytest.raises(AgentFailed, match="fail"):
        await far.tool("fail").say(data={})


async def test_a_call_that_is_cancelled_here_stops_there(far: Far, era: str) -> None:
    begun, stopped = far.notes("mcp waits"), far.notes("mcp cancelled")
    wait = far.tool("wait")
    step = wait.begin(data={})
    await eventually(lambda: far.notes("mcp waits") == begun + 1)
    await wait.stop(step, for_good=True)
    await eventually(lambda: far.notes("mcp cancelled") == stopped + 1)


async def test_a_call_that_nobody_can_find_again_is_not_made_twice(far: Far, era: str) -> None:
    count = far.tool("count")
    await count.say(data={"to": 1})
    before = far.notes("mcp count")
    with pytest.raises(AgentFailed, match="it was not called a second time"):
        await count.take_over(count.io.saves[0])
    assert far.notes("mcp count") == before


@pytest.mark.parametrize("cut", ["cut early", "cut late"])
async def test_a_call_whose_connection_is_lost_is_not_made_again(
    far: Far, era: str, cut: str
) -> None:
    word = f"{cut} {uuid4()}"
    with pytest.raises(AgentFailed):
        await far.tool("once").say(word)
    assert far.notes(f"mcp {word}") == 1


async def test_a_call_that_cannot_be_sent_waits_until_it_can(far: Far, era: str) -> None:
    known = far.tool("once").agent
    await ADAPTER.ask(known)
    away = far.tool("once")
    away.agent = RemoteMcp("http://127.0.0.1:9/mcp", tool="once")
    away.agent.heard, away.agent.heard_until = known.heard, known.heard_until
    step = away.begin("word")
    done, _ = await asyncio.wait([step], timeout=0.5)
    assert not done, step
    await away.stop(step, for_good=True)


async def test_arguments_come_as_data_as_json_or_as_the_one_text_that_a_tool_takes(
    far: Far,
) -> None:
    count = far.tool("count")
    assert (await count.say('{"to": 1}')).output == {"counted": 1}
    assert (await count.say(data=1)).output == {"counted": 1}
    with pytest.raises(Invalid, match="takes structured input"):
        await count.say("one")


async def test_steps_do_not_wait_for_each_other(far: Far) -> None:
    outcomes = await asyncio.gather(*(far.talk().say(f"number {n}") for n in range(5)))
    assert [texts(outcome) for outcome in outcomes] == [[f"heard number {n}"] for n in range(5)]
