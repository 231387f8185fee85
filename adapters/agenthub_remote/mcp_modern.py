"""A call of 2026-07-28: the SDK's session, with questions as results, and tasks where the server offers them.

A task survives everything; a question comes with a state to return with, so a pause needs no connection.
Only a call without either dies with its connection, as the specification has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Literal, cast

import mcp_types as types
from mcp import MCPError
from mcp.client.extension import ClaimContext, ResultClaim
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from pydantic import ConfigDict, TypeAdapter

from agenthub import tracing
from agenthub.chance import spread
from agenthub.errors import AgentFailed
from agenthub.json import JsonObject
from agenthub_remote import outgoing
from agenthub_remote.mcp_call import Asked, Kept, Lost, tell
from agenthub_remote.mcp_content import Tool
from agenthub_remote.mcp_tools import ME, first, opened
from agenthub_remote.patience import Broken, http_cause, once, patiently

TASKS: Final = "io.modelcontextprotocol/tasks"
READ_SECONDS: Final = 300.0
CANCEL_SECONDS: Final = 3.0
FIRST_POLL_SECONDS: Final = 0.2
LAST_POLL_SECONDS: Final = 5.0
ROUNDS: Final = 50
"""How often a server may have its caller come back without a question."""


class CreatedTask(types.Result):
    """A call that became a task."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    result_type: Literal["task"] = "task"
    taskId: str


