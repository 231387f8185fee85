"""Agents of ADK that are made of several: in a row, side by side, in a loop; by `adk_kinds.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from google.adk import Workflow
from google.adk.agents import LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.apps import App
from google.adk.events import RequestInput
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import InMemoryRunner
from google.adk.tools import FunctionTool, LongRunningFunctionTool, ToolContext, exit_loop
from google.adk.tools.agent_tool import AgentTool
from google.adk.workflow import JoinNode
from google.genai import types

from agenthub_conformance.adapter.scripted import note
from agenthub_conformance.fixtures.adk_contract import pay

Answer = Callable[[list[str], list[str]], Any]
"""What a model says to what the user and others said, and to what tools gave last: a text or a call."""


class Says(BaseLlm):
    """Notes its name, and says what `answer` makes of the contents."""

    answer: Any = None

    async def generate_content_async(self, llm_request: LlmRequest, stream: bool = False) -> Any:
        note(f"model {self.model}")
        parts = [part for one in llm_request.contents for part in one.parts or []]
        said = [part.text for part in parts if part.text]
        last = llm_request.contents[-1].parts or []
        gave = [p.function_response.response for p in last if p.function_response]
        answer = self.answer(said, [" ".join(map(str, (one or {}).values())) for one in gave])
        if isinstance(answer, str):
            part = types.Part(text=answer)
        else:
            name, args = answer
            call = types.FunctionCall(id=f"{name}-{self.model}-{len(parts)}", name=name, args=args)
            part = types.Part(function_call=call)
        usage = types.GenerateContentResponseUsageMetadata(
            prompt_token_count=10, candidates_token_count=5, total_token_count=15
        )
        yield LlmResponse(content=types.ModelContent([part]), usage_metadata=usage)


def says(name: str, answer: Answer, *tools: Any, **how: Any) -> LlmAgent:
    model = Says(model=name, answer=answer)
    return LlmAgent(name=name, description=f"Plays {name}.", model=model, tools=[*tools], **how)


def payer(name: str, **how: Any) -> LlmAgent:
    """It pays what needs confirmation, and says what that gave."""

    def answer(said: list[str], gave: list[str]) -> Any:
        return f"{name}: {gave[0]}" if gave else ("pay", {"amount": len(name)})

    return says(name, answer, FunctionTool(pay, require_confirmation=True), **how)


def row() -> SequentialAgent:
    """A payment that waits, and one who reads of it."""
    reader = says("reader", lambda said, _: f"knows {'rejected' in said[-1]}")
    return SequentialAgent(name="row", sub_agents=[payer("ann"), reader])


def sides() -> ParallelAgent:
    """Two payments that wait at once, beside one who does not."""
    quick = says("quick", lambda *_: "quick")
    return ParallelAgent(name="sides", sub_agents=[payer("ann"), payer("beate"), quick])


def loop() -> LoopAgent:
    """A writer and a critic, until the critic is content, which has to be confirmed."""
    writer = says("writer", lambda said, _: f"draft {sum('draft' in s for s in said) + 1}")

    def judge(said: list[str], gave: list[str]) -> Any:
        return "left" if gave else ("leave", {}) if "draft 2" in said[-1] else "write another"

    leave = FunctionTool(_leave, require_confirmation=True)
    return LoopAgent(
        name="loop", max_iterations=4, sub_agents=[writer, says("critic", judge, leave)]
    )


def _leave(tool_context: ToolContext) -> Any:
    """Ends the loop."""
    note("tool leave")
    return exit_loop(tool_context)


_leave.__name__ = "leave"


def nested() -> SequentialAgent:
    """Side by side in a row in a row, before one who knows of all of them."""

    def known(said: list[str], _: list[str]) -> Any:
        names = ("quick", "ann: paid 3", "beate: paid 5")
        return ", ".join(name for name in names if any(name in one for one in said))

    last = says("last", known)
    inner = SequentialAgent(name="inner", sub_agents=[sides()])
    return SequentialAgent(name="outer", sub_agents=[inner, last])


def desk() -> LlmAgent:
    """A triage that hands over to billing, which hands back when it has paid."""

    def billing(said: list[str], gave: list[str]) -> Any:
        if gave and "paid" in gave[0]:
            return "transfer_to_agent", {"agent_name": "triage"}
        return "pay", {"amount": 7}

    def triage(said: list[str], gave: list[str]) -> Any:
        if any("paid 7" in one for one in said):
            return "all settled"
        return "transfer_to_agent", {"agent_name": "billing"}

    tool = FunctionTool(pay, require_confirmation=True)
    return says("triage", triage, sub_agents=[says("billing", billing, tool)])


def boss() -> LlmAgent:
    """An agent whose tool is an agent that pays."""

    def answer(said: list[str], gave: list[str]) -> Any:
        return f"it says {gave[0]}" if gave else ("worker", {"request": "pay"})

    return says("boss", answer, AgentTool(payer("worker")))


def order(item: str) -> dict[str, str]:
    """Orders something, which takes its time."""
    note("tool order")
    return {"status": "pending", "ticket": f"T-{item}"}


def orderer() -> LlmAgent:
    """A long-running tool that gives a ticket first, and the result later."""

    def answer(said: list[str], gave: list[str]) -> Any:
        return f"it gave {gave[0]}" if gave else ("order", {"item": "kettle"})

    return says("orderer", answer, LongRunningFunctionTool(order))


def set_for_user(name: str, value: str, tool_context: ToolContext) -> str:
    """Keeps something of the user."""
    tool_context.state[f"user:{name}"] = value
    return "kept"


def keeper(name: str, value: str) -> LlmAgent:
    """It keeps one thing of the user."""

    def answer(said: list[str], gave: list[str]) -> Any:
        return "done" if gave else ("set_for_user", {"name": name, "value": value})

    return says("keeper", answer, set_for_user)


class Counts(BasePlugin):
    """Notes what passes by."""

    async def before_model_callback(self, **_: Any) -> None:
        note("plugin model")

    async def before_tool_callback(self, *, tool: Any, **_: Any) -> None:
        note(f"plugin {tool.name}")


def app() -> App:
    """A payment in an app with a plugin."""
    return App(name="till", root_agent=payer("ann"), plugins=[Counts(name="counts")])


async def ask_size(node_input: Any) -> Any:
    """Asks for a size."""
    note("node ask_size")
    yield RequestInput(message="Which size?")


async def ask_colour(node_input: Any) -> Any:
    """Asks for a colour, knowing the size."""
    note("node ask_colour")
    yield RequestInput(message="Which colour?")


async def close(node_input: Any) -> str:
    """Says what it was given."""
    return f"closed with {json.dumps(node_input, sort_keys=True)}"


def form() -> Workflow:
    """Two questions in a row, an agent, and a function."""
    agent = says("clerk", lambda said, _: f"a {said[-1]} one")
    edges = [("START", ask_size), (ask_size, ask_colour), (ask_colour, agent), (agent, close)]
    return Workflow(name="form", edges=edges)


def fork() -> Workflow:
    """Two questions at once, and a function that waits for both answers."""
    join = JoinNode(name="join")
    edges = [
        ("START", ask_size),
        ("START", ask_colour),
        ((ask_size, ask_colour), join),
        (join, close),
    ]
    return Workflow(name="fork", edges=edges)


def runner() -> InMemoryRunner:
    """The app in a runner."""
    return InMemoryRunner(app=app())
