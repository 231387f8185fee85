"""Finding threads, copying and pruning them, and their times to live."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

from agenthub.archive import ThreadTtl
from agenthub_postgres import thread_ttl
from protocols.rest_client import http, refused, rest
from testkit.core import Core, open_core
from testkit.waiting import eventually

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"


async def finished(client: LangGraphClient, agent: str = "two_steps", **how: Any) -> str:
    """A thread with one finished run; its id."""
    thread = await client.threads.create(**how)
    await client.runs.wait(thread["thread_id"], agent, input={"log": ["start"]})
    return thread["thread_id"]


# --- searches ------------------------------------------------------------------------------------


async def test_threads_are_found_by_id_and_by_what_their_values_contain(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        done = await finished(client, metadata={"mark": mark})
        other = (await client.threads.create(metadata={"mark": mark}))["thread_id"]
        by_id = await client.threads.search(ids=[done, UNKNOWN])
        assert [t["thread_id"] for t in by_id] == [done]
        for values, found in (
            ({"log": ["first"]}, [done]),
            ({"log": ["nothing"]}, []),
            ({"nothing": 1}, []),
        ):
            hits = await client.threads.search(metadata={"mark": mark}, values=values)
            assert [t["thread_id"] for t in hits] == found
            count = await client.threads.count(metadata={"mark": mark}, values=values)
            assert count == len(found)
        assert await client.threads.count(metadata={"mark": mark}) == 2
        assert await client.threads.count(metadata={"mark": mark}, status="busy") == 0
    assert other != done


@pytest.mark.parametrize(
    "field", ["thread_id", "status", "created_at", "updated_at", "state_updated_at"]
)
async def test_threads_are_sorted_by_any_field_both_ways(hub_url: str, field: Any) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        first = await client.threads.create(metadata={"mark": mark})
        await client.threads.create(metadata={"mark": mark})
        await client.runs.wait(first["thread_id"], "ask", input=1)
        there: Any = {"metadata": {"mark": mark}, "sort_by": field}
        up: Any = await client.threads.search(**there, sort_order="asc")
        down: Any = await client.threads.search(**there, sort_order="desc")
    assert [t[field] for t in up] == sorted(t[field] for t in up)
    assert [t[field] for t in down] == sorted((t[field] for t in down), reverse=True)
    assert up[0][field] != up[1][field]


async def test_a_search_takes_out_of_a_thread_what_is_asked_for(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        done = await finished(client, metadata={"mark": mark, "deep": {"n": [1, 2]}})
        (found,) = await client.threads.search(
            metadata={"mark": mark},
            select=["thread_id"],
            extract={
                "last": "values.log[-1]",
                "n": "metadata.deep.n[1]",
                "none": "values.nothing[0].here",
            },
        )
        with pytest.raises(UnprocessableEntityError, match="no path"):
            await client.threads.search(extract={"a": "thread_id"})
        with pytest.raises(UnprocessableEntityError, match="extract"):
            await client.threads.search(extract={f"a{n}": "values.x" for n in range(11)})
    assert found == {
        "thread_id": done,
        "extracted": {"last": "second", "n": 2, "none": None},
    }


async def test_a_search_shows_what_a_failed_run_had_done(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        thread = await client.threads.create(metadata={"mark": mark})
        await client.runs.join(
            thread["thread_id"],
            (await client.runs.create(thread["thread_id"], "fail_late", input={"log": []}))[
                "run_id"
            ],
        )
        (found,) = await client.threads.search(metadata={"mark": mark})
    assert (found["status"], found["values"]) == ("error", {"log": ["first"]})


async def test_a_thread_is_found_by_the_graph_that_it_was_created_for(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client:
        made = await client.threads.create(graph_id="plus", metadata={"mark": mark})
        wanted = {"graph_id": "plus", "mark": mark}
        (found,) = await client.threads.search(metadata=wanted)
    assert found["thread_id"] == made["thread_id"]


# --- copies --------------------------------------------------------------------------------------


async def test_a_copy_has_the_state_and_the_history_and_a_life_of_its_own(hub_url: str) -> None:
    async with rest(hub_url) as client:
        source = await finished(client, metadata={"a": 1})
        copy: Any = await client.threads.copy(source)
        assert copy["thread_id"] != source
        assert copy["metadata"]["a"] == 1
        theirs = await client.threads.get_history(source)
        ours = await client.threads.get_history(copy["thread_id"])
        assert [s["values"] for s in ours] == [s["values"] for s in theirs]
        await client.runs.wait(copy["thread_id"], "two_steps", input={"log": ["more"]})
        assert len(await client.threads.get_history(source)) == len(theirs)
        await client.threads.delete(source)
        after = await client.threads.get(copy["thread_id"])
    assert after["values"]["log"][-3:] == ["more", "first", "second"]


async def test_the_questions_of_a_copy_are_answered_for_itself(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "ask", input=2)
        copy: Any = await client.threads.copy(thread["thread_id"])
        assert copy["status"] == "interrupted"
        assert copy["interrupts"] == (await client.threads.get(thread["thread_id"]))["interrupts"]
        answers = [
            await client.runs.wait(id_, "ask", command={"resume": answer})
            for id_, answer in ((copy["thread_id"], "copy"), (thread["thread_id"], "source"))
        ]
    assert answers == [{"doubled": 4, "answer": "copy"}, {"doubled": 4, "answer": "source"}]


async def test_a_thread_that_is_not_there_is_not_copied(hub_url: str) -> None:
    async with rest(hub_url) as client:
        with pytest.raises(NotFoundError):
            await client.threads.copy(UNKNOWN)


async def test_new_input_forks_a_busy_thread(hub_url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create(metadata={"a": 1})
        id_ = thread["thread_id"]
        running = await client.runs.create(id_, "line", input={"log": [str(gate)]})

        async def begun() -> bool:
            state: Any = await client.threads.get_state(id_)
            return state["next"] == ["gate"]

        await eventually(begun)
        body = {
            "assistant_id": "line",
            "input": {"log": ["other"]},
            "multitask_strategy": "fork",
        }
        made = await raw.post(f"/threads/{id_}/runs", json=body)
        made.raise_for_status()
        forked = made.json()
        assert forked["thread_id"] != id_
        assert made.headers["content-location"].startswith(f"/threads/{forked['thread_id']}/")
        values: Any = await client.runs.join(forked["thread_id"], forked["run_id"])
        assert values["log"] == [str(gate), "first", "other", "first", "done"]
        gate.touch()
        values = await client.runs.join(id_, running["run_id"])
        assert values["log"] == [str(gate), "first", "done"]
        # nobody is in the way now
        body["input"] = {"log": ["again"]}
        same = (await raw.post(f"/threads/{id_}/runs", json=body)).json()
        assert same["thread_id"] == id_
        await client.runs.join(id_, same["run_id"])


# --- pruning, sizes, times to live ---------------------------------------------------------------


async def test_pruning_keeps_the_latest_state_or_nothing(hub_url: str) -> None:
    async with rest(hub_url) as client:
        kept, gone = await finished(client), await finished(client)
        before = await client.threads.get_state(kept)
        pruned: Any = await client.threads.prune([kept, UNKNOWN], strategy="keep_latest")
        assert pruned == {"pruned_count": 1}
        (state,) = await client.threads.get_history(kept)
        assert state["values"] == before["values"]
        assert await client.threads.prune([gone, UNKNOWN]) == {"pruned_count": 1}
        with pytest.raises(NotFoundError):
            await client.threads.get(gone)
        assert await client.threads.prune([]) == {"pruned_count": 0}


async def test_a_thread_tells_what_it_takes(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        empty = await client.threads.create()
        nothing = (await raw.get(f"/threads/{empty['thread_id']}/storage")).json()
        assert (nothing["total_bytes"], nothing["checkpoints"]["count"]) == (0, 0)
        done = await finished(client)
        taken = (await raw.get(f"/threads/{done}/storage")).json()
        assert taken["thread_id"] == done
        assert taken["checkpoints"]["count"] == 4
        parts = ("checkpoints", "channel_values", "pending_writes")
        assert taken["total_bytes"] == sum(taken[part]["bytes"] for part in parts) > 0
        with refused(404):
            (await raw.get(f"/threads/{UNKNOWN}/storage")).raise_for_status()


async def test_a_time_to_live_is_set_shown_and_changed(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        made = await client.threads.create(ttl=90)
        shown: Any = await client.threads.get(made["thread_id"], include=["ttl"])
        assert (shown["ttl"]["strategy"], shown["ttl"]["ttl_minutes"]) == ("delete", 90)
        assert shown["ttl"]["expires_at"] > shown["created_at"]
        assert "ttl" not in await client.threads.get(made["thread_id"])
        await client.threads.update(
            made["thread_id"], metadata={}, ttl={"ttl": 5, "strategy": "keep_latest"}
        )
        shown = await client.threads.get(made["thread_id"], include=["ttl"])
        assert (shown["ttl"]["strategy"], shown["ttl"]["ttl_minutes"]) == ("keep_latest", 5)
        for wrong in (5, {"ttl": 0}, {"ttl": 1, "strategy": "burn"}):
            with refused(422, "ttl"):
                (await raw.post("/threads", json={"ttl": wrong})).raise_for_status()


async def expire(core: Core, *threads: UUID) -> None:
    """The times to live of these threads have run out, and nothing has happened on them since."""
    await core.value(
        "update thread_ttls set expires_at = now() - ttl where thread_id = any($1)", list(threads)
    )
    await core.value(
        "update threads set updated_at = now() - interval '1 year' where thread_id = any($1)",
        list(threads),
    )


async def with_ttl(core: Core, strategy: Any) -> UUID:
    run = await core.create()
    ttl = ThreadTtl(strategy, timedelta(minutes=1))
    assert await thread_ttl.put(core.db, core.tenant, run.thread_id, ttl) is not None
    return run.thread_id


async def test_the_sweep_takes_idle_threads_whose_time_has_come(dsn: str) -> None:
    async with open_core(dsn) as core:
        old, new, busy = [await with_ttl(core, "delete") for _ in range(3)]
        for claimed in await core.claim(3):
            if claimed.thread_id != busy:
                await core.finish(claimed)
        await expire(core, old, busy)
        await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))
        assert await core.threads.get(core.tenant, old) is None
        assert await core.threads.get(core.tenant, new) is not None
        assert await core.threads.get(core.tenant, busy) is not None


async def test_the_sweep_leaves_a_thread_that_has_changed_since(dsn: str) -> None:
    async with open_core(dsn) as core:
        thread_id = await with_ttl(core, "delete")
        await core.finish(await core.claim_one())
        await core.value("update thread_ttls set expires_at = now() - interval '1 second'")
        await thread_ttl.sweep(core.db, core.tenant)
        assert await core.threads.get(core.tenant, thread_id) is not None
        ttl = await thread_ttl.get(core.db, core.tenant, thread_id)
        moved = await core.value("select expires_at > now() from thread_ttls")
    assert ttl is not None
    assert moved


async def test_the_sweep_prunes_a_thread_that_is_to_keep_its_latest_state(dsn: str) -> None:
    async with open_core(dsn) as core:
        thread_id = await with_ttl(core, "keep_latest")
        claimed = await core.claim_one()
        for id_ in ("c1", "c2", "c3"):
            await core.checkpoint(claimed, id_)
        await core.finish(claimed)
        await expire(core, thread_id)
        await thread_ttl.sweep(core.db, core.tenant)
        left = await core.rows("select checkpoint_id from checkpoints")
        assert [row["checkpoint_id"] for row in left] == ["c3"]
        assert await core.value("select expires_at > now() from thread_ttls")


async def test_a_thread_with_a_running_run_is_not_pruned(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "wait_for_ever", input={})

        async def running() -> bool:
            return (await client.runs.get(run["thread_id"], run["run_id"]))["status"] == "running"

        await eventually(running)
        for strategy in ("delete", "keep_latest"):
            with pytest.raises(ConflictError, match="cancel it first"):
                await client.threads.prune([thread["thread_id"]], strategy=strategy)
        await client.runs.cancel(run["thread_id"], run["run_id"], wait=True)
