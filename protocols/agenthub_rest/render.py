"""Our values in the Agent Server's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agenthub.archive import Stored, ThreadTtl
from agenthub.assistants import Assistant
from agenthub.ids import assistant_id
from agenthub.interrupts import Interrupt
from agenthub.items import StoredItem
from agenthub.json import JsonObject
from agenthub.runs import Run
from agenthub.threads import StepView, Thread, ThreadState


def run(r: Run) -> JsonObject:
    """A run, with what the Agent Server leaves out: its output, error, interrupts and attempts."""
    return {
        "run_id": str(r.run_id),
        "thread_id": str(r.thread_id),
        "assistant_id": r.origin.get("assistant_id") or str(assistant_id(r.agent)),
        "assistant_version": r.origin.get("assistant_version") or 1,
        "created_at": r.created_at,
        "updated_at": r.updated_at,
        "status": r.status,
        "metadata": r.metadata,
        "kwargs": {},
        "multitask_strategy": r.multitask,
        "task_id": str(r.task_id),
        "attempts": r.attempts,
        "output": r.output,
        "error": r.error,
        "interrupts": [i.public() for i in r.interrupts],
        "usage": r.usage,
        "started_at": r.started_at,
        "ended_at": r.ended_at,
    }


def thread(t: Thread) -> JsonObject:
    """A thread. Its metadata names the graph that it belongs to."""
    pinned: JsonObject = {}
    if t.agent is not None:
        pinned = {"graph_id": t.agent, "assistant_id": str(assistant_id(t.agent))}
    return {
        "thread_id": str(t.thread_id),
        "created_at": t.created_at,
        "updated_at": t.updated_at,
        "state_updated_at": t.state_updated_at,
        "metadata": {**t.metadata, **pinned},
        "status": t.status,
        "config": t.config,
        "values": t.values,
        "error": t.error,
        "interrupts": _by_step(t.interrupts),
    }


def state(
    s: ThreadState,
    inside: Mapping[str, JsonObject] | None = None,
    places: Mapping[str, str] | None = None,
) -> JsonObject:
    """A `ThreadState` (agent-server.md §1.2). By step, `inside` has the states of its subgraphs, or `places`
    the namespaces where these are."""
    inside, places = inside or {}, places or {}
    return {
        "values": s.values,
        "next": list(s.next),
        "tasks": [_step(s, step, inside.get(step.id), places.get(step.id)) for step in s.steps],
        "metadata": s.metadata,
        "created_at": s.created_at,
        "checkpoint": _checkpoint(s, s.checkpoint_id),
        "parent_checkpoint": None if s.parent_id is None else _checkpoint(s, s.parent_id),
        "checkpoint_id": s.checkpoint_id,
        "parent_checkpoint_id": s.parent_id,
        "interrupts": [i.public() for step in s.steps for i in step.interrupts],
    }


def _checkpoint(s: ThreadState, checkpoint_id: str | None) -> JsonObject:
    return {"thread_id": str(s.thread_id), "checkpoint_ns": s.ns, "checkpoint_id": checkpoint_id}


def _step(
    s: ThreadState, step: StepView, inside: JsonObject | None, place: str | None
) -> JsonObject:
    checkpoint: JsonObject | None = None if inside is None else inside["checkpoint"]
    if place is not None:
        checkpoint = {"thread_id": str(s.thread_id), "checkpoint_ns": place}
    return {
        "id": step.id,
        "name": step.name,
        "path": list(step.path),
        "error": step.error,
        "interrupts": [i.public() for i in step.interrupts],
        "checkpoint": checkpoint,
        "state": inside,
        "result": step.result,
    }


def _by_step(interrupts: Sequence[Interrupt]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for interrupt in interrupts:
        grouped.setdefault(interrupt.step, []).append(interrupt.public())
    return grouped


def assistant(a: Assistant) -> JsonObject:
    """An assistant at one of its versions. What it is told has two names, and both show it."""
    told = a.context or a.config.get("configurable") or {}
    return {
        "assistant_id": str(a.assistant_id),
        "graph_id": a.agent,
        "name": a.name,
        "description": a.description,
        "config": {**a.config, "configurable": told} if told else a.config,
        "context": told,
        "metadata": a.metadata,
        "version": a.version,
        "created_at": a.created_at,
        "updated_at": a.updated_at,
    }


def ttl(t: ThreadTtl) -> JsonObject:
    """A thread's time to live, in minutes."""
    minutes = t.after.total_seconds() / 60
    return {"strategy": t.strategy, "ttl_minutes": minutes, "expires_at": t.expires_at}


def stored(thread_id: str, s: Stored) -> JsonObject:
    """What a thread takes, in bytes."""
    return {
        "thread_id": thread_id,
        "total_bytes": s.total_bytes,
        "checkpoints": {"count": s.checkpoints, "bytes": s.checkpoint_bytes},
        "channel_values": {
            "count": s.values,
            "bytes": s.value_bytes,
            "by_channel": {name: {"bytes": size} for name, size in s.by_channel.items()},
        },
        "pending_writes": {"count": s.writes, "bytes": s.write_bytes},
    }


def item(i: StoredItem) -> JsonObject:
    """An item of the long-term memory."""
    return {
        "namespace": list(i.namespace),
        "key": i.key,
        "value": i.value,
        "created_at": i.created_at,
        "updated_at": i.updated_at,
        "version": i.version,
    }
