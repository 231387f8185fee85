"""Conversion between our tasks and A2A's: the input of a first message, and a Task from its runs.

An A2A Task is our task, its contextId is our thread. Nothing here does I/O, and everything is derived
from what is stored, so that any replica at any time gives a task the same history and message ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, cast
from uuid import UUID

from a2a.types.a2a_pb2 import Artifact, Message, Part, Role, TaskState
from a2a.types.a2a_pb2 import Task as A2ATask
from a2a.types.a2a_pb2 import TaskStatus as A2AStatus
from a2a.utils.proto_utils import parse_lenient
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from agenthub.agents import AgentInfo, text_input
from agenthub.emitted import Artifact as Emitted
from agenthub.emitted import Emissions, is_rejection
from agenthub.errors import Invalid
from agenthub.events import content_text
from agenthub.interrupts import Interrupt, asks_to_sign_in
from agenthub.json import Json, JsonObject, integral, text
from agenthub.runs import Run, RunRequest, Task, TaskStatus
from agenthub_a2a.card import GENERATION
from agenthub_a2a.files import chat_input, has_files
from agenthub_a2a.fitting import fitting
from agenthub_a2a.parts import data_part, flattened, part_of, text_part, texts_and_data
from agenthub_a2a.questions import question_parts

OUTPUT: Final = "output"
"""The artifact that grows while the agent speaks."""
RESULT: Final = "result"
"""The artifact that holds what came of it."""
STATES: Final[dict[TaskStatus, TaskState]] = {
    "working": TaskState.TASK_STATE_WORKING,
    "input_required": TaskState.TASK_STATE_INPUT_REQUIRED,
    "completed": TaskState.TASK_STATE_COMPLETED,
    "failed": TaskState.TASK_STATE_FAILED,
    "canceled": TaskState.TASK_STATE_CANCELED,
}

ASKING: Final = frozenset({TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_AUTH_REQUIRED})


def first_input(info: AgentInfo, message: Message) -> Json:
    """The input that a first message stands for: its only data part, or its text.

    Data between texts is kept as JSON text, so that nothing is dropped silently. With files it is a user's
    message of a chat.

    Raises:
        Invalid: the message is empty, its data do not fit, or text is not what the agent takes.
        ContentTypeNotSupportedError: a part is a file that the agent does not take.
    """
    if has_files(message):
        return chat_input(info, message)
    texts, data = texts_and_data(message.parts)
    if len(data) == 1 and not texts:
        return fitting(info, data[0])
    if not texts and not data:
        raise Invalid("the message is empty: send text or a data part")
    return text_input(info, "\n".join([*texts, *(text(value) for value in data)]))


def origin_of(message: Message) -> JsonObject:
    """What a run remembers of the message that started it."""
    return {"protocol": "a2a", "message": MessageToDict(message)}


def request_of(message: Message) -> RunRequest:
    """A request without an input, whose agent finds the message that it answers in its `configurable`: the
    id as `a2a_message_id`, and the metadata, if there are any, as `a2a_message_metadata`."""
    told: JsonObject = {"a2a_message_id": message.message_id}
    if message.metadata:
        told["a2a_message_metadata"] = integral(MessageToDict(message.metadata))
    return RunRequest(config={"configurable": told})


def state_of(task: Task) -> TaskState:
    """The A2A state; SUBMITTED until the first attempt of the first run."""
    if task.status == "working" and len(task.runs) == 1 and task.runs[0].attempts == 0:
        return TaskState.TASK_STATE_SUBMITTED
    if task.status == "input_required" and not task.interrupts:
        return TaskState.TASK_STATE_WORKING  # answered between the two reads that make a Task
    return state_after(task.status, [i.value for i in task.interrupts], task.runs[-1].error)


def state_after(
    status: TaskStatus, questions: Sequence[Json], error: JsonObject | None
) -> TaskState:
    """The A2A state of a task whose latest run ended with these open questions, or this error."""
    if status == "input_required" and all(asks_to_sign_in(value) for value in questions):
        return TaskState.TASK_STATE_AUTH_REQUIRED
    if status == "failed" and is_rejection(error):
        return TaskState.TASK_STATE_REJECTED
    return STATES[status]


def to_a2a_task(
    info: AgentInfo,
    task: Task,
    *,
    output: str = "",
    emitted: Emissions | None = None,
    artifacts: bool = True,
    generation: int = 0,
    at: datetime | None = None,
) -> A2ATask:
    """A task as A2A shows it; `output` is the text streamed so far, `generation` its last event, `emitted`
    what the agent said beside its result, and `at` when it came to its state, if an event says so."""
    latest = task.runs[-1]
    converted = A2ATask(
        id=str(task.task_id),
        context_id=str(task.thread_id),
        status=status_of(
            task,
            latest.run_id,
            state_of(task),
            at=at or task.updated_at,
            interrupts=task.interrupts,
            error=latest.error if task.status == "failed" else None,
            said=emitted.message if emitted else None,
        ),
        history=_history(task),
        metadata={GENERATION: generation} if generation else None,
    )
    if artifacts:
        if output:
            converted.artifacts.append(output_artifact(output))
        if emitted:
            converted.artifacts.extend(
                emitted_artifact(one, one.parts) for one in emitted.artifacts.values()
            )
        if task.status == "completed" and (result := result_artifact(info, latest.output)):
            converted.artifacts.append(result)
    return converted


def status_of(
    task: Task,
    run_id: UUID,
    state: TaskState,
    *,
    at: datetime | None = None,
    interrupts: Sequence[Interrupt] = (),
    error: JsonObject | None = None,
    said: Sequence[JsonObject] | None = None,
) -> A2AStatus:
    """A status with its message: the open questions, why it failed or was rejected, or, of a task that is
    completed, the message that the agent gave."""
    status = A2AStatus(state=state, timestamp=_timestamp(at or datetime.now(UTC)))
    if state in ASKING:
        status.message.CopyFrom(_agent_message(task, run_id, question_parts(interrupts)))
    elif state in (TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_REJECTED):
        why = str((error or {}).get("message") or "the agent failed")
        status.message.CopyFrom(_agent_message(task, run_id, [text_part(why)]))
    elif state == TaskState.TASK_STATE_COMPLETED and said:
        status.message.CopyFrom(_agent_message(task, run_id, [part_of(block) for block in said]))
    return status


def direct_message(task: Task, run_id: UUID, said: Sequence[JsonObject]) -> Message:
    """What the agent answers with instead of a task; only its context goes on."""
    return Message(
        message_id=f"{run_id}-message",
        role=Role.ROLE_AGENT,
        context_id=str(task.thread_id),
        parts=[part_of(block) for block in said],
    )


def emitted_artifact(emitted: Emitted, parts: Sequence[JsonObject]) -> Artifact:
    """An artifact of the agent's own, with these parts of it."""
    return Artifact(
        artifact_id=emitted.id,
        name=emitted.name or "",
        description=emitted.description or "",
        parts=[part_of(block) for block in parts],
        metadata=emitted.metadata or None,
    )


