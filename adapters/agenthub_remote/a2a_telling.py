"""What a remote task says, told once: chunks as tokens, messages when they are whole, data as output.

A task is told by a stream, by snapshots, or by both after a connection was lost; what has been told is
not told again. An attempt that takes over tells unfinished texts anew, from their beginning and under ids
of its own, as readers expect of a new attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

from a2a.types.a2a_pb2 import (
    Artifact,
    Message,
    Part,
    Role,
    StreamResponse,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
)

from agenthub.adapting import Io
from agenthub.adapting import Message as OurMessage
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub_remote import a2a_parts

ENDED = frozenset(
    {
        TaskState.TASK_STATE_COMPLETED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_CANCELED,
        TaskState.TASK_STATE_REJECTED,
    }
)
RESULT = "result"
WAITING = frozenset({TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_AUTH_REQUIRED})


@dataclass(slots=True)
class Growing:
    """An artifact as it is now. `skipped` characters of its text belong to messages of earlier steps;
    `streamed` is what of the rest has gone out as tokens under `message_id`."""

    parts: list[Part] = field(default_factory=list[Part])
    skipped: int = 0
    streamed: str = ""
    message_id: str = field(default_factory=lambda: str(new_id()))

    @property
    def text(self) -> str:
        return a2a_parts.texts(self.parts)


class Telling:
    """One remote task, as this step tells it. `told` is what steps before it have told, as `kept` gave it;
    `stale` the id of a question that was answered: a snapshot may still have it."""

    def __init__(self, io: Io, author: str, told: JsonObject, *, stale: str | None = None) -> None:
        self.io = io
        self.stale = stale
        self.author = author
        self.messages: list[OurMessage] = []
        self.status = TaskStatus()
        self.task_id = ""
        self.context_id = ""
        self.answered = False
        """A message came in the place of a task: there is nothing more to wait for."""
        self.data: list[Json] = []
        self._seen: set[str] = set(told.get("seen") or ())
        self._before: JsonObject = dict(told.get("artifacts") or {})
        self._artifacts: dict[str, Growing] = {}

    @property
    def state(self) -> TaskState:
        return self.status.state

    @property
    def settled(self) -> bool:
        """Whether there is nothing to follow: it ended, waits for someone, or was only a message."""
        return self.answered or self.state in ENDED or self._asks

    @property
    def _asks(self) -> bool:
        stale = self.stale and self.status.message.message_id == self.stale
        return self.state in WAITING and not stale

    def hear(self, event: StreamResponse) -> None:
        """Take in one event of a stream."""
        match event.WhichOneof("payload"):
            case "task":
                self.snapshot(event.task)
            case "status_update":
                self._belongs(event.status_update.task_id, event.status_update.context_id)
                self._status(event.status_update.status)
            case "artifact_update":
                self._belongs(event.artifact_update.task_id, event.artifact_update.context_id)
                self._chunk(event.artifact_update)
            case "message":
                self._belongs(event.message.task_id, event.message.context_id)
                self.answered = True
                self.data += a2a_parts.data(event.message.parts)
                self._message(event.message)
            case _:
                pass

    def snapshot(self, task: Task) -> None:
        """Take in all of a task."""
        self._belongs(task.id, task.context_id)
        for message in task.history:
            if message.role == Role.ROLE_AGENT:
                self._message(message)
        for artifact in task.artifacts:
            self._whole(artifact)
        self._status(task.status)

    def finish(self) -> None:
        """Tell the messages that are whole now, because nothing will be added to them."""
        aside: list[Growing] = []
        for artifact in self._artifacts.values():
            # words beside data are the data in words
            beside = bool(a2a_parts.data(artifact.parts))
            aside.append(artifact) if beside else self._end(artifact)
        if not any(m["content"] for m in self.messages):
            for artifact in aside:
                self._end(artifact)

    def kept(self, *, finished: bool) -> JsonObject:
        """What has been told of the task, for whoever goes on with it: with `finished`, the artifacts of
        this step, too, since they are messages by now."""
        marks = {id: _mark(growing.text) for id, growing in self._artifacts.items()}
        artifacts = {**self._before, **marks} if finished else self._before
        return {"seen": sorted(self._seen), "artifacts": artifacts}

    def outcome(self) -> Json:
        """The data that the task has come to: that of its artifact `result`, if it has one (an Agent Hub's
        has); otherwise the one part, or a list of several."""
        by_id = {id: a2a_parts.data(a.parts) for id, a in self._artifacts.items()}
        result = by_id.get(RESULT)
        if result:
            for id, data in by_id.items():
                if data and id != RESULT:
                    self.io.event("artifact", {"id": id, "data": data})
        found = result or [one for data in by_id.values() for one in data] + self.data
        return found[0] if len(found) == 1 else found or None

    # --- artifacts ------------------------------------------------------------------------------

    def _chunk(self, update: TaskArtifactUpdateEvent) -> None:
        growing = self._growing(update.artifact.artifact_id)
        if update.append:
            growing.parts.extend(update.artifact.parts)
            self._stream(growing)
        else:
            self._whole(update.artifact)

    def _whole(self, artifact: Artifact) -> None:
        growing = self._growing(artifact.artifact_id)
        growing.parts = list(artifact.parts)
        growing.skipped = _skipped(self._before.get(artifact.artifact_id), growing.text)
        self._stream(growing)

    def _growing(self, id: str) -> Growing:
        return self._artifacts.setdefault(id, Growing())

    def _stream(self, growing: Growing) -> None:
        if a2a_parts.data(growing.parts):
            return
        text = growing.text[growing.skipped :]
        if not text.startswith(growing.streamed):
            # it was replaced: what readers have of it is abandoned with its id
            growing.message_id, growing.streamed = str(new_id()), ""
        if piece := text[len(growing.streamed) :]:
            self.io.token(piece, growing.message_id, author=self.author)
            growing.streamed = text

    def _end(self, growing: Growing) -> None:
        text = growing.text[growing.skipped :]
        files = a2a_parts.files(growing.parts)
        if not text and not (files and not growing.skipped):
            return
        blocks: Json = [*([{"type": "text", "text": text}] if text else []), *files]
        self._add(growing.message_id, blocks if files else text)

    # --- messages -------------------------------------------------------------------------------

    def _belongs(self, task_id: str, context_id: str) -> None:
        self.task_id, self.context_id = task_id or self.task_id, context_id or self.context_id

    def _status(self, status: TaskStatus) -> None:
        self.status = status
        if not status.HasField("message"):
            return
        if status.state in WAITING or status.state in (
            TaskState.TASK_STATE_FAILED,
            TaskState.TASK_STATE_REJECTED,
            TaskState.TASK_STATE_CANCELED,
        ):
            # a question, or the reason of an end: the step's outcome says it
            self._seen.add(status.message.message_id)
        else:
            self.data += a2a_parts.data(status.message.parts) if status.state in ENDED else []
            self._message(status.message)

    def _message(self, message: Message) -> None:
        if message.message_id in self._seen:
            return
        self._seen.add(message.message_id)
        content = a2a_parts.content(list(message.parts))
        if content is not None:
            self._add(str(new_id()), content)

    def _add(self, id: str, content: Json) -> None:
        message: OurMessage = {
            "id": id,
            "role": "assistant",
            "content": content,
            "name": self.author,
        }
        self.messages.append(message)
        self.io.message(message)


def _mark(text: str) -> JsonObject:
    """A text that can be known again without being kept."""
    return {"length": len(text), "digest": _digest(text)}


def _skipped(mark: Json, text: str) -> int:
    """How much of a text has been told before."""
    length = int(cast("JsonObject", mark)["length"]) if isinstance(mark, dict) else 0
    known = length and _digest(text[:length]) == cast("JsonObject", mark)["digest"]
    return length if known else 0


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
