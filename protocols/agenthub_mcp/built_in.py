"""The built-in tools: look at a task, answer it, cancel it, whichever surface started it.

They are for hosts that cannot put a question to their user, or give up on long calls, which is most of
them today. Every one takes the id of a task or of any of its runs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import mcp_types as types

from agenthub.errors import Conflict, Invalid
from agenthub.ids import parse_id
from agenthub.interrupts import unknown
from agenthub.json import Json, JsonObject
from agenthub.runs import Task
from agenthub.service import Hub, Submission
from agenthub_mcp import replies
from agenthub_mcp.caller import Caller
from agenthub_mcp.calls import ORIGIN, Calls, Outcome
from agenthub_mcp.elicit import checked
from agenthub_mcp.replies import CANCEL_RUN, RESUME_RUN, RUN_STATUS
from agenthub_mcp.said import said_by
from agenthub_mcp.schemas import problems, validator
from agenthub_mcp.tools import object_schema

_TASK_ID: Final[JsonObject] = {
    "type": "string",
    "description": "The task_id (or run_id) that an earlier result named.",
}
_STATUS: Final = object_schema(
    ("task_id", "run_id", "thread_id", "agent", "status"),
    task_id={"type": "string"},
    run_id={"type": "string"},
    thread_id={"type": "string"},
    agent={"type": "string"},
    status={"enum": ["working", "input_required", "completed", "failed", "cancelled"]},
    questions={"type": "array", "items": {"type": "object"}},
    result={},
    error={"type": "string"},
)
TOOLS: Final = (
    types.Tool(
        name=CANCEL_RUN,
        title="Cancel a run",
        description="Stop an agent that is working or waits for an answer.",
        input_schema=object_schema(["task_id"], task_id=_TASK_ID),
        output_schema=_STATUS,
        annotations=types.ToolAnnotations(idempotent_hint=True, open_world_hint=False),
    ),
    types.Tool(
        name=RESUME_RUN,
        title="Answer a run",
        description="Give the user's answer to an agent that waits for one, and wait for what it does "
        "next. Use `answer` when one question is open, `answers` when several are.",
        input_schema=object_schema(
            ["task_id"],
            task_id=_TASK_ID,
            answer={"description": "The answer to the only open question; any JSON value."},
            answers={
                "type": "object",
                "description": "The answers by question id; each any JSON value.",
            },
        ),
    ),
    types.Tool(
        name=RUN_STATUS,
        title="Status of a run",
        description="See how an agent's task stands: its result when it is done, its questions when "
        "it waits for an answer.",
        input_schema=object_schema(["task_id"], task_id=_TASK_ID),
        output_schema=_STATUS,
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    ),
)
_ARGUMENTS: Final = {tool.name: validator(tool.input_schema) for tool in TOOLS}


class BuiltIn:
    """Calls of the built-in tools."""

    def __init__(self, hub: Hub, calls: Calls) -> None:
        self.hub = hub
        self.calls = calls

    async def call(self, caller: Caller, name: str, arguments: JsonObject) -> Outcome:
        """Call the built-in tool of this name.

        Raises:
            Invalid: the arguments do not fit, or the answer does not fit the question.
            NotFound: there is no such task.
            Conflict: it does not wait for an answer.
        """
        wrong = problems(_ARGUMENTS[name], arguments)
        if wrong is not None:
            raise Invalid(f"The arguments do not fit the tool {name!r}: {wrong}")
        task = await self._task(caller, arguments["task_id"])
        if name == RESUME_RUN:
            return await self._resume(caller, task, arguments)
        if name == CANCEL_RUN and task.open:
            with suppress(Conflict):  # it may end by itself meanwhile
                await self.hub.cancel_task(caller.who, task.task_id)
            task = await self.hub.task(caller.who, task.task_id)
        emitted = await said_by(self.hub, task.runs if task.status == "completed" else ())
        return replies.status(self.calls.tools.of(task.agent), task, emitted)

    async def _task(self, caller: Caller, given: str) -> Task:
        run = await self.hub.run(caller.who, parse_id(given, "task_id"))
        return await self.hub.task(caller.who, run.task_id)

    async def _resume(self, caller: Caller, task: Task, arguments: JsonObject) -> Outcome:
        begun = await self.calls.begun(caller)
        if begun is not None:
            return await self.calls.follow(caller, begun, disconnect_cancels=False)
        if not task.interrupts:
            raise Conflict(
                f"The task {str(task.task_id)!r} is {task.status} and waits for no answer. "
                f"Call {RUN_STATUS} to see how it stands."
            )
        answers = _answers(task, arguments)
        run = await self.hub.resume_task(
            caller.who,
            task.task_id,
            answers,
            origin=ORIGIN,
            how=Submission(idempotency_key=caller.key),
        )
        # The task may be another client's: losing this connection is no reason to end it.
        return await self.calls.follow(caller, run, before=task.runs, disconnect_cancels=False)


def _answers(task: Task, arguments: JsonObject) -> dict[str, Json]:
    """The answers by question, each checked against its question's schema."""
    questions = {i.id: i for i in task.interrupts}
    if ("answer" in arguments) == ("answers" in arguments):
        raise Invalid("Give either `answer` or `answers`.")
    if "answers" in arguments:
        answers: dict[str, Json] = arguments["answers"]
    elif len(questions) == 1:
        answers = {next(iter(questions)): arguments["answer"]}
    else:
        raise Invalid(
            "Several questions are open: give `answers`, an object that maps each question's id to "
            f"its answer; open: {', '.join(sorted(questions))}"
        )
    if not answers.keys() <= questions.keys():
        raise unknown(sorted(answers.keys() - questions.keys()), questions)
    if not answers:
        raise Invalid("Give at least one answer.")
    return {id: checked(questions[id], value) for id, value in answers.items()}
