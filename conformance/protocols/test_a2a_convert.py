"""What messages mean, how tasks are shown, and what streams say of events: pure functions."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from a2a.types.a2a_pb2 import ListTasksResponse, Message, TaskState
from google.protobuf.json_format import MessageToDict, ParseDict

from agenthub.agents import AgentInfo
from agenthub.errors import Invalid, UnknownInterrupt
from agenthub.events import ENDED, MESSAGES, STARTED, UPDATES, VALUES, Event, ended, started
from agenthub.interrupts import Interrupt
from agenthub.json import Json, dumps
from agenthub.runs import Run, Task
from agenthub_a2a.card import GENERATION
from agenthub_a2a.convert import first_input, origin_of, to_a2a_task
from agenthub_a2a.live import Live, Update
from agenthub_a2a.questions import answers, question_parts

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
THREAD, FIRST, SECOND = UUID(int=1), UUID(int=2), UUID(int=3)
CHAT = AgentInfo(
    name="chat",
    description="",
    input_schema={"type": "object", "properties": {"messages": {"type": "array"}}},
    output_keys=("messages",),
)
PLAIN = AgentInfo(name="plain", description="")


def message(*parts: dict[str, Any], id: str = "m") -> Message:
    body = {"messageId": id, "role": "ROLE_USER", "parts": list(parts)}
    return ParseDict(body, Message())


def run(run_id: UUID, **changes: Any) -> Run:
    made = Run(
        tenant="default",
        run_id=run_id,
        thread_id=THREAD,
        task_id=FIRST,
        agent="chat",
        kind="input",
        status="running",
        attempts=1,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def task(*runs: Run, **changes: Any) -> Task:
    made = Task(
        tenant="default",
        task_id=FIRST,
        thread_id=THREAD,
        agent="chat",
        status="working",
        subject="anonymous",
        created_at=NOW,
        updated_at=NOW,
        last_seq=0,
        runs=runs,
    )
    return replace(made, **changes)


# --- what a first message means ------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [{"n": 10, "x": 1.5}, [1, [2]], "text", 7, True, None, {"big": 2**53 - 1}]
)
def test_a_single_data_part_is_the_input_with_integers_as_integers(value: Json) -> None:
    given = first_input(PLAIN, message({"data": value}))
    # compared as text, because 10 == 10.0
    assert json.dumps(given, sort_keys=True) == json.dumps(value, sort_keys=True)


def test_text_is_given_to_the_agent_in_the_form_that_it_wants() -> None:
    said = message({"text": "hello"}, {"text": "world"})
    assert first_input(PLAIN, said) == "hello\nworld"
    assert first_input(CHAT, said) == {"messages": [{"role": "user", "content": "hello\nworld"}]}


def test_data_beside_text_is_kept_as_text() -> None:
    assert first_input(PLAIN, message({"text": "look:"}, {"data": {"n": 1}})) == 'look:\n{"n":1}'


def test_an_empty_message_is_refused() -> None:
    for parts in ([{"text": ""}], [{"text": "  \n"}, {"text": ""}]):
        with pytest.raises(Invalid, match="empty"):
            first_input(PLAIN, message(*parts))


@pytest.mark.parametrize("levels", [29, 30, 36, 45])
def test_a_stored_message_is_shown_however_deep_its_data_are(levels: int) -> None:
    value: Any = True
    for _ in range(levels):
        value = {"a": value}
    said = message({"data": value, "metadata": value}, {"text": "look"})
    said.metadata.update({"a": value})
    origin: Any = {"protocol": "a2a", "message": MessageToDict(said)}
    shown = to_a2a_task(PLAIN, task(run(FIRST, origin=origin)))
    # as deep as an answer may carry it
    (again,) = (
        ListTasksResponse.FromString(ListTasksResponse(tasks=[shown]).SerializeToString())
        .tasks[0]
        .history
    )
    assert again.parts[1].text == "look"
    assert again.parts[0].WhichOneof("content") == ("data" if levels < 30 else "text")


# --- what an answer means ------------------------------------------------------------------------


def asked(schema: dict[str, Any] | None = None, id: str = "q") -> Interrupt:
    return Interrupt(id, {"question": "Well?"}, schema)


@pytest.mark.parametrize(
    ("schema", "part", "value"),
    [
        (None, {"text": "Berlin"}, "Berlin"),
        (None, {"data": {"approved": True}}, {"approved": True}),
        ({"type": "string"}, {"text": "42"}, "42"),
        ({"type": ["string", "integer"]}, {"text": "42"}, "42"),
        ({"type": "boolean"}, {"text": "yes"}, True),
        ({"type": "boolean"}, {"text": " No. "}, False),
        ({"type": "boolean"}, {"text": "TRUE"}, True),
        ({"type": "boolean"}, {"data": False}, False),
        ({"type": "integer"}, {"text": "42"}, 42),
        ({"type": "integer"}, {"data": 42}, 42),
        ({"type": "number"}, {"text": "2.5"}, 2.5),
        ({"type": ["integer", "null"]}, {"text": "3"}, 3),
        ({"type": "nonsense"}, {"text": "anything"}, "anything"),
    ],
)
def test_a_message_answers_the_only_question_in_the_type_that_it_asks_for(
    schema: dict[str, Any] | None, part: dict[str, Any], value: Json
) -> None:
    answered = answers(message(part), [asked(schema)])
    assert repr(answered) == repr({"q": value})


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"type": "boolean"}, {"text": "perhaps"}),
        ({"type": "boolean"}, {"data": "yes"}),
        ({"type": "integer"}, {"text": "2.5"}),
        ({"type": "integer"}, {"text": "many"}),
        ({"type": "object", "required": ["approved"]}, {"data": {}}),
        ({"enum": ["red", "blue"]}, {"text": "green"}),
        ({"type": "string"}, {"text": "   "}),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_a_reason(
    schema: dict[str, Any], part: dict[str, Any]
) -> None:
    with pytest.raises(Invalid, match=r"fit question 'q': .+|answers nothing"):
        answers(message(part), [asked(schema)])


def test_a_schema_cannot_make_the_server_fetch_anything() -> None:
    with warnings.catch_warnings(action="error"):  # jsonschema warns when it fetches
        answered = answers(message({"text": "x"}), [asked({"$ref": "http://localhost:1/schema"})])
    assert answered == {"q": "x"}


def test_questions_are_answered_by_id_whichever_are_open() -> None:
    questions = [asked(id="a"), asked({"type": "integer"}, id="b")]
    answered = answers(message({"data": {"interrupts": {"b": 5, "a": "x"}}}), questions)
    assert answered == {"a": "x", "b": 5}
    assert answers(message({"data": {"interrupts": {"a": 1}}}), questions) == {"a": 1}
    with pytest.raises(Invalid, match="'b'"):
        answers(message({"data": {"interrupts": {"b": "five"}}}), questions)


def test_an_answer_by_an_id_that_is_not_open_is_refused_even_if_one_question_is() -> None:
    with pytest.raises(UnknownInterrupt, match="'other' is not open; open: q"):
        answers(message({"data": {"interrupts": {"other": 1}}}), [asked()])


def test_text_answers_nothing_when_several_questions_are_open() -> None:
    with pytest.raises(Invalid, match="a, b"):
        answers(message({"text": "yes"}), [asked(id="a"), asked(id="b")])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Ready?", "Ready?"),
        ({"question": "Ship it?"}, "Ship it?"),
        ({"message": "Log in."}, "Log in."),
        (
            {"action_requests": [{"name": "pay", "args": {"eur": 5}}]},
            'Approve pay {"eur":5}?',
        ),
        ({"action_requests": [{"name": "pay", "description": "Pay 5 EUR?"}]}, "Pay 5 EUR?"),
        ({"x": 1}, '{"x":1}'),
        (None, "null"),
    ],
)
def test_a_question_is_readable_and_complete(value: Json, text: str) -> None:
    readable, data = question_parts([Interrupt("q", value, {"type": "string"})])
    assert readable.text == text
    (listed,) = MessageToDict(data.data)["interrupts"]
    assert listed == {"id": "q", "value": value, "responseSchema": {"type": "string"}}


# --- how a task is shown -------------------------------------------------------------------------


def history(shown: Any) -> list[tuple[str, str]]:
    return [(m.message_id, m.parts[0].text) for m in shown.history]


def test_the_history_has_the_messages_and_the_questions_that_they_answered() -> None:
    said = [origin_of(message({"text": t}, id=t)) for t in ("buy shoes", "yes")]
    first = run(
        FIRST,
        status="success",
        origin=said[0],
        interrupts=(Interrupt("q", "Which size?"),),
    )
    second = run(
        SECOND,
        kind="resume",
        status="success",
        origin=said[1],
        interrupts=(Interrupt("r", "Express?"),),
    )
    waiting = to_a2a_task(PLAIN, task(first, second, status="input_required"))
    question = f"{FIRST}-status"
    assert history(waiting) == [
        ("buy shoes", "buy shoes"),
        (question, "Which size?"),
        ("yes", "yes"),
    ]
    assert {(m.task_id, m.context_id) for m in waiting.history} == {(str(FIRST), str(THREAD))}
    assert waiting.status.message.parts[0].text == "Express?"
    # read again, by any replica, it is the same
    assert to_a2a_task(PLAIN, task(first, second, status="input_required")) == waiting


def test_a_task_from_another_protocol_is_shown_without_messages_that_nobody_sent() -> None:
    shown = to_a2a_task(PLAIN, task(run(FIRST, origin={"protocol": "mcp"})))
    assert list(shown.history) == []
    assert shown.status.state == TaskState.TASK_STATE_WORKING


@pytest.mark.parametrize(
    ("status", "attempts", "runs", "state"),
    [
        ("working", 0, 1, TaskState.TASK_STATE_SUBMITTED),
        ("working", 1, 1, TaskState.TASK_STATE_WORKING),
        ("working", 0, 2, TaskState.TASK_STATE_WORKING),
        ("completed", 1, 1, TaskState.TASK_STATE_COMPLETED),
        ("failed", 1, 1, TaskState.TASK_STATE_FAILED),
        ("canceled", 0, 1, TaskState.TASK_STATE_CANCELED),
        # answered between the reading of the task and of its runs
        ("input_required", 0, 2, TaskState.TASK_STATE_WORKING),
    ],
)
def test_states(status: Any, attempts: int, runs: int, state: TaskState) -> None:
    made = [run(id, attempts=attempts) for id in (FIRST, SECOND)[:runs]]
    assert to_a2a_task(PLAIN, task(*made, status=status)).status.state == state


def test_a_failure_says_why() -> None:
    failed = run(FIRST, status="error", error={"error": "ValueError", "message": "no planet"})
    shown = to_a2a_task(PLAIN, task(failed, status="failed"))
    assert shown.status.message.parts[0].text == "no planet"


def test_a_result_is_the_output_as_data_and_the_last_answer_as_text() -> None:
    output = {
        "messages": [
            {"type": "human", "content": "hi"},
            {"type": "ai", "content": [{"type": "text", "text": "hello"}]},
        ],
        "scratch": 1,
    }
    done = task(run(FIRST, status="success", output=output), status="completed")
    (artifact,) = to_a2a_task(CHAT, done).artifacts
    data, text = artifact.parts
    assert MessageToDict(data.data) == {"messages": output["messages"]}
    assert text.text == "hello"


# --- what a stream says of events ----------------------------------------------------------------


class Log:
    """Events as a worker writes them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: str, data: bytes, run_id: UUID = FIRST) -> None:
        self.events.append(Event(len(self.events) + 1, run_id, kind, data))

    def start(self, attempt: int = 1, run_id: UUID = FIRST) -> None:
        self.add(STARTED, started(run_id, attempt), run_id)

    def say(self, *words: str, run_id: UUID = FIRST) -> None:
        for word in words:
            self.add(MESSAGES, dumps([{"type": "AIMessageChunk", "content": word}, {}]), run_id)

    def step(self) -> None:
        self.add(UPDATES, dumps({"node": None}))

    def end(self, output: Json = None, run_id: UUID = FIRST, **how: Any) -> None:
        if output is not None:
            self.add(VALUES, dumps(output), run_id)
        self.add(ENDED, ended(run_id, how.pop("status", "success"), **how), run_id)


