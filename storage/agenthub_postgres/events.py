"""The event log in SQL: reads. Appending is the writer's, under a lease (`writer.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from agenthub.events import Event
from agenthub_postgres.database import Database
from agenthub_postgres.payload import unpack

READ = """
select seq, run_id, kind, ns, data from events
 where tenant_id = $1 and task_id = $2 and seq > $3 order by seq limit $4
"""


@dataclass(frozen=True, slots=True)
class PostgresEventLog:
    """`agenthub.ports.EventLog`."""

    db: Database

    async def read(
        self, tenant: str, task_id: UUID, *, after: int, limit: int = 1000
    ) -> Sequence[Event]:
        rows = await self.db.fetch(READ, tenant, task_id, after, limit, again=True)
        return [
            Event(row["seq"], row["run_id"], row["kind"], unpack(row["data"]), row["ns"])
            for row in rows
        ]
