"""Rows into values: the one place where column names become fields."""

from __future__ import annotations

from typing import Any

from asyncpg import Record

from agenthub.interrupts import from_rows
from agenthub.json import Json, loads
from agenthub.runs import Run, RunRequest
from agenthub.threads import Thread
from agenthub_postgres.payload import unpack

RUN_COLUMNS = """
  r.tenant_id, r.run_id, r.thread_id, r.task_id, r.agent, r.kind, r.status, r.multitask, r.metadata,
  r.origin, r.subject, r.epoch, r.after_seq, r.error, r.interrupts, r.usage,
  r.created_at, r.updated_at, r.started_at, r.ended_at"""
"""What lists select; `output` is added where it is asked for."""


def maybe_json(value: str | None) -> Json:
    """A jsonb column that may be null."""
    return None if value is None else loads(value)


def request_of(row: Record) -> RunRequest:
    """What a run's creator asked for, and how the run is looked after."""
    policy: str | None = row["policy"]
    asked = loads(unpack(row["request"]))
    return RunRequest.from_json(asked if policy is None else {**asked, **loads(policy)})


def run_of(row: Record) -> Run:
    """A run; its output only if the statement selected it."""
    output: bytes | None = row.get("output")
    return Run(
        tenant=row["tenant_id"],
        run_id=row["run_id"],
        thread_id=row["thread_id"],
        task_id=row["task_id"],
        agent=row["agent"],
        kind=row["kind"],
        status=row["status"],
        multitask=row["multitask"],
        metadata=loads(row["metadata"]),
        origin=loads(row["origin"]),
        subject=row["subject"],
        attempts=row["epoch"],
        after_seq=row["after_seq"],
        output=None if output is None else loads(unpack(output)),
        error=maybe_json(row["error"]),
        interrupts=from_rows(loads(row["interrupts"])),
        usage=maybe_json(row["usage"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def thread_of(row: Record) -> Thread:
    """A thread, with the output of its last run as its values."""
    output: bytes | None = row.get("output")
    values: Any = None if output is None else loads(unpack(output))
    return Thread(
        tenant=row["tenant_id"],
        thread_id=row["thread_id"],
        agent=row["agent"],
        status=row["status"],
        subject=row["subject"],
        metadata=loads(row["metadata"]),
        interrupts=from_rows(loads(row["interrupts"])),
        values=values,
        error=maybe_json(row.get("error")),
        open_runs=row["open_runs"],
        open_task=row["open_task"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        state_updated_at=row["state_updated_at"],
    )
