"""What agents say beside their result, on every surface: artifacts, messages, refusals, and sign-ins."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, cast

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict

from agenthub import emit
from agenthub.events import EMITTED, STARTED, Event, started
from agenthub.json import dumps
from agenthub_a2a import follow
from agenthub_a2a.card import GENERATION
from agenthub_a2a.live import Live
from agenthub_a2a.parts import part_of
from protocols.a2a_client import Agent, agent, collect, data, kinds, questions, request, state
from protocols.mcp_client import http
from protocols.mcp_wire import Wire, wire
from protocols.rest_client import named, parts, rest
from protocols.test_a2a_follow import INFO, RUN, TASK
from protocols.test_a2a_old import rpc, said
from testkit.waiting import eventually

BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")
BY_PAGE: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}}
NO_TASKS: dict[str, Any] = {"elicitation": {}}
PIXEL = bytes.fromhex("89504e470d0a1a0a")


@pytest.fixture
def hub_url(grpc_hub: tuple[str, str]) -> str:
    return grpc_hub[0]


def shown(artifacts: Any) -> list[Any]:
    """Artifacts as JSON, without their ids."""
    listed = [MessageToDict(artifact) for artifact in artifacts]
    return [{k: v for k, v in one.items() if k != "artifactId"} for one in listed]


TEXT = {"mediaType": "text/plain"}
DRAWN = [
    {"name": "draft", "parts": [{"text": "All there is about hubs.", **TEXT}]},
    {
        "name": "facts",
        "parts": [{"data": {"topic": "hubs", "words": 3.0}, "mediaType": "application/json"}],
        "metadata": {"n": 1.0},
    },
    {
        "name": "chart",
        "description": "How it went.",
        "parts": [
            {
                "raw": base64.b64encode(PIXEL).decode(),
                "mediaType": "image/png",
                "filename": "chart.png",
            }
        ],
    },
    {"name": "file", "parts": [{"raw": "cGxhaW4=", **TEXT, "filename": "a.txt"}]},
    {
        "parts": [
            {"text": "See", **TEXT},
            {
                "url": "https://example.com/report.pdf",
                "mediaType": "application/pdf",
                "filename": "report.pdf",
            },
        ]
    },
]


# --- artifacts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_agents_own_artifacts_are_the_tasks_until_it_ends_and_afterwards(
    hub_url: str, binding: str
) -> None:
    async with agent(hub_url, "draws", binding=binding) as draws:
        task = await draws.send("hubs")
        read = await draws.get(task)
        listed = await draws.client.list_tasks(
            pb.ListTasksRequest(context_id=task.context_id, include_artifacts=True)
        )
    assert shown(task.artifacts)[:-1] == DRAWN
    assert [a.artifact_id for a in task.artifacts][-2:] == ["report", "result"]
    assert len({a.artifact_id for a in task.artifacts}) == 6
    assert list(read.artifacts) == list(listed.tasks[0].artifacts) == list(task.artifacts)
    assert data(task) == {"topic": "hubs"}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_stream_tells_an_artifact_when_it_is_emitted_and_again_when_it_is_replaced(
    hub_url: str, binding: str
) -> None:
    async with agent(hub_url, "draws", streaming=True, binding=binding) as draws:
        events = await collect(draws.stream("hubs"))
        task = await draws.get(events[0].task)
    updates = [e.artifact_update for e in events if e.HasField("artifact_update")]
    names = [u.artifact.name or u.artifact.artifact_id for u in updates]
    assert names == ["draft", "facts", "chart", "file", "report", "draft", "result"]
    assert [u.append for u in updates] == [False] * 7
    assert all(u.last_chunk for u in updates)
    assert updates[0].artifact.parts[0].text == "All about hubs."
    ended = {u.artifact.artifact_id: u.artifact for u in updates}
    assert [ended[a.artifact_id] for a in task.artifacts] == list(task.artifacts)


async def test_what_is_added_is_told_by_itself_and_a_reader_goes_on_where_it_stood(
    hub_url: str, tmp_path: Path
) -> None:
    def open_gate(n: int) -> None:
        (tmp_path / str(n)).touch()

    gate = f"{tmp_path}/"
    async with (
        agent(hub_url, "writes", streaming=True) as writes,
        agent(hub_url, "writes", streaming=True) as late,
    ):
        open_gate(1)
        stream = aiter(writes.stream({"gate": gate}))
        first = [await anext(stream), await anext(stream), await anext(stream)]
        task = first[0].task
        subscribed = aiter(late.subscribe(task))
        snapshot = (await anext(subscribed)).task
        open_gate(2)
        second = await anext(stream)
        open_gate(3)
        rest_, mine = await collect(subscribed), await collect(stream)
        after = str(int(MessageToDict(second.artifact_update.metadata)[GENERATION]))
        async with http(hub_url) as raw:
            resumed = await raw.get(
                f"/agents/writes/a2a/tasks/{task.id}:subscribe",
                headers={"Last-Event-ID": after, "A2A-Version": "1.0"},
            )
        ended = await writes.get(task)
    assert chunks(first) == [("chapter 1; ", False, False)]
    assert [a.parts[0].text for a in snapshot.artifacts] == ["chapter 1; "]
    assert chunks([second, *mine]) == [("chapter 2; ", True, False), ("chapter 3; ", True, True)]
    assert chunks(rest_) == chunks([second, *mine])
    assert resumed.text.count("chapter") == resumed.text.count("chapter 3; ") == 1
    assert resumed.text.count("id: ") == 3, "the last chunk has an id, too"
    (book,) = ended.artifacts
    assert [part.text for part in book.parts] == ["chapter 1; ", "chapter 2; ", "chapter 3; "]


def chunks(events: list[pb.StreamResponse]) -> list[tuple[str, bool, bool]]:
    """The text of each artifact update, whether it is added, and whether it is the last."""
    updates = [e.artifact_update for e in events if e.HasField("artifact_update")]
    return [(u.artifact.parts[0].text, u.append, u.last_chunk) for u in updates]


async def test_clients_of_0_3_get_artifacts_messages_and_refusals_in_their_own_words(
    hub_url: str,
) -> None:
    async def sent(name: str) -> Any:
        async with http(f"{hub_url}/agents/{name}/a2a") as raw:
            return (await rpc(raw, "message/send", said("hubs")))["result"]

    async with http(f"{hub_url}/agents/answers/a2a") as raw:
        message = said("hubs").model_dump(mode="json", by_alias=True, exclude_none=True)
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "message/stream",
            "params": {"message": message},
        }
        stream = (await raw.post("", json=body)).text
    (only,) = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert only["result"]["kind"] == "message"
    drawn = await sent("draws")
    assert drawn["kind"] == "task"
    files = [a["parts"][-1] for a in drawn["artifacts"]]
    assert files[2]["file"]["bytes"] == base64.b64encode(PIXEL).decode()
    assert files[2]["file"]["mimeType"] == "image/png"
    assert files[4]["file"]["uri"] == "https://example.com/report.pdf"
    answered = await sent("answers")
    assert (answered["kind"], answered["parts"][0]["text"]) == ("message", "You said:")
    assert (await sent("rejects"))["status"]["state"] == "rejected"
    assert (await sent("signs_in"))["status"]["state"] == "auth-required"


async def test_a_calling_model_gets_the_files_that_an_agent_emits(hub_url: str) -> None:
    async with wire(NO_TASKS) as mcp:
        result = await mcp.call(hub_url, "draws", {"input": "hubs"})
        task_id = result["_meta"]["agenthub/task_id"]
        status = await mcp.call(hub_url, "run_status", {"task_id": task_id})
    assert [c["type"] for c in result["content"]] == [
        "text", "text", "text", "image", "resource", "text", "resource_link", "resource_link",
    ]  # fmt: skip
    output, draft, facts, image, file, see, link, _ = result["content"]
    assert '"topic":"hubs"' in output["text"]
    assert (draft["text"], see["text"]) == ("All there is about hubs.", "See")
    assert facts["text"] == '{"topic":"hubs","words":3}'
    assert (image["mimeType"], base64.b64decode(image["data"])) == ("image/png", PIXEL)
    assert (file["resource"]["text"], file["resource"]["mimeType"]) == ("plain", "text/plain")
    assert (link["uri"], link["name"]) == ("https://example.com/report.pdf", "report.pdf")
    assert result["structuredContent"]["topic"] == "hubs"
    # read afterwards, from the log
    assert status["content"][-3:] == [*result["content"][3:5], link]


@pytest.mark.parametrize("message", ["hello", "late"])
async def test_a_finished_task_of_mcp_has_what_a_call_would_have_had(
    hub_url: str, message: str
) -> None:
    async with wire() as mcp, wire(NO_TASKS) as blocking:
        called = await blocking.call(hub_url, "answers", {"input": message})
        task_id = called["_meta"]["agenthub/task_id"]
        read = await mcp.until(hub_url, task_id, "completed")
    assert read["result"]["content"] == called["content"]
    texts = [c["text"] for c in called["content"] if c["type"] == "text"]
    first = f'You said:{{"said":"{message}"}}'
    assert texts == ([first, "first this"] if message == "late" else [first])


async def test_what_was_emitted_before_a_question_is_in_the_result_behind_it(
    hub_url: str, tmp_path: Path
) -> None:
    async with wire(NO_TASKS) as mcp, rest(hub_url) as over_rest:
        asked = await mcp.call(hub_url, "asks_about", {"input": "hubs"})
        task_id = asked["_meta"]["agenthub/task_id"]
        answer = {"task_id": task_id, "answer": "yes"}
        done = await mcp.call(hub_url, "resume_run", answer)
        thread = await over_rest.threads.get_state(done["_meta"]["agenthub/thread_id"])
    assert [c["text"] for c in done["content"][1:-1]] == ["a draft about hubs"]
    assert thread["next"] == []


@pytest.mark.parametrize("mode", ["custom", "updates"])
async def test_over_rest_emissions_are_custom_events_with_a_name(hub_url: str, mode: Any) -> None:
    async with rest(hub_url) as over_rest:
        late: Any = "late"
        stream = over_rest.runs.stream(None, "answers", input=late, stream_mode=mode)
        told = named(await parts(stream), "custom")
    if mode != "custom":
        assert told == []
        return
    artifact, message = told
    assert artifact["name"] == "artifact"
    payload = artifact["payload"]
    assert payload["step"].startswith("answers:")
    assert (payload["name"], payload["append"], payload["last"]) == ("a", False, True)
    assert payload["parts"] == [{"type": "text", "text": "first this"}]
    assert message["name"] == "message"
    assert message["payload"]["parts"] == [
        {"type": "text", "text": "You said:"},
        {"type": "data", "data": {"said": "late"}},
    ]


def test_data_that_is_too_deep_for_protobuf_is_its_json_as_text() -> None:
    value: Any = {}
    for _ in range(150):
        value = {"in": value}
    part = part_of({"type": "data", "data": value})
    assert (json.loads(part.text), part.media_type) == (value, "application/json")
    # and what is not, is data that a client can read within a task
    seen: set[str | None] = set()
    for depth in range(60):
        value = {"in": value} if depth else {}
        artifact = pb.Artifact(parts=[part_of({"type": "data", "data": value})])
        told = pb.StreamResponse(artifact_update=pb.TaskArtifactUpdateEvent(artifact=artifact))
        (read,) = pb.StreamResponse.FromString(
            told.SerializeToString()
        ).artifact_update.artifact.parts
        seen.add(read.WhichOneof("content"))
        answer = MessageToDict(pb.SendMessageResponse(task=pb.Task(artifacts=[artifact])))
        ParseDict(answer, pb.SendMessageResponse())
    assert seen == {"data", "text"}


def emitted(seq: int, text: str, *, append: bool) -> Event:
    parts = [{"type": "text", "text": text}]
    payload = {"id": "a", "step": "s", "append": append, "last": True, "parts": parts}
    return Event(seq, RUN.run_id, EMITTED, dumps({"name": "artifact", "payload": payload}))


def test_after_a_crash_a_reader_is_told_to_replace_what_the_dead_worker_had_emitted() -> None:
    live = Live(INFO, TASK)
    log = [
        Event(1, RUN.run_id, STARTED, started(RUN.run_id, 1)),
        emitted(2, "half", append=False),
        emitted(3, "a sen", append=True),
        Event(4, RUN.run_id, STARTED, started(RUN.run_id, 2)),
        emitted(5, "a whole ", append=True),
        emitted(6, "sentence", append=True),
    ]
    told = [update for event in log for update in live.tell(event)]
    assert chunks([pb.StreamResponse(artifact_update=cast("Any", u)) for u in told[1:]]) == [
        ("half", False, True),
        ("a sen", True, True),
        ("a whole ", False, True),
        ("sentence", True, True),
    ]
    (whole,) = live.emitted.artifacts.values()
    assert [part["text"] for part in whole.parts] == ["a whole ", "sentence"]


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_agent_that_declares_it_answers_with_a_message_and_nothing_else(
    hub_url: str, monkeypatch: pytest.MonkeyPatch, binding: str
) -> None:
    monkeypatch.setattr(follow, "HELD_SECONDS", 60.0)
    async with (
        agent(hub_url, "answers", binding=binding) as answers,
        agent(hub_url, "answers", streaming=True, binding=binding) as streaming,
    ):
        sent = [event async for event in answers.stream("hello")]
        streamed = await collect(streaming.stream("hello"))
    for (event,) in (sent, streamed):
        assert event.HasField("message")
        message = event.message
        assert (message.role, message.parts[0].text) == (pb.Role.ROLE_AGENT, "You said:")
        assert MessageToDict(message.parts[1].data) == {"said": "hello"}
        assert (bool(message.context_id), message.task_id) == (True, "")


@pytest.mark.parametrize(
    ("name", "said"), [("answers_by_task", "hello"), ("answers", "late")], ids=["task", "late"]
)
async def test_a_message_is_otherwise_what_the_completed_task_says(
    hub_url: str, name: str, said: str
) -> None:
    async with (
        agent(hub_url, name) as sending,
        agent(hub_url, name, streaming=True) as streaming,
    ):
        task = await sending.send(said)
        events = await collect(streaming.stream(said))
        read = await sending.get(task)
        listed = await sending.client.list_tasks(pb.ListTasksRequest(context_id=task.context_id))
    told = [e.artifact_update.artifact.name for e in events if e.HasField("artifact_update")]
    assert told == [a.name for a in task.artifacts] == (["a"] if said == "late" else [])
    assert (kinds(events)[:2], kinds(events)[-1]) == (["task", "WORKING"], "COMPLETED")
    for status in (
        task.status,
        read.status,
        listed.tasks[0].status,
        events[-1].status_update.status,
    ):
        assert status.state == pb.TaskState.TASK_STATE_COMPLETED
        assert status.message.parts[0].text == "You said:"


@pytest.mark.parametrize("patience", [0.0, 60.0], ids=["impatient", "patient"])
async def test_a_stream_waits_for_a_message_but_not_for_ever(
    hub_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(follow, "HELD_SECONDS", patience)
    gate = tmp_path / "gate"
    async with agent(hub_url, "answers_late", streaming=True) as late:
        stream = aiter(late.stream(str(gate)))
        first = asyncio.ensure_future(anext(stream))
        if patience:
            gate.touch()
            assert (await first).message.parts[0].text == "at last"
            assert await collect(stream) == []
            return
        assert (await first).HasField("task"), "nothing has been said yet"
        gate.touch()
        events = await collect(stream)
    assert kinds(events) == ["WORKING", "COMPLETED"]
    assert events[-1].status_update.status.message.parts[0].text == "at last"


async def test_who_wants_no_waiting_gets_the_task_that_may_say_more_later(hub_url: str) -> None:
    async with agent(hub_url, "answers") as answers:
        task = await answers.send("hello", returnImmediately=True)

        async def completed() -> bool:
            return state(await answers.get(task)) == "COMPLETED"

        await eventually(completed)
        read = await answers.get(task)
    assert read.status.message.parts[0].text == "You said:"


# --- refusals -----------------------------------------------------------------------------------


async def test_a_rejection_is_said_as_such_everywhere(hub_url: str) -> None:
    async with (
        agent(hub_url, "rejects") as rejects,
        agent(hub_url, "rejects", streaming=True) as streaming,
        wire(NO_TASKS) as mcp,
        wire() as with_tasks,
        rest(hub_url) as over_rest,
    ):
        task = await rejects.send("1 + 1")
        events = await collect(streaming.stream("1 + 1"))
        read = await rejects.get(task)
        context = task.context_id
        listed = [
            [
                t.id
                for t in (
                    await rejects.client.list_tasks(
                        pb.ListTasksRequest(context_id=context, status=wanted)
                    )
                ).tasks
            ]
            for wanted in (pb.TASK_STATE_REJECTED, pb.TASK_STATE_FAILED)
        ]
        result = await mcp.call(hub_url, "rejects", {"input": "1 + 1"})
        as_task = await with_tasks.until(hub_url, result["_meta"]["agenthub/task_id"], "completed")
        thread = await over_rest.threads.create()
        sums: Any = "1 + 1"
        run = await over_rest.runs.create(thread["thread_id"], "rejects", input=sums)
        await over_rest.http.get(f"/threads/{thread['thread_id']}/runs/{run['run_id']}/join")
        ended: Any = await over_rest.runs.get(thread["thread_id"], run["run_id"])
    assert (state(task), state(read), kinds(events)[-1]) == ("REJECTED", "REJECTED", "REJECTED")
    assert read.status.message.parts[0].text == "I do no sums on Sundays."
    assert listed == [[task.id], []]
    assert result["isError"]
    assert [c["text"] for c in result["content"]] == ["I do no sums on Sundays."]
    # `failed` is left for what is none of the agent's doing
    assert as_task["result"]["isError"]
    assert (ended["status"], ended["error"]["error"]) == ("error", "Rejected")
    assert ended["attempts"] == 1


# --- sign-in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_stream_stays_open_while_its_user_signs_in_and_hears_of_it_from_elsewhere(
    hub_url: str, binding: str
) -> None:
    async with (
        agent(hub_url, "signs_in", streaming=True, binding=binding) as signs_in,
        agent(hub_url, "signs_in", binding=binding) as reading,
        rest(hub_url) as over_rest,
    ):
        stream = aiter(signs_in.stream("Ada"))
        before = [await anext(stream) for _ in range(3)]
        task = await reading.get(before[0].task)
        listed = [
            (
                await reading.client.list_tasks(
                    pb.ListTasksRequest(context_id=task.context_id, status=wanted)
                )
            ).total_size
            for wanted in (pb.TASK_STATE_AUTH_REQUIRED, pb.TASK_STATE_INPUT_REQUIRED)
        ]
        blocking = await reading.send("Bob")
        await over_rest.runs.create(task.context_id, "signs_in", command={"resume": "done"})
        after = await collect(stream)
    assert kinds(before) == ["task", "WORKING", "AUTH_REQUIRED"]
    assert (state(task), state(blocking)) == ("AUTH_REQUIRED", "AUTH_REQUIRED")
    assert before[-1].status_update.status.message == task.status.message
    asked = task.status.message.parts[0].text
    assert asked == "Sign in to the bank.\nhttps://example.com/oauth?a=1&b=2"
    assert questions(task)[0]["value"]["payload"]["url"] == "https://example.com/oauth?a=1&b=2"
    assert listed[0] == 1
    assert kinds(after) == ["WORKING", "result", "COMPLETED"]
    assert text_of(after[1]) == {"name": "Ada", "told": "done"}


def text_of(event: pb.StreamResponse) -> Any:
    """The data of a told artifact."""
    return MessageToDict(event.artifact_update.artifact.parts[0].data)


async def test_a_sign_in_is_answered_by_a_message_too(hub_url: str) -> None:
    async with agent(hub_url, "signs_in") as signs_in:
        task = await signs_in.send("Ada")
        done = await signs_in.send("done", task=task)
    assert (state(done), data(done)) == ("COMPLETED", {"name": "Ada", "told": "done"})


async def test_a_client_of_mcp_that_opens_pages_is_sent_to_one_that_leads_to_the_sign_in(
    hub_url: str,
) -> None:
    async with wire(BY_PAGE) as mcp, wire(NO_TASKS) as by_form, http(hub_url) as browser:
        asked = await mcp.call(hub_url, "signs_in", {"input": "Ada"})
        ((key, wanted),) = asked["inputRequests"].items()
        page = await browser.get(wanted["params"]["url"].removeprefix(hub_url))
        form = await by_form.call(hub_url, "signs_in", {"input": "Ada"})
        taken = await browser.post(
            wanted["params"]["url"].removeprefix(hub_url), data={"action": "accept"}
        )
        done = await retry(mcp, hub_url, asked, key)
    assert wanted["params"]["mode"] == "url"
    assert 'href="https://example.com/oauth?a=1&amp;b=2"' in page.text
    assert 'rel="noopener noreferrer"' in page.text
    (in_form,) = form["inputRequests"].values()
    assert in_form["params"].get("mode", "form") == "form"
    assert "https://example.com/oauth?a=1&b=2" in in_form["params"]["message"]
    assert taken.status_code == 200
    assert done["structuredContent"]["told"] is True


async def retry(mcp: Wire, hub_url: str, asked: Any, key: str) -> Any:
    """The call again, with the link accepted."""
    params = {
        "name": "signs_in",
        "arguments": {"input": "Ada"},
        "inputResponses": {key: {"action": "accept"}},
        "requestState": asked["requestState"],
    }
    return await mcp.ask(hub_url, "tools/call", params)


# --- the message that is answered ---------------------------------------------------------------


async def test_an_agent_knows_which_message_it_answers(hub_url: str) -> None:
    async def send(hears: Agent, id: str, **how: Any) -> pb.Task:
        asked = request("hello", message_id=id, **how)
        asked.message.metadata.update({"trail": ["a"], "n": 2})
        async for answer in hears.client.send_message(asked):
            return answer.task
        raise AssertionError

    async with agent(hub_url, "hears") as hears:
        task = await send(hears, "m-1")
        done = await send(hears, "m-2", task=task)
    metadata = {"trail": ["a"], "n": 2.0}
    assert data(done) == {"first": ["m-1", metadata], "then": ["m-2", metadata]}


async def test_outside_a_run_nobody_would_hear_it() -> None:
    with pytest.raises(RuntimeError, match="there is no run here"):
        emit.artifact("x")
    with pytest.raises(RuntimeError, match="there is no run here"):
        await asyncio.to_thread(emit.message, "x")
