"""Calls: follow a task for a caller until there is something to tell it.

A call ends with a result, with a question, or, at the soft deadline, with a handle; the run does not
care. It is cancelled only when the caller takes the request back: in words (`notifications/cancelled`),
or, in the modern era, by closing the response. A server that stops, or a handshake client that loses
its connection, leaves the run alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias
from uuid import UUID

import mcp_types as types
from pydantic import BaseModel

from agenthub.errors import Conflict
from agenthub.events import ENDED, VALUES
from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject
from agenthub.principal import Principal
from agenthub.runs import Run, RunRequest
from agenthub.service import Hub, Start, as_ended
from agenthub.tracing import trace_of
from agenthub_mcp import elicit, replies
from agenthub_mcp.approval import Approvals
from agenthub_mcp.background import Background
from agenthub_mcp.caller import Caller
from agenthub_mcp.convert import meta_of, to_input
from agenthub_mcp.progress import Progress, reporting
from agenthub_mcp.said import Heard
from agenthub_mcp.standing import is_open, last_run, new_task, open_questions, result_of
from agenthub_mcp.tools import AgentTool, Toolbox
from agenthub_mcp.watch import task_changes

Outcome: TypeAlias = types.CallToolResult | types.InputRequiredResult | JsonObject
"""A result, questions, or a task that goes on, which the SDK has no type for."""

QUICK_SECONDS: Final = 0.25
"""How long a client that takes tasks waits for a result first: most agents without a model are done by then,
and cost it one request instead of two."""

ORIGIN: JsonObject = {"surface": "mcp"}


class Calls:
    """Drives runs for callers. `soft_deadline_seconds=0` waits for ever."""

    def __init__(
        self,
        hub: Hub,
        tools: Toolbox,
        background: Background,
        approvals: Approvals,
        *,
        soft_deadline_seconds: float,
    ) -> None:
        self.hub = hub
        self.tools = tools
        self.background = background
        self.approvals = approvals
        self.soft_deadline_seconds = soft_deadline_seconds

    async def start(
        self,
        caller: Caller,
        tool: AgentTool,
        arguments: JsonObject,
        responses: Mapping[str, BaseModel] | None = None,
    ) -> Outcome:
        """Call an agent; as `begin`. `responses` answer, by name, what it is going to ask."""
        run = await self.begin(caller, tool, arguments)
        if caller.takes_tasks and tool.info.task != "forbidden":
            return await self._as_task(caller, tool, run)
        return await self.follow(caller, run, disconnect_cancels=True, responses=responses)

    async def begin(self, caller: Caller, tool: AgentTool, arguments: JsonObject) -> Run:
        """Create the run that a call asks for.

        Raises:
            Invalid: the arguments do not fit.
            NotFound: there is no such thread.
            Conflict: the thread waits for an answer, or belongs to another agent.
        """
        given, thread_id = to_input(tool, arguments)
        starting = self.background.start(
            caller.who,
            Start(
                agent=tool.info.name,
                request=RunRequest(input=given, trace=trace_of(caller.ctx.meta)),
                thread_id=thread_id,
                open_task="refuse",
                origin=ORIGIN,
                # a replica that serves the call again gets the run that is there
                idempotency_key=caller.key,
            ),
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._taken_back(caller, starting, disconnect_cancels=True)
            raise

    async def _as_task(self, caller: Caller, tool: AgentTool, run: Run) -> Outcome:
        """The task that the run began, or its result when that is there at once."""
        if tool.info.task == "optional":
            try:
                heard = Heard(run)
                ended = await self._ended(caller, run, heard, None, within=QUICK_SECONDS)
            except asyncio.CancelledError:
                self._taken_back(caller, run, disconnect_cancels=True)
                raise
            if ended is not None and not ended.interrupts:
                return await self._result(caller, ended, heard)
        return {"resultType": "task", **new_task(run), "_meta": meta_of(run)}

    async def begun(self, caller: Caller) -> Run | None:
        """What the call has started already, when another replica served it before."""
        if caller.key is None or not caller.again:
            return None
        return await self.hub.made_by(caller.who, caller.key)

    async def take_back(self, who: Principal, key: str) -> None:
        """Cancel what a call has started, wherever it is served."""
        run = await self.hub.made_by(who, key)
        if run is not None:
            self.background.cancel(who, run, at_once=True)

    async def retry(
        self,
        caller: Caller,
        task_id: UUID,
        responses: Mapping[str, BaseModel],
        *,
        disconnect_cancels: bool,
    ) -> Outcome:
        """Go on with a call that ended in a question; `responses` are the replies of the user.

        A question that has been answered elsewhere meanwhile is no error: the call shows what came
        of it.
        """
        task = await self.hub.task(caller.who, task_id)
        asking = run = last_run(task)
        before: Sequence[Run] | None = task.runs[:-1]
        if task.interrupts:
            read_ = elicit.read(task.interrupts, responses, self.approvals.links(caller, task_id))
            if read_.answers:
                run, before = await self._resume(caller, task_id, read_.answers), task.runs
            if read_.elsewhere:
                before = None
                try:
                    async with asyncio.timeout(self.soft_deadline_seconds or None):
                        on_pages = [q for q in task.interrupts if q.id in read_.elsewhere]
                        run = await self._settled(caller, asking, on_pages)
                except TimeoutError:
                    pass  # nobody has been on the page yet
            elif not read_.answers:
                return self._question(caller, run, read_.problems)
        return await self.follow(caller, run, before=before, disconnect_cancels=disconnect_cancels)

    async def follow(
        self,
        caller: Caller,
        run: Run,
        *,
        before: Sequence[Run] | None = None,
        disconnect_cancels: bool,
        responses: Mapping[str, BaseModel] | None = None,
        deadline: bool = True,
    ) -> Outcome:
        """Follow a run, and the runs that answer its questions, to something worth telling. `before` are
        the task's runs before it, where they are known."""
        heard = Heard(run, before)
        unread = dict(responses or {})
        try:
            async with reporting(caller) as progress:
                while True:
                    within = self.soft_deadline_seconds if deadline else 0.0
                    ended = (
                        run
                        if not run.open
                        else await self._ended(caller, run, heard, progress, within=within)
                    )
                    if ended is None:
                        return replies.still_working(run)
                    if ended.status != "success" or not ended.interrupts:
                        return await self._result(caller, ended, heard)
                    link = self.approvals.links(caller, run.task_id)
                    read_ = elicit.read(ended.interrupts, unread, link)
                    unread = {}
                    if read_.answers:
                        run = await self._resume(caller, run.task_id, read_.answers)
                        continue
                    if caller.modern or not caller.can_answer:
                        return self._question(caller, ended, read_.problems)
                    if progress is not None:
                        progress.say("waiting for an answer")
                    answered = await self._ask(caller, ended)
                    if answered is None:
                        return replies.waiting(ended)
                    run = answered
        except asyncio.CancelledError:
            self._taken_back(caller, run, disconnect_cancels=disconnect_cancels)
            raise

    async def _ask(self, caller: Caller, run: Run) -> Run | None:
        """Put a run's questions; the run to follow when none is open any more, whoever answered, or None when
        the client does not answer."""
        asked = await elicit.ask(
            caller,
            run,
            self.approvals.links(caller, run.task_id),
            lambda question: self._settled(caller, run, [question]),
        )
        if asked is None:
            return None
        following: Run | None = None
        if asked.answers:
            following = await self._resume(caller, run.task_id, asked.answers)
        if asked.elsewhere:
            on_pages = [q for q in run.interrupts if q.id in asked.elsewhere]
            following = await self._settled(caller, run, on_pages)
            for id in sorted(asked.elsewhere):
                await caller.notify("notifications/elicitation/complete", {"elicitationId": id})
        return following or last_run(await self.hub.task(caller.who, run.task_id))

    async def _settled(self, caller: Caller, run: Run, questions: Sequence[Interrupt]) -> Run:
        """Wait until questions of a run are open no more, whoever answers; the run to follow then."""
        async with aclosing(task_changes(self.hub, caller.who, run)) as changes:
            async for change in changes:
                still = await open_questions(self.hub, caller.who, change.task)
                if not any(is_open(asked, run, change.task, still) for asked in questions):
                    return last_run(change.task)
        return last_run(await self.hub.task(caller.who, run.task_id))

    async def _ended(
        self, caller: Caller, run: Run, heard: Heard, progress: Progress | None, *, within: float
    ) -> Run | None:
        """The run as it ended, from its events alone; None when that takes longer (0: for ever)."""
        values: bytes | None = None
        try:
            async with (
                asyncio.timeout(within or None),
                aclosing(self.hub.follow_run(run)) as slices,
            ):
                async for slice_ in slices:
                    for event in slice_:
                        heard.emissions.absorb(event)
                        if event.kind == VALUES and not event.ns:
                            values = event.data
                        elif event.kind == ENDED:
                            return as_ended(run, event, values)
                        elif progress is not None:
                            progress.saw(event)
        except TimeoutError:
            return None
        heard.whole = False
        return await self.hub.run(caller.who, run.run_id)

    async def _resume(self, caller: Caller, task_id: UUID, answers: dict[str, Json]) -> Run:
        """Answer; or, when another client was quicker, the run that its answer made."""
        try:
            return await self.hub.resume_task(caller.who, task_id, answers, origin=ORIGIN)
        except Conflict:
            return last_run(await self.hub.task(caller.who, task_id))

    async def _result(self, caller: Caller, run: Run, heard: Heard) -> types.CallToolResult:
        said = await heard.all(self.hub, caller.who, run)
        return result_of(self.tools.of(run.agent), run, caller.ctx.protocol_version, said)

    def _question(self, caller: Caller, run: Run, problems: Mapping[str, str]) -> Outcome:
        if caller.modern and caller.can_answer:
            link = self.approvals.links(caller, run.task_id)
            return types.InputRequiredResult(
                input_requests={**elicit.requests(run.interrupts, problems, link, named=True)},
                request_state=str(run.task_id),
                _meta=meta_of(run),
            )
        return replies.waiting(run, "\n".join(problems.values()) or None)

    def _taken_back(
        self, caller: Caller, run: Run | asyncio.Task[Run], *, disconnect_cancels: bool
    ) -> None:
        if caller.cancelled:
            self.background.cancel(caller.who, run, at_once=True)
        elif caller.disconnected and disconnect_cancels:
            self.background.cancel(caller.who, run, at_once=False)