class TaskAnswer(types.Result):
    """What comes back of a task's methods."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class TaskRequest(types.Request[Any, str]):
    """`tasks/get`, `tasks/update` and `tasks/cancel`."""

    name_param = "taskId"


class ModernCall:
    """`agenthub_remote.mcp_call.Calling`. Kept: `task`, or `state` (the server's own) with the questions."""

    def __init__(self, kept: Kept, tool: Tool) -> None:
        self.kept = kept
        self.tool = tool

    async def begin(self) -> types.CallToolResult | Asked:
        """See `Calling`."""
        await self.kept.note(era="modern")
        return await self._call({}, None)

    async def resume(self, replies: Mapping[str, JsonObject]) -> types.CallToolResult | Asked:
        """See `Calling`."""
        call = self.kept.call or {}
        if call.get("task"):
            if replies:
                await self.kept.note(replies=dict(replies), requests={})
            return await self._watched(replies)
        # what comes back with the state is a call like the first one
        await self.kept.note(found=False)
        return await self._call(replies, call.get("state"))

    async def cancel(self) -> None:
        """See `Calling`. A call without a task is cancelled by its connection."""
        task = (self.kept.call or {}).get("task")
        if task:
            with suppress(MCPError, TimeoutError, ExceptionGroup):
                async with asyncio.timeout(CANCEL_SECONDS), self._session() as session:
                    await _ask(session, "tasks/cancel", {"taskId": task})

    async def _call(
        self, replies: Mapping[str, JsonObject], state: str | None
    ) -> types.CallToolResult | Asked:
        for round in range(ROUNDS):
            result = await once(partial(self._sent, replies, state))
            if isinstance(result, types.CallToolResult):
                return result
            if isinstance(result, CreatedTask):
                await self.kept.note(era="modern", found=True, task=result.taskId)
                return await self._watched({})
            assert isinstance(result, types.InputRequiredResult)
            replies, state = {}, result.request_state
            if result.input_requests:
                self.kept.call = {"era": "modern", "state": state}
                return Asked({k: _plain(r) for k, r in result.input_requests.items()})
            await asyncio.sleep(min(0.05 * 2**round, LAST_POLL_SECONDS))
        raise AgentFailed(f"the tool {self.tool.listed.name!r} has its caller come back for ever")

    async def _sent(self, replies: Mapping[str, JsonObject], state: str | None) -> types.Result:
        async with self._session() as session:
            if "x-mcp-header" in str(self.tool.listed.input_schema):
                # the session learns from the list what goes into headers
                await session.list_tools()
            try:
                return await session.call_tool(
                    self.tool.listed.name,
                    self.kept.arguments,
                    progress_callback=self._progress,
                    input_responses=_RESPONSES.validate_python(dict(replies)) if replies else None,
                    request_state=state,
                    meta=cast("Any", tracing.current()),
                    allow_input_required=True,
                    allow_claimed=True,
                )
            except MCPError as error:
                if error.code == types.CONNECTION_CLOSED:
                    raise Lost from error
                raise

    async def _progress(self, progress: float, total: float | None, message: str | None) -> None:
        tell(self.kept.io, progress, total, message)

    # --- tasks ----------------------------------------------------------------------------------

    async def _watched(self, replies: Mapping[str, JsonObject]) -> types.CallToolResult | Asked:
        """Look after a task, over as many connections as it takes."""
        return await patiently(partial(self._watch, replies))

    async def _watch(self, replies: Mapping[str, JsonObject]) -> types.CallToolResult | Asked:
        """Answer a task, and look until it ends or asks something else."""
        pause, told, task = FIRST_POLL_SECONDS, "", (self.kept.call or {})["task"]
        async with self._session() as session:
            if replies:
                # a question that has its answer ignores another one
                said = {"taskId": task, "inputResponses": dict(replies)}
                await _ask(session, "tasks/update", said)
            while True:
                found = await _ask(session, "tasks/get", {"taskId": task})
                said = str(found.get("statusMessage") or "")
                if said and said != told:
                    told = said
                    self.kept.io.event("progress", {"message": said})
                came = self._stands(found, set(replies))
                if came is not None:
                    return came
                wanted = min(float(found.get("pollIntervalMs") or 0) / 1000, LAST_POLL_SECONDS)
                await asyncio.sleep(max(pause, min(wanted, 1.0)) * spread(0.75, 1.0))
                pause = min(pause * 1.5, max(wanted, 1.0))

    def _stands(
        self, found: JsonObject, answered: Collection[str]
    ) -> types.CallToolResult | Asked | None:
        """What a task has come to; None while there is nothing to do but wait."""
        match found.get("status"):
            case "completed":
                return types.CallToolResult.model_validate(found["result"], by_name=False)
            case "failed":
                why = cast("JsonObject", found.get("error") or {}).get("message")
                raise AgentFailed(str(why or f"the task of {self.tool.listed.name!r} failed"))
            case "cancelled":
                raise AgentFailed(f"the task of {self.tool.listed.name!r} was cancelled there")
            case "input_required":
                asked: JsonObject = found.get("inputRequests") or {}
                new = {k: v for k, v in asked.items() if k not in answered}
                return Asked(new) if new else None
            case _:
                return None

    @asynccontextmanager
    async def _session(self) -> AsyncGenerator[ClientSession]:
        """A session over the era's wire: nothing is sent to open it, and nothing to close it."""
        assert self.tool.open is not None
        try:
            async with (
                opened(self.kept.remote, read_seconds=READ_SECONDS) as http,
                streamable_http_client(
                    self.kept.remote.url,
                    http_client=http,
                    terminate_on_close=False,
                    max_sse_event_size=outgoing.MOST_BYTES,
                ) as (read, write),
                ClientSession(
                    read,
                    write,
                    client_info=ME,
                    elicitation_callback=_never,
                    extensions={TASKS: {}},
                    result_claims={TASKS: (_CLAIM,)},
                ) as session,
            ):
                session.adopt(self.tool.open)
                yield session
        except ExceptionGroup as errors:
            error = first(errors)
            if http_cause(error) is not None:
                raise Lost from error
            raise error from None


async def _ask(session: ClientSession, method: str, params: JsonObject) -> JsonObject:
    request = TaskRequest(method=method, params=params)
    try:
        answer = await session.send_request(request, TaskAnswer)
        return dict(answer.model_extra or {})
    except MCPError as error:
        if error.code == types.CONNECTION_CLOSED:
            raise Broken(str(error)) from error
        raise


async def _never(context: object, params: object) -> types.ErrorData:
    """What makes the session declare elicitation; in this era nobody calls it."""
    return types.ErrorData(code=types.INVALID_REQUEST, message="questions are results here")


async def _claimed(result: CreatedTask, _: ClaimContext) -> types.CallToolResult:
    raise AssertionError(result)


def _plain(request: Any) -> JsonObject:
    return request.model_dump(by_alias=True, mode="json", exclude_none=True)


_RESPONSES: Final[TypeAdapter[Any]] = TypeAdapter(dict[str, types.ElicitResult])
_CLAIM: Final = ResultClaim(result_type="task", model=CreatedTask, resolve=_claimed)
