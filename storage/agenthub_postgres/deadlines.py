"""Deadlines of questions in SQL. `fenced.FINISH` sets when a run that pauses is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from agenthub.deadlines import Overdue
from agenthub.json import loads
from agenthub_postgres.database import Database

OVERDUE = """
select r.tenant_id, r.run_id, r.task_id, r.subject, r.policy -> 'deadline' as deadline from runs r
 where r.tenant_id = $1 and r.due_at <= now() order by r.due_at limit $2
"""

SETTLE = """
update runs set due_at = now() + $3::interval where tenant_id = $1 and run_id = $2
"""


@dataclass(frozen=True, slots=True)
class PostgresDeadlines:
    """`agenthub.deadlines.DeadlineStore`."""

    db: Database

    async def overdue(self, tenant: str, *, limit: int) -> Sequence[Overdue]:
        return [
            Overdue(
                tenant=row["tenant_id"],
                run_id=row["run_id"],
                task_id=row["task_id"],
                subject=row["subject"],
                deadline=loads(row["deadline"]),
            )
            for row in await self.db.fetch(OVERDUE, tenant, limit, again=True)
        ]

    async def settle(self, tenant: str, run_id: UUID, *, again: timedelta | None = None) -> None:
        await self.db.fetch(SETTLE, tenant, run_id, again)
