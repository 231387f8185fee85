"""What the driver keeps beside a checkpoint: how far a step has come, and what a paused agent holds.

LangGraph writes a finished task's result in the background and an unfinished one's not at all. So a step
keeps its progress as a pending write of its own, behind the lease, under an id that LangGraph never looks
for; it goes where the checkpoint goes (copies, rollbacks, deletions) and is replaced, never added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import NAMESPACE_OID, uuid5

from langchain_core.runnables import RunnableConfig

from agenthub.json import Json, JsonObject
from agenthub.ports import Write, WritesRow
from agenthub_langgraph.saver import HubSaver, LeasedSaver

SAVER = "__agenthub_saver"
"""Where a run's config has its saver; what begins with `__` is in no metadata."""
PAUSED = "__paused__"
STEP = "__step__"
ASK = "__ask__"
PROGRESS = "__progress__"
_RETURN = "__return__"


class Progress:
    """One step's place to save. Without a saver of ours (tests, other servers) nothing is kept."""

    def __init__(self, config: RunnableConfig) -> None:
        at: JsonObject = config.get("configurable", {})
        saver = at.get(SAVER)
        self.saver: LeasedSaver | None = saver if isinstance(saver, LeasedSaver) else None
        self.thread_id = str(at.get("thread_id", ""))
        checkpoints: JsonObject = at.get("checkpoint_map") or {}
        self.checkpoint_id = str(checkpoints.get("", ""))
        self.step = str(uuid5(NAMESPACE_OID, f"{at.get('checkpoint_ns')}|{PROGRESS}"))
        self.saved = False

    def cancelled(self) -> bool:
        """See `agenthub.adapting.Io`."""
        return self.saver is None or self.saver.cancelled()

    async def load(self) -> JsonObject | None:
        """What an attempt that was lost has saved of this very step."""
        if self.saver is None:
            return None
        writes = await pending(self.saver, self.thread_id, self.checkpoint_id)
        return next((value for step, _, value in writes if step == self.step), None)

    async def save(self, progress: JsonObject) -> None:
        """Keep it; returns when it is committed. Raises `LeaseLost`."""
        if self.saver is not None:
            self.saved = True
            await self.saver.save_beside(self._row(self.saver, progress), wait=True)

    async def forget(self) -> None:
        """The step is over: its result stands for it."""
        if self.saver is not None and self.saved:
            await self.saver.save_beside(self._row(self.saver, None), wait=False)

    def _row(self, saver: LeasedSaver, value: Json) -> WritesRow:
        return WritesRow(
            thread_id=self.thread_id,
            ns="",
            checkpoint_id=self.checkpoint_id,
            step=self.step,
            path="",
            writes=(Write(0, PROGRESS, *saver.serde.dumps_typed(value)),),
            replace=True,
        )


async def pending(
    saver: HubSaver, thread_id: str, checkpoint_id: str | None
) -> Sequence[tuple[str, str, Any]]:
    """The pending writes of a checkpoint, the latest by default: `(step, channel, value)`."""
    at: JsonObject = {"thread_id": thread_id, "checkpoint_ns": ""}
    if checkpoint_id is not None:
        at["checkpoint_id"] = checkpoint_id
    found = await saver.aget_tuple({"configurable": at})
    return (found.pending_writes if found is not None else None) or ()


async def with_paused(saver: HubSaver, input: Json, config: RunnableConfig) -> Json:
    """The input of a new turn, with what a paused agent held when its thread is paused: LangGraph begins
    a new input at the last turn that was finished, and would forget the one that waits."""
    at = config.get("configurable", {})
    writes = await pending(saver, str(at["thread_id"]), at.get("checkpoint_id"))
    results: list[JsonObject] = [
        cast("JsonObject", value)
        for _, channel, value in writes
        if channel == _RETURN and isinstance(value, dict) and {"n", "kind"} <= value.keys()
    ]
    steps = sorted((r for r in results if r["kind"] == STEP), key=lambda r: r["n"])
    if not steps or steps[-1]["status"] != "paused":
        return input
    last = steps[-1]
    fields = cast("JsonObject", input) if isinstance(input, dict) else {"messages": input}
    answers = {r["ask"]: r["answer"] for r in results if r["kind"] == ASK and r["n"] == last["n"]}
    paused = {name: last[name] for name in ("state", "said")}
    return {**fields, PAUSED: {**paused, "answers": answers, "tools": tools_of(last["asks"])}}


def tools_of(asks: Sequence[JsonObject]) -> JsonObject:
    """Where questions came from, by their ids: a call's tool, which ends only after the pause."""
    return {ask["id"]: ask["key"] for ask in asks if ask["key"]}
