"""Runs as tool calls, and tool calls as runs: the only place where both words appear.

Arguments. A chat agent (a state with `messages`) takes `message`, one required string, because that
is what a calling model can fill in best; its other state keys stay as they are. Any other object is
taken field by field, and everything else as `{"input": …}`. `thread_id` is the hub's own argument.

Results. `structuredContent` is the agent's output, an object that fits the tool's `outputSchema`,
with `thread_id` when there is room for it; a non-object is `{"result": …}`. A chat returns the messages
of this turn, not of the whole thread. The content says the same as JSON; for a chat it is the answer in
plain words, with its images, sounds, files and links, followed by the rest of the object without the
messages. An agent whose whole output is a list of content blocks (`content.py`) is answered with those
blocks as they are. What the agent emitted (`said.py`) stands around it: a message before it, artifacts behind
it. Bytes are in the content alone: in `structuredContent` they are empty. An error is its message and nothing
else. `_meta` always names the task, the run and the thread.
"""

from __future__ import annotations

from typing import cast
from uuid import UUID

import mcp_types as types

from agenthub.agents import text_input
from agenthub.emitted import Emissions
from agenthub.errors import Invalid
from agenthub.ids import parse_id
from agenthub.json import Json, JsonObject, text
from agenthub.runs import Run
from agenthub_mcp import schemas
from agenthub_mcp.content import content_blocks, message_content, without_bytes
from agenthub_mcp.errors import failed
from agenthub_mcp.said import artifacts_of, message_of
from agenthub_mcp.tools import AgentTool

TASK_META = "agenthub/task_id"
RUN_META = "agenthub/run_id"
THREAD_META = "agenthub/thread_id"


def to_input(tool: AgentTool, arguments: JsonObject) -> tuple[Json, UUID | None]:
    """The input of the run that a call asks for, and the thread to run it on.

    Raises:
        Invalid: the arguments do not fit the tool's schema.
    """
    given = dict(arguments)
    thread = given.pop(schemas.THREAD_ID, None)
    wrong = schemas.problems(tool.arguments, given)
    if wrong is not None:
        raise Invalid(f"The arguments do not fit the tool {tool.info.name!r}: {wrong}")
    # Models fill optional arguments with "" or null when they mean to leave them out.
    thread_id = parse_id(thread, schemas.THREAD_ID) if thread else None
    value: Json = given["input"] if tool.form == "value" else given
    if tool.form == "message":
        said = text_input(tool.info, given.pop("message"))
        value = {**given, **said}
    return schemas.storable(value), thread_id


def to_result(tool: AgentTool, run: Run, said: Emissions | None = None) -> types.CallToolResult:
    """The result of the call whose last run has ended and left no question open; `said` is what the agent
    said beside it."""
    if run.status != "success":
        return failed(_failure(run), meta=meta_of(run))
    content = structured(tool, run)
    wrong = schemas.problems(tool.result, content)
    if wrong is not None:
        return failed(
            f"The agent {run.agent!r} finished, but its output does not fit the schema that it "
            f"declares ({wrong}). Its output was: {text(content)}",
            meta=meta_of(run),
        )
    return types.CallToolResult(
        content=_content(tool, run, content, said),
        structured_content=content,
        _meta=meta_of(run),
    )


def structured(tool: AgentTool, run: Run) -> Json:
    """The `structuredContent` of a run's output."""
    output = tool.info.output(run.output)
    if content_blocks(output) is not None:
        output = without_bytes(output)
    if tool.wrapped:
        output = {"result": output}
    if not isinstance(output, dict):
        return output
    content = cast("JsonObject", output)
    messages = content.get("messages")
    if isinstance(messages, list):
        content = {**content, "messages": _lean(_turn(cast("list[Json]", messages)))}
    if tool.takes_thread:
        content = {**content, schemas.THREAD_ID: str(run.thread_id)}
    return content


def meta_of(run: Run) -> dict[str, Json]:
    """The `_meta` of every result that belongs to a run."""
    return {
        TASK_META: str(run.task_id),
        RUN_META: str(run.run_id),
        THREAD_META: str(run.thread_id),
    }


def _failure(run: Run) -> str:
    if run.status == "interrupted":
        return f"The task {str(run.task_id)!r} of the agent {run.agent!r} was cancelled."
    error = run.error or {}
    return str(error.get("message") or f"The agent {run.agent!r} failed.")


def _content(
    tool: AgentTool, run: Run, structured: Json, said: Emissions | None
) -> list[types.ContentBlock]:
    """What the calling model reads: a message that the agent gave, its output, unless the message is there
    instead, and its artifacts."""
    message = message_of(said)
    nothing = bool(message) and tool.info.output(run.output) is None
    output = [] if nothing else _of_output(tool, run, structured)
    return [*message, *output, *artifacts_of(said)]


def _of_output(tool: AgentTool, run: Run, structured: Json) -> list[types.ContentBlock]:
    """The output in content. `structured` is the same without the bytes."""
    output = tool.info.output(run.output)
    blocks = content_blocks(output)
    if blocks is not None:
        return blocks
    if isinstance(output, dict) and isinstance(structured, dict):
        messages: Json = cast("JsonObject", output).get("messages")
        answer = _spoken(cast("list[Json]", messages)) if isinstance(messages, list) else []
        if answer:
            fields = cast("JsonObject", structured)
            rest = text({k: v for k, v in fields.items() if k != "messages"})
            return [*answer, types.TextContent(type="text", text=rest)]
    return [types.TextContent(type="text", text=text(structured))]


def _spoken(messages: list[Json]) -> list[types.ContentBlock]:
    """The content of the last message, when it is the agent's."""
    if not messages or not _is_answer(messages[-1]):
        return []
    return message_content(cast("JsonObject", messages[-1]).get("content"))


def _lean(messages: list[Json]) -> list[Json]:
    """The messages without the bytes of the last one, which the content shows."""
    if not messages or not _is_answer(messages[-1]):
        return messages
    last = cast("JsonObject", messages[-1])
    return [*messages[:-1], {**last, "content": without_bytes(last.get("content"))}]


def _is_answer(message: Json) -> bool:
    return _kind(message) in ("ai", "assistant", "aimessagechunk")


def _turn(messages: list[Json]) -> list[Json]:
    """The messages after the last one of the user; all, when there is none."""
    for at in range(len(messages) - 1, -1, -1):
        if _kind(messages[at]) in ("human", "user"):
            return messages[at + 1 :]
    return messages


def _kind(message: Json) -> str:
    if not isinstance(message, dict):
        return ""
    fields = cast("JsonObject", message)
    return str(fields.get("type") or fields.get("role") or "").lower()
