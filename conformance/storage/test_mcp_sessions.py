"""Sessions and their streams in the database: one writer, no gap, and nothing stays for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from agenthub.errors import NotFound
from agenthub.sessions import GONE, LAST, Session, Stream
from agenthub_postgres import mcp_sessions
from agenthub_postgres.mcp_sessions import PostgresSessions
from testkit.core import Core


@pytest.fixture
def sessions(core: Core) -> PostgresSessions:
    return PostgresSessions(core.db)


async def opened(sessions: PostgresSessions, subject: str = "ann") -> Session:
    session = Session(
        tenant="default",
        session_id=uuid4(),
        subject=subject,
        version="2025-11-25",
        client={"clientInfo": {"name": "nul \x00"}},
    )
    await sessions.open(session)
    return session


async def begun(sessions: PostgresSessions, session: Session, request_id: str = "1") -> Stream:
    stream = await sessions.begin(
        session.tenant,
        session.session_id,
        subject=session.subject,
        stream_id=uuid4(),
        request_id=request_id,
        request=b'{"id": 1}',
        owner=uuid4(),
    )
    assert stream is not None
    return stream


async def log_of(sessions: PostgresSessions, stream: Stream) -> list[tuple[int, str, bytes]]:
    session = stream.session
    events = await sessions.read(
        session.tenant, session.session_id, stream.stream_id, after=0, limit=1000
    )
    return [(event.seq, event.kind, event.data) for event in events]


async def test_messages_of_many_writers_are_numbered_without_a_gap(
    sessions: PostgresSessions,
) -> None:
    stream = await begun(sessions, await opened(sessions))
    seqs = await asyncio.gather(*(sessions.append(stream, b"m") for _ in range(20)))
    assert sorted(seq or 0 for seq in seqs) == list(range(1, 21))
    assert [seq for seq, _, _ in await log_of(sessions, stream)] == list(range(1, 21))


async def test_nothing_of_a_writer_is_accepted_once_its_stream_was_adopted(
    sessions: PostgresSessions,
) -> None:
    session = await opened(sessions)
    first = await begun(sessions, session)
    await sessions.append(first, b"1")
    here = uuid4()
    second = await sessions.adopt(session, first.stream_id, owner=here)
    assert second is not None
    assert (second.last_seq, second.request) == (1, b'{"id": 1}')
    assert second.displaced not in (None, here)
    assert await sessions.append(first, b"x") is None
    assert await sessions.append(first, b"x", last=True) is None
    assert await sessions.ask(first, "q", b"x") is None
    assert await sessions.hold(first) == "adopted"
    assert await sessions.hold(second) == "held"
    assert await sessions.append(second, b"2", last=True) == 2
    assert await log_of(sessions, first) == [(1, "message", b"1"), (2, LAST, b"2")]


async def test_of_many_replicas_that_adopt_a_stream_one_writes_it(
    sessions: PostgresSessions,
) -> None:
    session = await opened(sessions)
    stream = await begun(sessions, session)
    adopted = await asyncio.gather(
        *(sessions.adopt(session, stream.stream_id, owner=uuid4()) for _ in range(8))
    )
    held = [await sessions.hold(a) for a in adopted if a is not None]
    assert sorted(held) == ["adopted"] * 7 + ["held"]


async def test_a_stream_ends_once(sessions: PostgresSessions) -> None:
    session = await opened(sessions)
    stream = await begun(sessions, session)
    ends = await asyncio.gather(
        *(sessions.append(stream, b"end", last=True) for _ in range(8)),
        sessions.take_back(session, "1", b"taken back"),
    )
    assert len([end for end in ends if end]) == 1
    assert len(await log_of(sessions, stream)) == 1
    assert await sessions.append(stream, b"late") is None
    assert await sessions.adopt(session, stream.stream_id, owner=uuid4()) is None
    assert not await sessions.take_back(session, "1", b"again")


async def test_a_question_is_put_once_and_answered_once(sessions: PostgresSessions) -> None:
    session = await opened(sessions)
    first = await begun(sessions, session)
    assert await sessions.ask(first, "q", b"which?") == 1
    assert not await sessions.answer(session, first.stream_id, "other", b"7")
    second = await sessions.adopt(session, first.stream_id, owner=uuid4())
    assert second is not None
    assert await sessions.ask(second, "q", b"which?") == 0
    assert await sessions.answered(second, "q") is None
    assert await sessions.answer(session, first.stream_id, "q", b"7")
    assert not await sessions.answer(session, first.stream_id, "q", b"8")
    assert await sessions.answered(second, "q") == b"7"
    assert len(await log_of(sessions, first)) == 1


async def test_a_request_is_taken_back_by_its_very_id_in_its_session(
    sessions: PostgresSessions,
) -> None:
    ann, bob = await opened(sessions), await opened(sessions)
    hers, his = await begun(sessions, ann), await begun(sessions, bob)
    text = await begun(sessions, ann, '"1"')
    (taken,) = await sessions.take_back(ann, "1", b"back")
    assert taken.stream_id == hers.stream_id
    assert taken.displaced is not None
    assert await sessions.hold(hers) == "taken back"
    assert [await sessions.hold(other) for other in (his, text)] == ["held", "held"]
    assert await log_of(sessions, hers) == [(1, LAST, b"back")]


async def test_a_stream_begins_only_in_a_session_of_the_caller(sessions: PostgresSessions) -> None:
    session = await opened(sessions)

    async def begin(tenant: str, session_id: UUID, subject: str) -> Stream | None:
        return await sessions.begin(
            tenant,
            session_id,
            subject=subject,
            stream_id=uuid4(),
            request_id="1",
            request=b"{}",
            owner=uuid4(),
        )

    assert await begin("default", session.session_id, "bob") is None
    assert await begin("other", session.session_id, "ann") is None
    assert await begin("default", uuid4(), "ann") is None
    assert await begin("default", session.session_id, "ann") is not None


async def test_a_closed_session_takes_everything_along(
    core: Core, sessions: PostgresSessions
) -> None:
    session = await opened(sessions)
    stream = await begun(sessions, session)
    await sessions.ask(stream, "q", b"which?")
    await sessions.close(session)
    assert await sessions.get("default", session.session_id) is None
    assert await log_of(sessions, stream) == [(1, GONE, b"")]
    assert await sessions.append(stream, b"late") is None
    with pytest.raises(NotFound):  # nobody should wait for its answer any more
        await sessions.answered(stream, "q")
    for table in ("mcp_streams", "mcp_messages", "mcp_questions"):
        assert await core.value(f"select count(*) from {table}") == 0


async def test_what_is_old_is_swept_and_what_is_used_stays(
    core: Core, sessions: PostgresSessions
) -> None:
    brief = PostgresSessions(core.db, idle=timedelta(days=7), replay=timedelta())
    used, idle = await opened(sessions), await opened(sessions)
    ended, open_ = await begun(sessions, used), await begun(sessions, used, "2")
    await begun(sessions, idle)
    await brief.append(ended, b"end", last=True)
    await core.value(
        "update mcp_sessions set seen_at = now() - interval '8 days' where session_id = $1",
        idle.session_id,
    )
    assert await sessions.get("default", idle.session_id) is None
    assert await sessions.sweep("default", limit=1) == 1
    assert await sessions.sweep("default", limit=1) == 0
    assert await core.value("select session_id from mcp_sessions") == used.session_id
    assert await core.value("select stream_id from mcp_streams") == open_.stream_id


async def test_a_session_that_is_used_does_not_grow_old(
    core: Core, sessions: PostgresSessions
) -> None:
    age = "select now() - seen_at < interval '1 minute' from mcp_sessions"
    session = await opened(sessions)
    for use in (
        lambda: sessions.get("default", session.session_id),
        lambda: begun(sessions, session),
    ):
        await core.value("update mcp_sessions set seen_at = now() - interval '2 hours'")
        await use()
        assert await core.value(age)


async def test_a_session_remembers_what_it_subscribed_to_up_to_a_bound(
    core: Core, sessions: PostgresSessions
) -> None:
    session, other = await opened(sessions), await opened(sessions)
    key = ("default", session.session_id)
    for uri in ("run://1", "run://2", "run://1"):
        assert await sessions.subscribe(*key, uri, most=2)
    assert not await sessions.subscribe(*key, "run://3", most=2)
    assert await sessions.subscribe("default", other.session_id, "run://3", most=2)
    assert await sessions.subscriptions(*key) == ["run://1", "run://2"]
    await sessions.unsubscribe(*key, "run://1")
    assert await sessions.subscriptions(*key) == ["run://2"]
    assert await sessions.subscribe(*key, "run://3", most=2)
    await sessions.close(session)
    assert await sessions.subscriptions(*key) == []
    assert not await sessions.subscribe(*key, "run://1", most=2)
    assert await core.value("select count(*) from mcp_subscriptions") == 1


async def test_nothing_reads_more_of_a_tenant_than_it_names(core: Core) -> None:
    # on tables that nobody has analyzed yet: such a plan is kept
    any_, week = uuid4(), timedelta(days=7)
    key = ("default", any_, any_)
    for sql, args, way in (
        (mcp_sessions.APPEND, (*key, 1, b"", False, week), "mcp_streams_pkey"),
        (mcp_sessions.ASK, (*key, 1, b"", "q"), "mcp_streams_pkey"),
        (mcp_sessions.ADOPT, (*key, any_), "mcp_streams_pkey"),
        (mcp_sessions.READ, (*key, 0, 1000), "mcp_messages_pkey"),
        (mcp_sessions.SUBSCRIBE, ("default", any_, "run://", 100), "mcp_subscriptions_pkey"),
        (mcp_sessions.SUBSCRIPTIONS, ("default", any_), "mcp_subscriptions_pkey"),
        (mcp_sessions.UNSUBSCRIBE, ("default", any_, "run://"), "mcp_subscriptions_pkey"),
        (mcp_sessions.TAKE_BACK, ("default", any_, "1", b"", week), "mcp_streams_open"),
        (mcp_sessions.DROP_STREAMS, ("default", 500), "Tid Scan"),
        (mcp_sessions.DROP_SESSIONS, ("default", 500, week), "Tid Scan"),
    ):
        plan = "\n".join(row[0] for row in await core.rows(f"explain {sql}", *args))
        assert way in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Bitmap" not in plan, plan
