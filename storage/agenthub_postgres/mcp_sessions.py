"""Sessions of MCP clients, and the streams of their calls, in SQL.

Every write of a stream goes through its row, by the whole key, so that its messages are numbered without
a gap and a writer whose stream was adopted writes nothing. Lock order: session, stream; each statement
takes one of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from agenthub.errors import NotFound
from agenthub.events import Event
from agenthub.json import loads, text
from agenthub.sessions import GONE, LAST, MESSAGE, Hold, Session, Stream, StreamEnd
from agenthub_postgres.database import Database
from agenthub_postgres.payload import pack, unpack

OPEN = """
insert into mcp_sessions (tenant_id, session_id, subject, version, client) values ($1, $2, $3, $4, $5::jsonb)
"""

GET = """
select subject, version, client, seen_at < now() - interval '1 hour' as stale
  from mcp_sessions where tenant_id = $1 and session_id = $2 and seen_at > now() - $3::interval
"""

SEEN = "update mcp_sessions set seen_at = now() where tenant_id = $1 and session_id = $2"

CLOSE = "delete from mcp_sessions where tenant_id = $1 and session_id = $2"

BEGIN = """
with session as materialized (
  select * from mcp_sessions
   where tenant_id = $1 and session_id = $2 and subject = $3 and seen_at > now() - $4::interval
), stream as (
  insert into mcp_streams (tenant_id, session_id, stream_id, request_id, request, owner, drop_at)
  select tenant_id, session_id, $5, $6, $7, $8, now() + $4::interval from session
)
select subject, version, client, seen_at < now() - interval '1 hour' as stale from session
"""

ADOPT = """
with had as materialized (
  select owner from mcp_streams
   where tenant_id = $1 and session_id = $2 and stream_id = $3 and not ended for no key update
)
update mcp_streams set epoch = epoch + 1, owner = $4
 where tenant_id = $1 and session_id = $2 and stream_id = $3 and exists (select from had)
returning epoch, last_seq, request, (select owner from had) as displaced
"""

STATE = """
select epoch, last_seq, ended, taken_back from mcp_streams where tenant_id = $1 and session_id = $2 and stream_id = $3
"""

APPEND = """
with stream as (
  update mcp_streams
     set last_seq = last_seq + 1, ended = $6, request_id = case when $6 then null else request_id end,
         drop_at = case when $6 then now() + $7::interval else drop_at end
   where tenant_id = $1 and session_id = $2 and stream_id = $3 and epoch = $4 and not ended
  returning last_seq
)
insert into mcp_messages (tenant_id, session_id, stream_id, seq, last, data)
select $1, $2, $3, last_seq, $6, $5 from stream
returning seq
"""

ASK = """
-- in one statement: a question that stands in the table was put into the stream
with stream as (
  update mcp_streams set last_seq = last_seq + 1
   where tenant_id = $1 and session_id = $2 and stream_id = $3 and epoch = $4 and not ended
     and not exists (select from mcp_questions q
                      where q.tenant_id = $1 and q.session_id = $2 and q.stream_id = $3 and q.key = $6)
  returning last_seq
), message as (
  insert into mcp_messages (tenant_id, session_id, stream_id, seq, last, data)
  select $1, $2, $3, last_seq, false, $5 from stream
), question as (
  insert into mcp_questions (tenant_id, session_id, stream_id, key) select $1, $2, $3, $6 from stream
)
select last_seq as seq from stream
 union all
select 0 from mcp_questions where tenant_id = $1 and session_id = $2 and stream_id = $3 and key = $6
"""

ANSWER = """
update mcp_questions set answer = $5
 where tenant_id = $1 and session_id = $2 and stream_id = $3 and key = $4 and answer is null
