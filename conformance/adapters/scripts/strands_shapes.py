"""Graphs and swarms of Strands in more shapes: branches, loops, one in another; by `strands_teams.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from strands import Agent
from strands.hooks import BeforeNodeCallEvent
from strands.models import Model
from strands.multiagent import GraphBuilder, Swarm

from agenthub_conformance.adapter.scripted import note
from agenthub_conformance.fixtures.strands_contract import approve, ask_person, pay


class Says(Model):
    """Notes its name, and says what `answer` makes of the texts and of what tools gave last."""

    def __init__(self, name: str, answer: Callable[[list[str], list[str]], Any]) -> None:
        self.name = name
        self.answer = answer

    def update_config(self, **_: Any) -> None:
        pass

    def get_config(self) -> dict[str, Any]:
        return {"model_id": self.name}

    def structured_output(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream(self, messages: Any, *_: Any, **__: Any) -> Any:
        note(f"model {self.name}")
        said = [b["text"] for one in messages for b in one["content"] if "text" in b]
        results = [b["toolResult"] for b in messages[-1]["content"] if "toolResult" in b]
        answer = self.answer(said, [r["content"][0]["text"] for r in results])
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(answer, str):
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": answer}}}
            reason = "end_turn"
        else:
            use = {"toolUseId": f"{answer[0]}-{self.name}-{len(messages)}", "name": answer[0]}
            yield {"contentBlockStart": {"start": {"toolUse": use}}}
            delta = {"toolUse": {"input": json.dumps(answer[1])}}
            yield {"contentBlockDelta": {"delta": delta}}
            reason = "tool_use"
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": reason}}
        usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
        yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 0}}}


def says(
    name: str, answer: Callable[[list[str], list[str]], Any], *tools: Any, **how: Any
) -> Agent:
    return Agent(model=Says(name, answer), name=name, callback_handler=None, tools=[*tools], **how)


def payer(name: str) -> Agent:
    """It pays what needs approval, and says what that gave."""

    def answer(said: list[str], gave: list[str]) -> Any:
        return f"{name}: {gave[0]}" if gave else ("pay", {"amount": len(name)})

    return says(name, answer, pay, hooks=[approve])


def teller(*names: str) -> Agent:
    """It says which of these it has read."""
    return says("teller", lambda said, _: ", ".join(n for n in names if n in " ".join(said)))


def branches() -> Any:
    """Two payments that wait at once beside one who does not, and one who knows of all."""
    builder = GraphBuilder()
    for name in ("ann", "beate"):
        builder.add_node(payer(name), name)
    builder.add_node(says("quick", lambda *_: "quick"), "quick")
    builder.add_node(teller("ann: paid 3", "beate: paid 5", "quick"), "teller")
    nodes = ("ann", "beate", "quick")

    def all_done(state: Any) -> bool:
        return all(any(n.node_id == name for n in state.completed_nodes) for name in nodes)

    for name in nodes:
        builder.set_entry_point(name)
        builder.add_edge(name, "teller", condition=all_done)
    builder.set_execution_timeout(60)
    return builder.build()


def loop() -> Any:
    """A writer and a critic, until the critic is content; then a payment."""
    builder = GraphBuilder()
    drafts = {"n": 0}

    def write(said: list[str], _: list[str]) -> str:
        drafts["n"] = sum("write another" in one for one in said) + 1
        return f"draft {drafts['n']}"

    def judge(said: list[str], _: list[str]) -> str:
        return "well done" if any("draft 2" in one for one in said) else "write another"

    builder.add_node(says("writer", write), "writer")
    builder.add_node(says("critic", judge), "critic")
    builder.add_node(payer("ann"), "ann")
    builder.add_edge("writer", "critic")
    builder.add_edge("critic", "writer", condition=lambda s: "another" in _last(s, "critic"))
    builder.add_edge("critic", "ann", condition=lambda s: "well" in _last(s, "critic"))
    builder.set_entry_point("writer")
    builder.set_execution_timeout(60)
    builder.set_max_node_executions(9)
    return builder.build()


def _last(state: Any, node: str) -> str:
    return str(state.results[node].result) if node in state.results else ""


def nested() -> Any:
    """A graph whose nodes are a graph that pays and a swarm that hands over to one who asks."""
    inner = GraphBuilder()
    inner.add_node(says("clerk", lambda *_: "noted"), "clerk")
    inner.add_node(payer("ann"), "ann")
    inner.add_edge("clerk", "ann")
    inner.set_execution_timeout(60)
    outer = GraphBuilder()
    outer.add_node(inner.build(), "inner")
    outer.add_node(swarm(), "swarm")
    outer.add_node(teller("ann: paid 3", "it is Oslo"), "teller")
    outer.add_edge("inner", "swarm")
    outer.add_edge("swarm", "teller")
    outer.set_execution_timeout(120)
    return outer.build()


def swarm() -> Any:
    """One who hands over to one who asks for a value."""

    def front(said: list[str], gave: list[str]) -> Any:
        return (
            "handed over" if gave else ("handoff_to_agent", {"agent_name": "asker", "message": "x"})
        )

    def ask(said: list[str], gave: list[str]) -> Any:
        return f"it is {gave[0]}" if gave else ("ask_person", {"question": "Which city?"})

    first = says("front", front)
    return Swarm([first, says("asker", ask, ask_person)], entry_point=first)


def gated() -> Any:
    """A graph that asks before it runs a node."""
    builder = GraphBuilder()
    builder.add_node(says("clerk", lambda *_: "noted"), "clerk")
    builder.add_node(says("sender", lambda *_: "sent"), "sender")
    builder.add_edge("clerk", "sender")
    builder.set_execution_timeout(60)
    graph = builder.build()

    def ask(event: BeforeNodeCallEvent) -> None:
        if event.node_id == "sender":
            answer = event.interrupt("approval", reason="Shall it be sent?")
            if answer != "y":
                event.cancel_node = f"not sent: {answer}"

    graph.hooks.add_callback(BeforeNodeCallEvent, ask)
    return graph
