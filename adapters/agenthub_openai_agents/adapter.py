"""Steps of an `agents.Agent`. What a thread keeps is the SDK's own: input items between turns, and a
`RunState` while calls wait for approval. Sessions of the SDK are not used: the thread is the session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

from agenthub.adapting import Ask, Inbound, Io, Message, Outcome, approval
from agenthub.agents import AgentInfo
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub_openai_agents import items as i

TALKED_PAST = "Not executed: the user said something else instead of approving it."
DECLINED = "The user declined this call."
_COUNTS = ("input_tokens", "output_tokens", "total_tokens")


class OpenAIAgentsAdapter:
    """`agenthub.adapting.Adapter` for the OpenAI Agents SDK."""

    name = "openai-agents"

    def detect(self, obj: Any) -> bool:
        """An instance of `agents.Agent`; not the class, and no tool or guardrail."""
        kinds = {f"{k.__module__}.{k.__qualname__}" for k in type(obj).__mro__}
        return "agents.agent.Agent" in kinds

    def describe(self, obj: Any) -> AgentInfo:
        """Instructions are the agent's own business: only the description for handoffs is public."""
        return AgentInfo(
            name=obj.name,
            title=obj.name,
            description=obj.handoff_description or "",
            output_schema=_output_schema(obj.output_type),
        )

    async def step(self, obj: Any, state: Json, inbound: Inbound, io: Io) -> Outcome:
        """See `agenthub.adapting.Adapter`."""
        sdk = i.sdk()
        kept: JsonObject = state or {}
        agent, given, used = _named(obj, kept.get("agent")), _history(kept), dict[str, int]()
        names: dict[str, str] = {}
        if kept.get("run") is not None:
            agent, given = obj, await sdk.RunState.from_json(obj, kept["run"])
            used = kept["used"]
            names = {a.raw_item.call_id: a.raw_item.name for a in given.get_interruptions()}
            _decide(given, inbound)
        elif inbound.kind == "input":
            given = [*given, *i.input_items(inbound.messages, inbound.data)]
        result = sdk.Runner.run_streamed(agent, given)
        telling = Telling(io, result, names)
        try:
            async for event in result.stream_events():
                await telling.hear(event)
        except BaseException:
            # a step that is cancelled, or fails, leaves no model call or tool behind
            result.cancel()
            raise
        return _outcome(result, telling.messages, used)


class Telling:
    """What the events of a run come to: pieces for the streams, messages, and saves between model calls."""

    def __init__(self, io: Io, result: Any, names: dict[str, str]) -> None:
        self.io = io
        self.result = result
        self.names = names
        self.messages: list[Message] = []
        self.started: set[str] = set()
        self.message_id = str(new_id())

    async def hear(self, event: Any) -> None:
        """Take one event of the SDK's stream."""
        if event.type == "raw_response_event":
            self._model(event.data)
        elif event.type == "run_item_stream_event":
            await self._item(event.name, event.item)

    def _model(self, data: Any) -> None:
        author = self.result.current_agent.name
        match data.type:
            case "response.output_text.delta":
                self.io.token(data.delta, self.message_id, author=author)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self.io.token(data.delta, self.message_id, author=author, reasoning=True)
            case "response.completed":
                message = i.whole_message(data.response, self.message_id, author)
                self.message_id = str(new_id())
                if message is not None:
                    calls: list[JsonObject] = message.get("tool_calls") or []
                    self.names |= {c["id"]: c["name"] for c in calls}
                    self._add(message)
            case _:
                pass

    async def _item(self, name: str, item: Any) -> None:
        raw = item.raw_item
        call_id = str(i.field(raw, "call_id") or "")
        match name:
            case "tool_called":
                args = i.arguments(i.field(raw, "arguments"))
                tool = str(i.field(raw, "name") or i.field(raw, "type"))
                self.io.tool_start(call_id, tool, args, author=item.agent.name)
            case "tool_output":
                message = i.tool_message(item, self.names)
                self.io.tool_end(call_id, message["content"])
                self._add(message)
                await self._save()
            case "handoff_occured":
                self.io.event(
                    "handoff", {"from": item.source_agent.name, "to": item.target_agent.name}
                )
                self._add(i.tool_message(item, self.names))
                await self._save()
            case _:
                pass

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        self.io.message(message)

    async def _save(self) -> None:
        """Between two model calls: what is repeated after a crash is the call that was not finished."""
        history: list[JsonObject] = i.plain(self.result.to_input_list())
        if i.complete(history):
            state = {"items": history, "agent": self.result.current_agent.name}
            await self.io.save(state, self.messages)


def _history(kept: JsonObject) -> Any:
    return kept.get("items") or []


def _decide(run: Any, inbound: Inbound) -> None:
    """Approve and reject what waits, and let a new message in behind the outcome."""
    for asked in run.get_interruptions():
        call_id = asked.raw_item.call_id
        if call_id not in inbound.answers:
            run.reject(asked, rejection_message=TALKED_PAST)
            continue
        approved, said = approval(inbound.answers[call_id])
        if approved:
            run.approve(asked)
        else:
            run.reject(asked, rejection_message=f"{DECLINED} {said}".strip())
    if inbound.kind == "input":
        run.add_input(i.input_items(inbound.messages, inbound.data))


def _outcome(result: Any, messages: Sequence[Message], used: dict[str, int]) -> Outcome:
    # a run that goes on counts from its very beginning
    total = i.counts(result.context_wrapper.usage)
    usage = {name: total[name] - used.get(name, 0) for name in _COUNTS}
    if result.interruptions:
        return Outcome(
            status="paused",
            state={"run": result.to_state().to_json(), "used": total},
            messages=messages,
            asks=[_ask(asked) for asked in result.interruptions],
            usage=usage,
        )
    final = result.final_output
    return Outcome(
        status="done",
        state={"items": i.plain(result.to_input_list()), "agent": result.last_agent.name},
        messages=messages,
        output=None if isinstance(final, str) else i.plain(final),
        usage=usage,
    )


def _ask(asked: Any) -> Ask:
    raw = asked.raw_item
    args = i.arguments(raw.arguments)
    return Ask(
        id=raw.call_id,
        kind="approval",
        prompt=f"May the agent {asked.agent.name!r} call {raw.name}?",
        payload={"tool": raw.name, "args": args},
        key=raw.name,
    )


def _named(agent: Any, name: str | None) -> Any:
    """The agent that spoke last, which a conversation goes on with; the first one if it is gone."""
    return next((one for one in _reachable(agent) if one.name == name), agent)


def _reachable(agent: Any) -> Iterator[Any]:
    waiting, seen = [agent], set[int]()
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        for target in one.handoffs:
            # a `Handoff` knows its agent by a weak reference, if at all
            reference = getattr(target, "_agent_ref", None)
            waiting.append(target if hasattr(target, "handoffs") else reference and reference())


def _output_schema(output_type: Any) -> JsonObject:
    if output_type in (None, str):
        return {}
    if hasattr(output_type, "json_schema") and not isinstance(output_type, type):
        return cast("JsonObject", output_type.json_schema())
    from pydantic import TypeAdapter

    with suppress(Exception):  # a type without a schema: its values are shown all the same
        return TypeAdapter(output_type).json_schema()
    return {}