returning key
"""

ANSWERED = """
select answer from mcp_questions where tenant_id = $1 and session_id = $2 and stream_id = $3 and key = $4
"""

TAKE_BACK = """
with stream as (
  -- a new epoch: what its writer still had to say is refused
  update mcp_streams set epoch = epoch + 1, last_seq = last_seq + 1, ended = true, taken_back = true,
                         request_id = null, drop_at = now() + $5::interval
   where tenant_id = $1 and session_id = $2 and request_id = $3 and not ended
  returning stream_id, epoch, last_seq, request, owner as displaced
), message as (
  insert into mcp_messages (tenant_id, session_id, stream_id, seq, last, data)
  select $1, $2, stream_id, last_seq, true, $4 from stream
)
select * from stream
"""

SUBSCRIBE = """
-- the count is a bound against abuse: two at once may go past it by one, which is no reason for a lock
with others as (
  select count(*) as n from mcp_subscriptions where tenant_id = $1 and session_id = $2 and uri <> $3
)
insert into mcp_subscriptions (tenant_id, session_id, uri)
select tenant_id, session_id, $3 from mcp_sessions
 where tenant_id = $1 and session_id = $2 and (select n from others) < $4
    on conflict (tenant_id, session_id, uri) do update set uri = excluded.uri
returning uri
"""

UNSUBSCRIBE = """
delete from mcp_subscriptions where tenant_id = $1 and session_id = $2 and uri = $3
"""

SUBSCRIPTIONS = """
select uri from mcp_subscriptions where tenant_id = $1 and session_id = $2 order by uri
"""

READ = """
select m.seq, m.last, m.data
  from mcp_streams s
  left join lateral (
    select * from mcp_messages
     where tenant_id = $1 and session_id = $2 and stream_id = $3 and seq > $4 order by seq limit $5
  ) m on true
 where s.tenant_id = $1 and s.session_id = $2 and s.stream_id = $3
 order by m.seq
"""

DROP_STREAMS = """
-- skip locked: another replica sweeps, or the stream is being written
-- by place, and the tenant inside alone: with it outside, too, all that the tenant has would be read
delete from mcp_streams
 where ctid = any (array(
   select ctid from mcp_streams
    where tenant_id = $1 and drop_at < now() order by drop_at limit $2 for update skip locked))
returning stream_id
"""

DROP_SESSIONS = """
-- as above
delete from mcp_sessions
 where ctid = any (array(
   select ctid from mcp_sessions
    where tenant_id = $1 and seen_at < now() - $3::interval order by seen_at limit $2 for update skip locked))
