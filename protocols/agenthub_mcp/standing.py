"""Standings: how a task stands, in the words of the two task protocols, and what it still asks.

A finished task's result is what a blocking call would have returned; an agent's own error is such a result,
too. `failed` is left for what is none of the agent's doing: a run that was given up, or took too long. A task
waits for input as long as any question wants an answer, also while an answer to another one is worked on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import mcp_types as types
from mcp_types.version import is_version_at_least

from agenthub.emitted import Emissions
from agenthub.interrupts import Interrupt
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub.runs import Run, Task
from agenthub.service import Hub
from agenthub_mcp.convert import to_result
from agenthub_mcp.progress import steps
from agenthub_mcp.tools import AgentTool

Status: TypeAlias = Literal["working", "input_required", "completed", "failed", "cancelled"]

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
POLL_MS: Final = ((10.0, 500), (60.0, 1_000), (600.0, 5_000), (float("inf"), 30_000))
"""How soon to look again, by the seconds for which nothing has changed."""
GIVEN_UP: Final = frozenset({"AttemptsExhausted", "MCPError", "McpError"})
"""Errors of runs that are no result of the agent's; an MCP error is none by its own words."""
LINKS_SINCE: Final = "2025-06-18"
LOOKED_BACK: Final = 50
"""Events at the end of a working task among which its last step is looked for."""


async def open_questions(hub: Hub, who: Principal, task: Task) -> tuple[Interrupt, ...]:
    """The questions of a task that still want an answer."""
    if task.interrupts or not task.open:
        return task.interrupts
    if all(len(run.interrupts) < 2 for run in task.runs):
        return ()  # the only question was answered: the task works on it
    thread = await hub.thread(who, task.thread_id)
    return thread.interrupts if thread.open_task == task.task_id else ()


def is_open(
    question: Interrupt, asked_by: Run, task: Task, questions: tuple[Interrupt, ...]
) -> bool:
    """Whether what a run asked is among the questions that its task still has."""
    # what asks again in the same place uses the same ids
    same = task.runs[-1].run_id == asked_by.run_id
    return any(q.id == question.id and (same or q.value == question.value) for q in questions)


def last_run(task: Task) -> Run:
    """The run that says how its task stands: one whose questions were closed was cancelled with them."""
    run = task.runs[-1]
    if task.status == "canceled" and run.status == "success":
        return replace(run, status="interrupted", interrupts=())
    return run


def status_of(task: Task, questions: tuple[Interrupt, ...]) -> Status:
    """The status of a task that still has these questions."""
    if task.open:
        return "input_required" if questions else "working"
    if task.status == "canceled":
        return "cancelled"
    return "failed" if fault(task.runs[-1]) is not None else "completed"


def fault(run: Run) -> types.ErrorData | None:
    """Why a run failed, if it was not the agent that failed."""
    error = run.error or {}
    given_up = run.status == "timeout" or error.get("error") in GIVEN_UP
    if run.status not in ("error", "timeout") or not given_up:
        return None
    message = str(error.get("message") or "The run was given up.")
    return types.ErrorData(code=types.INTERNAL_ERROR, message=message)


def result_of(
    tool: AgentTool, run: Run, version: str, said: Emissions | None = None
) -> types.CallToolResult:
    """The result of a finished task, for a client of this revision: with a link to the run, where the
    revision knows links. An error is its message alone."""
    result = to_result(tool, run, said)
    if result.is_error or not is_version_at_least(version, LINKS_SINCE):
        return result
    link = types.ResourceLink(
        uri=f"run://{run.run_id}",
        name=f"{run.agent} run",
        description="How this run went: its state, and its events.",
        mime_type="application/json",
    )
    return result.model_copy(update={"content": [*result.content, link]})


def poll_ms(updated_at: datetime, *, now: datetime | None = None) -> int:
    """When to look again at what changed last at this instant."""
    quiet = ((now or datetime.now(UTC)) - updated_at).total_seconds()
    return next(ms for seconds, ms in POLL_MS if quiet < seconds)


def at(instant: datetime) -> str:
    """An instant, as ISO 8601 has it."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def ttl_ms(hub: Hub, task: Task) -> int | None:
    """For how long a task is kept, from its creation; None: until somebody deletes its thread."""
    ttl = await hub.archive.ttl(task.tenant, task.thread_id)
    if ttl is None or ttl.strategy != "delete" or ttl.expires_at is None:
        return None
    return max(0, int((ttl.expires_at - task.created_at).total_seconds() * 1000))


async def last_step(hub: Hub, task: Task) -> str | None:
    """The last step that a working task has finished, if that was not long ago."""
    after = max(0, task.last_seq - LOOKED_BACK)
    recent = await hub.streams.log.read(task.tenant, task.task_id, after=after, limit=LOOKED_BACK)
    done = [node for event in recent for node in steps(event)]
    return done[-1] if done else None


def new_task(run: Run) -> JsonObject:
    """A task that has just been made, for whoever called the agent."""
    return {
        "taskId": str(run.task_id),
        "status": "working",
        "createdAt": at(run.created_at),
        "lastUpdatedAt": at(run.created_at),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS[0][1],
    }


def message_of(
    task: Task, status: Status, questions: tuple[Interrupt, ...], step: str | None
) -> dict[str, Any]:
    """The `statusMessage` of a task, if there is something to say."""
    if status == "working":
        return {} if step is None else {"statusMessage": f"finished: {step}"[:200]}
    if status == "input_required":
        many = "an answer" if len(questions) == 1 else f"{len(questions)} answers"
        return {"statusMessage": f"The agent {task.agent!r} waits for {many}."}
    if status == "completed":
        return {}
    error = task.runs[-1].error or {}
    return {"statusMessage": str(error.get("message") or f"The task was {status}.")}