def output_artifact(said: str) -> Artifact:
    """A chunk of, or all of, the text that the agent streamed."""
    return Artifact(artifact_id=OUTPUT, name=OUTPUT, parts=[text_part(said)])


def result_artifact(info: AgentInfo, values: Json) -> Artifact | None:
    """The agent's output as data, and as text where there is one; None when there is no output."""
    value = info.output(values)
    if value is None:
        return None
    parts = [data_part(value)]
    if said := _said(value):
        parts.append(text_part(said))
    return Artifact(artifact_id=RESULT, name=RESULT, parts=parts)


def _history(task: Task) -> list[Message]:
    """The user's messages and the questions that they answered, oldest first.

    A question that is still open is the status; what came over another protocol has no message.
    """
    messages: list[Message] = []
    for index, run in enumerate(task.runs):
        if (said := _user_message(task, run)) is not None:
            messages.append(said)
        if run.interrupts and index < len(task.runs) - 1:
            messages.append(_agent_message(task, run.run_id, question_parts(run.interrupts)))
    return messages


def _user_message(task: Task, run: Run) -> Message | None:
    if run.origin.get("protocol") != "a2a":
        return None
    said = parse_lenient(run.origin["message"], Message())
    flattened(said)
    said.task_id, said.context_id = str(task.task_id), str(task.thread_id)
    return said


def _agent_message(task: Task, run_id: UUID, parts: list[Part]) -> Message:
    return Message(
        # one per run at most, so its id needs no place to be stored
        message_id=f"{run_id}-status",
        role=Role.ROLE_AGENT,
        task_id=str(task.task_id),
        context_id=str(task.thread_id),
        parts=parts,
    )


def _said(output: Json) -> str:
    """The text of an output: itself, or that of its last AI message."""
    if isinstance(output, str):
        return output
    if not isinstance(output, dict):
        return ""
    messages = cast("JsonObject", output).get("messages")
    if not isinstance(messages, list):
        return ""
    for message in reversed(cast("list[Json]", messages)):
        if isinstance(message, dict):
            fields = cast("JsonObject", message)
            if fields.get("type") == "ai" or fields.get("role") == "assistant":
                return content_text(fields.get("content"))
    return ""


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
