"""Graphs and swarms of Strands, each step on objects of its own, in lines of JSON. Run by a test."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import strands_shapes as shapes
from strands import Agent
from strands.multiagent import GraphBuilder, Swarm

from agenthub.adapting import Inbound, Outcome
from agenthub.json import Json
from agenthub_conformance.adapter.recording import Recording
from agenthub_conformance.adapter.scripted import NOTES, notes
from agenthub_conformance.fixtures.strands_contract import Scripted, approve, lookup, pay
from agenthub_strands.adapter import StrandsAdapter

ADAPTER = StrandsAdapter()


class HandsOver(Scripted):
    """Hands over to billing, and says nothing more."""

    async def stream(self, messages: Any, *_: Any, **__: Any) -> Any:
        args = json.dumps({"agent_name": "billing", "message": "please"})
        if any("toolResult" in block for block in messages[-1]["content"]):
            yield {"messageStart": {"role": "assistant"}}
            yield {"messageStop": {"stopReason": "end_turn"}}
            return
        yield {"messageStart": {"role": "assistant"}}
        use = {"toolUseId": "h1", "name": "handoff_to_agent"}
        yield {"contentBlockStart": {"start": {"toolUse": use}}}
        yield {"contentBlockDelta": {"delta": {"toolUse": {"input": args}}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use"}}


def agent(name: str, **how: Any) -> Agent:
    # with the default callback handler, which prints
    return Agent(model=Scripted(name), name=name, **how)


def graph() -> Any:
    """A draft, and then a payment that waits for approval."""
    builder = GraphBuilder()
    builder.add_node(agent("chat"), "draft")
    builder.add_node(agent("approver", tools=[pay], hooks=[approve]), "pay")
    builder.add_edge("draft", "pay")
    builder.set_execution_timeout(60)
    return builder.build()


def swarm(*agents: Agent) -> Any:
    return Swarm([*agents], entry_point=agents[0])


def desk() -> Any:
    triage = Agent(model=HandsOver("triage"), name="triage")
    return swarm(
        triage, Agent(model=Scripted("approver"), name="billing", tools=[pay], hooks=[approve])
    )


def boss() -> Agent:
    """An agent whose tool is the agent that pays."""
    worker = Agent(
        model=Scripted("approver"),
        name="worker",
        description="Works.",
        tools=[pay],
        hooks=[approve],
    )
    model = Scripted("boss")

    async def stream(messages: Any, *_: Any, **__: Any) -> Any:
        done = [b for b in messages[-1]["content"] if "toolResult" in b]
        yield {"messageStart": {"role": "assistant"}}
        if done:
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": "all done"}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}
            return
        use = {"toolUseId": f"w{len(messages)}", "name": "worker"}
        yield {"contentBlockStart": {"start": {"toolUse": use}}}
        yield {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"input": "go"}'}}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use"}}

    model.stream = stream  # type: ignore[method-assign]
    return Agent(model=model, name="boss", tools=[worker])


async def step(obj: Any, state: Json = None, **inbound: Any) -> tuple[Outcome, Recording]:
    io = Recording()
    given = Inbound(thread_id="t", run_id="r", **inbound)
    outcome = await ADAPTER.step(obj, json.loads(json.dumps(state)), given, io)
    return outcome, io


def said(text: str) -> dict[str, Any]:
    return {"kind": "input", "messages": [{"id": text, "role": "user", "content": text}]}


def told(outcome: Outcome) -> list[tuple[str, str]]:
    return [(m["name"], m["content"]) for m in outcome.messages if m["content"]]


def tell(name: str, **what: Any) -> None:
    what["models"], what["paid"] = notes().count("model"), notes().count("tool pay")
    print(json.dumps({"of": name, **what}), flush=True)
    os.truncate(os.environ[NOTES], 0)


async def paused_and_approved(name: str, make: Any) -> None:
    """A pause, and its answer on objects that have seen nothing."""
    paused, io = await step(make(), **said("go on"))
    answers = {ask.id: True for ask in paused.asks}
    done, _ = await step(make(), paused.state, kind="answers", answers=answers)
    tell(
        name,
        asks=[(ask.kind, ask.key) for ask in paused.asks],
        status=done.status,
        told=told(paused) + told(done),
        usage=[paused.usage, done.usage],
        events=io.of("event"),
    )


async def tale(name: str, make: Any, *answers: Json) -> None:
    """A turn as one line: its questions, what it said, and what was noted and used in each step."""
    out, _ = await step(make(), **said("go"))
    asked, noted, used, words = list[Any](), list[Any](), list[int](), list[Any]()
    error = None
    for answer in (*answers, None):
        noted.append(sorted(notes()))
        os.truncate(os.environ[NOTES], 0)
        used.append((out.usage or {}).get("total_tokens", 0))
        words += told(out)
        asked.append([[ask.kind, ask.prompt, ask.key] for ask in out.asks])
        if answer is None:
            break
        given = {ask.id: answer for ask in out.asks}
        try:
            if isinstance(answer, dict) and "says" in answer:
                out, _ = await step(make(), out.state, **said(str(answer["says"])))
            else:
                out, _ = await step(make(), out.state, kind="answers", answers=given)
        except RuntimeError as failed:
            error = str(failed)
            noted.append(notes())
            break
    line = {"of": name, "status": out.status, "asked": asked, "told": words, "used": used}
    print(json.dumps({**line, "error": error, "notes": noted}), flush=True)


async def main() -> None:
    await paused_and_approved("graph", graph)
    await paused_and_approved("swarm", desk)
    await paused_and_approved("agent as tool", boss)
    for name, make in (("graph", graph), ("swarm", desk)):
        paused, _ = await step(make(), **said("go on"))
        again, _ = await step(make(), paused.state, **said("stop"))
        roles = [m["role"] for m in again.messages]
        tell(f"{name} talked past", status=again.status, first=again.messages[0], roles=roles)
    _, io = await step(graph(), **said("go on"))
    saved = io.of("save")[0]
    os.truncate(os.environ[NOTES], 0)
    again, _ = await step(graph(), saved["state"], kind="continue")
    knows = [m["role"] for m in again.state["/draft"]["data"]["messages"]]
    names = [m["name"] for m in saved["messages"]]
    tell("graph lost", status=again.status, saved=names, draft_knows=knows)
    done, _ = await step(agent("tool_user", tools=[lookup], checkpointing=True), **said("Oslo"))
    statuses = [done.status]
    while done.status == "boundary":
        fresh = agent("tool_user", tools=[lookup], checkpointing=True)
        done, _ = await step(fresh, done.state, kind="continue")
        statuses.append(done.status)
    tell("checkpoints", statuses=statuses, told=told(done))
    try:
        await step(swarm(agent("failing")), **said("go on"))
    except Exception as error:
        tell("swarm failing", error=str(error))
    await tale("branches", shapes.branches, {"says": "stop"}, True)
    await tale("loop", shapes.loop, True)
    await tale("nested", shapes.nested, True, "Oslo")
    await tale("gated", shapes.gated, True)
    await tale("gate shut", shapes.gated, {"approved": False, "reason": "too late"})


if __name__ == "__main__":
    asyncio.run(main())
