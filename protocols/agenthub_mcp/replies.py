"""What a calling model is told about a task that has no result yet, and about one that has.

A tool with an `outputSchema` must not succeed without `structuredContent` (SDK clients raise), so the
interim answers of a call are errors by their flag, and say in words what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable

import mcp_types as types

from agenthub.emitted import Emissions
from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject, text
from agenthub.runs import Run, Task
from agenthub_mcp.convert import meta_of, structured, to_result
from agenthub_mcp.errors import failed
from agenthub_mcp.said import artifacts_of
from agenthub_mcp.tools import AgentTool

RUN_STATUS = "run_status"
RESUME_RUN = "resume_run"
CANCEL_RUN = "cancel_run"


def still_working(run: Run) -> types.CallToolResult:
    """The handle of a run that takes longer than the caller's host would wait."""
    return failed(
        f"The agent {run.agent!r} is still working, and goes on by itself. Do not call it again. "
        f'Call {RUN_STATUS} with task_id "{run.task_id}" to see how it stands and to get its '
        f'result. Its thread_id is "{run.thread_id}".',
        meta=meta_of(run),
    )


def waiting(run: Run, problem: str | None = None) -> types.CallToolResult:
    """The open questions of a run, for a caller that cannot put them to its user itself."""
    asked = _questions(run.interrupts)
    return failed(
        (f"{problem}\n\n" if problem else "")
        + f"The agent {run.agent!r} waits for an answer before it can go on.\n\n{asked}\n\n"
        f'Ask the user, then call {RESUME_RUN} with task_id "{run.task_id}" and '
        f"{_how_to_answer(run.interrupts)}.",
        meta=meta_of(run),
    )


def status(tool: AgentTool, task: Task, emitted: Emissions) -> types.CallToolResult:
    """How a task stands, and its result when it has one, with what its agent emitted."""
    run = task.runs[-1]
    state = "cancelled" if task.status == "canceled" else task.status
    body: JsonObject = {
        "task_id": str(task.task_id),
        "run_id": str(run.run_id),
        "thread_id": str(task.thread_id),
        "agent": task.agent,
        "status": state,
    }
    files: list[types.ContentBlock] = []
    if task.status == "input_required":
        body["questions"] = [i.public() for i in task.interrupts]
        said = [_text_of(waiting(run))]
    elif task.status == "completed":
        body["result"] = structured(tool, run)
        files = [c for c in artifacts_of(emitted) if not isinstance(c, types.TextContent)]
        said = [f"The task {state}. Its result:", _text_of(to_result(tool, run, emitted))]
    elif task.status == "working":
        said = [f"The agent {task.agent!r} is working. Call {RUN_STATUS} again in a while."]
    else:
        body["error"] = _text_of(to_result(tool, run))
        said = [f"The task {state}: {body['error']}"]
    return types.CallToolResult(
        content=[types.TextContent(type="text", text="\n".join(said)), *files],
        structured_content=body,
        _meta=meta_of(run),
    )


def _text_of(result: types.CallToolResult) -> str:
    return "\n".join(c.text for c in result.content if isinstance(c, types.TextContent))


def _questions(interrupts: Iterable[Interrupt]) -> str:
    return "\n".join(
        f"Question {i.id}: {_value(i.value)}"
        + (
            f"\nThe answer must fit this JSON Schema: {text(i.response_schema)}"
            if i.response_schema
            else ""
        )
        for i in interrupts
    )


def _value(value: Json) -> str:
    return value if isinstance(value, str) else text(value)


def _how_to_answer(interrupts: tuple[Interrupt, ...]) -> str:
    if len(interrupts) == 1:
        return "the answer as `answer`"
    return "`answers`, an object that maps each question's id to its answer"