def told(live: Live, events: Sequence[Event]) -> list[Update]:
    return [update for event in events for update in live.tell(event)]


def artifact_after(updates: Sequence[Update], text: str = "") -> str:
    """The artifact `output` as a client has it."""
    for update in updates:
        if hasattr(update, "artifact") and update.artifact.artifact_id == "output":
            text = (text if update.append else "") + update.artifact.parts[0].text
    return text


def test_a_run_is_told_from_working_over_its_text_to_its_result() -> None:
    log = Log()
    log.start()
    log.say("a", "b")
    log.step()
    log.end({"x": 1})
    updates = told(Live(PLAIN, task(run(FIRST))), log.events)
    assert [type(u).__name__ for u in updates] == [
        "TaskStatusUpdateEvent",
        "TaskArtifactUpdateEvent",
        "TaskArtifactUpdateEvent",
        "TaskStatusUpdateEvent",
    ]
    assert updates[2].last_chunk  # type: ignore[union-attr]
    assert updates[3].status.state == TaskState.TASK_STATE_COMPLETED  # type: ignore[union-attr]
    generations = [u.metadata[GENERATION] for u in updates]
    assert generations == [1, 3, 6, 6]


def test_a_second_attempt_replaces_what_the_dead_worker_had_half_written() -> None:
    log = Log()
    log.start()
    log.say("kept ")
    log.step()
    log.say("half a sen")
    log.start(attempt=2)
    log.say("whole ", "sentence")
    log.end({"x": 1})
    updates = told(Live(PLAIN, task(run(FIRST))), log.events)
    assert artifact_after(updates) == "kept whole sentence"
    states = [u.status.state for u in updates if hasattr(u, "status")]
    assert states == [TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_COMPLETED]


