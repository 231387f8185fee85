"""Calls of one moment, in one statement.

A commit costs the same for one row and for fifty. A caller who comes alone waits for nobody; those who
come while a statement is on its way go together in the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from asyncpg import DataError, IntegrityConstraintViolationError, Record

from agenthub.errors import Unavailable

Asked = TypeVar("Asked")

OWN = (DataError, IntegrityConstraintViolationError)
"""Refusals that are about one row, and would not meet the others."""
ENDING = "this process is ending; try again"
MOST = 100
"""So many go into one statement: the first of them waits for the last."""


@dataclass(eq=False, slots=True)
class Waiting(Generic[Asked]):
    """What one caller asked for, and the future that its row goes to."""

    asked: Asked
    row: asyncio.Future[Record | None]


@dataclass(eq=False, slots=True)
class Together(Generic[Asked]):
    """Gathers calls for `perform`, which answers each with a row, or None where it has none.

    Its statements run in `group`, so that a caller who goes away takes nobody's statement along; without
    one, every caller has a statement of its own.
    """

    perform: Callable[[Sequence[Asked]], Awaitable[Sequence[Record | None]]]
    group: asyncio.TaskGroup | None
    _waiting: list[Waiting[Asked]] = field(default_factory=list[Waiting[Asked]])
    _sending: bool = False

    async def ask(self, asked: Asked) -> Record | None:
        """The row that `perform` has for this; what it raises for this one alone.

        Raises:
            Unavailable: the database cannot be reached; whether it was done is not known.
        """
        if self.group is None:
            return (await self.perform([asked]))[0]
        if self._sending:
            one = Waiting(asked, asyncio.get_running_loop().create_future())
            self._waiting.append(one)
            return await one.row
        self._sending = True
        try:
            return (await self.perform([asked]))[0]
        finally:
            self._go_on(self.group)

    def _go_on(self, group: asyncio.TaskGroup) -> None:
        if not self._waiting:
            self._sending = False
            return
        sending = self._send()
        try:
            group.create_task(sending, name="Together.send").add_done_callback(self._sent)
        except RuntimeError:
            # the group has ended before its callers
            sending.close()
            self._end()

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            await self._answer([one for one in batch if not one.row.done()])

    def _sent(self, sending: asyncio.Task[None]) -> None:
        if sending.cancelled():
            # perhaps before it began
            self._end()
        elif self.group is not None:
            # whoever was answered last may have asked again before this
            self._go_on(self.group)

    def _end(self) -> None:
        self._sending = False
        left, self._waiting = self._waiting, []
        _fail(left, Unavailable(ENDING))

    async def _answer(self, batch: Sequence[Waiting[Asked]]) -> None:
        if not batch:
            return
        try:
            rows = await self.perform([one.asked for one in batch])
        except asyncio.CancelledError:
            _fail(batch, Unavailable(ENDING))
            raise
        except OWN as refused:
            if len(batch) == 1:
                _fail(batch, refused)
                return
            # one of them is to blame, and fails alone
            for one in batch:
                await self._answer([one])
        except Exception as failed:
            _fail(batch, failed)
        else:
            for one, row in zip(batch, rows, strict=True):
                if not one.row.done():
                    one.row.set_result(row)


def _fail(batch: Sequence[Waiting[Asked]], error: Exception) -> None:
    for one in batch:
        if not one.row.done():
            one.row.set_exception(error)
