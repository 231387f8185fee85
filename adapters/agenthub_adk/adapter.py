"""Steps of an agent of ADK. What a thread keeps is its session; what waits for people is in it."""

from __future__ import annotations

import json
from contextlib import aclosing, suppress
from typing import Any, cast

from agenthub.adapting import Inbound, Io, Message, Outcome
from agenthub.agents import AgentInfo
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub_adk import asks
from agenthub_adk import messages as m
from agenthub_adk.session import APP, RUNNER, Stage, kinds, root_of, stage

AGENT = "google.adk.agents.base_agent.BaseAgent"
WORKFLOW = "google.adk.workflow._workflow.Workflow"
_HEAVY = (
    "google.adk.runners",
    "google.adk.sessions.in_memory_session_service",
    "google.adk.workflow._workflow",
    "google.adk.flows.llm_flows.auto_flow",
)
"""What ADK imports at its first step, which takes a second: better before a run waits for it."""


class AdkAdapter:
    """`agenthub.adapting.Adapter` for the Agent Development Kit."""

    name = "adk"

    def detect(self, obj: Any) -> bool:
        """An agent, a workflow, an app or a runner; not a class, and no single node."""
        return bool(kinds(obj) & {AGENT, WORKFLOW, APP, RUNNER})

    def describe(self, obj: Any) -> AgentInfo:
        """Instructions are the agent's own business: only the description is public."""
        for module in _HEAVY:
            m.sdk(module)
        root = root_of(obj)
        name = obj.name if APP in kinds(obj) else root.name
        return AgentInfo(
            name=name,
            title=name,
            description=getattr(root, "description", None) or "",
            output_schema=_schema(getattr(root, "output_schema", None)),
        )

    async def step(self, obj: Any, state: Json, inbound: Inbound, io: Io) -> Outcome:
        """See `agenthub.adapting.Adapter`."""
        on = await stage(obj, state, inbound, io)
        telling = Telling(on)
        run_id = None
        said = None
        opened = asks.open_asks(on.session.events)
        match inbound.kind:
            case "continue":
                run_id = on.session.events[-1].invocation_id
            case "answers":
                telling.refused = asks.reasons(opened, inbound.answers)
                said = telling.answer(opened, inbound)
            case _:
                if opened:
                    telling.close(opened)
                said = m.content(inbound.messages, inbound.data)
        runs = m.sdk("google.adk.agents.run_config")
        how = runs.RunConfig(streaming_mode=runs.StreamingMode.SSE)
        on.runner.plugin_manager.register_plugin(_reasons(telling.refused))
        events = on.runner.run_async(
            user_id=on.user_id,
            session_id=on.session_id,
            new_message=said,
            invocation_id=run_id,
            run_config=how,
        )
        async with aclosing(events):
            async for event in events:
                await telling.hear(event)
        return _outcome(root_of(obj), on, telling)


