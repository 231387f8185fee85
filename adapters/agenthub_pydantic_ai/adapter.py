"""Steps of a Pydantic AI agent. What a thread keeps is its message history; while calls wait, the history
ends with them, and running it with their results goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from agenthub.adapting import Ask, Inbound, Io, Message, Outcome, approval
from agenthub.agents import AgentInfo
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub_pydantic_ai import messages as m

TALKED_PAST = "Not executed: the user said something else instead of approving it."
DECLINED = "The user declined this call."


class PydanticAIAdapter:
    """`agenthub.adapting.Adapter` for Pydantic AI."""

    name = "pydantic-ai"

    def detect(self, obj: Any) -> bool:
        """An agent, or a wrapper of one; not the class."""
        kinds = {f"{k.__module__}.{k.__qualname__}" for k in type(obj).__mro__}
        return "pydantic_ai.agent.abstract.AbstractAgent" in kinds

    def describe(self, obj: Any) -> AgentInfo:
        """Instructions are the agent's own business: only its description is public."""
        return AgentInfo(
            name=obj.name or "",
            title=obj.name,
            description=getattr(obj, "description", None) or "",
            output_schema=_output_schema(obj),
        )

    async def step(self, obj: Any, state: Json, inbound: Inbound, io: Io) -> Outcome:
        """See `agenthub.adapting.Adapter`."""
        kept: JsonObject = state or {}
        history = m.model_messages(kept.get("history") or [])
        prompt, before = m.prompt_and_history(inbound.messages, inbound.data)
        telling = Telling(io, obj.name or "")
        async with obj.iter(
            prompt,
            message_history=[*history, *before],
            output_type=[*_output_types(obj), m.sdk().DeferredToolRequests],
            deferred_tool_results=_results(kept.get("waiting") or {}, inbound),
        ) as run:
            async for node in run:
                if obj.is_model_request_node(node):
                    await telling.model(run, node)
                elif obj.is_call_tools_node(node):
                    await telling.tools(run, node)
        return _outcome(run, telling)


class Telling:
    """What the nodes of a run come to: pieces for the streams, messages, and saves behind every node."""

    def __init__(self, io: Io, author: str) -> None:
        self.io = io
        self.author = author
        self.messages: list[Message] = []
        self.waiting: Message | None = None
        """The last response, until it is known which of its calls are none but a way to give the output."""

    async def model(self, run: Any, node: Any) -> None:
        """One request to the model."""
        message_id = str(new_id())
        if self.messages:
            # outputs of tools are in no history before the model has answered them
            before = m.history([*run.all_messages(), node.request])
            await self.io.save({"history": before}, self.messages)
        async with node.stream(run.ctx) as events:
            async for event in events:
                self._piece(event, message_id)
        response = run.all_messages()[-1]
        self.waiting = m.whole_message(response, message_id, self.author)
        await self.io.save(
            {"history": m.history(run.all_messages())}, [*self.messages, self.waiting]
        )

    async def tools(self, run: Any, node: Any) -> None:
        """The calls of one response."""
        async with node.stream(run.ctx) as events:
            async for event in events:
                self._call(event)
        if self.waiting is not None and (self.waiting["content"] or self.waiting.get("tool_calls")):
            self.flush()

    def flush(self) -> None:
        """Say the last response."""
        if self.waiting is not None:
            self._add(self.waiting)
            self.waiting = None

    def _piece(self, event: Any, message_id: str) -> None:
        part: Any = None
        if event.event_kind == "part_start":
            part, text = event.part, getattr(event.part, "content", None)
        elif event.event_kind == "part_delta":
            part, text = event.delta, getattr(event.delta, "content_delta", None)
        else:
            return
        kind = getattr(part, "part_kind", None) or getattr(part, "part_delta_kind", "")
        if kind in ("text", "thinking") and text:
            self.io.token(text, message_id, author=self.author, reasoning=kind == "thinking")

    def _call(self, event: Any) -> None:
        match event.event_kind:
            case "function_tool_call":
                self.flush()
                part = event.part
                self.io.tool_start(
                    part.tool_call_id, part.tool_name, m.arguments(part), author=self.author
                )
            case "output_tool_call" if self.waiting is not None:
                calls: list[JsonObject] = self.waiting.get("tool_calls") or []
                self.waiting["tool_calls"] = [
                    c for c in calls if c["id"] != event.part.tool_call_id
                ]
            case "function_tool_result":
                message = m.tool_message(event.part)
                failed = message["status"] == "error"
                self.io.tool_end(
                    message["tool_call_id"],
                    message["content"],
                    error=message["content"] if failed else None,
                )
                self._add(message)
            case _:
                pass

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        self.io.message(message)


def _results(waiting: JsonObject, inbound: Inbound) -> Any:
    """What becomes of the calls that wait; None when there are none."""
    if not waiting:
        return None
    sdk = m.sdk()
    results = sdk.DeferredToolResults()
    for call_id, kind in waiting.items():
        given = call_id in inbound.answers
        answer = inbound.answers.get(call_id)
        if kind == "external":
            results.calls[call_id] = _external(answer) if given else TALKED_PAST
            continue
        approved, said = approval(answer)
        if given and approved:
            args: Any = cast("JsonObject", answer).get("args") if isinstance(answer, dict) else None
            results.approvals[call_id] = (
                sdk.ToolApproved(override_args=args) if isinstance(args, dict) else True
            )
        else:
            results.approvals[call_id] = sdk.ToolDenied(
                f"{DECLINED} {said}".strip() if given else TALKED_PAST
            )
    return results


def _external(answer: Json) -> Json:
    declined = answer in ({"action": "decline"}, {"action": "cancel"})
    return DECLINED if declined else answer


def _outcome(run: Any, telling: Telling) -> Outcome:
    output = run.result.output
    usage = m.counts(run.usage)
    if isinstance(output, m.sdk().DeferredToolRequests):
        telling.flush()
        asks = [
            *(_ask(call, "approval") for call in output.approvals),
            *(_ask(call, "external") for call in output.calls),
        ]
        waiting = {ask.id: ask.kind for ask in asks}
        return Outcome(
            status="paused",
            state={"history": m.history(run.all_messages()), "waiting": waiting},
            messages=telling.messages,
            asks=asks,
            usage=usage,
        )
    if telling.waiting is not None:
        # typed output: what was said to nobody in words is read as JSON
        telling.waiting["content"] = m.shown(output)
        telling.flush()
    return Outcome(
        status="done",
        state={"history": m.history(run.all_messages())},
        messages=telling.messages,
        output=None if isinstance(output, str) else m.plain(output),
        usage=usage,
    )


def _ask(call: Any, kind: Any) -> Ask:
    name = call.tool_name
    return Ask(
        id=call.tool_call_id,
        kind=kind,
        prompt=f"May the agent call {name}?" if kind == "approval" else f"What does {name} give?",
        payload={"tool": name, "args": m.arguments(call)},
        key=name,
    )


def _output_types(agent: Any) -> Sequence[Any]:
    """What the agent may give, apart from the calls that wait, which every agent may."""
    given = agent.output_type
    types: Sequence[Any] = (
        cast("Sequence[Any]", given) if isinstance(given, list | tuple) else [given]
    )
    return [one for one in types if one is not m.sdk().DeferredToolRequests]


def _output_schema(agent: Any) -> JsonObject:
    types = _output_types(agent)
    if list(types) == [str]:
        return {}
    with suppress(Exception):  # a type without a schema: its values are shown all the same
        return agent.output_json_schema(output_type=list(types))
    return {}
