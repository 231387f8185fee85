"""What the agents of a team come to, told as it happens: by hooks, in the task that runs the agent."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

from agenthub.adapting import Io, Message
from agenthub.ids import new_id
from agenthub.json import JsonObject, dumps
from agenthub_strands import messages as m

TELLING: ContextVar[Telling] = ContextVar("strands_telling")
_COUNTS = ("input_tokens", "output_tokens", "total_tokens")


class Speaker(Protocol):
    """An agent at its place in a team."""

    @property
    def path(self) -> str: ...
    @property
    def speaks(self) -> bool: ...


class Members(Protocol):
    """A team, as far as telling needs it."""

    root: Any

    def member(self, obj: Any) -> Speaker | None: ...
    def state(self, *, running: bool, under: str = "") -> JsonObject: ...


class Telling:
    """One step: pieces for the streams, messages, usage, and saves between model calls.

    An agent is saved with each message that goes on to a tool or comes from one. A graph or a swarm is
    saved when a node has ended: Strands cannot go on in the middle of one.
    """

    def __init__(self, io: Io, team: Members, state: JsonObject, *, multi: bool) -> None:
        """`state` is what the agents know as the step begins."""
        self.io = io
        self.team = team
        self.multi = multi
        self.messages: list[Message] = []
        self.used: dict[str, int] = {}
        self._settled = dict(state)
        self._unsettled: list[tuple[str, Message]] = []
        self._said: list[Message] = []
        self._ids: dict[str, str] = {}
        self._held: dict[str, Message] = {}

    # --- what hooks call ------------------------------------------------------------------------

    def piece(self, agent: Any, event: dict[str, Any]) -> None:
        """An event of Strands' callback handler."""
        member = self.team.member(agent)
        if member is None or not member.speaks:
            return
        text, reasoning = event.get("data"), event.get("reasoningText")
        if isinstance(text, str) or isinstance(reasoning, str):
            message_id = self._ids.setdefault(member.path, str(new_id()))
            said = text if isinstance(text, str) else str(reasoning)
            self.io.token(said, message_id, author=agent.name, reasoning=not isinstance(text, str))
        elif "tool_stream_event" in event:
            told = event["tool_stream_event"]
            use = told["tool_use"]
            tool = agent.tool_registry.registry.get(use["name"])
            # what an agent that works as a tool streams are Strands' own objects
            if not hasattr(tool, "agent"):
                data = {"id": use["toolUseId"], "data": m.plain(told.get("data"))}
                self.io.event("tool_stream", data)

    def tool_start(self, agent: Any, use: JsonObject) -> None:
        """A tool begins; giving typed output is none."""
        if use["name"] != _output_tool(agent):
            self.io.tool_start(
                use["toolUseId"], use["name"], m.plain(use["input"]), author=agent.name
            )

    def tool_end(self, agent: Any, use: JsonObject, result: JsonObject) -> None:
        """A tool has ended."""
        if use["name"] != _output_tool(agent):
            text, failed = m.shown(result), result.get("status") == "error"
            self.io.tool_end(use["toolUseId"], text, error=text if failed else None)

    async def added(self, agent: Any, message: JsonObject) -> None:
        """A message that an agent has added to its history."""
        for name, count in m.counts(message).items() if message["role"] == "assistant" else ():
            self.used[name] = self.used.get(name, 0) + count
        member = self.team.member(agent)
        if member is None or not member.speaks:
            return
        if message["role"] == "assistant":
            self._assistant(member.path, agent, message)
        elif m.results_of(message):
            self._outputs(member.path, agent, message)
        if not self.multi and (m.calls_of(message) or m.results_of(message)):
            await self.io.save(self.team.state(running=True), self.messages)

    async def ended(self, multi: Any, node: str) -> None:
        """A node of a graph or a swarm has ended."""
        failed = getattr(multi.state, "failed_nodes", None)
        status = getattr(getattr(multi.state, "completion_status", None), "value", "")
        if multi is not self.team.root or failed or status == "failed":
            return
        under = f"/{node}"
        mine = [one for one in self._unsettled if _is_under(one[0], under)]
        self._unsettled = [one for one in self._unsettled if not _is_under(one[0], under)]
        self._said += [message for _, message in mine]
        self._settled |= self.team.state(running=False, under=under)
        whole = self.team.state(running=True)
        # nodes that run beside it begin anew after a crash, so what they know must not be kept
        await self.io.save({"": whole[""], **self._settled}, self._said)

    # --- messages -------------------------------------------------------------------------------

    def closed(self, name: str, result: JsonObject) -> None:
        """A call of an earlier step that was given a result from outside."""
        message = m.tool_message(result, name)
        failed = message["status"] == "error"
        self.io.tool_end(
            message["tool_call_id"],
            message["content"],
            error=message["content"] if failed else None,
        )
        self._said.append(message)
        self.messages.append(message)
        self.io.message(message)

    def _assistant(self, path: str, agent: Any, message: JsonObject) -> None:
        whole = m.whole_message(message, self._ids.pop(path, None) or str(new_id()), agent.name)
        if any(call["name"] == _output_tool(agent) for call in m.calls_of(message)):
            # whether it is the output, or has to be given again, its result will say
            self._held[path] = whole
        elif whole["content"] or whole.get("tool_calls"):
            self._add(path, whole)

    def _outputs(self, path: str, agent: Any, message: JsonObject) -> None:
        """Results of tools. Typed output is shown as what the model says, in JSON."""
        before: JsonObject = agent.messages[-2] if len(agent.messages) > 1 else {"content": []}
        calls = {call["toolUseId"]: call for call in m.calls_of(before)}
        results = m.results_of(message)
        given = next(
            (
                r["toolUseId"]
                for r in results
                if r.get("status") != "error"
                and calls.get(r["toolUseId"], {}).get("name") == _output_tool(agent)
            ),
            None,
        )
        held = self._held.pop(path, None)
        if given is not None and held is None:  # it was lost with an earlier attempt
            held = m.whole_message(before, str(new_id()), agent.name)
        if held is not None:
            if given is not None:
                told: list[JsonObject] = held.pop("tool_calls")
                if others := [call for call in told if call["id"] != given]:
                    held["tool_calls"] = others
                output = dumps(m.plain(calls[given]["input"])).decode()
                held["content"] = held["content"] or output
            self._add(path, held)
        for result in results:
            if result["toolUseId"] != given:
                name = str(calls.get(result["toolUseId"], {}).get("name", ""))
                self._add(path, m.tool_message(result, name))

    def _add(self, path: str, message: Message) -> None:
        self._unsettled.append((path, message))
        self.messages.append(message)
        self.io.message(message)


