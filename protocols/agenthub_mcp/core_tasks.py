"""Core tasks: the experimental tasks of 2025-11-25, for clients of that revision alone.

A client asks for a task by `params.task` of its call, and fetches the result by a request that waits for it
(`tasks/result`), on whose stream the task's questions are put. Here `failed` is any task whose result is an
error. A task is kept as long as its thread is, whatever time the client asks for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.methods import serialize_server_result

from agenthub.archive import RunQuery
from agenthub.json import JsonObject
from agenthub.runs import Run, Task
from agenthub_mcp.caller import RELATED_TASK, Caller
from agenthub_mcp.convert import meta_of
from agenthub_mcp.paging import bad_cursor, make_cursor, read_cursor
from agenthub_mcp.standing import (
    at,
    last_run,
    last_step,
    message_of,
    new_task,
    open_questions,
    poll_ms,
    status_of,
    ttl_ms,
)
from agenthub_mcp.tasks import TaskParams, Tasks, unknown_task
from agenthub_mcp.tools import AgentTool
from agenthub_mcp.watch import task_changes

VERSION: Final = "2025-11-25"
CAPABILITY: Final = types.ServerTasksCapability(
    list=types.TasksListCapability(),
    cancel=types.TasksCancelCapability(),
    requests=types.ServerTasksRequestsCapability(
        tools=types.TasksToolsCapability(call=types.TasksCallCapability())
    ),
)
PAGE: Final = 20
LISTED_FROM: Final = 200
"""Runs that are looked through at a time, the latest first."""
DEEPEST: Final = 2_000
"""How far back a list goes; what is older is asked for by its id."""


class CoreTasks:
    """The handlers, over the same tasks as the extension's."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.calls = tasks.calls
        self.hub = tasks.hub

    async def call(self, caller: Caller, tool: AgentTool, arguments: JsonObject) -> JsonObject:
        """Call an agent as a task; as `Calls.begin`."""
        if tool.info.task == "forbidden":
            raise MCPError(
                types.METHOD_NOT_FOUND, f"The tool {tool.info.name!r} cannot be called as a task"
            )
        run = await self.calls.begin(caller, tool, arguments)
        return {"task": _in_old_words(new_task(run)), "_meta": meta_of(run)}

    async def get(self, caller: Caller, params: TaskParams) -> JsonObject:
        """A task as it stands."""
        return await self._shown(caller, await self._task(caller, params.task_id))

    async def cancel(self, caller: Caller, params: TaskParams) -> JsonObject:
        """Cancel a task. Raises `MCPError` for one that has ended."""
        task = await self._task(caller, params.task_id)
        if not task.open:
            raise MCPError(
                types.INVALID_PARAMS, f"The task {params.task_id!r} has ended: {task.status}"
            )
        await self.tasks.end(caller, task)
        return await self._shown(caller, await self.hub.task(caller.who, task.task_id))

    async def result(self, caller: Caller, params: TaskParams) -> JsonObject:
        """Wait for the end of a task and give its result, putting its questions meanwhile."""
        task = await self._task(caller, params.task_id)
        if task.open and not caller.can_answer:
            task = await self._over(caller, task)
        outcome = await self.calls.follow(
            replace(caller, about=task.task_id),
            last_run(task),
            before=task.runs[:-1],
            disconnect_cancels=False,
            deadline=False,
        )
        assert isinstance(outcome, types.CallToolResult), "this era gets nothing else"
        shown: dict[str, Any] = outcome.model_dump(by_alias=True, mode="json", exclude_none=True)
        shown = serialize_server_result("tools/call", VERSION, shown)
        about = {RELATED_TASK: {"taskId": str(task.task_id)}}
        return {**shown, "_meta": {**(shown.get("_meta") or {}), **about}}

    async def list(
        self, caller: Caller, only: str | None, params: types.PaginatedRequestParams
    ) -> JsonObject:
        """The caller's tasks among the latest, newest first."""
        tasks: list[JsonObject] = []
        following: str | None = None
        async with aclosing(self._first_runs(caller, only, _offset(params.cursor))) as runs:
            async for offset, run in runs:
                if len(tasks) == PAGE:
                    following = make_cursor(str(offset))
                    break
                tasks.append(
                    await self._shown(caller, await self.hub.task(caller.who, run.task_id))
                )
        return {"tasks": tasks} | ({} if following is None else {"nextCursor": following})

    async def _first_runs(
        self, caller: Caller, only: str | None, offset: int
    ) -> AsyncGenerator[tuple[int, Run]]:
        """The caller's runs that began a task, with their places among the latest runs."""
        while offset < DEEPEST:
            query = RunQuery(agent=only, limit=LISTED_FROM, offset=offset)
            runs = await self.hub.archive.runs(caller.who.tenant, query)
            for place, run in enumerate(runs, offset):
                if run.kind == "input" and run.subject == caller.who.subject:
                    yield place, run
            if len(runs) < LISTED_FROM:
                return
            offset += LISTED_FROM

    async def _over(self, caller: Caller, task: Task) -> Task:
        async with aclosing(task_changes(self.hub, caller.who, task)) as changes:
            async for change in changes:
                task = change.task
        return task

    async def _task(self, caller: Caller, task_id: str) -> Task:
        task = await self.tasks.find(caller, task_id)
        if task is None:
            raise unknown_task(task_id)
        return task

    async def _shown(self, caller: Caller, task: Task) -> JsonObject:
        questions = await open_questions(self.hub, caller.who, task)
        status = status_of(task, questions)
        if status == "completed" and task.status == "failed":
            status = "failed"
        step = await last_step(self.hub, task) if status == "working" else None
        return {
            "taskId": str(task.task_id),
            "status": status,
            **message_of(task, status, questions, step),
            "createdAt": at(task.created_at),
            "lastUpdatedAt": at(task.updated_at),
            "ttl": await ttl_ms(self.hub, task),
            "pollInterval": poll_ms(task.updated_at),
        }


def _in_old_words(task: JsonObject) -> JsonObject:
    renamed = {"ttlMs": "ttl", "pollIntervalMs": "pollInterval"}
    return {renamed.get(key, key): value for key, value in task.items()}


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    offset = read_cursor(cursor)
    if not (offset.isascii() and offset.isdigit() and len(offset) < 6):
        raise bad_cursor()
    return int(offset)
