"""An example of a framework, on LangGraph without a hub, in lines of JSON: a question and its answer, and a
second turn. `example.py FOLDER ENVIRONMENT`, run by a test."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from agenthub.project import read_project
from agenthub_langgraph.discovery import discover


async def turn(graph: Any, input: Any, config: Any) -> dict[str, Any]:
    """What a run comes to, with the pieces of its messages."""
    pieces = list[str]()
    values: Any = None
    async for mode, data in graph.astream(input, config, stream_mode=["messages", "values"]):
        if mode == "messages" and data[0].type == "AIMessageChunk" and data[0].content:
            pieces.append(data[0].text)
        elif mode == "values":
            values = data
    asked = [interrupt.value for interrupt in (await graph.aget_state(config)).interrupts]
    messages = [[m["type"], m["content"]] for m in (values or {}).get("messages", ())]
    return {"asked": asked, "pieces": pieces, "messages": messages}


async def main(folder: str, environment: str) -> None:
    discovered = discover(read_project(Path(folder)), environment)
    assert not discovered.failures, discovered.failures
    (graph,) = discovered.graphs.values()
    graph = graph.copy(update={"checkpointer": InMemorySaver(), "store": InMemoryStore()})
    config = {"configurable": {"thread_id": "1"}}
    for said in ("My order A-17 arrived broken", True, "Thank you!"):
        user = [{"role": "user", "content": said}]
        given = {"messages": user} if isinstance(said, str) else Command(resume=said)
        print(json.dumps(await turn(graph, given, config)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
