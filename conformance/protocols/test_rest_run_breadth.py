"""Runs across threads, in bulk, repeated, delayed, limited in time, and deleted."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from agenthub import cancelling
from protocols.rest_client import http, joined, named, refused, rest, stream_of
from testkit.waiting import eventually

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"


async def running(client: LangGraphClient, run: Any) -> None:
    async def is_running() -> bool:
        found = await client.runs.get(run["thread_id"], run["run_id"])
        return found["status"] == "running"

    await eventually(is_running)


# --- across threads ------------------------------------------------------------------------------


async def test_a_run_is_read_by_its_id_alone_with_all_that_came_of_it(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "plus", input={"x": 1})
        (listed,) = await client.runs.list(thread["thread_id"])
        found = (await raw.get(f"/runs/{listed['run_id']}")).json()
        with refused(404):
            (await raw.get(f"/runs/{UNKNOWN}")).raise_for_status()
        with refused(422, "not a UUID"):
            (await raw.get("/runs/nothing")).raise_for_status()
    assert found["output"] == {"x": 2}
    assert (found["status"], found["attempts"], found["error"]) == ("success", 1, None)
    assert found["created_at"] <= found["started_at"] <= found["ended_at"]


async def test_runs_are_searched_across_threads(hub_url: str) -> None:
    mark = str(uuid4())
    async with rest(hub_url) as client, http(hub_url) as raw:
        mine = await client.assistants.create("plus", metadata={"mark": mark})
        made: list[str] = []
        for assistant in ("plus", mine["assistant_id"], "fail"):
            thread = await client.threads.create()
            run = await client.runs.create(
                thread["thread_id"], assistant, input={"x": 1}, metadata={"mark": mark}
            )
            await client.runs.join(thread["thread_id"], run["run_id"])
            made.append(run["run_id"])

        async def ids(**how: Any) -> list[str]:
            response = await raw.post("/runs/search", json={"metadata": {"mark": mark}, **how})
            response.raise_for_status()
            count = await raw.post("/runs/count", json={"metadata": {"mark": mark}, **how})
            assert str(count.json()) == response.headers["x-pagination-total"]
            return [run["run_id"] for run in response.json()]

        assert await ids() == made[::-1]
        assert await ids(status="error") == [made[2]]
        assert await ids(status=["success", "pending"]) == [made[1], made[0]]
        assert await ids(assistant_id=mine["assistant_id"]) == [made[1]]
        assert await ids(assistant_id="plus") == [made[1], made[0]]
        assert await ids(limit=1, offset=1) == [made[1]]
        with refused(404):
            (await raw.post("/runs/search", json={"assistant_id": "nobody"})).raise_for_status()


async def test_a_list_of_runs_tells_how_many_there_are(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        for _ in range(3):
            await client.runs.wait(thread["thread_id"], "plus", input={"x": 1})
        path = f"/threads/{thread['thread_id']}/runs"
        page = await raw.get(path, params={"limit": 2, "select": "status"})
    assert page.json() == [{"status": "success"}] * 2
    assert (page.headers["x-pagination-total"], page.headers["x-pagination-next"]) == ("3", "2")


# --- in bulk -------------------------------------------------------------------------------------


async def test_a_batch_makes_all_its_runs_or_none(hub_url: str) -> None:
    async with rest(hub_url) as client:
        made: Any = await client.runs.create_batch(
            [{"assistant_id": "plus", "input": {"x": n}} for n in range(3)]  # pyright: ignore[reportArgumentType]
        )
        values = [await client.runs.join(r["thread_id"], r["run_id"]) for r in made]
        assert values == [{"x": 1}, {"x": 2}, {"x": 3}]
        with pytest.raises(NotFoundError, match="nobody"):
            await client.runs.create_batch(
                [{"assistant_id": "plus"}, {"assistant_id": "nobody"}]  # pyright: ignore[reportArgumentType]
            )
    async with http(hub_url) as raw:
        for wrong in ([], {}, [1]):
            with refused(422):
                (await raw.post("/runs/batch", json=wrong)).raise_for_status()


async def test_some_runs_of_a_thread_are_cancelled_together(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        id_ = thread["thread_id"]
        runs = [await client.runs.create(id_, "wait_for_ever", input={}) for _ in range(3)]
        await running(client, runs[0])
        await client.runs.cancel_many(thread_id=id_, run_ids=[r["run_id"] for r in runs[:2]])

        async def statuses() -> Any:
            found = [(await client.runs.get(id_, r["run_id"]))["status"] for r in runs]
            return found if found == ["interrupted", "interrupted", "running"] else None

        await eventually(statuses)
        await client.runs.cancel(id_, runs[2]["run_id"], wait=True)
        with pytest.raises(NotFoundError, match="no open run"):
            await client.runs.cancel_many(thread_id=id_, run_ids=[runs[0]["run_id"]])


async def test_all_open_runs_are_cancelled_however_many_are_read_at_a_time(
    hub_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelling, "CANCELLED_AT_ONCE", 2)
    async with rest(hub_url) as client:
        threads = [(await client.threads.create())["thread_id"] for _ in range(2)]
        runs = [
            await client.runs.create(thread, "wait_for_ever", input={})
            for thread in threads
            for _ in range(4)
        ]
        for first in (runs[0], runs[4]):
            await running(client, first)
        await client.runs.cancel_many(status="all")

        async def over() -> bool:
            found = [await client.runs.get(r["thread_id"], r["run_id"]) for r in runs]
            return all(run["status"] == "interrupted" for run in found)

        await eventually(over)


@pytest.mark.parametrize(
    "body", [{}, {"status": "all", "thread_id": UNKNOWN, "run_ids": [UNKNOWN]}]
)
async def test_it_must_be_clear_which_runs_to_cancel(hub_url: str, body: Any) -> None:
    async with http(hub_url) as raw:
        with refused(422, "either status"):
            (await raw.post("/runs/cancel", json=body)).raise_for_status()


# --- repeated ------------------------------------------------------------------------------------


async def test_an_answer_that_is_sent_twice_makes_one_run(hub_url: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        path = f"/threads/{thread['thread_id']}/runs"
        await client.runs.wait(thread["thread_id"], "ask", input=1)
        answer = {"assistant_id": "ask", "command": {"resume": "yes"}}
        first = (await raw.post(path, json=answer, headers=key)).json()
        values: Any = await client.runs.join(thread["thread_id"], first["run_id"])
        assert values == {"doubled": 2, "answer": "yes"}
        again = await raw.post(path, json=answer, headers=key)
        again.raise_for_status()
        assert again.json()["run_id"] == first["run_id"]
        with refused(409):
            (await raw.post(path, json=answer)).raise_for_status()
        with refused(422, "already used"):
            other = {"assistant_id": "ask", "command": {"resume": "no"}}
            (await raw.post(path, json=other, headers=key)).raise_for_status()


async def test_a_batch_that_is_sent_twice_makes_its_runs_once(hub_url: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    batch = [{"assistant_id": "plus", "input": {"x": n}} for n in range(2)]
    async with http(hub_url) as raw:
        made = [(await raw.post("/runs/batch", json=batch, headers=key)).json() for _ in range(2)]
    ids = [[run["run_id"] for run in one] for one in made]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


async def test_a_fork_that_is_sent_twice_makes_one_copy(hub_url: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "wait_for_ever", input={})
        await running(client, run)
        body = {"assistant_id": "wait_for_ever", "input": {}, "multitask_strategy": "fork"}
        path = f"/threads/{thread['thread_id']}/runs"
        made = [(await raw.post(path, json=body, headers=key)).json() for _ in range(2)]
        assert made[0]["run_id"] == made[1]["run_id"]
        assert made[0]["thread_id"] != thread["thread_id"]
        await running(client, made[0])
        for one in (run, made[0]):
            await client.runs.cancel(one["thread_id"], one["run_id"], wait=True)


# --- in time -------------------------------------------------------------------------------------


async def test_an_answer_may_be_delayed(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "ask", input=1)
        body = {"assistant_id": "ask", "command": {"resume": "later"}, "after_seconds": 3600}
        made = (await raw.post(f"/threads/{thread['thread_id']}/runs", json=body)).json()
        assert made["status"] == "pending"
        await client.runs.cancel(thread["thread_id"], made["run_id"])


async def test_a_run_that_takes_too_long_ends_with_what_it_had(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        body: Any = {"assistant_id": "line", "input": {"log": ["/nowhere"]}, "timeout": 0.2}
        path = f"/threads/{thread['thread_id']}/runs"
        waited = (await raw.post(path + "/wait", json=body)).json()
        (listed,) = await client.runs.list(thread["thread_id"])
        run = (await raw.get(f"/runs/{listed['run_id']}")).json()
        frames = await joined(raw, stream_of(listed))
        after = await client.threads.get(thread["thread_id"])
    assert waited["__error__"]["error"] == "TimeoutError"
    assert "0.2 s" in waited["__error__"]["message"]
    assert (run["status"], run["output"]) == ("timeout", {"log": ["/nowhere", "first"]})
    assert named(frames, "end") == [{"run_id": run["run_id"], "status": "timeout"}]
    assert after["status"] == "error"
    assert after["values"] == run["output"]


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"timeout": -1}, {"priority": 6}, {"multitask_strategy": "guess"}]
)
async def test_wishes_that_make_no_sense_are_refused(hub_url: str, wrong: Any) -> None:
    async with http(hub_url) as raw:
        with refused(422, next(iter(wrong))):
            (await raw.post("/runs", json={"assistant_id": "plus", **wrong})).raise_for_status()


# --- deleted -------------------------------------------------------------------------------------


async def test_a_run_is_deleted_with_its_checkpoints(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        id_ = thread["thread_id"]
        for n in (1, 5):
            await client.runs.wait(id_, "plus", input={"x": n})
        second, first = await client.runs.list(id_)
        await client.runs.delete(id_, second["run_id"])
        assert [r["run_id"] for r in await client.runs.list(id_)] == [first["run_id"]]
        state = await client.threads.get_state(id_)
        after = await client.threads.get(id_)
        for gone in (
            client.runs.get(id_, second["run_id"]),
            client.runs.delete(id_, second["run_id"]),
            client.runs.join(id_, second["run_id"]),
        ):
            with pytest.raises((NotFoundError, httpx.HTTPStatusError)):
                await gone
        again: Any = await client.runs.wait(id_, "plus", input={"x": 7})
    assert state["values"] == after["values"] == {"x": 2}
    assert again == {"x": 8}


async def test_a_run_that_is_needed_is_not_deleted(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        open_ = await client.runs.create(thread["thread_id"], "wait_for_ever", input={})
        with pytest.raises(ConflictError, match="cancel it first"):
            await client.runs.delete(thread["thread_id"], open_["run_id"])
        await client.runs.cancel(thread["thread_id"], open_["run_id"], wait=True)
        asking = await client.threads.create()
        await client.runs.wait(asking["thread_id"], "ask", input=1)
        (run,) = await client.runs.list(asking["thread_id"])
        with pytest.raises(ConflictError, match="waits for an answer"):
            await client.runs.delete(asking["thread_id"], run["run_id"])
        await client.runs.wait(asking["thread_id"], "ask", command={"resume": "yes"})


async def test_a_resume_of_a_wrong_question_names_the_right_one(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "ask", input=1)
        ((asked,),) = (await client.threads.get(thread["thread_id"]))["interrupts"].values()
        body = {"assistant_id": "ask", "command": {"resume": {"f" * 32: 1}}}
        response = await raw.post(f"/threads/{thread['thread_id']}/runs", json=body)
    assert response.status_code == 409
    assert response.json()["code"] == "unknown_interrupt"
    assert response.json()["open"] == [asked["id"]]
