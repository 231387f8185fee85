"""Steps of a Strands agent, graph or swarm. What a thread keeps is a snapshot of each agent; interrupts
are part of it, and answering them runs the tools that waited."""

from __future__ import annotations

import re
import threading
from asyncio import CancelledError
from contextlib import aclosing, suppress
from typing import Any, cast

from agenthub.adapting import Ask, Inbound, Io, Outcome, approval
from agenthub.agents import AgentInfo
from agenthub.importing import import_ahead
from agenthub.json import Json, JsonObject
from agenthub_strands import messages as m
from agenthub_strands.team import AGENT, MULTI, Team, closed, is_multi, kinds
from agenthub_strands.telling import TELLING, Telling

TALKED_PAST = "Not executed: the user said something else instead of answering."
_NAMELESS = ("Strands Agents", "default_graph", "default_swarm")
"""What Strands calls agents, graphs and swarms that were given no name."""
_APPROVES = re.compile("approv|confirm|permission", re.IGNORECASE)


class StrandsAdapter:
    """`agenthub.adapting.Adapter` for Strands Agents."""

    name = "strands"

    def detect(self, obj: Any) -> bool:
        """An agent, a graph or a swarm; not a class."""
        return bool(kinds(obj) & {AGENT, MULTI})

    def describe(self, obj: Any) -> AgentInfo:
        """System prompts are the agent's own business: only the description is public."""
        # now is the last time that it is certain to have seen no thread
        Team(obj)
        import_ahead("openai.resources")
        found = str(getattr(obj, "name", None) or getattr(obj, "id", None) or "")
        name = "" if found in _NAMELESS else found
        return AgentInfo(
            name=name,
            title=name or None,
            description=getattr(obj, "description", None) or "",
            output_schema=_output_schema(obj),
        )

    async def step(self, obj: Any, state: Json, inbound: Inbound, io: Io) -> Outcome:
        """See `agenthub.adapting.Adapter`."""
        kept: JsonObject = dict(state or {})
        checkpoint = kept.pop("checkpoint", None)
        team = Team(obj)
        async with team.held():
            past: list[tuple[str, JsonObject]] = []
            if inbound.kind == "input":
                kept, past = closed(kept, TALKED_PAST)
            team.load(kept)
            telling = Telling(io, team, team.state(running=False), multi=is_multi(obj))
            for name, result in past:
                telling.closed(name, result)
            prompt = _prompt(obj, inbound, checkpoint)
            token = TELLING.set(telling)
            try:
                result = await _run(obj, prompt, inbound)
            finally:
                TELLING.reset(token)
            return _outcome(team, result, telling)


async def _run(obj: Any, prompt: Any, inbound: Inbound) -> Any:
    """Run it to its end or its next pause; tools find who asks in their `invocation_state`."""
    asks = {
        "thread_id": inbound.thread_id,
        "run_id": inbound.run_id,
        "user_id": inbound.user_id,
    }
    cancel = threading.Event()
    how = {} if is_multi(obj) else {"cancel_signal": cancel}
    result: Any = None
    try:
        async with aclosing(obj.stream_async(prompt, invocation_state=asks, **how)) as events:
            async for event in events:
                if event.get("type") == "multiagent_handoff":
                    _handoff(event)
                result = event.get("result", result)
    except CancelledError:
        # tools in threads can only be asked
        cancel.set()
        raise
    return result


def _handoff(event: Any) -> None:
    names = {"from": list(event["from_node_ids"]), "to": list(event["to_node_ids"])}
    TELLING.get().io.event("handoff", names)


def _prompt(obj: Any, inbound: Inbound, checkpoint: Json) -> Any:
    match inbound.kind:
        case "answers":
            interrupts: dict[str, Any] = obj._interrupt_state.interrupts
            return [
                {"interruptResponse": {"interruptId": id, "response": _response(asked, answer)}}
                for id, answer in inbound.answers.items()
                if (asked := interrupts.get(id)) is not None
            ]
        case "continue" if checkpoint is not None:
            return {"checkpointResume": {"checkpoint": checkpoint}}
        case "continue":
            return [] if is_multi(obj) else None
        case _ if is_multi(obj):
            return m.task(inbound.messages, inbound.data)
        case _:
            return m.prompt(inbound.messages, inbound.data)


