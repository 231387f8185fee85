"""What the events of a run come to: pieces, messages, calls of tools, usage. CrewAI hands them to a sink of
the step's own context, in the thread where they happen."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, ClassVar

from agenthub.adapting import Message
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub_crewai import messages as m
from agenthub_crewai.journal import CALL, Run

_TOLD = re.compile("task_|crew_kickoff|method_execution|flow_|human_feedback")
"""Events for clients that ask for `custom` ones, by how their names begin."""
_INNER = ("AgentExecutor",)
"""Flows that CrewAI itself is made of."""


class Answering:
    """One call of a model."""

    CURRENT: ClassVar[ContextVar[Answering | None]] = ContextVar("agenthub_crewai_answer")

    def __init__(self, run: Run, author: str) -> None:
        self.run = run
        self.author = author
        self.id = str(new_id())
        self.usage: dict[str, int] = {}

    def piece(self, text: str, *, reasoning: bool = False) -> None:
        """A piece of the text."""
        self.run.io.token(text, self.id, author=self.author, reasoning=reasoning)

    def used(self, usage: Any) -> None:
        """What the provider says that the call used, in whichever words."""
        metrics = m.sdk("crewai.types.usage_metrics").UsageMetrics.from_provider_dict(usage)
        if metrics is not None:
            self.usage = {
                "input_tokens": metrics.prompt_tokens,
                "output_tokens": metrics.completion_tokens,
                "total_tokens": metrics.total_tokens,
            }

    def ended(self, value: Any) -> JsonObject:
        """Tell the whole message; its entry in the journal."""
        given = m.calls_of(value)
        calls = [{**call, "args": m.arguments(call["args"])} for call in given]
        text = "" if calls else m.shown(value)
        message: Message = {"id": self.id, "role": "assistant", "content": text}
        if self.author:
            message["name"] = self.author
        if calls:
            message["tool_calls"] = calls
        if self.usage:
            message["usage"] = self.usage
            self.run.usage.update(self.usage)
        self.run.calls += [{**call, "listed": True} for call in calls]
        self.run.last = text
        self.run.say(message)
        kept = None if calls else m.plain(value)
        typed = hasattr(value, "model_dump")
        return {"value": kept, "text": text, "calls": m.plain(given), "typed": typed}


class Telling:
    """A sink for one step's events."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(self, source: Any, event: Any) -> None:
        """An event of CrewAI."""
        match event.type:
            case "llm_stream_chunk" | "llm_thinking_chunk":
                self._piece(event)
            case "llm_call_completed":
                if (answer := Answering.CURRENT.get(None)) is not None:
                    answer.used(event.usage)
            case "tool_usage_started":
                self._began(event)
            case "tool_usage_finished" | "tool_usage_error":
                self._ended(event)
            case name if _TOLD.match(name) and type(source).__name__ not in _INNER:
                told = {"agent": event.agent_role, "task": event.task_name}
                told["method"] = getattr(event, "method_name", None)
                self.run.io.event(name, {k: str(v) for k, v in told.items() if v})
            case _:
                pass

    def final(self, text: str) -> None:
        """What the agent gave in the end, if no message says so already."""
        if text and text != self.run.last:
            self.run.say({"id": str(new_id()), "role": "assistant", "content": text})

    def closed(self, calls: list[JsonObject], reason: str) -> None:
        """Calls that waited for an answer, and will not have one."""
        for call in calls:
            self._tool(call, reason, error=reason)

    def _piece(self, event: Any) -> None:
        answer = Answering.CURRENT.get(None)
        if answer is not None and event.chunk and not getattr(event, "tool_call", None):
            answer.piece(event.chunk, reasoning=event.type == "llm_thinking_chunk")

    def _began(self, event: Any) -> None:
        """What begins is told when it runs: a question may come before."""
        args = m.arguments(event.tool_args)
        with self.run.lock:
            waiting = (
                c
                for c in self.run.calls
                if "begun" not in c and _same(c["name"], event.tool_name) and c["args"] == args
            )
            call = next(waiting, None)
            if call is None:
                # written in the text of a model that knows no calls
                about = f"call {m.digest(event.tool_name, args)}"
                n = sum(c.get("about") == about for c in self.run.calls)
                id = f"{about.replace(' ', '-')}-{n + 1}"
                call = {"id": id, "name": event.tool_name, "args": args, "about": about}
                self.run.calls.append(call)
            call.update(begun=False, author=event.agent_role or "")
        CALL.set(call)

    def _ended(self, event: Any) -> None:
        call = CALL.get()
        if call is None or not _same(call["name"], event.tool_name):
            return
        CALL.set(None)
        if event.type == "tool_usage_error":
            self._tool(call, f"Error executing tool: {event.error}", error=str(event.error))
        else:
            failure = getattr(event, "failure", None)
            self._tool(call, m.plain(event.output), error=str(failure) if failure else None)

    def _tool(self, call: JsonObject, output: Json, *, error: str | None = None) -> None:
        run = self.run
        with run.lock:
            if call["id"] in run.told:
                return
            run.told.append(call["id"])
        if not call.get("begun"):
            run.io.tool_start(call["id"], call["name"], call["args"], author=call.get("author", ""))
        run.io.tool_end(call["id"], output, error=error)
        if call.get("listed"):
            message: Message = {
                "id": f"{call['id']}-output",
                "role": "tool",
                "content": m.shown(output),
                "tool_call_id": call["id"],
                "name": call["name"],
                "status": "success" if error is None else "error",
            }
            run.say(message)


def _same(name: str, other: str) -> bool:
    """CrewAI's events have a tool's name or what it made of it for the model."""
    return re.sub(r"\W|_", "", name).lower() == re.sub(r"\W|_", "", other).lower()