def listen(obj: Any, *, multi: bool) -> None:
    """Have an object tell whoever runs it, for as long as it lives."""
    events = m.sdk("strands.hooks")
    if multi:
        obj.add_hook(_node_ended, events.AfterNodeCallEvent)
        return
    obj.callback_handler = _handler(obj, obj.callback_handler)
    obj.add_hook(_added, events.MessageAddedEvent)
    obj.add_hook(_tool_ended, events.AfterToolCallEvent)
    # not before the call but with it: what waits for approval has not begun
    obj.add_middleware(m.sdk("strands.middleware").ExecuteToolStage.Input, _tool_starts)


def _handler(agent: Any, theirs: Any) -> Any:
    # what Strands prints by default would be a worker's output
    quiet = type(theirs).__name__ == "PrintingCallbackHandler"

    def handler(**event: Any) -> None:
        if (telling := TELLING.get(None)) is not None:
            telling.piece(agent, event)
        if not quiet:
            theirs(**event)

    return handler


async def _added(event: Any) -> None:
    if (telling := TELLING.get(None)) is not None:
        await telling.added(event.agent, event.message)


def _tool_starts(context: Any) -> Any:
    if (telling := TELLING.get(None)) is not None:
        telling.tool_start(context.agent, context.tool_use)
    return context


def _tool_ended(event: Any) -> None:
    if (telling := TELLING.get(None)) is not None and not event.retry:
        telling.tool_end(event.agent, event.tool_use, event.result)


async def _node_ended(event: Any) -> None:
    if (telling := TELLING.get(None)) is not None:
        await telling.ended(event.source, event.node_id)


def _output_tool(agent: Any) -> str | None:
    model = getattr(agent, "_default_structured_output_model", None)
    return None if model is None else str(model.__name__)


def _is_under(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")
