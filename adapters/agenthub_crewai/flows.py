"""Steps of flows. What `@human_feedback` waits for is CrewAI's own pause, and goes on where it was; other
questions are answered by the journal, while the methods before them run anew, as they do in LangGraph."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from agenthub.adapting import Ask, Outcome
from agenthub.json import Json, JsonObject
from agenthub_crewai import answers, kinds
from agenthub_crewai import messages as m
from agenthub_crewai.journal import Run
from agenthub_crewai.telling import Telling


async def step(obj: Any, run: Run, telling: Telling) -> Outcome:
    """A flow until it ends or waits. Raises `Paused` at a question of the journal."""
    cls: Any = obj if isinstance(obj, type) else type(obj)
    pending: JsonObject | None = run.base.get("pending")
    memory = _memory()(state=run.base["flow"], pending=pending)
    flow: Any
    if pending is not None:
        flow = run.flow = cls.from_pending(pending["flow_id"], persistence=memory)
        said = answers.outcome(run.answers.get(run.base["asked"]), pending.get("emit") or ())
        flow._pending_feedback_context.llm = _judge(flow, pending, said)
        result = await flow.resume_async(said)
    else:
        flow = run.flow = cls(persistence=memory)
        flow.stream = False
        result = await flow.kickoff_async(inputs=_inputs(flow, run.base))
    state = m.plain(flow._copy_and_serialize_state())
    if isinstance(result, m.sdk("crewai.flow.async_feedback").HumanFeedbackPending):
        return _paused(run, result.context, state)
    telling.final(m.shown(result) if result is not None else "")
    return Outcome(
        status="done",
        state={"history": [], "flow": state},
        messages=run.messages,
        output=None if isinstance(result, str) else m.plain(result),
        usage=dict(run.usage) or None,
    )


def _paused(run: Run, context: Any, state: Json) -> Outcome:
    schema: JsonObject = {"type": "string"}
    if context.emit:
        schema["description"] = f"One of {', '.join(context.emit)}, or in words"
    output = m.plain(context.method_output)
    ask = Ask(
        id=f"{context.method_name}-{m.digest(context.flow_id, output, len(run.answers))}",
        kind="feedback",
        prompt=context.message,
        payload={"output": output, "outcomes": m.plain(context.emit)},
        schema=schema,
        key=context.method_name,
    )
    # methods before it do not run again, so what they asked and were told is over
    kept = {**run.base, "run": {"said": run.said}, "flow": state}
    return Outcome(
        status="paused",
        state=m.plain({**kept, "pending": context.to_dict(), "asked": ask.id}),
        messages=run.messages,
        asks=[ask],
        usage=dict(run.usage) or None,
    )


def _inputs(flow: Any, base: JsonObject) -> JsonObject:
    """What a flow begins with: its own id, data, and what the user said where it has a place for it."""
    turn = base["turn"]
    before: JsonObject = base["flow"] or {}
    id = before.get("id") or str(uuid5(NAMESPACE_URL, turn["thread"] or "thread"))
    given: JsonObject = {"id": id}
    if isinstance(turn["data"], dict):
        given.update(turn["data"])
    names = kinds.inputs(flow) or ["message"]
    name = next((n for n in names if n in kinds.SAID), names[0] if len(names) == 1 else None)
    if turn["messages"] and name is not None:
        given.setdefault(name, turn["messages"][-1]["content"])
    return given


def _judge(flow: Any, pending: JsonObject, said: str) -> Any:
    """What tells which outcome an answer is: nobody, where it is the name of one; else the flow's own model,
    which CrewAI would make anew from a name that not every model has."""
    if said in (pending.get("emit") or ()):
        return _exact()(model="exact", said=said)
    feedback = flow._definition.methods[pending["method_name"]].human_feedback
    return feedback.llm if feedback.llm is not None else pending.get("llm")


@lru_cache
def _exact() -> Any:
    base = m.sdk("crewai.llms.base_llm").BaseLLM

    def call(self: Any, *_: Any, **__: Any) -> str:
        return self.said

    # no model that a journal should know of
    call.agenthub = True  # pyright: ignore[reportFunctionMemberAccess]
    body: JsonObject = {"__annotations__": {"said": str}, "call": call, "__module__": __name__}
    body["supports_function_calling"] = lambda self: False  # pyright: ignore[reportUnknownLambdaType]
    return type("Exact", (base,), body)


@lru_cache
def _memory() -> Any:
    """A flow's persistence that is a step's state."""
    base = m.sdk("crewai.flow.persistence.base").FlowPersistence
    pending = m.sdk("crewai.flow.async_feedback.types").PendingFeedbackContext

    class Memory(base):  # pyright: ignore[reportUntypedBaseClass]
        state: Any = None
        pending: Any = None

        def init_db(self) -> None:
            pass

        def save_state(self, flow_uuid: str, method_name: str, state_data: Any) -> None:
            self.state = m.plain(state_data)

        def load_state(self, flow_uuid: str) -> Any:
            return self.state

        def save_pending_feedback(self, flow_uuid: str, context: Any, state_data: Any) -> None:
            self.save_state(flow_uuid, "", state_data)
            self.pending = context.to_dict()

        def load_pending_feedback(self, flow_uuid: str) -> Any:
            return (self.state, pending.from_dict(self.pending)) if self.pending else None

        def clear_pending_feedback(self, flow_uuid: str) -> None:
            self.pending = None

    return Memory
