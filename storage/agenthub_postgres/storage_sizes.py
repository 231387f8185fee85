"""What a thread takes on disk, by what its checkpoints are made of."""

from __future__ import annotations

from uuid import UUID

from agenthub.archive import Stored
from agenthub_postgres.database import Database

SIZES = """
select (select count(*) from checkpoints c where c.tenant_id = $1 and c.thread_id = $2) as checkpoints,
       (select coalesce(sum(pg_column_size(c.body) + pg_column_size(c.metadata)), 0) from checkpoints c
         where c.tenant_id = $1 and c.thread_id = $2) as checkpoint_bytes,
       (select count(*) from checkpoint_writes w where w.tenant_id = $1 and w.thread_id = $2) as writes,
       (select coalesce(sum(octet_length(w.data)), 0) from checkpoint_writes w
         where w.tenant_id = $1 and w.thread_id = $2) as write_bytes
"""

CHANNELS = """
select b.channel, count(*) as count, sum(octet_length(b.data)) as bytes from checkpoint_blobs b
 where b.tenant_id = $1 and b.thread_id = $2 group by b.channel order by b.channel
"""


async def stored(db: Database, tenant: str, thread_id: UUID) -> Stored:
    """Nothing at all for a thread without checkpoints."""
    sizes = await db.row(SIZES, tenant, str(thread_id), again=True)
    assert sizes is not None
    channels = await db.fetch(CHANNELS, tenant, str(thread_id), again=True)
    return Stored(
        checkpoints=sizes["checkpoints"],
        checkpoint_bytes=int(sizes["checkpoint_bytes"]),
        values=sum(row["count"] for row in channels),
        value_bytes=sum(int(row["bytes"]) for row in channels),
        by_channel={row["channel"]: int(row["bytes"]) for row in channels},
        writes=sizes["writes"],
        write_bytes=int(sizes["write_bytes"]),
    )
