"""The service: every use case that the protocols call, once.

A protocol turns its words into these calls and the results back into its words; it never touches
SQL, and nothing here knows what MCP, A2A or REST is. Foreign ids are `NotFound`, always.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from agenthub import cancelling, thread_stream, updating
from agenthub.agents import AgentInfo
from agenthub.archive import Archive, RunQuery
from agenthub.assistants import Assistants
from agenthub.catalogue import Agents
from agenthub.deliveries import DELIVERIES_TOPIC, Deliveries
from agenthub.errors import Conflict, NotFound, UnknownInterrupt
from agenthub.events import ENDED, VALUES, Event
from agenthub.ids import new_id
from agenthub.interrupts import Interrupt, answers_for
from agenthub.items import VersionedItems
from agenthub.json import Json, JsonObject, loads
from agenthub.memory import Memory
from agenthub.ports import (
    Cancelled,
    Doorbell,
    NewRun,
    RunStore,
    ThreadStore,
    control_topic,
    work_topic,
)
from agenthub.principal import Principal
from agenthub.pushes import PushConfig, PushConfigs
from agenthub.runs import CancelAction, Multitask, Run, RunRequest, RunStatus, Task, TaskStatus
from agenthub.scheduler import Crons
from agenthub.sessions import SessionStore
from agenthub.states import States
from agenthub.stream import Streams
from agenthub.thread_stream import ThreadPosition, ThreadSlice
from agenthub.threads import StateUpdate, Thread, ThreadState


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A new input: what to run, on which thread, and how to deal with what is there.

    `thread_id=None` makes a thread; `ephemeral` ones are removed some time after their run ended.
    `follow` says that the caller is about to follow the run, which then needs no read of the log.
    `fork` runs it at once on a copy of the thread, taken at its last checkpoint, when the thread is busy.
    `any_agent` lets it go on where another agent has worked, on the state that both know.
    """

    agent: str
    request: RunRequest = field(default_factory=RunRequest)
    thread_id: UUID | None = None
    make_thread: bool = False
    ephemeral: bool = False
    multitask: Multitask = "enqueue"
    open_task: Literal["supersede", "refuse"] = "supersede"
    metadata: JsonObject = field(default_factory=dict[str, Json])
    origin: JsonObject = field(default_factory=dict[str, Json])
    delay: timedelta = timedelta()
    priority: int = 0
    idempotency_key: str | None = None
    request_hash: str = ""
    follow: bool = True
    fork: bool = False
    push: PushConfig | None = None
    any_agent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """How an answer is handed in: when it may run, how soon, under which idempotency key, who is told of
    what the task comes to, and which run's questions it is for, where that is known."""

    delay: timedelta = timedelta()
    priority: int = 0
    idempotency_key: str | None = None
    request_hash: str = ""
    push: PushConfig | None = None
    asked_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The use cases over the ports. One per process; holds no state of its own."""

    agents: Agents
    runs: RunStore
    threads: ThreadStore
    states: States
    streams: Streams
    doorbell: Doorbell
    assistants: Assistants
    archive: Archive
    items: VersionedItems
    crons: Crons
    deliveries: Deliveries
    pushes: PushConfigs
    sessions: SessionStore
    memory: Memory = field(default_factory=Memory)

    # --- starting and answering -----------------------------------------------------------------

    async def start(self, who: Principal, start: Start) -> Run:
        """Create a run and wake a worker; returns once it is committed.

        Raises:
            NotFound: unknown agent or thread.
            Unavailable: the agent cannot be served now.
            Conflict: the thread is busy, waits for an answer, or belongs to another agent.
        """
        info = self.agents.get(start.agent)
        new = NewRun(
            tenant=who.tenant,
            run_id=new_id(),
            thread_id=start.thread_id or new_id(),
            agent=info.name,
            kind="input",
            request=start.request,
            subject=who.subject,
            metadata=start.metadata,
            origin=start.origin,
            multitask=start.multitask,
            make_thread=start.make_thread or start.thread_id is None,
            new_thread=start.thread_id is None,
            ephemeral=start.ephemeral,
            open_task=start.open_task,
            delay=start.delay,
            priority=start.priority,
            idempotency_key=start.idempotency_key,
            request_hash=start.request_hash,
            push=start.push,
            any_agent=start.any_agent,
        )
        if start.follow:
            self.streams.tail.prepare(new.run_id)
        if not start.fork:
            return await self.enqueue(new)
        replayed = await self._replayed(new)
        if replayed is not None:
            return replayed
        try:
            return await self.enqueue(replace(new, multitask="reject"))
        except Conflict:
            thread = await self.thread(who, new.thread_id)
            if not thread.open_runs:
                raise
        copy = await self.copy_thread(who, new.thread_id)
        return await self.enqueue(replace(new, thread_id=copy.thread_id, make_thread=False))

    async def resume(
        self,
        who: Principal,
        thread_id: UUID,
        answer: Json,
        *,
        agent: str | None = None,
        request: RunRequest | None = None,
        metadata: JsonObject | None = None,
        origin: JsonObject | None = None,
        multitask: Multitask = "enqueue",
        how: Submission | None = None,
    ) -> Run:
        """Answer open questions of a thread: `answer` maps ids to values, or answers the only one.

        A key that was used before gives the run that it made, though its questions are answered now.

        Raises:
            NotFound: unknown thread.
            Conflict: the thread belongs to another agent than `agent`.
            UnknownInterrupt: nothing is open, or an id is not.
            Invalid: several are open and the answer names none.
        """
        how = how or Submission()
        new = NewRun(
            tenant=who.tenant,
            run_id=new_id(),
            thread_id=thread_id,
            agent=agent or "",
            kind="resume",
            request=request or RunRequest(),
            subject=who.subject,
            metadata=metadata or {},
            origin=origin or {},
            multitask=multitask,
            delay=how.delay,
            priority=how.priority,
            idempotency_key=how.idempotency_key,
            request_hash=how.request_hash,
            push=how.push,
            asked_by=how.asked_by,
        )
        replayed = await self._replayed(new)
        if replayed is not None:
            return replayed
        thread = await self.thread(who, thread_id)
        if thread.agent is None:
            raise Conflict(f"thread {str(thread_id)!r} has not run any agent yet")
        if agent not in (None, thread.agent):
            raise Conflict(
                f"thread {str(thread_id)!r} belongs to agent {thread.agent!r}, not {agent!r}"
            )
        try:
            answers = answers_for(thread.interrupts, answer)
        except UnknownInterrupt:
            # the same request may have got ahead of this one
            replayed = await self._replayed(new)
            if replayed is None:
                raise
            return replayed
        if thread.open_task is not None:
            self.streams.tail.prepare(thread.open_task)
        answered = replace(new.request, answers=answers)
        return await self.enqueue(replace(new, agent=thread.agent, request=answered))

    async def _replayed(self, new: NewRun) -> Run | None:
        """The run that this key made before, looked for before anything else can refuse it."""
        if new.idempotency_key is None:
            return None
        return await self.runs.replayed(new.tenant, new.idempotency_key, new.request_hash)

    async def made_by(self, who: Principal, key: str) -> Run | None:
        """The run that was made under this idempotency key, if one was."""
        return await self.runs.replayed(who.tenant, key, "")

    async def resume_task(
        self,
        who: Principal,
        task_id: UUID,
        answer: Json,
        *,
        origin: JsonObject | None = None,
        how: Submission | None = None,
    ) -> Run:
        """Answer the open questions of a task; as `resume`, and `Conflict` when it does not wait."""
        task = await self.task(who, task_id)
        if task.status != "input_required":
            raise Conflict(f"task {str(task_id)!r} is {task.status} and waits for no answer")
        return await self.resume(who, task.thread_id, answer, origin=origin, how=how)

    async def enqueue(self, new: NewRun) -> Run:
        """Create a run that a use case has put together, and wake who is concerned."""
        run = await self.runs.create(new)
        if run.run_id == new.run_id:
            # for those who follow the thread
            self.streams.tail.publish(run.thread_id, ())
            await self.doorbell.ring([work_topic(run.agent)])
            if new.push is not None:
                await self.doorbell.ring([DELIVERIES_TOPIC])
            if new.multitask in ("interrupt", "rollback"):
                worker_id = await self.runs.executing(new.tenant, new.thread_id)
                if worker_id is not None:
                    await self.doorbell.ring([control_topic(worker_id)])
        return run

    # --- changing what is there -----------------------------------------------------------------

    async def update_state(
        self,
        who: Principal,
        thread_id: UUID,
        updates: Sequence[Sequence[StateUpdate]],
        *,
        checkpoint_id: str | None = None,
        ns: str = "",
        agent: str | None = None,
    ) -> ThreadState:
        """Write to a thread's state, superstep by superstep, at its last checkpoint or another one.

        A worker does it, as a run of kind `update` that no list shows. The thread's open questions
        are closed by it: what asked them is behind the new checkpoint.

        Raises:
            NotFound: unknown thread, checkpoint or agent.
            Conflict: a run is in flight, or the thread belongs to no agent yet, or to another one.
            Invalid: there is no such node, or it is not clear which.
            AgentFailed: the agent's own code refused the values.
            Unavailable: no worker took it in time.
        """
        return await updating.update_state(
            self, who, thread_id, updates, checkpoint_id=checkpoint_id, ns=ns, agent=agent
        )

    async def copy_thread(self, who: Principal, thread_id: UUID) -> Thread:
        """A new thread with the state and the history of this one. Raises `NotFound`."""
        copy = await self.archive.copy_thread(who.tenant, thread_id, new_id())
        if copy is None:
            raise NotFound(f"there is no thread {str(thread_id)!r}")
        return copy

    async def delete_run(self, who: Principal, run_id: UUID) -> None:
        """Remove a run that has ended. Raises `NotFound`, or `Conflict` while it is needed."""
        if not await self.archive.delete_run(who.tenant, run_id):
            raise NotFound(f"there is no run {str(run_id)!r}")

    # --- cancelling -----------------------------------------------------------------------------

    async def cancel_run(
        self,
        who: Principal,
        run_id: UUID,
        *,
        action: CancelAction = "interrupt",
        reason: str = "cancelled by request",
    ) -> Run:
        """Cancel a run: at once when it is pending, otherwise its worker is told.

        Raises:
            NotFound: unknown run, or one that has already ended.
        """
        run = await self.run(who, run_id)
        cancelled = await self.runs.cancel(who.tenant, run_id, action, reason=reason)
        if cancelled is None:
            raise NotFound(f"run {str(run_id)!r} has already ended with status {run.status!r}")
        await self.tell_cancelled(cancelled)
        return cancelled.run

    async def cancel_runs(
        self,
        who: Principal,
        query: RunQuery,
        *,
        action: CancelAction = "interrupt",
        reason: str = "cancelled by request",
    ) -> Sequence[Run]:
        """Cancel the open runs that match, however many; returns them as each then stood."""
        return await cancelling.cancel_runs(self, who, query, action, reason)

    async def cancel_task(
        self, who: Principal, task_id: UUID, *, reason: str = "cancelled by request"
    ) -> Task:
        """Cancel a task, whether it works or waits for an answer; returns it as it then stands.

        Raises:
            NotFound: unknown task.
            Conflict: it has already ended.
        """
        return await cancelling.cancel_task(self, who, task_id, reason)

    async def close_task(
        self, who: Principal, task_id: UUID, *, reason: str, asked_by: UUID | None = None
    ) -> bool:
        """Cancel a task that waits for an answer, to this run's questions if one is named. False: it does
        not wait for any."""
        closed = await self.runs.close_task(who.tenant, task_id, reason=reason, asked_by=asked_by)
        if closed:
            self._announce_end(task_id)
        return closed

    async def tell_cancelled(self, cancelled: Cancelled) -> None:
        """Tell whom a cancellation concerns: its worker, those who follow it, and those who wait for work."""
        if cancelled.worker_id is not None:
            await self.doorbell.ring([control_topic(cancelled.worker_id)])
        if cancelled.ended:
            self._announce_end(cancelled.run.task_id)
            # the next run of the thread's line may be ready now
            await self.doorbell.ring([work_topic(cancelled.run.agent)])

    def _announce_end(self, task_id: UUID) -> None:
        self.streams.tail.publish(task_id, ())

    # --- reading --------------------------------------------------------------------------------

    async def run(self, who: Principal, run_id: UUID) -> Run:
        """Raises `NotFound` for an unknown run."""
        run = await self.runs.get(who.tenant, run_id)
        if run is None:
            raise NotFound(f"there is no run {str(run_id)!r}")
        return run

    async def thread_runs(
        self,
        who: Principal,
        thread_id: UUID,
        *,
        status: RunStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Run]:
        """The runs of a thread, newest first. Raises `NotFound` for an unknown thread."""
        await self.thread(who, thread_id)
        return await self.runs.list(
            who.tenant, thread_id, status=status, limit=limit, offset=offset
        )

    async def task(self, who: Principal, task_id: UUID) -> Task:
        """Raises `NotFound` for an unknown task."""
        task = await self.runs.task(who.tenant, task_id)
        if task is None:
            raise NotFound(f"there is no task {str(task_id)!r}")
        return task

    async def tasks(
        self,
        who: Principal,
        *,
        agent: str | None = None,
        thread_id: UUID | None = None,
        status: Sequence[TaskStatus] = (),
        updated_since: datetime | None = None,
        before: tuple[datetime, UUID] | None = None,
        limit: int = 50,
    ) -> tuple[Sequence[Task], int]:
        """The caller's tasks, latest change first, with the count of all that match."""
        return await self.runs.tasks(
            who.tenant,
            agent=agent,
            subject=who.subject,
            thread_id=thread_id,
            status=status,
            updated_since=updated_since,
            before=before,
            limit=limit,
        )

    async def create_thread(
        self,
        who: Principal,
        *,
        thread_id: UUID | None = None,
        metadata: JsonObject | None = None,
        exists_ok: bool = False,
    ) -> Thread:
        """Raises `Conflict` when the id is taken and that is not welcome."""
        return await self.threads.create(
            who.tenant,
            thread_id or new_id(),
            subject=who.subject,
            metadata=metadata or {},
            exists_ok=exists_ok,
            fresh=thread_id is None,
        )

    async def thread(self, who: Principal, thread_id: UUID) -> Thread:
        """Raises `NotFound` for an unknown thread."""
        thread = await self.threads.get(who.tenant, thread_id)
        if thread is None:
            raise NotFound(f"there is no thread {str(thread_id)!r}")
        return thread

    async def state(
        self, who: Principal, thread_id: UUID, checkpoint_id: str | None = None, *, ns: str = ""
    ) -> ThreadState:
        """The state at a checkpoint, or the latest. Raises `NotFound`."""
        await self.thread(who, thread_id)
        state = await self.states.get(who.tenant, thread_id, ns=ns, checkpoint_id=checkpoint_id)
        if state is None:
            if checkpoint_id is not None:
                raise NotFound(f"there is no checkpoint {checkpoint_id!r} on this thread")
            return ThreadState(
                thread_id=thread_id, ns=ns, checkpoint_id=None, parent_id=None, values={}
            )
        return state

    async def history(
        self,
        who: Principal,
        thread_id: UUID,
        *,
        limit: int = 10,
        before: str | None = None,
        metadata: JsonObject | None = None,
        ns: str = "",
    ) -> Sequence[ThreadState]:
        """States, newest first. Raises `NotFound` for an unknown thread."""
        await self.thread(who, thread_id)
        return await self.states.history(
            who.tenant, thread_id, ns=ns, limit=limit, before=before, metadata=metadata
        )

    # --- following ------------------------------------------------------------------------------

    def agent(self, name: str) -> AgentInfo:
        """An agent by name or assistant id. Raises `NotFound` or `Unavailable`."""
        return self.agents.get(name)

    async def follow_run(
        self, run: Run, *, after: int | None = None
    ) -> AsyncGenerator[Sequence[Event], None]:
        """The events of a run with `seq > after`, to its end; empty slices are quiet intervals."""
        # a run that was just created has nothing in the log, so its first read is spared
        fresh = after is None and run.status == "pending" and run.attempts == 0
        seen = run.after_seq if after is None else after
        if not run.open:
            # all that there will ever be is in the log, so nobody waits for more
            async with aclosing(self._recorded(run, after=seen)) as slices:
                async for slice_ in slices:
                    yield slice_
            return
        events = self.streams.run_events(
            run.tenant, run.task_id, run.run_id, after=seen, replay=not fresh
        )
        async with aclosing(events) as slices:
            async for slice_ in slices:
                yield slice_
                if slice_:
                    seen = slice_[-1].seq
                    continue
                # quiet: its end may lie before `after` or have left no event; the others wait for us
                current = await self.runs.get(run.tenant, run.run_id)
                if current is None or not current.open:
                    self.streams.tail.publish(run.task_id, ())
                    async with aclosing(self._recorded(run, after=seen)) as rest:
                        async for slice_ in rest:
                            yield slice_
                    return

    async def _recorded(self, run: Run, *, after: int) -> AsyncGenerator[Sequence[Event], None]:
        """The events of a run that are in the log now."""
        while page := await self.streams.log.read(run.tenant, run.task_id, after=after):
            after = page[-1].seq
            mine = [event for event in page if event.run_id == run.run_id]
            if mine:
                yield mine
            if any(event.kind == ENDED for event in mine):
                return

    async def follow_task(
        self, task: Task, *, after: int | None = None
    ) -> AsyncGenerator[Sequence[Event], None]:
        """A task's events with `seq > after` (default: those to come), for ever."""
        events = self.streams.follow(
            task.tenant, task.task_id, after=task.last_seq if after is None else after
        )
        async with aclosing(events) as slices:
            async for slice_ in slices:
                yield slice_

    async def follow_thread(
        self, who: Principal, thread_id: UUID, *, after: ThreadPosition | None = None
    ) -> AsyncGenerator[ThreadSlice, None]:
        """A thread's events from its beginning, or behind a position, for ever; slices without events
        are quiet intervals. The thread is the caller's to check."""

        def run_events(run: Run, seq: int) -> AsyncGenerator[Sequence[Event], None]:
            return self.follow_run(run, after=seq)

        events = thread_stream.follow(self.streams, run_events, who.tenant, thread_id, after=after)
        async with aclosing(events) as slices:
            async for slice_ in slices:
                yield slice_

    async def wait(self, who: Principal, run: Run, *, timeout: float | None = None) -> Run:
        """Wait for the end of a run and return it, output included; no SQL when the tail has it.

        Raises:
            TimeoutError: `timeout` seconds passed; the run goes on.
        """
        values: bytes | None = None
        async with asyncio.timeout(timeout), aclosing(self.follow_run(run)) as slices:
            async for slice_ in slices:
                for event in slice_:
                    if event.kind == VALUES and not event.ns:
                        values = event.data
                    elif event.kind == ENDED:
                        return as_ended(run, event, values)
        return await self.run(who, run.run_id)


def as_ended(run: Run, event: Event, values: bytes | None) -> Run:
    """A run as it stands after its `ended` event; `values` is its last `values` event."""
    body = event.json()
    return replace(
        run,
        status=body["status"],
        output=None if values is None else loads(values),
        error=body.get("error"),
        interrupts=tuple(
            Interrupt(i["id"], i["value"], i.get("response_schema"))
            for i in body.get("interrupts", ())
        ),
    )
