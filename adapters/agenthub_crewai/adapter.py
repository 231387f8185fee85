"""Steps of CrewAI's agents, crews and flows. An agent's thread is its conversation, a flow's is its state; a
crew begins each turn anew. In mid-turn there is the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agenthub.adapting import Inbound, Io, Message, Outcome
from agenthub.agents import AgentInfo
from agenthub.importing import import_ahead
from agenthub.json import Json, JsonObject, dumps
from agenthub_crewai import flows, kinds, people, seams
from agenthub_crewai import messages as m
from agenthub_crewai.journal import RUN, Paused, Run
from agenthub_crewai.telling import Telling

_BASE = ("turn", "history", "flow", "pending", "asked")
"""What of a turn's state does not change while it runs."""
TALKED_PAST = "Not executed: the user said something else instead of answering."


class CrewAIAdapter:
    """`agenthub.adapting.Adapter` for CrewAI."""

    name = "crewai"

    def detect(self, obj: Any) -> bool:
        """An agent, a crew, a flow or the class of one."""
        return kinds.kind(obj) is not None

    def describe(self, obj: Any) -> AgentInfo:
        """Backstories and instructions are the agent's own business: only its goal is public."""
        # a worker claims nothing before its agents are described: then all is imported, and quiet
        seams.install()
        import_ahead("openai.resources")
        return kinds.describe(obj)

    async def step(self, obj: Any, state: Json, inbound: Inbound, io: Io) -> Outcome:
        """See `agenthub.adapting.Adapter`."""
        seams.install()
        kept: JsonObject = state or {}
        if inbound.kind == "input":
            base, closed = _turn(kept, inbound, io)
            run = Run(io, base, {})
            run.messages += closed
        else:
            base = {k: kept[k] for k in _BASE if k in kept}
            run = Run(io, base, kept.get("run") or {})
            run.answers.update(inbound.answers)
        telling = Telling(run)
        sinks = m.sdk("crewai.events.stream_context")
        people_of = m.sdk("crewai.core.providers.human_input")
        running = RUN.set(run)
        sink = sinks.add_stream_sink(telling)
        people_of.set_provider(people.provider())
        try:
            match kinds.kind(obj):
                case "flow":
                    return await flows.step(obj, run, telling)
                case "crew":
                    result = await _crew(obj, base)
                case _:
                    result = await _agent(obj, base)
        except Paused:
            await run.settle()
            return paused(run)
        finally:
            run.close()
            sinks.reset_stream_sinks(sink)
            RUN.reset(running)
        telling.final(result.raw)
        return Outcome(
            status="done",
            state={"history": _history(obj, base, run), "flow": None},
            messages=run.messages,
            output=kinds.output(result),
            usage=dict(run.usage) or None,
        )


def paused(run: Run, **more: Json) -> Outcome:
    """A step that waits for people; `more` belongs to its state."""
    waiting = [c for c in run.calls if c.get("listed") and c["id"] not in run.told]
    state = {**run.base, "run": run.journal(), "waiting": waiting, **more}
    return Outcome(
        status="paused",
        state=m.plain(state),
        messages=run.messages,
        asks=[*run.asks.values()],
        usage=dict(run.usage) or None,
    )


def _turn(kept: JsonObject, inbound: Inbound, io: Io) -> tuple[JsonObject, list[Message]]:
    """A new turn. One that was paused is over: its calls are closed, by messages of this turn."""
    history: list[JsonObject] = [*(kept.get("history") or ())]
    closed: list[Message] = []
    if kept.get("turn"):
        past = Run(io, {}, kept.get("run") or {})
        Telling(past).closed(kept.get("waiting") or [], TALKED_PAST)
        closed = past.messages
        history += [*kept["turn"]["messages"], *past.said]
    said = [m.to_model(message) for message in inbound.messages]
    turn = {"messages": said, "data": inbound.data, "thread": inbound.thread_id}
    return {"turn": turn, "history": history, "flow": kept.get("flow")}, closed


async def _agent(agent: Any, base: JsonObject) -> Any:
    turn = base["turn"]
    # running one writes to it
    return await agent.copy().kickoff_async(
        [*base["history"], *m.with_data(turn["messages"], turn["data"])]
    )


async def _crew(crew: Any, base: JsonObject) -> Any:
    turn = base["turn"]
    data: JsonObject = turn["data"] if isinstance(turn["data"], dict) else {}
    wanted: Sequence[str] = sorted(crew.fetch_inputs())
    text = m.text_of(turn["messages"][-1]["content"]) if turn["messages"] else ""
    if turn["data"] is not None and not data:
        text = text or m.shown(turn["data"])
    inputs: JsonObject = dict(data)
    if "history" in wanted:
        inputs.setdefault("history", dumps(base["history"]).decode())
    open_ = [name for name in wanted if name not in inputs]
    for name in open_:
        if text and (len(open_) == 1 or name in kinds.SAID):
            inputs[name] = text
    own = crew.copy()
    own.stream = False
    return await own.akickoff(inputs=inputs)


def _history(obj: Any, base: JsonObject, run: Run) -> list[JsonObject]:
    """What the next turn knows. A crew knows what it asks for."""
    if kinds.kind(obj) == "crew":
        if "history" not in obj.fetch_inputs():
            return []
        last = {"role": "assistant", "content": run.said[-1]["content"] if run.said else run.last}
        return [*base["history"], *base["turn"]["messages"], last]
    turn = base["turn"]
    return [*base["history"], *m.with_data(turn["messages"], turn["data"]), *run.said]
