"""A batch: many callers' writes as the arrays of rows that the fenced statements take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agenthub.deliveries import target_of
from agenthub.interrupts import to_rows
from agenthub.json import text
from agenthub.ports import CheckpointRow, CheckpointView, Claimed, Finish, Lease, WritesRow
from agenthub.runs import task_status
from agenthub.threads import StepView
from agenthub_postgres.payload import pack
from agenthub_postgres.steps import to_json

if TYPE_CHECKING:
    from agenthub_postgres.writer import Entry

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class FinishRow:
    """A finish and the claim that it ends."""

    claimed: Claimed
    finish: Finish


@dataclass(slots=True)
class Batch:
    """Rows by their keys: a statement may touch a row only once, and the latest write counts."""

    leases: dict[UUID, Lease] = field(default_factory=dict[UUID, Lease])
    events: list[Key] = field(default_factory=list[Key])
    blobs: dict[Key, Key] = field(default_factory=dict[Key, Key])
    checkpoints: dict[Key, Key] = field(default_factory=dict[Key, Key])
    writes: dict[Key, Key] = field(default_factory=dict[Key, Key])
    views: dict[Key, Key] = field(default_factory=dict[Key, Key])
    finishes: dict[UUID, FinishRow] = field(default_factory=dict[UUID, FinishRow])
    # where a run's lease stands in the arrays, counted from 1
    _places: dict[UUID, int] = field(default_factory=dict[UUID, int])

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Batch:
        """What these callers want written."""
        batch = cls()
        for entry in entries:
            batch.add(entry)
        return batch

    @property
    def has_checkpoints(self) -> bool:
        """Whether anything but events is in it."""
        return bool(self.checkpoints or self.writes or self.views or self.blobs)

    @property
    def rolled_back(self) -> list[UUID]:
        """The runs whose checkpoints go with them."""
        return [id for id, row in self.finishes.items() if row.finish.drop_checkpoints]

    def places(self) -> tuple[list[str], list[UUID]]:
        """The threads of the runs that end: tenants and ids."""
        claims = [row.claimed for row in self.finishes.values()]
        return [c.lease.tenant for c in claims], [c.thread_id for c in claims]

    def agents_of(self, run_id: UUID) -> list[str]:
        return [self.finishes[run_id].claimed.agent]

    def add(self, entry: Entry) -> None:
        """Take in what one caller wants written."""
        run_id = entry.lease.run_id
        self.leases[run_id] = entry.lease
        place = self._places.setdefault(run_id, len(self._places) + 1)
        if entry.checkpoint is not None:
            self._checkpoint(run_id, entry.checkpoint)
        if entry.writes is not None:
            self._writes(run_id, entry.writes)
        if entry.view is not None:
            self._view(run_id, entry.view)
        for e in entry.events:
            self.events.append((place, entry.task_id, e.seq, e.kind, e.ns, pack(e.data)))
        if entry.finish is not None:
            self.finishes[run_id] = entry.finish

    def _checkpoint(self, run_id: UUID, row: CheckpointRow) -> None:
        at = (row.thread_id, row.ns)
        for b in row.blobs:
            self.blobs[(*at, b.channel, b.version)] = (
                run_id, *at, b.channel, b.version, b.type, pack(b.data),
            )  # fmt: skip
        self.checkpoints[(*at, row.checkpoint_id)] = (
            run_id, *at, row.checkpoint_id, row.parent_id, row.body, row.metadata, _steps(row.steps),
        )  # fmt: skip

    def _writes(self, run_id: UUID, row: WritesRow) -> None:
        at = (row.thread_id, row.ns, row.checkpoint_id, row.step)
        for w in row.writes:
            key = (*at, w.idx)
            if row.replace or key not in self.writes:
                self.writes[key] = (
                    run_id, *at, w.idx, row.path, w.channel, w.type, pack(w.data), row.replace,
                )  # fmt: skip

    def _view(self, run_id: UUID, view: CheckpointView) -> None:
        at = (view.thread_id, view.ns, view.checkpoint_id)
        steps = _steps(view.steps)
        if (together := self.checkpoints.get(at)) is not None:
            self.checkpoints[at] = (*together[:-1], steps)
        else:
            self.views[at] = (run_id, *at, steps)

    def arguments(self) -> list[Any]:
        """The parameters, in the order of `fenced`: leases, events, checkpoints, finishes."""
        leases = list(self.leases.values())
        arguments: list[Any] = [
            [lease.tenant for lease in leases],
            [lease.run_id for lease in leases],
            [lease.epoch for lease in leases],
            self.events,
        ]
        if self.has_checkpoints or self.finishes:
            of_each = (self.blobs, self.checkpoints, self.writes, self.views)
            arguments += [list(rows.values()) for rows in of_each]
        if self.finishes:
            arguments.append([_finish(row) for row in self.finishes.values()])
        return arguments


def _steps(steps: Sequence[StepView] | None) -> str | None:
    return None if steps is None else text(to_json(steps))


def _finish(row: FinishRow) -> Key:
    finish, claimed = row.finish, row.claimed
    return (
        claimed.lease.run_id,
        claimed.thread_id,
        claimed.task_id,
        finish.status,
        None if finish.output is None else pack(finish.output),
        None if finish.error is None else text(finish.error),
        text(to_rows(finish.interrupts)),
        None if finish.usage is None else text(finish.usage),
        task_status(finish.status, finish.interrupts),
        *target_of(claimed.request.webhook, finish.interrupts),
    )
