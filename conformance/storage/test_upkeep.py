"""What is deleted on a thread, and what somebody still needs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from agenthub.archive import ThreadTtl
from agenthub.errors import Conflict, Unavailable
from agenthub.ids import new_id
from agenthub.json import text
from agenthub.ports import Blob, CheckpointRow, Claimed
from agenthub.runs import Run
from agenthub_postgres import queue, runs, thread_ttl, threads
from agenthub_postgres.archive import PostgresArchive
from agenthub_postgres.migrate import migrate
from testkit.core import Core
from testkit.interleavings import begin, held, waits


async def put(
    core: Core,
    claimed: Claimed,
    id: str,
    versions: Mapping[str, str],
    *,
    stored: Sequence[str] | None = None,
    parent: str | None = None,
    since: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """A checkpoint with these versions of its channels, and `stored` of their values (by default all)."""
    row = CheckpointRow(
        thread_id=str(claimed.thread_id),
        ns="",
        checkpoint_id=id,
        parent_id=parent,
        body=text({"channel_versions": dict(versions), "channel_values": {}}),
        metadata=text({"counters_since_delta_snapshot": since} if since else {}),
        blobs=tuple(
            Blob(channel, versions[channel], "json", b'"x"')
            for channel in (versions if stored is None else stored)
        ),
    )
    await core.writer.put_checkpoint(claimed.lease, row)


async def left(core: Core) -> list[str]:
    rows = await core.rows("select checkpoint_id from checkpoints order by checkpoint_id")
    return [row["checkpoint_id"] for row in rows]


async def blobs(core: Core) -> set[tuple[str, str]]:
    rows = await core.rows("select channel, version from checkpoint_blobs")
    return {(row["channel"], row["version"]) for row in rows}


async def ended(core: Core) -> Run:
    """A run that ended and left a checkpoint."""
    run = await core.create()
    claimed = await core.claim_one()
    await put(core, claimed, "c1", {"messages": "1", "doc": "1"})
    await core.finish(claimed)
    return run


async def delete_run(core: Core, run: Run) -> bool:
    return await PostgresArchive(core.db).delete_run(core.tenant, run.run_id)


# --- a run is deleted ---------------------------------------------------------------------------


async def test_a_run_whose_state_another_goes_on_from_is_not_deleted(core: Core) -> None:
    first = await ended(core)
    await core.create(first.thread_id)
    with pytest.raises(Conflict, match=r"open runs.*cancel them first, or wait for their end"):
        await delete_run(core, first)
    claimed = await core.claim_one()
    with pytest.raises(Conflict, match="open runs"):
        await delete_run(core, first)
    await put(core, claimed, "c2", {"messages": "2", "doc": "1"}, stored=["messages"], parent="c1")
    await core.finish(claimed)
    assert await delete_run(core, first)
    assert await left(core) == ["c2"]
    assert await blobs(core) == {("messages", "2"), ("doc", "1")}


async def test_a_run_whose_answer_stands_in_line_is_not_deleted(core: Core) -> None:
    asked = await core.create()
    claimed = await core.claim_one()
    await put(core, claimed, "c1", {"messages": "1"})
    await core.finish(claimed, questions=["q"])
    await core.resume(asked.thread_id, "q")
    with pytest.raises(Conflict, match="open runs"):
        await delete_run(core, asked)
    assert await left(core) == ["c1"]


async def test_a_deletion_of_a_run_waits_for_who_goes_on_from_it(core: Core) -> None:
    first = await ended(core)
    async with held(core) as (connection, transaction):
        new = core.new_run(first.thread_id)
        await connection.fetch(runs.CREATE, *runs.arguments(new))
        deleting = begin(delete_run(core, first))
        assert await waits(core, deleting)
        await transaction.commit()
    with pytest.raises(Conflict, match="open runs"):
        await deleting
    assert await left(core) == ["c1"]


async def test_a_run_that_is_open_itself_says_so(core: Core) -> None:
    run = await core.create()
    with pytest.raises(Conflict, match="still open: cancel it first"):
        await delete_run(core, run)


async def test_a_deleted_run_leaves_the_writes_that_a_later_delta_is_rebuilt_from(
    core: Core,
) -> None:
    first = await core.create()
    claimed = await core.claim_one()
    await put(core, claimed, "c1", {"log": "1", "other": "1"})
    await put(core, claimed, "c2", {"log": "2"}, stored=[], parent="c1", since={"log": [1, 1]})
    await core.finish(claimed)
    second = await core.create(first.thread_id)
    claimed = await core.claim_one()
    await put(core, claimed, "c3", {"log": "3"}, stored=[], parent="c2", since={"log": [2, 2]})
    await core.finish(claimed)

    async def history() -> list[tuple[str, bool]]:
        found = await core.checkpoints.delta_history(
            core.tenant, str(first.thread_id), "", "c3", ["log"]
        )
        return [(link.checkpoint_id, link.blob is not None) for link in found["log"]]

    whole = await history()
    assert whole == [("c2", False), ("c1", True)]
    assert await delete_run(core, first)
    assert await core.runs.get(core.tenant, first.run_id) is None
    assert await history() == whole
    # what nothing is rebuilt from goes as ever
    assert await delete_run(core, second)
    assert await left(core) == ["c1", "c2"]


async def test_a_deleted_run_leaves_nothing_where_a_value_was_stored_since(core: Core) -> None:
    first = await ended(core)
    await core.create(first.thread_id)
    claimed = await core.claim_one()
    await put(core, claimed, "c2", {"log": "1"}, parent="c1")
    await core.finish(claimed)
    assert await delete_run(core, first)
    assert await left(core) == ["c2"]
    assert await blobs(core) == {("log", "1")}


# --- a thread is pruned -------------------------------------------------------------------------


async def test_a_thread_with_a_run_in_line_is_not_pruned(core: Core) -> None:
    first = await ended(core)
    await core.create(first.thread_id)
    for keep_latest in (True, False):
        with pytest.raises(Conflict, match="cancel it first"):
            await core.checkpoints.prune(
                core.tenant, [str(first.thread_id)], keep_latest=keep_latest
            )
    assert await left(core) == ["c1"]


async def test_a_prune_waits_for_who_goes_on_from_the_thread(core: Core) -> None:
    first = await ended(core)
    async with held(core) as (connection, transaction):
        new = core.new_run(first.thread_id)
        await connection.fetch(runs.CREATE, *runs.arguments(new))
        pruning = begin(
            core.checkpoints.prune(core.tenant, [str(first.thread_id)], keep_latest=False)
        )
        assert await waits(core, pruning)
        await transaction.commit()
    with pytest.raises(Conflict, match="cancel it first"):
        await pruning
    assert await left(core) == ["c1"]


# --- a thread is deleted ------------------------------------------------------------------------


async def test_the_events_of_a_state_update_go_with_its_thread(core: Core) -> None:
    first = await ended(core)
    update = await core.create(first.thread_id, kind="update")
    claimed = await core.claim_one()
    await core.append(claimed, 1, 2)
    await core.finish(claimed)
    assert await core.kinds(update.task_id) != []
    assert await core.threads.delete(core.tenant, first.thread_id)
    assert await core.value("select count(*) from events") == 0


async def test_the_events_of_a_copy_go_with_it_and_nobody_elses(core: Core) -> None:
    asked = await core.paused("q")
    before = await core.kinds(asked.task_id)
    copy = new_id()
    await PostgresArchive(core.db).copy_thread(core.tenant, asked.thread_id, copy)
    answer = await core.resume(copy, "q")
    claimed = await core.claim_one()
    await core.append(claimed, 1, 2)
    await core.finish(claimed)
    assert await core.kinds(answer.task_id) != []
    assert await core.threads.delete(core.tenant, copy)
    assert await core.kinds(answer.task_id) == []
    assert await core.kinds(asked.task_id) == before


async def test_events_that_threads_left_behind_go_with_a_migration(core: Core) -> None:
    first = await ended(core)
    answered = await core.paused("q")
    await core.resume(answered.thread_id, "q")
    await core.finish(await core.claim_one())
    update = await core.create(first.thread_id, kind="update")
    await core.finish(await core.claim_one())
    copy = new_id()
    await PostgresArchive(core.db).copy_thread(
        core.tenant, (await core.paused("q")).thread_id, copy
    )
    answer = await core.resume(copy, "q")
    await core.finish(await core.claim_one())
    kept = await core.rows("select * from events order by task_id, seq")
    assert {first.task_id, answered.task_id, update.task_id, answer.task_id} <= {
        row["task_id"] for row in kept
    }
    await core.value(
        """insert into events (tenant_id, task_id, seq, run_id, epoch, kind, data)
           select tenant, gone, n, gone, 1, 'custom', ''
             from (select t as tenant, gen_random_uuid() as gone
                     from unnest(array['default', 'other']) t, generate_series(1, 600) offset 0) k,
                  generate_series(1, 2) n"""
    )
    await core.value("delete from schema_migrations where name like '0013%'")
    assert await migrate(core.db.dsn) == ["0013_post_orphaned_events.sql"]
    assert await core.rows("select * from events order by task_id, seq") == kept


# --- tidying ------------------------------------------------------------------------------------


async def forgotten(core: Core, **changes: Any) -> Run:
    """A run that ended, on a thread where nothing has happened for long."""
    run = await core.create(**changes)
    await core.finish(await core.claim_one())
    if not changes:
        ttl = ThreadTtl("delete", timedelta(minutes=1))
        await thread_ttl.put(core.db, core.tenant, run.thread_id, ttl)
    await age(core, run)
    return run


async def age(core: Core, run: Run) -> None:
    await core.value(
        """update threads set created_at = now() - interval '1 day', updated_at = now() - interval '1 day'
            where thread_id = $1""",
        run.thread_id,
    )
    await core.value(
        "update thread_ttls set expires_at = now() - interval '1 minute' where thread_id = $1",
        run.thread_id,
    )


async def tidy(core: Core) -> None:
    await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))


KINDS = pytest.mark.parametrize("kind", [{"ephemeral": True}, {}], ids=["ephemeral", "with a ttl"])


@KINDS
async def test_a_thread_that_changed_while_tidying_waited_stays(
    core: Core, kind: dict[str, Any]
) -> None:
    run = await forgotten(core, **kind)
    async with held(core) as (connection, transaction):
        await connection.fetch(threads.UPDATE, core.tenant, run.thread_id, '{"x": 1}')
        tidying = begin(tidy(core))
        assert await waits(core, tidying)
        await transaction.commit()
    await tidying
    assert (await core.thread(run.thread_id)).metadata == {"x": 1}


async def test_a_thread_that_asked_while_tidying_waited_keeps_its_question(core: Core) -> None:
    run = await forgotten(core, ephemeral=True)
    async with held(core) as (connection, transaction):
        await connection.execute(
            """update threads set interrupts = '{"q": {"id": "q"}}', open_task = $2 where thread_id = $1""",
            run.thread_id,
            run.task_id,
        )
        tidying = begin(tidy(core))
        assert await waits(core, tidying)
        await transaction.commit()
    await tidying
    assert [one.id for one in (await core.thread(run.thread_id)).interrupts] == ["q"]


async def test_a_time_to_live_that_was_renewed_while_the_sweep_waited_counts(core: Core) -> None:
    run = await forgotten(core)
    async with held(core) as (connection, transaction):
        long = timedelta(days=30)
        args = (core.tenant, run.thread_id, "delete", long)
        (renewed,) = await connection.fetch(thread_ttl.PUT, *args)
        sweeping = begin(thread_ttl.sweep(core.db, core.tenant))
        assert await waits(core, sweeping)
        await transaction.commit()
    await sweeping
    ttl = await thread_ttl.get(core.db, core.tenant, run.thread_id)
    assert ttl is not None
    assert (ttl.after, ttl.expires_at) == (long, renewed["expires_at"])


@KINDS
async def test_a_forgotten_thread_goes(core: Core, kind: dict[str, Any]) -> None:
    run = await forgotten(core, **kind)
    await tidy(core)
    assert await core.threads.get(core.tenant, run.thread_id) is None


FAILING = """
create or replace function fails() returns trigger language plpgsql as
$$ begin raise exception 'a test' using errcode = '{}'; end $$
"""


async def clog(core: Core, run: Run) -> None:
    """The deletion of this thread takes longer than a statement may."""
    await core.value(FAILING.format("query_canceled"))
    await core.value(
        f"""create trigger fails before delete on threads for each row
            when (old.thread_id = '{run.thread_id}') execute function fails()"""
    )


@KINDS
async def test_a_thread_that_cannot_be_deleted_keeps_nothing_else_from_it(
    core: Core, kind: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    stuck = await forgotten(core, **kind)
    others = [await forgotten(core, ephemeral=True), await forgotten(core)]
    keyed = await core.create(idempotency_key="k", request_hash="h")
    await core.value("update idempotency set expires_at = now() - interval '1 second'")
    await core.value(
        """insert into store_items (tenant_id, namespace, key, value, expires_at)
           select 'default', '{a}', n::text, '{}', now() + n * interval '1 minute'
             from generate_series(-2500, 1) n"""
    )
    await clog(core, stuck)
    await tidy(core)
    assert str(stuck.thread_id) in caplog.text
    assert await core.threads.get(core.tenant, stuck.thread_id) is not None
    for other in others:
        assert await core.threads.get(core.tenant, other.thread_id) is None
    assert await core.value("select count(*) from idempotency") == 0
    assert await core.value("select count(*) from store_items") == 1
    assert await core.status(keyed) == "pending"


async def test_a_thread_that_cannot_be_deleted_is_not_the_first_of_the_next_sweep(
    core: Core,
) -> None:
    stuck, other = await forgotten(core), await forgotten(core)
    await core.value(
        "update thread_ttls set expires_at = expires_at - interval '1 minute' where thread_id = $1",
        stuck.thread_id,
    )
    await clog(core, stuck)
    for _ in range(2):
        await thread_ttl.sweep(core.db, core.tenant, limit=1)
    assert await core.threads.get(core.tenant, other.thread_id) is None


async def test_a_database_that_is_away_ends_the_round(core: Core) -> None:
    stuck = await forgotten(core, ephemeral=True)
    await clog(core, stuck)
    await core.value(FAILING.format("admin_shutdown"))
    with pytest.raises(Unavailable):
        await tidy(core)


async def test_what_has_expired_is_found_by_its_index(core: Core) -> None:
    for sql, index in (
        (queue.DROP_KEYS, "idempotency_expired"),
        (queue.DROP_ITEMS, "store_items_expired"),
    ):
        plan = "\n".join(row[0] for row in await core.rows(f"explain {sql}", "default", 1000))
        assert index in plan, plan
        assert "Tid Scan" in plan, plan
        assert "Seq Scan" not in plan, plan