class Telling:
    """What the events of a run come to: pieces for the streams, messages, usage, and saves."""

    def __init__(self, on: Stage) -> None:
        self.on = on
        self.io = on.io
        self.messages: list[Message] = []
        self.used: dict[str, int] = {}
        self.output: Any = None
        self.failed: Any = None
        self.refused: dict[str, str] = {}
        self._ids: dict[tuple[str, str | None], str] = {}

    async def hear(self, event: Any) -> None:
        """Take one event. ADK waits for that, with those that are whole."""
        if event.partial:
            self._pieces(event)
            return
        for name, count in m.counts(event.usage_metadata).items():
            self.used[name] = self.used.get(name, 0) + count
        if event.error_code:
            self.failed = event
        if event.output is not None:
            self.output = event.output
        if event.actions.transfer_to_agent:
            names = {"from": event.author, "to": event.actions.transfer_to_agent}
            self.io.event("handoff", names)
        if event.author != "user":
            self._whole(event)
        await self.on.keep(event.actions.state_delta)
        if event.get_function_calls() or event.get_function_responses():
            await self.io.save(self.on.state(), self.messages)

    def answer(self, opened: list[asks.Open], inbound: Inbound) -> Any:
        """The content that answers what is open."""
        given: list[tuple[asks.Open, JsonObject]] = []
        for asked in opened:
            if asked.id in inbound.answers:
                response = asks.answered(asked, inbound.answers[asked.id])
                given.append((asked, response))
                if not asked.name.startswith(m.OWN):
                    self._tool(asked.id, asked.name, response)
        return asks.answer(self.on.session, given)

    def close(self, opened: list[asks.Open]) -> None:
        """Pass over what is open: the user said something else."""
        for call_id, name in asks.close(self.on.session, opened):
            self._tool(call_id, name, {"error": asks.TALKED_PAST})

    def say(self, text: str, author: str) -> None:
        """Say something that was no event."""
        self._add({"id": str(new_id()), "role": "assistant", "content": text, "name": author})

    def _pieces(self, event: Any) -> None:
        message_id = self._ids.setdefault((event.author, event.branch), str(new_id()))
        for part in m.parts_of(event):
            if part.text:
                self.io.token(
                    part.text, message_id, author=event.author, reasoning=bool(part.thought)
                )

    def _whole(self, event: Any) -> None:
        message_id = self._ids.pop((event.author, event.branch), None) or str(new_id())
        message = m.whole_message(event, message_id)
        if message is not None:
            self._add(message)
        for call in m.calls_of(event):
            self.io.tool_start(call.id, call.name, m.plain(call.args or {}), author=event.author)
        for response in event.get_function_responses():
            # what waits for a confirmation has a response in its place that is none
            waits = response.id in (event.actions.requested_tool_confirmations or {})
            if not waits and not response.name.startswith(m.OWN):
                self._tool(response.id, response.name, response.response)

    def _tool(self, call_id: str, name: str, response: Any) -> None:
        message = m.tool_message(call_id, name, response)
        failed = message["status"] == "error"
        self.io.tool_end(call_id, message["content"], error=message["content"] if failed else None)
        self._add(message)

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        self.io.message(message)


def _reasons(refused: dict[str, str]) -> Any:
    """What people say along with a refusal, for the model: ADK has no place for it."""
    base: Any = m.sdk("google.adk.plugins.base_plugin").BasePlugin

    class Reasons(base):
        async def after_tool_callback(
            self, *, tool: Any, tool_args: Any, tool_context: Any, result: Any
        ) -> Any:
            said = refused.get(tool_context.function_call_id)
            if said is None or m.failure(result) is None:
                return None
            return {**cast("JsonObject", result), "reason": said}

    return Reasons(name="agenthub_reasons")


def _outcome(root: Any, on: Stage, telling: Telling) -> Outcome:
    if telling.failed is not None and not telling.messages:
        event = telling.failed
        raise RuntimeError(f"the model failed: {event.error_code}: {event.error_message}")
    usage = telling.used or None
    opened = asks.open_asks(on.session.events)
    if opened:
        return Outcome(
            status="paused",
            state=on.state(),
            messages=telling.messages,
            asks=[asks.ask(asked) for asked in opened],
            usage=usage,
        )
    output = _output(root, on, telling)
    return Outcome(
        status="done", state=on.state(), messages=telling.messages, output=output, usage=usage
    )


def _output(root: Any, on: Stage, telling: Telling) -> Json:
    """The structured output; what was said in words is none."""
    said = [str(one["content"]) for one in telling.messages if one["role"] == "assistant"]
    key = getattr(root, "output_key", None)
    value = telling.output if telling.output is not None else on.session.state.get(key or "")
    if value is None and getattr(root, "output_schema", None) is not None and said:
        with suppress(ValueError):
            value = json.loads(said[-1])
    found = m.plain(value)
    if found is not None and not said:
        # a workflow of functions says nothing in words
        said.append(m.shown(found))
        telling.say(said[-1], root.name)
    return None if isinstance(found, str) and found in said else found


def _schema(given: Any) -> JsonObject:
    if isinstance(given, dict):
        return m.plain(given)
    if given in (None, str):
        return {}
    from pydantic import TypeAdapter

    with suppress(Exception):  # a type without a schema: its values are shown all the same
        return TypeAdapter(given).json_schema()
    return {}
