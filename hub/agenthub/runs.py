"""Runs and tasks: what was asked, how it stands, what came of it.

A run is one requested execution on a thread. A task is the chain of runs from a first input to its
terminal end: every answer to an interrupt is a new run of the same task, and `task_id` is the id of
the first run. Nothing here does I/O; the transitions are SQL (`agenthub_postgres.runs`), and
`ALLOWED` is what they are tested against.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject

RunStatus: TypeAlias = Literal["pending", "running", "success", "error", "timeout", "interrupted"]
"""`success` includes a pause: the run ended and the thread is interrupted. `interrupted` = cancelled."""
RunKind: TypeAlias = Literal["input", "resume", "update"]
TaskStatus: TypeAlias = Literal["working", "input_required", "completed", "failed", "canceled"]
Multitask: TypeAlias = Literal["reject", "enqueue", "interrupt", "rollback"]
CancelAction: TypeAlias = Literal["interrupt", "rollback"]
Durability: TypeAlias = Literal["sync", "async", "exit"]

POLICY: Final = ("timeout_seconds", "webhook", "retry", "deadline")
OPEN: Final[frozenset[str]] = frozenset({"pending", "running"})
ALLOWED: Final[dict[str, frozenset[str]]] = {
    "pending": frozenset({"running", "interrupted", "error"}),
    "running": frozenset({"running", "pending", "success", "error", "timeout", "interrupted"}),
    "success": frozenset(),
    "error": frozenset(),
    "timeout": frozenset(),
    "interrupted": frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the caller wants executed; stored as JSON and read by the engine alone.

    `answers` maps interrupt ids to values and makes the run a resume. `modes` are stream modes to
    record beside the default ones. `interrupt_before`/`after` are node names or `["*"]`. `updates` are
    supersteps of state updates (`threads.StateUpdate` as JSON) for a run of kind `update`, which
    executes no node. `trace` is the caller's trace context: see `tracing`.

    The fields of `POLICY` say how the run is looked after; a resume inherits them from the run whose
    question it answers. `timeout_seconds` is the time of one attempt. `webhook` says where its end is
    told: see `deliveries.target_of`. `retry`: see `retries.pause_before`; `deadline`: see `deadlines`.
    """

    input: Json = None
    answers: dict[str, Json] | None = None
    goto: Json = None
    update: Json = None
    config: JsonObject = field(default_factory=dict[str, Json])
    context: JsonObject | None = None
    checkpoint_id: str | None = None
    interrupt_before: tuple[str, ...] = ()
    interrupt_after: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    subgraphs: bool = False
    durability: Durability = "async"
    as_node: str | None = None
    checkpoint_ns: str = ""
    updates: list[list[JsonObject]] | None = None
    timeout_seconds: float | None = None
    assistant_id: str | None = None
    trace: JsonObject | None = None
    webhook: JsonObject | None = None
    retry: JsonObject | None = None
    deadline: JsonObject | None = None

    def parts(self) -> tuple[JsonObject, JsonObject]:
        """What is asked, and the policy, as JSON."""
        asked = self.to_json()
        return asked, {name: asked.pop(name) for name in POLICY if name in asked}

    def to_json(self) -> JsonObject:
        """The fields that differ from their defaults."""
        return {
            name: value
            for name in self.__slots__
            if (value := getattr(self, name)) != getattr(_DEFAULTS, name)
        }

    @classmethod
    def from_json(cls, body: JsonObject) -> RunRequest:
        """Read what `to_json` wrote."""
        for name in ("interrupt_before", "interrupt_after", "modes"):
            if name in body:
                body = {**body, name: tuple(body[name])}
        return cls(**body)


_DEFAULTS: Final = RunRequest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as stored. `attempts` counts claims; `output` is the final state values, if any.

    `after_seq` is the task's last event before this run, so `after_seq + 1` is its first.
    `origin` is what the protocol that started it wants to remember; the core does not read it.
    """

    tenant: str
    run_id: UUID
    thread_id: UUID
    task_id: UUID
    agent: str
    kind: RunKind
    status: RunStatus
    multitask: Multitask = "enqueue"
    metadata: JsonObject = field(default_factory=dict[str, Json])
    origin: JsonObject = field(default_factory=dict[str, Json])
    subject: str = "anonymous"
    attempts: int = 0
    after_seq: int = 0
    output: Json = None
    error: JsonObject | None = None
    interrupts: tuple[Interrupt, ...] = ()
    usage: JsonObject | None = None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it may still change."""
        return self.status in OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A chain of runs, as A2A and MCP show it. `runs` are oldest first."""

    tenant: str
    task_id: UUID
    thread_id: UUID
    agent: str
    status: TaskStatus
    subject: str
    created_at: datetime
    updated_at: datetime
    last_seq: int
    runs: tuple[Run, ...]

    @property
    def open(self) -> bool:
        """Whether it is still being worked on or waits for an answer."""
        return self.status in ("working", "input_required")

    @property
    def interrupts(self) -> tuple[Interrupt, ...]:
        """The questions that are open now."""
        return self.runs[-1].interrupts if self.status == "input_required" else ()


def task_status(status: RunStatus, interrupts: tuple[Interrupt, ...]) -> TaskStatus:
    """How a task stands after its latest run ended with `status`."""
    if status == "success":
        return "input_required" if interrupts else "completed"
    if status == "interrupted":
        return "canceled"
    return "failed" if status in ("error", "timeout") else "working"
