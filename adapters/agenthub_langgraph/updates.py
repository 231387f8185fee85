"""State updates: writes to a thread's state as if nodes had made them; no node is executed.

They are made by a worker because only the graph knows its reducers and what comes next. Each superstep is
one checkpoint, so an attempt that follows a dead one goes on behind the supersteps that are there.
"""

from __future__ import annotations

from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from langgraph.types import Command, Send, StateUpdate

from agenthub.json import Json, JsonObject
from agenthub.ports import Claimed
from agenthub_langgraph.saver import LeasedSaver

AnyGraph = Pregel[Any, Any, Any, Any]


async def apply(
    graph: AnyGraph, saver: LeasedSaver, claimed: Claimed, config: RunnableConfig
) -> RunnableConfig:
    """Make the updates of a run; the config of the checkpoint that they come to.

    Raises:
        InvalidUpdateError: a node that is not there, or none where it is not clear which.
    """
    request = claimed.request
    at: JsonObject = {**config.get("configurable", {}), "checkpoint_ns": request.checkpoint_ns}
    supersteps = [[_update(one) for one in step] for step in request.updates or ()]
    done = await _done(saver, claimed, at) if claimed.lease.epoch > 1 else 0
    if done:
        at.pop("checkpoint_id", None)
    for step in supersteps[done:]:
        # one by one: LangGraph drops the metadata, which say whose checkpoint it is, after the first
        made = await graph.abulk_update_state({**config, "configurable": at}, [step])
        at = {**at, **made.get("configurable", {})}
    if done < len(supersteps):
        return {"configurable": at}
    head = await saver.aget_tuple({"configurable": at})
    assert head is not None
    return head.config


async def _done(saver: LeasedSaver, claimed: Claimed, at: JsonObject) -> int:
    """How many supersteps an earlier attempt has made."""
    run_id = str(claimed.lease.run_id)
    anywhere = {k: v for k, v in at.items() if k != "checkpoint_id"}
    mine = 0
    async for found in saver.alist({"configurable": anywhere}, filter={"run_id": run_id}):
        mine += found.metadata.get("source") != "fork"
    return mine


def _update(update: JsonObject) -> StateUpdate:
    command = update.get("command")
    values = update.get("values") if command is None else command_of(command)
    return StateUpdate(cast("Any", values), update.get("as_node"))


def command_of(command: JsonObject) -> Command[Any]:
    """LangGraph's command for `{"update", "goto"}`."""
    given: dict[str, Any] = {}
    if command.get("goto") is not None:
        given["goto"] = goto_of(command["goto"])
    if command.get("update") is not None:
        given["update"] = update_of(command["update"])
    return Command(**given)


def goto_of(goto: Json) -> Any:
    """A node's name, `{"node", "input"}`, or a list of those."""
    if isinstance(goto, list):
        return [goto_of(one) for one in cast("list[Json]", goto)]
    if isinstance(goto, dict):
        packet = cast("JsonObject", goto)
        return Send(packet["node"], packet.get("input"))
    return goto


def update_of(update: Json) -> Any:
    """Fields, or a list of (field, value) pairs, which LangGraph wants as tuples."""
    if isinstance(update, list):
        return [tuple(cast("list[Json]", pair)) for pair in cast("list[Json]", update)]
    return update
