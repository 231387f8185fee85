"""A task as its events make it: folded one by one, and told as A2A updates.

Pure and deterministic: two streams that read the same events say the same things, except for where
a chunk of text is cut. A first chunk of an attempt replaces the artifact `output` with the text of
the steps that are finished, which removes what a dead worker had half written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias
from uuid import UUID

from a2a.types.a2a_pb2 import Message, TaskArtifactUpdateEvent, TaskState, TaskStatusUpdateEvent
from a2a.types.a2a_pb2 import TaskStatus as A2AStatus

from agenthub.agents import AgentInfo
from agenthub.emitted import Change, Emissions
from agenthub.events import EMITTED, ENDED, MESSAGES, STARTED, UPDATES, VALUES, Event, text_delta
from agenthub.interrupts import Interrupt
from agenthub.json import JsonObject, loads
from agenthub.runs import Task, TaskStatus, task_status
from agenthub_a2a.card import GENERATION
from agenthub_a2a.convert import (
    STATES,
    direct_message,
    emitted_artifact,
    output_artifact,
    result_artifact,
    state_after,
    state_of,
    status_of,
    to_a2a_task,
)

MARKS: Final = frozenset({UPDATES})
"""Kinds of events that say by being there what `Live` wants to know."""
SHOWN: Final = frozenset({STARTED, ENDED, MESSAGES, EMITTED, *MARKS})
"""Kinds of events that a task is made of; its result stands in its runs."""

Update: TypeAlias = TaskStatusUpdateEvent | TaskArtifactUpdateEvent | Message


class Live:
    """Where a task stands after the events read so far. `unsent` is text that no update has told, `reply`
    the message that the agent began its answer with, and `emitted` all that it said beside its result."""

    def __init__(self, info: AgentInfo, task: Task) -> None:
        self.info = info
        self.task = task
        self.seq = 0
        self.status: TaskStatus = "working"
        self.state = STATES[self.status]
        self.emitted = Emissions()
        self.reply: Message | None = None
        self.at: datetime | None = None
        """When `state` came to be, if an event has told it."""
        self.takes_reply = False
        """Whether its reader wants `reply` in place of the task."""
        self.run_id: UUID | None = None
        self.values: bytes | None = None
        self.unsent = ""
        self._before = ""
        self._finished = ""
        self._partial = ""
        self._replace = True
        self._text_seq = 0
        self._change: Change | None = None

    @property
    def text(self) -> str:
        """The artifact `output` as a client has it now: that of the latest run which spoke."""
        return self._finished + self._partial or self._before

    def absorb(self, event: Event) -> None:
        """Take an event in."""
        self.seq = event.seq
        if event.kind == STARTED:
            self.emitted.absorb(event)
            self._begin(event)
        elif event.kind == UPDATES:
            self._finished += self._partial
            self._partial = ""
        elif event.kind == VALUES and not event.ns:
            self.values = event.data
        elif event.kind == EMITTED:
            self._emit(event)
        elif event.kind == ENDED:
            body = event.json()
            questions = tuple(body.get("interrupts") or ())
            self.status = task_status(body["status"], questions)
            values = [question["value"] for question in questions]
            self.state = state_after(self.status, values, body.get("error"))
            self.at = at_of(event)
        elif delta := text_delta(event):
            self._partial += delta
            self.unsent += delta
            self._text_seq = event.seq

    def tell(self, event: Event) -> list[Update]:
        """Take an event in and say what a client must hear now; text waits in `unsent`."""
        starts = event.kind == STARTED and event.run_id != self.run_id
        told: list[Update] = []
        if event.kind in (STARTED, ENDED, UPDATES, EMITTED):
            told += self.flush()
        self.absorb(event)
        if event.kind == EMITTED:
            told += self._emitted(event)
        elif starts:
            told.append(self._status(event, TaskState.TASK_STATE_WORKING))
        elif event.kind == ENDED:
            told += self._end(event)
        return told

    def shown(self) -> None:
        """A snapshot with `text` was given to the client: what follows goes on from there."""
        self.unsent = ""
        self._replace = not (self._finished or self._partial)

    def standing(self) -> Update:
        """The state as it is, without what it asks or says."""
        return TaskStatusUpdateEvent(
            task_id=str(self.task.task_id),
            context_id=str(self.task.thread_id),
            status=A2AStatus(state=self.state),
            metadata={GENERATION: self.seq},
        )

    def flush(self) -> list[Update]:
        """The text that has not been told yet, as one chunk."""
        if not self.unsent:
            return []
        chunk = self.text if self._replace else self.unsent
        update = self._artifact(self._text_seq)
        update.artifact.CopyFrom(output_artifact(chunk))
        update.append = not self._replace
        self.unsent, self._replace = "", False
        return [update]

    def overtaken(self, task: Task) -> Update:
        """The status of a task that changed without an event, as it was read."""
        self.stands(task)
        return TaskStatusUpdateEvent(
            task_id=str(task.task_id),
            context_id=str(task.thread_id),
            status=to_a2a_task(self.info, task, artifacts=False).status,
        )

    def stands(self, task: Task) -> None:
        """Take over the status of the task as it was read."""
        if self.state != state_of(task):
            self.at = None
        self.status, self.state = task.status, state_of(task)

    def _begin(self, event: Event) -> None:
        if event.run_id != self.run_id:
            self.run_id, self.values, self.at = event.run_id, None, at_of(event)
            self.status, self.state = "working", STATES["working"]
            self._before, self._finished = self.text, ""
        self._partial = ""
        self._replace = True

    def _emit(self, event: Event) -> None:
        first = not (self.emitted or self.text)
        self._change = self.emitted.absorb(event)
        said = self.emitted.message if self.emitted.direct else None
        if first and said is not None and event.run_id == self.task.task_id:
            self.reply = direct_message(self.task, event.run_id, said)

    def _emitted(self, event: Event) -> list[Update]:
        if self.takes_reply and self.reply is not None:
            return [self.reply]
        if self._change is None:
            return []  # a message is told with the end that it belongs to
        artifact, parts, append = self._change
        update = self._artifact(event.seq)
        update.artifact.CopyFrom(emitted_artifact(artifact, parts))
        update.append, update.last_chunk = append, artifact.last
        return [update]

    def _end(self, event: Event) -> list[Update]:
        body: JsonObject = event.json()
        told: list[Update] = []
        if self.status == "completed" and self.values is not None:
            result = result_artifact(self.info, loads(self.values))
            if result is not None:
                update = self._artifact(event.seq)
                update.artifact.CopyFrom(result)
                update.last_chunk = True
                told.append(update)
        told.append(
            self._status(
                event,
                self.state,
                interrupts=tuple(
                    Interrupt(i["id"], i["value"], i.get("response_schema"))
                    for i in body.get("interrupts") or ()
                ),
                error=body.get("error"),
                said=self.emitted.message,
            )
        )
        return told

    def _status(
        self,
        event: Event,
        state: TaskState,
        *,
        interrupts: Sequence[Interrupt] = (),
        error: JsonObject | None = None,
        said: Sequence[JsonObject] | None = None,
    ) -> TaskStatusUpdateEvent:
        return TaskStatusUpdateEvent(
            task_id=str(self.task.task_id),
            context_id=str(self.task.thread_id),
            status=status_of(
                self.task,
                event.run_id,
                state,
                at=at_of(event),
                interrupts=interrupts,
                error=error,
                said=said,
            ),
            metadata={GENERATION: event.seq},
        )

    def _artifact(self, seq: int) -> TaskArtifactUpdateEvent:
        return TaskArtifactUpdateEvent(
            task_id=str(self.task.task_id),
            context_id=str(self.task.thread_id),
            metadata={GENERATION: seq},
        )


def at_of(event: Event) -> datetime:
    """When it happened: as the event says, or else now."""
    said = event.json().get("at")
    return datetime.fromisoformat(said) if said else datetime.now(UTC)
