"""Our values in the Agent Server's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agenthub.agents import AgentInfo
from agenthub.ids import assistant_id
from agenthub.interrupts import Interrupt
from agenthub.json import JsonObject
from agenthub.runs import Run
from agenthub.threads import StepView, Thread, ThreadState

EPOCH = "1970-01-01T00:00:00+00:00"


def run(r: Run) -> JsonObject:
    """A run, with what the Agent Server leaves out: its output, error, interrupts and attempts."""
    return {
        "run_id": str(r.run_id),
        "thread_id": str(r.thread_id),
        "assistant_id": str(assistant_id(r.agent)),
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


def state(s: ThreadState) -> JsonObject:
    """A `ThreadState` (agent-server.md §1.2)."""
    return {
        "values": s.values,
        "next": list(s.next),
        "tasks": [_step(step) for step in s.steps],
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


def _step(step: StepView) -> JsonObject:
    return {
        "id": step.id,
        "name": step.name,
        "path": list(step.path),
        "error": step.error,
        "interrupts": [i.public() for i in step.interrupts],
        "checkpoint": None,
        "state": None,
        "result": step.result,
    }


def _by_step(interrupts: Sequence[Interrupt]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for interrupt in interrupts:
        grouped.setdefault(interrupt.step, []).append(interrupt.public())
    return grouped


def assistant(info: AgentInfo) -> JsonObject:
    """The system assistant of an agent."""
    return {
        "assistant_id": str(info.assistant_id),
        "graph_id": info.name,
        "name": info.title or info.name,
        "description": info.description,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system"},
        "version": 1,
        "created_at": EPOCH,
        "updated_at": EPOCH,
    }
