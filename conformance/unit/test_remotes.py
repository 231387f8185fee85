"""Where calls to remote agents may go, which may be made again, and what answers become."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
from a2a.client.errors import A2AClientError
from a2a.types.a2a_pb2 import Artifact, Message, StreamResponse, Task, TaskState
from google.protobuf.json_format import ParseDict

from agenthub.errors import AgentFailed
from agenthub.remotes import Remote
from agenthub_conformance.adapter.recording import Recording
from agenthub_remote import a2a_asks, a2a_parts, mcp_asks, outgoing
from agenthub_remote.a2a_telling import Telling
from agenthub_remote.patience import Broken, never_sent, transient

REMOTE = Remote(
    protocol="a2a", url="https://agents.example.com/x", hosts=("other.example.com", "[::1]:8443")
)
PLAIN = Remote(protocol="mcp", url="http://10.0.0.7:8080/mcp")


@pytest.mark.parametrize(
    ("remote", "url", "allowed"),
    [
        (REMOTE, "https://agents.example.com/anything", True),
        (REMOTE, "https://AGENTS.example.com:443/", True),
        (REMOTE, "http://agents.example.com/", False),
        (REMOTE, "https://agents.example.com:8443/", False),
        (REMOTE, "https://agents.example.com.evil.org/", False),
        (REMOTE, "https://agents.example.com@evil.org/", False),
        (REMOTE, "https://other.example.com:9000/", True),
        (REMOTE, "https://[::1]:8443/", True),
        (REMOTE, "https://[::1]/", False),
        (REMOTE, "file:///etc/passwd", False),
        (PLAIN, "http://10.0.0.7:8080/mcp/", True),
        (PLAIN, "http://10.0.0.7/mcp", False),
        (PLAIN, "http://169.254.169.254/", False),
        (Remote(protocol="mcp", url="http://a.example/"), "https://a.example/", True),
    ],
)
def test_calls_go_to_the_declared_host_and_those_that_were_allowed(
    remote: Remote, url: str, allowed: bool
) -> None:
    assert outgoing.allows(remote, url) is allowed


def wrapped(error: Exception) -> Exception:
    made = A2AClientError("it broke")
    made.__cause__ = error
    return made


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_only_what_has_certainly_not_arrived_is_sent_again(library: Any) -> None:
    assert never_sent(library.ConnectError("no"))
    assert never_sent(wrapped(library.ConnectTimeout("no")))
    for arrived in (library.ReadError("no"), library.ReadTimeout("no"), library.WriteError("no")):
        assert not never_sent(arrived)
        assert transient(wrapped(arrived))
    assert not never_sent(ValueError("no"))


@pytest.mark.parametrize(
    ("status", "again"), [(503, True), (429, True), (404, False), (401, False)]
)
def test_a_read_is_repeated_when_the_other_side_is_only_away(status: int, again: bool) -> None:
    request = httpx.Request("GET", "http://x")
    error = httpx.HTTPStatusError("no", request=request, response=httpx.Response(status))
    assert transient(wrapped(error)) is again
    assert transient(Broken("it ended"))
    assert not transient(AgentFailed("it refused"))


FORM = {
    "method": mcp_asks.ELICIT,
    "params": {"requestedSchema": {"properties": {"city": {"type": "string"}}}},
}
BIG = {"method": mcp_asks.ELICIT, "params": {"requestedSchema": {"properties": {"a": {}, "b": {}}}}}
URL = {"method": mcp_asks.ELICIT, "params": {"mode": "url", "url": "https://x"}}


@pytest.mark.parametrize(
    ("answer", "request_", "reply"),
    [
        ("Oslo", FORM, {"action": "accept", "content": {"city": "Oslo"}}),
        ({"city": "Oslo"}, FORM, {"action": "accept", "content": {"city": "Oslo"}}),
        (
            {"action": "accept", "content": {"city": "Oslo"}},
            FORM,
            {"action": "accept", "content": {"city": "Oslo"}},
        ),
        ({"action": "decline", "reason": "no"}, FORM, {"action": "decline"}),
        ({"action": "cancel"}, FORM, {"action": "cancel"}),
        (None, FORM, {"action": "cancel"}),
        (True, BIG, {"action": "accept", "content": {}}),
        ("no", BIG, {"action": "decline"}),
        (True, URL, {"action": "accept"}),
        ({"action": "accept"}, URL, {"action": "accept"}),
        ("no", URL, {"action": "decline"}),
    ],
)
def test_an_answer_becomes_what_an_mcp_server_takes(answer: Any, request_: Any, reply: Any) -> None:
    assert mcp_asks.reply(answer, request_) == reply


def test_a_url_is_a_question_of_its_own_kind_and_sampling_is_refused() -> None:
    (ask,) = mcp_asks.asks_of({"k": {**URL, "params": {**URL["params"], "message": "Sign in"}}})
    assert (ask.id, ask.kind, ask.prompt) == ("k", "auth", "Sign in")
    with pytest.raises(AgentFailed, match="asks for 'sampling/createMessage', which this hub"):
        mcp_asks.asks_of({"k": {"method": "sampling/createMessage", "params": {}}})


def test_an_answer_in_words_stays_words_and_a_refusal_says_no() -> None:
    plain = ["task/answer"]
    assert a2a_parts.texts(a2a_asks.answer_parts(plain, {plain[0]: "Oslo"})) == "Oslo"
    refused = a2a_asks.answer_parts(plain, {plain[0]: {"action": "decline", "reason": "too far"}})
    assert a2a_parts.texts(refused) == "No. too far"
    assert a2a_parts.data(refused) == [{"action": "decline", "reason": "too far"}]
    assert a2a_parts.texts(a2a_asks.answer_parts(plain, {plain[0]: True})) == "yes"


def task(state: str, *, question: str = "q1", text: str = "") -> Task:
    """A task that has said one thing beside its artifact."""
    aside = {"messageId": "m1", "role": "ROLE_AGENT", "parts": [{"text": "thinking"}]}
    status = {"messageId": question, "role": "ROLE_AGENT", "parts": [{"text": "Well?"}]}
    body = {
        "id": "t",
        "contextId": "c",
        "history": [aside],
        "status": {"state": state, "message": status},
        "artifacts": [{"artifactId": "a", "parts": [{"text": text}]}] if text else [],
    }
    return ParseDict(body, Task())


def test_however_often_a_task_is_seen_it_is_told_once() -> None:
    io = Recording()
    telling = Telling(io, "far", {})
    for text in ("one ", "one two ", "one two ", "one two three"):
        telling.snapshot(task("TASK_STATE_WORKING", question="s", text=text))
    telling.finish()
    assert [m["content"] for m in telling.messages] == ["thinking", "Well?", "one two three"]
    assert [said["text"] for said in io.of("token")] == ["one ", "two ", "three"]
    again = Telling(Recording(), "far", telling.kept(finished=True))
    again.snapshot(task("TASK_STATE_WORKING", question="s", text="one two three, four"))
    again.finish()
    assert [m["content"] for m in again.messages] == [", four"]


def test_a_text_that_was_replaced_is_told_anew_under_another_id() -> None:
    io = Recording()
    telling = Telling(io, "far", {})
    for text in ("a dead worker said", "the next one says"):
        telling.snapshot(task("TASK_STATE_WORKING", text=text))
    telling.finish()
    first, second = io.of("token")
    assert first["id"] != second["id"]
    assert telling.messages[-1] == {
        "id": second["id"],
        "role": "assistant",
        "content": "the next one says",
        "name": "far",
    }


def test_a_question_that_was_answered_is_not_asked_again_by_an_old_snapshot() -> None:
    telling = Telling(Recording(), "far", {}, stale="q1")
    telling.snapshot(task("TASK_STATE_INPUT_REQUIRED"))
    assert not telling.settled
    telling.hear(StreamResponse(task=task("TASK_STATE_INPUT_REQUIRED", question="q2")))
    assert telling.settled


def test_an_artifact_that_is_the_result_is_the_output_and_others_are_told() -> None:
    io = Recording()
    telling = Telling(io, "far", {})
    done = task("TASK_STATE_COMPLETED", question="s")
    for id, value in (("chart", {"x": 1}), ("result", {"city": "Oslo"})):
        part = {"artifactId": id, "parts": [{"data": value}]}
        done.artifacts.append(ParseDict(part, Artifact()))
    telling.snapshot(done)
    telling.finish()
    assert telling.outcome() == {"city": "Oslo"}
    assert io.of("event") == [{"event": "artifact", "data": {"id": "chart", "data": [{"x": 1}]}}]


def test_a_sign_in_of_a_hub_is_answered_by_its_id() -> None:
    listed = {"interrupts": [{"id": "i", "value": {"prompt": "Sign in", "url": "https://x"}}]}
    message = ParseDict({"messageId": "q", "parts": [{"text": "?"}, {"data": listed}]}, Message())
    (ask,) = a2a_asks.asks_of("t", TaskState.TASK_STATE_AUTH_REQUIRED, message)
    assert (ask.id, ask.kind, ask.prompt) == ("i", "auth", "Sign in")
    assert a2a_parts.data(a2a_asks.answer_parts([ask.id], {"i": True})) == [
        {"interrupts": {"i": True}}
    ]
