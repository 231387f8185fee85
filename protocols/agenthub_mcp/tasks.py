"""Tasks: the extension `io.modelcontextprotocol/tasks` of 2026-07-28 over the hub's own tasks.

The id of a task is ours, so it is durable before anybody gets to know it, and any replica serves it. A
question is known by its interrupt id, which never comes again. An answer that does not fit is refused and
the question stays open: to ask it anew, under the same key, is what the extension forbids.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from pydantic import ValidationError

from agenthub.errors import Conflict, NotFound
from agenthub.json import JsonObject
from agenthub.runs import Task
from agenthub_mcp import elicit
from agenthub_mcp.caller import TASKS, Caller
from agenthub_mcp.calls import ORIGIN, Calls
from agenthub_mcp.said import said_by
from agenthub_mcp.standing import (
    at,
    fault,
    last_step,
    message_of,
    open_questions,
    poll_ms,
    result_of,
    status_of,
    ttl_ms,
)

CANCEL_SECONDS: Final = 2.0
"""How long a cancellation is waited for; it goes on by itself."""


class TaskParams(types.RequestParams):
    """The params of `tasks/get` and `tasks/cancel`."""

    task_id: str


class TaskUpdateParams(TaskParams):
    """The params of `tasks/update`."""

    input_responses: dict[str, Any]


class Tasks:
    """The handlers of the extension."""

    def __init__(self, calls: Calls) -> None:
        self.hub = calls.hub
        self.calls = calls

    async def get(self, caller: Caller, params: TaskParams) -> JsonObject:
        """A task as it stands, with its result, its error or its questions."""
        task = await self._task(caller, params.task_id)
        return {"resultType": "complete", **await self.detailed(caller, task)}

    async def update(self, caller: Caller, params: TaskUpdateParams) -> JsonObject:
        """Take answers to some of a task's questions; others, and old ones, are passed over."""
        task = await self._task(caller, params.task_id)
        questions = await open_questions(self.hub, caller.who, task)
        # what answers no open question is passed over unread
        keys = {question.id for question in questions} & params.input_responses.keys()
        given = {key: _reply(key, params.input_responses[key]) for key in keys}
        links = self.calls.approvals.links(caller, task.task_id)
        replies = elicit.read(questions, given, links)
        if replies.problems:
            raise MCPError(types.INVALID_PARAMS, " ".join(replies.problems.values()))
        if replies.answers:
            # a Conflict: somebody else was quicker
            with suppress(Conflict):
                await self.hub.resume(caller.who, task.thread_id, replies.answers, origin=ORIGIN)
        return {"resultType": "complete"}

    async def cancel(self, caller: Caller, params: TaskParams) -> JsonObject:
        """Cancel a task; one that has ended stays as it is."""
        task = await self._task(caller, params.task_id)
        await self.end(caller, task)
        return {"resultType": "complete"}

    async def end(self, caller: Caller, task: Task) -> None:
        """Cancel a task if it is open, and wait a moment for it to end."""
        if task.open:
            with suppress(Conflict, TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await self.hub.cancel_task(
                        caller.who, task.task_id, reason="cancelled by the MCP client"
                    )

    async def detailed(self, caller: Caller, task: Task, *, step: str | None = None) -> JsonObject:
        """A `DetailedTask`. `step` is the last one, if that is known already."""
        questions = await open_questions(self.hub, caller.who, task)
        status = status_of(task, questions)
        if status == "working" and step is None:
            step = await last_step(self.hub, task)
        run = task.runs[-1]
        shown: JsonObject = {
            "taskId": str(task.task_id),
            "status": status,
            **message_of(task, status, questions, step),
            "createdAt": at(task.created_at),
            "lastUpdatedAt": at(task.updated_at),
            "ttlMs": await ttl_ms(self.hub, task),
        }
        if task.open:
            shown["pollIntervalMs"] = poll_ms(task.updated_at)
        if status == "input_required":
            shown["inputRequests"] = self._requests(caller, task, questions)
        elif status == "completed":
            tool, version = self.calls.tools.of(task.agent), caller.ctx.protocol_version
            said = await said_by(self.hub, task.runs)
            result = result_of(tool, run, version, said)
            shown["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        elif status == "failed" and (error := fault(run)) is not None:
            shown["error"] = error.model_dump(by_alias=True, mode="json", exclude_none=True)
        return shown

    async def find(self, caller: Caller, task_id: str) -> Task | None:
        """A task of the caller's; None when there is none of this id."""
        try:
            return await self.hub.task(caller.who, UUID(task_id))
        except (ValueError, NotFound):
            return None

    def _requests(self, caller: Caller, task: Task, questions: Any) -> JsonObject:
        """The questions, in the ways that the client declares; none for a client that cannot ask."""
        if not caller.can_answer:
            return {}
        links = self.calls.approvals.links(caller, task.task_id)
        return {
            key: request.model_dump(by_alias=True, mode="json", exclude_none=True)
            for key, request in elicit.requests(questions, {}, links).items()
        }

    async def _task(self, caller: Caller, task_id: str) -> Task:
        require_tasks(caller)
        assert caller.ctx.request is not None, "served over HTTP"
        named = caller.ctx.request.headers.get(MCP_NAME_HEADER)
        if named is None or decode_header_value(named) != task_id:
            raise MCPError(
                types.HEADER_MISMATCH, "The header Mcp-Name is not the taskId of the params"
            )
        task = await self.find(caller, task_id)
        if task is None:
            raise unknown_task(task_id)
        return task


def require_tasks(caller: Caller) -> None:
    """Refuse a client that does not declare the extension. Raises `MCPError`."""
    if not caller.takes_tasks:
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "Missing required client capability: the tasks extension",
            {"requiredCapabilities": {"extensions": {TASKS: {}}}},
        )


def unknown_task(task_id: str) -> MCPError:
    """The refusal of an id that is no task of the caller's."""
    return MCPError(types.INVALID_PARAMS, f"There is no task {task_id[:60]!r}")


def _reply(key: str, value: Any) -> types.ElicitResult:
    try:
        return types.ElicitResult.model_validate(value, by_name=False)
    except ValidationError:
        raise MCPError(
            types.INVALID_PARAMS, f"The response {key[:60]!r} has no action and content"
        ) from None
