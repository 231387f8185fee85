"""What ADK has besides plain agents, each step on a session of its own, in lines of JSON. Run by a test."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import adk_teams as teams
from google.adk import Workflow
from google.adk.agents import LlmAgent, SequentialAgent
from google.adk.apps import App
from google.adk.events import RequestInput
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools import FunctionTool, ToolContext
from google.genai import types
from pydantic import BaseModel

from agenthub.adapting import Inbound, Outcome
from agenthub.json import Json
from agenthub_adk.adapter import AdkAdapter
from agenthub_conformance.adapter.recording import Recording
from agenthub_conformance.adapter.scripted import NOTES, note, notes
from agenthub_conformance.fixtures.adk_contract import Scripted, lookup, pay

ADAPTER = AdkAdapter()
KEPT: dict[str, Json] = {}


class Calls(BaseLlm):
    """Calls one tool, named as `tool:{"its": "arguments"}`, and then says what it gave."""

    async def generate_content_async(self, llm_request: LlmRequest, stream: bool = False) -> Any:
        note("model")
        parts = llm_request.contents[-1].parts or []
        gave = [p.function_response for p in parts if p.function_response]
        if gave and gave[0].name != "transfer_to_agent":
            said = f"{llm_request.config.system_instruction or ''} {gave[0].response}".strip()
            yield LlmResponse(content=types.ModelContent(said))
            return
        tool, _, args = self.model.partition(":")
        call = types.FunctionCall(id=f"{tool}-1", name=tool, args=json.loads(args or "{}"))
        yield LlmResponse(content=types.ModelContent([types.Part(function_call=call)]))


async def spend(amount: int, tool_context: ToolContext) -> str:
    """Spends, when somebody says how much is allowed."""
    if tool_context.tool_confirmation is None:
        tool_context.request_confirmation(hint="It is a lot.", payload={"limit": 0})
        return "waits"
    note("tool pay")
    return f"{tool_context.tool_confirmation.payload['limit']} of {amount}"


async def learn(tool_context: ToolContext) -> str:
    """Learns something of the user and of the app, and files it."""
    tool_context.state["user:language"] = "Norwegian"
    tool_context.state["app:visits"] = 1
    tool_context.state["here"] = "only"
    part = types.Part.from_bytes(data=b"\x00report", mime_type="application/pdf")
    await tool_context.save_artifact("report.pdf", part)
    await tool_context.save_artifact("report.pdf", part)
    await tool_context.save_artifact("user:notes.txt", types.Part(text="notes"))
    return "learned"


async def know(tool_context: ToolContext) -> str:
    """What is known."""
    state = tool_context.state
    report = await tool_context.load_artifact("report.pdf")
    mine = await tool_context.load_artifact("user:notes.txt")
    known = [state.get("user:language"), state.get("app:visits"), state.get("here")]
    files = await tool_context.list_artifacts()
    bytes_ = report.inline_data.data.decode() if report else None
    return json.dumps([*known, files, bytes_, mine.text if mine else None])


class Limit(BaseModel):
    amount: int


async def ask_limit(node_input: Any) -> Any:
    """Asks a person for a limit."""
    yield RequestInput(message="How much?", payload={"for": "kettle"}, response_schema=Limit)


async def apply_limit(node_input: Any) -> str:
    """Says what the person said."""
    return f"limit {json.dumps(node_input)}"


def agent(name: str, model: str, *tools: Any, **how: Any) -> LlmAgent:
    return LlmAgent(name=name, model=Calls(model=model), tools=[*tools], **how)


def workflow() -> Workflow:
    return Workflow(name="limits", edges=[("START", ask_limit), (ask_limit, apply_limit)])


def desk() -> LlmAgent:
    """A triage that transfers to billing, whose tool needs confirmation."""
    billing = LlmAgent(
        name="billing",
        model=Scripted(model="approver"),
        tools=[FunctionTool(pay, require_confirmation=True)],
    )
    return agent("triage", 'transfer_to_agent:{"agent_name": "billing"}', sub_agents=[billing])


async def step(
    obj: Any, state: Json = None, thread: str = "t", user: str = "ann", **inbound: Any
) -> tuple[Outcome, Recording]:
    io = Recording(kept=KEPT)
    given = Inbound(thread_id=thread, run_id="r", user_id=user, **inbound)
    outcome = await ADAPTER.step(obj, json.loads(json.dumps(state)), given, io)
    return outcome, io


def said(text: str = "go on") -> dict[str, Any]:
    return {"kind": "input", "messages": [{"id": text, "role": "user", "content": text}]}


def told(outcome: Outcome) -> list[tuple[str, str]]:
    return [(m["name"], m["content"]) for m in outcome.messages if m["content"]]


def tell(name: str, **what: Any) -> None:
    what["models"], what["paid"] = notes().count("model"), notes().count("tool pay")
    print(json.dumps({"of": name, **what}), flush=True)
    os.truncate(os.environ[NOTES], 0)


async def answered(name: str, make: Any, answer: Json) -> None:
    """A pause, and its answer on objects that have seen nothing."""
    paused, io = await step(make(), **said())
    (ask,) = paused.asks
    done, _ = await step(make(), paused.state, kind="answers", answers={ask.id: answer})
    tell(
        name,
        ask=[ask.kind, ask.prompt, ask.payload, ask.schema],
        status=done.status,
        told=told(paused) + told(done),
        output=done.output,
        events=io.of("event"),
    )


async def tale(name: str, make: Any, *answers: Json) -> None:
    """A turn as one line: its questions, what it said, and what was noted and used in each step."""
    out, io = await step(make(), **said())
    asked, noted, used, words = list[Any](), list[Any](), list[int](), list[Any]()
    handoffs = list[Any]()
    for answer in (*answers, None):
        noted.append(notes())
        os.truncate(os.environ[NOTES], 0)
        used.append((out.usage or {}).get("total_tokens", 0))
        words += told(out)
        asked.append([[ask.kind, ask.prompt, ask.key] for ask in out.asks])
        handoffs += [one["data"] for one in io.of("event") if one["event"] == "handoff"]
        if answer is None:
            break
        if isinstance(answer, dict) and "says" in answer:
            given: dict[str, Any] = said(answer["says"])
        else:
            given = {"kind": "answers", "answers": {ask.id: answer for ask in out.asks}}
        out, io = await step(make(), out.state, **given)
    line = {"of": name, "status": out.status, "asked": asked, "told": words, "used": used}
    print(
        json.dumps({**line, "output": out.output, "handoffs": handoffs, "notes": noted}), flush=True
    )


async def lost(name: str, make: Any) -> None:
    """An answered pause that is lost behind its first save, and goes on elsewhere."""
    paused, _ = await step(make(), **said())
    _, io = await step(
        make(), paused.state, kind="answers", answers={ask.id: True for ask in paused.asks}
    )
    os.truncate(os.environ[NOTES], 0)
    saved = io.of("save")[0]
    done, _ = await step(make(), saved["state"], kind="continue")
    whole = [[m["name"], m["content"]] for m in saved["messages"]] + told(done)
    print(
        json.dumps({"of": name, "status": done.status, "told": whole, "notes": notes()}), flush=True
    )
    os.truncate(os.environ[NOTES], 0)


class AtOnce(Recording):
    """Each of two threads keeps nothing before the other one is about to."""

    both = asyncio.Barrier(2)

    async def keep(self, scope: tuple[str, ...], key: str, value: Json) -> None:
        await self.both.wait()
        await super().keep(scope, key, value)


async def at_once() -> None:
    """Two threads of a user, whose names no namespace could bear, that keep different things at once."""
    kept: dict[str, Json] = {}
    user = "ann@example.com/x"

    async def one(thread: str, name: str, value: str) -> None:
        given = Inbound(thread_id=thread, run_id="r", user_id=user, **said())
        await ADAPTER.step(teams.keeper(name, value), None, given, AtOnce(kept=kept))

    await asyncio.gather(one("t", "language", "Norwegian"), one("u", "size", "large"))
    tell("two threads at once", kept=kept)


async def main() -> None:
    spender = agent("spender", 'spend:{"amount": 9}', spend)
    approved = {"approved": True, "payload": {"limit": 5}}
    await answered("dynamic confirmation", lambda: spender, approved)
    await answered("request for input", workflow, {"amount": 5})
    await answered("transfer", desk, True)
    approver = LlmAgent(
        name="approver",
        model=Scripted(model="approver"),
        tools=[FunctionTool(pay, require_confirmation=True)],
    )
    await answered("app", lambda: App(name="till", root_agent=approver), True)
    await answered("runner", lambda: InMemoryRunner(approver, app_name="till"), True)
    learner, knower = agent("learner", "learn", learn), agent("knower", "know", know)
    first, _ = await step(learner, **said())
    for thread, user, state in (("t", "ann", first.state), ("u", "ann", None), ("u", "bob", None)):
        known, _ = await step(knower, state, thread, user, **said())
        tell(f"known to {user} on {thread}", told=told(known)[0][1])
    line = SequentialAgent(
        name="line",
        sub_agents=[
            LlmAgent(name="one", model=Scripted(model="tool_user"), tools=[lookup]),
            LlmAgent(name="two", model=Scripted(model="chat"), output_key="answer"),
        ],
    )
    done, _ = await step(line, **said("Oslo"))
    tell("sequence", told=told(done), state=done.state["session"]["state"].get("answer"))
    keyed = LlmAgent(name="keyed", model=Scripted(model="chat"), output_key="answer")
    done, _ = await step(keyed, **said("Oslo"))
    tell("key", output=done.output, told=told(done))
    await at_once()
    await tale("row", teams.row, {"approved": False, "reason": "too much"})
    await tale("sides", teams.sides, {"says": "stop"}, True)
    await tale("nested", teams.nested, True)
    await lost("nested lost", teams.nested)
    await tale("loop", teams.loop, True)
    await tale("desk", teams.desk, True, {"says": "again"})
    await tale("orderer", teams.orderer, {"status": "arrived"})
    await tale("app with a plugin", teams.app, True)
    await tale("runner with a plugin", teams.runner, True)
    await tale("form", teams.form, "large", "red")
    await tale("fork", teams.fork, "large")


if __name__ == "__main__":
    asyncio.run(main())
