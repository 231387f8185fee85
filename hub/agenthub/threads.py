"""Threads: conversations and their checkpointed state, as the surfaces read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject

ThreadStatus: TypeAlias = Literal["idle", "busy", "interrupted", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A thread. `agent` is the one that it belongs to once a run was made on it."""

    tenant: str
    thread_id: UUID
    agent: str | None
    status: ThreadStatus
    subject: str = "anonymous"
    metadata: JsonObject = field(default_factory=dict[str, Json])
    config: JsonObject = field(default_factory=dict[str, Json])
    interrupts: tuple[Interrupt, ...] = ()
    values: Json = None
    error: JsonObject | None = None
    open_runs: int = 0
    open_task: UUID | None = None
    created_at: datetime
    updated_at: datetime
    state_updated_at: datetime


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """A write to a thread's state as if `as_node` had made it: values, or a command (`update`, `goto`).

    Without a node it is the one that wrote last, where that is only one. `__copy__` repeats a
    checkpoint, `__end__` without values clears what is next, `__input__` is a new input.
    """

    values: Json = None
    as_node: str | None = None
    command: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A node that is next, or that paused or failed, at a checkpoint."""

    id: str
    name: str
    path: tuple[Json, ...] = ()
    error: str | None = None
    interrupts: tuple[Interrupt, ...] = ()
    result: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadState:
    """The state of a thread at a checkpoint, as JSON; read without the agent's code."""

    thread_id: UUID
    ns: str
    checkpoint_id: str | None
    parent_id: str | None
    values: Json
    next: tuple[str, ...] = ()
    steps: tuple[StepView, ...] = ()
    metadata: JsonObject = field(default_factory=dict[str, Json])
    created_at: str | None = None