returning session_id
"""


@dataclass(frozen=True, slots=True)
class PostgresSessions:
    """`agenthub.sessions.SessionStore`. `idle` ends a session; an ended stream stays for `replay`."""

    db: Database
    idle: timedelta = timedelta(days=7)
    replay: timedelta = timedelta(hours=1)

    async def open(self, session: Session) -> None:
        await self.db.fetch(
            OPEN,
            session.tenant,
            session.session_id,
            session.subject,
            session.version,
            text(session.client),
        )

    async def get(self, tenant: str, session_id: UUID) -> Session | None:
        row = await self.db.row(GET, tenant, session_id, self.idle, again=True)
        return None if row is None else await self._seen(tenant, session_id, row)

    async def _seen(self, tenant: str, session_id: UUID, row: asyncpg.Record) -> Session:
        if row["stale"]:
            await self.db.fetch(SEEN, tenant, session_id, again=True)
        return Session(
            tenant=tenant,
            session_id=session_id,
            subject=row["subject"],
            version=row["version"],
            client=loads(row["client"]),
        )

    async def close(self, session: Session) -> None:
        await self.db.fetch(CLOSE, session.tenant, session.session_id, again=True)

    async def begin(
        self,
        tenant: str,
        session_id: UUID,
        *,
        subject: str,
        stream_id: UUID,
        request_id: str,
        request: bytes,
        owner: UUID,
    ) -> Stream | None:
        try:
            row = await self.db.row(
                BEGIN,
                tenant,
                session_id,
                subject,
                self.idle,
                stream_id,
                request_id,
                pack(request),
                owner,
            )
        except asyncpg.ForeignKeyViolationError:
            return None  # it was closed at this very moment
        if row is None:
            return None
        session = await self._seen(tenant, session_id, row)
        return Stream(session=session, stream_id=stream_id, request=request)

    async def adopt(self, session: Session, stream_id: UUID, *, owner: UUID) -> Stream | None:
        row = await self.db.row(
            ADOPT, session.tenant, session.session_id, stream_id, owner, again=True
        )
        return None if row is None else _stream(session, stream_id, row)

    async def hold(self, stream: Stream) -> Hold:
        row = await self.db.row(STATE, *_key(stream), again=True)
        if row is not None and row["taken_back"]:
            return "taken back"
        return "held" if row is not None and row["epoch"] == stream.epoch else "adopted"

    async def position(self, session: Session, stream_id: UUID) -> StreamEnd | None:
        row = await self.db.row(STATE, session.tenant, session.session_id, stream_id, again=True)
        return None if row is None else StreamEnd(row["last_seq"], row["ended"])

    async def append(self, stream: Stream, message: bytes, *, last: bool = False) -> int | None:
        row = await self.db.row(
            APPEND,
            *_key(stream),
            stream.epoch,
            pack(message),
            last,
            self.replay,
            # the response cannot be appended twice, and somebody waits for it
            again=last,
        )
        return None if row is None else row["seq"]

    async def ask(self, stream: Stream, key: str, message: bytes) -> int | None:
        row = await self.db.row(ASK, *_key(stream), stream.epoch, pack(message), key, again=True)
        return None if row is None else row["seq"]

    async def answer(self, session: Session, stream_id: UUID, key: str, answer: bytes) -> bool:
        row = await self.db.row(
            ANSWER, session.tenant, session.session_id, stream_id, key, pack(answer)
        )
        return row is not None

    async def answered(self, stream: Stream, key: str) -> bytes | None:
        row = await self.db.row(ANSWERED, *_key(stream), key, again=True)
        if row is None:
            # not the same as "not yet": nobody can answer it any more
            raise NotFound("the question is gone, with its session or its stream")
        return None if row["answer"] is None else unpack(row["answer"])

    async def take_back(
        self, session: Session, request_id: str, message: bytes
    ) -> Sequence[Stream]:
        rows = await self.db.fetch(
            TAKE_BACK,
            session.tenant,
            session.session_id,
            request_id,
            pack(message),
            self.replay,
        )
        return [_stream(session, row["stream_id"], row) for row in rows]

    async def subscribe(self, tenant: str, session_id: UUID, uri: str, *, most: int) -> bool:
        try:
            row = await self.db.row(SUBSCRIBE, tenant, session_id, uri, most, again=True)
        except asyncpg.ForeignKeyViolationError:
            return False  # it was closed at this very moment
        return row is not None

    async def unsubscribe(self, tenant: str, session_id: UUID, uri: str) -> None:
        await self.db.fetch(UNSUBSCRIBE, tenant, session_id, uri, again=True)

    async def subscriptions(self, tenant: str, session_id: UUID) -> Sequence[str]:
        rows = await self.db.fetch(SUBSCRIPTIONS, tenant, session_id, again=True)
        return [row["uri"] for row in rows]

    async def read(
        self, tenant: str, session_id: UUID, stream_id: UUID, *, after: int, limit: int
    ) -> Sequence[Event]:
        rows = await self.db.fetch(READ, tenant, session_id, stream_id, after, limit, again=True)
        if not rows:
            return [Event(after + 1, stream_id, GONE, b"")]
        return [
            Event(row["seq"], stream_id, LAST if row["last"] else MESSAGE, unpack(row["data"]))
            for row in rows
            if row["seq"] is not None
        ]

    async def sweep(self, tenant: str, *, limit: int) -> int:
        streams = await self.db.fetch(DROP_STREAMS, tenant, limit)
        sessions = await self.db.fetch(DROP_SESSIONS, tenant, limit, self.idle)
        return max(len(streams), len(sessions))


def _key(stream: Stream) -> tuple[str, UUID, UUID]:
    return stream.session.tenant, stream.session.session_id, stream.stream_id


def _stream(session: Session, stream_id: UUID, row: asyncpg.Record) -> Stream:
    return Stream(
        session=session,
        stream_id=stream_id,
        epoch=row["epoch"],
        last_seq=row["last_seq"],
        request=unpack(row["request"]),
        displaced=row["displaced"],
    )
