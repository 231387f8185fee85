"""The `events` stream mode: what LangChain's callbacks tell of a run, among what the graph streams.

LangChain tells of the graph's own stream too, chunk by chunk. Those are taken for what they are, the parts
of the other modes, so that one execution serves all modes and nothing is told twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel

EVENTS = "events"
HIDDEN = "langsmith:hidden"


async def astream_with_events(
    graph: Pregel[Any, Any, Any, Any], given: Any, config: RunnableConfig, **how: Any
) -> AsyncGenerator[Any, None]:
    """As `graph.astream`, with a part of mode `events` for each callback event."""
    root = str(config.get("run_id"))
    # its overloads do not know the arguments that it passes on
    told = cast("Any", graph).astream_events(given, config, version="v2", **how)
    async with aclosing(told) as items:
        async for item in items:
            if item["run_id"] == root and item["event"] == "on_chain_stream":
                yield item["data"]["chunk"]
            elif HIDDEN not in item.get("tags", ()):
                yield ((), EVENTS, item) if how["subgraphs"] else (EVENTS, item)
