"""A task as its events make it: folded one by one, and told as A2A updates.

Pure and deterministic: two streams that read the same events say the same things, except for where
a chunk of text is cut. A first chunk of an attempt replaces the artifact `output` with the text of
the steps that are finished, which removes what a dead worker had half written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

from a2a.types.a2a_pb2 import TaskArtifactUpdateEvent, TaskState, TaskStatusUpdateEvent
from a2a.types.a2a_pb2 import TaskStatus as A2AStatus

from agenthub.agents import AgentInfo
from agenthub.events import ENDED, STARTED, UPDATES, VALUES, Event, text_delta
from agenthub.interrupts import Interrupt
from agenthub.json import JsonObject, loads
from agenthub.runs import Task, TaskStatus, task_status
from agenthub_a2a.card import GENERATION
from agenthub_a2a.convert import STATES, output_artifact, result_artifact, status_of, to_a2a_task

Update: TypeAlias = TaskStatusUpdateEvent | TaskArtifactUpdateEvent


class Live:
    """Where a task stands after the events read so far. `unsent` is text that no update has told."""

    def __init__(self, info: AgentInfo, task: Task) -> None:
        self.info = info
        self.task = task
        self.seq = 0
        self.status: TaskStatus = "working"
        self.run_id: UUID | None = None
        self.values: bytes | None = None
        self.unsent = ""
        self._before = ""
        self._finished = ""
        self._partial = ""
        self._replace = True
        self._text_seq = 0

    @property
    def text(self) -> str:
        """The artifact `output` as a client has it now: that of the latest run which spoke."""
        return self._finished + self._partial or self._before

    def absorb(self, event: Event) -> None:
        """Take an event in."""
        self.seq = event.seq
        if event.kind == STARTED:
            self._begin(event.run_id)
        elif event.kind == UPDATES:
            self._finished += self._partial
            self._partial = ""
        elif event.kind == VALUES and not event.ns:
            self.values = event.data
        elif event.kind == ENDED:
            body = event.json()
            self.status = task_status(body["status"], tuple(body.get("interrupts") or ()))
        elif delta := text_delta(event):
            self._partial += delta
            self.unsent += delta
            self._text_seq = event.seq

    def tell(self, event: Event) -> list[Update]:
        """Take an event in and say what a client must hear now; text waits in `unsent`."""
        starts = event.kind == STARTED and event.run_id != self.run_id
        told: list[Update] = []
        if event.kind in (STARTED, ENDED, UPDATES):
            told += self.flush()
        self.absorb(event)
        if starts:
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
            status=A2AStatus(state=STATES[self.status]),
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
        self.status = task.status
        return TaskStatusUpdateEvent(
            task_id=str(task.task_id),
            context_id=str(task.thread_id),
            status=to_a2a_task(self.info, task, artifacts=False).status,
        )

    def _begin(self, run_id: UUID) -> None:
        if run_id != self.run_id:
            self.run_id, self.values, self.status = run_id, None, "working"
            self._before, self._finished = self.text, ""
        self._partial = ""
        self._replace = True

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
                STATES[self.status],
                interrupts=tuple(
                    Interrupt(i["id"], i["value"], i.get("response_schema"))
                    for i in body.get("interrupts") or ()
                ),
                error=body.get("error"),
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