@pytest.mark.parametrize("seen", range(12))
def test_whoever_joins_later_ends_with_the_same_text_and_the_same_states(seen: int) -> None:
    log = Log()
    log.start()
    log.say("one ", "two ")
    log.step()
    log.say("thr")
    log.start(attempt=2)
    log.say("three")
    log.end(interrupts=[{"id": "q", "value": "Go on?", "response_schema": None}])
    log.start(run_id=SECOND)
    log.say("four", run_id=SECOND)
    log.end({"x": 1}, run_id=SECOND)
    whole = told(Live(PLAIN, task(run(FIRST))), log.events)
    late = Live(PLAIN, task(run(FIRST)))
    for event in log.events[:seen]:
        late.absorb(event)
    late.shown()
    snapshot = late.text
    rest = told(late, log.events[seen:])
    assert artifact_after(rest, snapshot) == artifact_after(whole) == "four"
    finals = [u.status.state for u in whole if hasattr(u, "status")]
    assert finals[-len([u for u in rest if hasattr(u, "status")]) :] == [
        u.status.state for u in rest if hasattr(u, "status")
    ]


def test_a_pause_is_told_with_its_question_under_the_id_that_the_task_shows() -> None:
    log = Log()
    log.start()
    question = Interrupt("q", "Go on?")
    log.end(interrupts=[question.public()])
    *_, status = told(Live(PLAIN, task(run(FIRST))), log.events)
    paused = task(run(FIRST, status="success", interrupts=(question,)), status="input_required")
    assert status.status.message == to_a2a_task(PLAIN, paused).status.message  # type: ignore[union-attr]
