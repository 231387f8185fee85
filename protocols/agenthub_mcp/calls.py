"""Calls: follow a task for a caller until there is something to tell it.

A call ends with a result, with a question, or, at the soft deadline, with a handle; the run does not
care. It is cancelled only when the caller takes the request back: in words (`notifications/cancelled`),
or, in the modern era, by closing the response. A server that stops, or a handshake client that loses
its connection, leaves the run alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import TypeAlias
from uuid import UUID

import mcp_types as types
from pydantic import BaseModel

from agenthub.errors import Conflict
from agenthub.events import ENDED, VALUES
from agenthub.json import Json, JsonObject
from agenthub.principal import Principal
from agenthub.runs import Run, RunRequest
from agenthub.service import Hub, Start, as_ended
from agenthub_mcp import elicit, replies
from agenthub_mcp.background import Background
from agenthub_mcp.caller import Caller
from agenthub_mcp.convert import meta_of, to_input, to_result
from agenthub_mcp.progress import Progress, reporting
from agenthub_mcp.tools import AgentTool, Toolbox

Outcome: TypeAlias = types.CallToolResult | types.InputRequiredResult

ORIGIN: JsonObject = {"surface": "mcp"}


class Calls:
    """Drives runs for callers. `soft_deadline_seconds=0` waits for ever."""

    def __init__(
        self, hub: Hub, tools: Toolbox, background: Background, *, soft_deadline_seconds: float
    ) -> None:
        self.hub = hub
        self.tools = tools
        self.background = background
        self.soft_deadline_seconds = soft_deadline_seconds

    async def start(self, caller: Caller, tool: AgentTool, arguments: JsonObject) -> Outcome:
        """Call an agent.

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
                request=RunRequest(input=given),
                thread_id=thread_id,
                open_task="refuse",
                origin=ORIGIN,
                # a replica that serves the call again gets the run that is there
                idempotency_key=caller.key,
            ),
        )
        try:
            run = await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._taken_back(caller, starting, disconnect_cancels=True)
            raise
        return await self.follow(caller, run, disconnect_cancels=True)

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
        run = task.runs[-1]
        if task.interrupts:
            answers, problems = elicit.read(task.interrupts, responses)
            if not answers:
                return self._question(caller, run, problems)
            run = await self._resume(caller, task_id, answers)
        return await self.follow(caller, run, disconnect_cancels=disconnect_cancels)

    async def follow(self, caller: Caller, run: Run, *, disconnect_cancels: bool) -> Outcome:
        """Follow a run, and the runs that answer its questions, to something worth telling."""
        try:
            async with reporting(caller) as progress:
                while True:
                    ended = run if not run.open else await self._ended(caller, run, progress)
                    if ended is None:
                        return replies.still_working(run)
                    if ended.status != "success" or not ended.interrupts:
                        return to_result(self.tools.of(ended.agent), ended)
                    if caller.modern or not caller.can_answer:
                        return self._question(caller, ended, {})
                    if progress is not None:
                        progress.say("waiting for an answer")
                    answers = await elicit.ask(caller, ended)
                    if answers is None:
                        return replies.waiting(ended)
                    run = await self._resume(caller, run.task_id, answers)
        except asyncio.CancelledError:
            self._taken_back(caller, run, disconnect_cancels=disconnect_cancels)
            raise

    async def _ended(self, caller: Caller, run: Run, progress: Progress | None) -> Run | None:
        """The run as it ended, from its events alone; None at the soft deadline."""
        values: bytes | None = None
        try:
            async with (
                asyncio.timeout(self.soft_deadline_seconds or None),
                aclosing(self.hub.follow_run(run)) as slices,
            ):
                async for slice_ in slices:
                    for event in slice_:
                        if event.kind == VALUES and not event.ns:
                            values = event.data
                        elif event.kind == ENDED:
                            return as_ended(run, event, values)
                        elif progress is not None:
                            progress.saw(event)
        except TimeoutError:
            return None
        return await self.hub.run(caller.who, run.run_id)

    async def _resume(self, caller: Caller, task_id: UUID, answers: dict[str, Json]) -> Run:
        """Answer; or, when another client was quicker, the run that its answer made."""
        try:
            return await self.hub.resume_task(caller.who, task_id, answers, origin=ORIGIN)
        except Conflict:
            return (await self.hub.task(caller.who, task_id)).runs[-1]

    def _question(self, caller: Caller, run: Run, problems: Mapping[str, str]) -> Outcome:
        if caller.modern and caller.can_answer:
            return types.InputRequiredResult(
                input_requests={**elicit.requests(run.interrupts, problems)},
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
