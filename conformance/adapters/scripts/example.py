"""An example of a framework, on LangGraph without a hub, in lines of JSON: a question and its answer, and a
second turn. `example.py FOLDER ENVIRONMENT WORDS …`, run by a test; each of the words begins a turn of its
own, which is told with its error, and the last one, HANG, is cancelled in the middle of its answer.

Addresses that anything here looks for or connects to are told on standard error, to the very end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from agenthub.project import read_project
from agenthub_langgraph.discovery import discover
from agenthub_langgraph.usage import Usage

ORDER = "My order A-17 arrived broken"


def dialled(event: str, args: tuple[Any, ...]) -> None:
    """Tell of an address; threads and exit handlers that the program leaves behind are heard, too."""
    if event == "socket.getaddrinfo":
        print(f"dialled {args[0]}", file=sys.stderr, flush=True)
    elif event == "socket.connect" and isinstance(args[1], tuple):
        print(f"dialled {args[1][0]}", file=sys.stderr, flush=True)


async def turn(graph: Any, input: Any, config: Any, heard: Any = None) -> dict[str, Any]:
    """What a run comes to, with the pieces of its messages, and how many modules it had to import; `heard` is
    set with the first piece."""
    imported = len(sys.modules)
    pieces = list[str]()
    values: Any = None
    usage = Usage()
    config = {**config, "callbacks": [usage]}
    async for mode, data in graph.astream(input, config, stream_mode=["messages", "values"]):
        if mode == "messages" and data[0].type == "AIMessageChunk" and data[0].content:
            pieces.append(data[0].text)
            if heard is not None:
                heard.set()
        elif mode == "values":
            values = data
    asked = [interrupt.value for interrupt in (await graph.aget_state(config)).interrupts]
    messages = [[m["type"], m["content"]] for m in (values or {}).get("messages", ())]
    told = {"asked": asked, "pieces": pieces, "messages": messages, "usage": usage.total}
    return {**told, "imported": len(sys.modules) - imported}


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def failing(graph: Any, word: str, config: Any) -> dict[str, Any]:
    """A turn that may fail, and how long it took."""
    began = time.monotonic()
    try:
        found = await turn(
            graph, said(f"{word}: {ORDER}" if word in ("BUSY", "DOWN") else word), config
        )
    except Exception as error:
        found = {"error": str(error), "type": type(error).__name__}
    return {**found, "seconds": time.monotonic() - began}


async def cancelled(graph: Any, word: str, config: Any) -> dict[str, Any]:
    """A turn that is cancelled in mid-answer. The program stays until it is told to go, so that nothing but
    the cancellation ends a request."""
    heard = asyncio.Event()
    running = asyncio.create_task(turn(graph, said(word), config, heard))
    await heard.wait()
    running.cancel()
    (result,) = await asyncio.gather(running, return_exceptions=True)
    return {"cancelled": isinstance(result, asyncio.CancelledError)}


async def main(folder: str, environment: str, *words: str) -> None:
    discovered = discover(read_project(Path(folder)), environment)
    assert not discovered.failures, discovered.failures
    (graph,) = discovered.graphs.values()
    graph = graph.copy(update={"checkpointer": InMemorySaver(), "store": InMemoryStore()})
    config = {"configurable": {"thread_id": "1"}}
    for given in (said(ORDER), Command(resume=True), said("Thank you!")):
        print(json.dumps(await turn(graph, given, config)), flush=True)
    for word in words:
        config = {"configurable": {"thread_id": word}}
        found = await (cancelled if word == "HANG" else failing)(graph, word, config)
        print(json.dumps(found), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    sys.addaudithook(dialled)
    asyncio.run(main(*sys.argv[1:]))