def _response(asked: Any, answer: Json) -> Json:
    """An answer as Strands' own interventions read it: approvals are `y`, and all else is none."""
    if not _is_approval(asked):
        # None would be no answer at all
        return {"action": "decline"} if answer is None else answer
    approved, said = approval(answer)
    if approved:
        return "y"
    return "n" if not said or approval(said)[0] else said


def _is_approval(asked: Any) -> bool:
    """What stands before a call asks whether it may be made; a tool that asks by itself says it in the
    question's name, if so."""
    return "before_tool" in asked.id or bool(_APPROVES.search(asked.name))


def _outcome(team: Team, result: Any, telling: Telling) -> Outcome:
    usage = telling.used or None
    status = getattr(getattr(result, "status", None), "value", "")
    if status == "failed":
        raise _error(result)
    stopped = str(getattr(result, "stop_reason", "") or status)
    if stopped in ("interrupt", "interrupted"):
        return Outcome(
            status="paused",
            state=team.state(running=True),
            messages=telling.messages,
            asks=[_ask(team, asked) for asked in result.interrupts if asked.response is None],
            usage=usage,
        )
    state = team.state(running=False)
    if stopped == "checkpoint":
        state["checkpoint"] = result.checkpoint.to_dict()
        return Outcome(status="boundary", state=state, messages=telling.messages, usage=usage)
    output = getattr(result, "structured_output", None)
    return Outcome(
        status="done",
        state=state,
        messages=telling.messages,
        output=None if output is None else m.plain(output),
        usage=usage,
    )


def _error(result: Any) -> Exception:
    """Why a graph or a swarm failed: swarms keep the error of a node to themselves."""
    for node in result.results.values():
        if isinstance(node.result, Exception):
            return node.result
    return RuntimeError("it was stopped before its end: see its limits of handoffs, steps and time")


def _ask(team: Team, asked: Any) -> Ask:
    use = _use(team, asked.id)
    reason = m.plain(asked.reason)
    payload: JsonObject = {}
    if use is not None:
        payload = {"tool": use["name"], "args": m.plain(use["input"])}
    if reason is not None and not isinstance(reason, str):
        payload["reason"] = reason
    approves = _is_approval(asked)
    said = _said(reason)
    if approves and use is not None and use["name"] not in said:
        said = f"May the agent call {use['name']}? {said}".strip()
    return Ask(
        id=asked.id,
        kind="approval" if approves else "input",
        prompt=said or asked.name,
        payload=payload or None,
        key=asked.name if use is None else use["name"],
    )


def _said(reason: Json) -> str:
    if isinstance(reason, str):
        return reason
    fields = cast("JsonObject", reason) if isinstance(reason, dict) else {}
    told = (fields.get(name) for name in ("question", "message", "prompt", "reason"))
    return next((text for text in told if isinstance(text, str)), "")


def _use(team: Team, interrupt_id: str) -> JsonObject | None:
    """The call that a question belongs to: its id has the call's, behind those of agents that are tools."""
    uses = [
        use
        for member in team.members.values()
        if not is_multi(member.obj) and member.obj.messages
        for use in m.calls_of(member.obj.messages[-1])
        if f":{use['toolUseId']}:" in f"{interrupt_id}:"
    ]
    return max(uses, key=lambda use: interrupt_id.rfind(use["toolUseId"]), default=None)


def _output_schema(obj: Any) -> JsonObject:
    model = getattr(obj, "_default_structured_output_model", None)
    if model is None:
        return {}
    with suppress(Exception):  # a type without a schema: its values are shown all the same
        return model.model_json_schema()
    return {}
