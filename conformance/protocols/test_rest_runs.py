"""Runs with the official client: created, waited for, joined, listed, cancelled, and lined up."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk.client import LangGraphClient

from protocols.rest_client import http, named, parts, refused, rest
from testkit.waiting import eventually

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"


async def new_thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def started(client: LangGraphClient, run: Any) -> Any:
    """The run, once it runs."""

    async def running() -> bool:
        return (await client.runs.get(run["thread_id"], run["run_id"]))["status"] == "running"

    await eventually(running)
    return run


async def forever(client: LangGraphClient, thread_id: str, **how: Any) -> Any:
    """A running run that ends only when it is cancelled."""
    return await started(
        client, await client.runs.create(thread_id, "wait_for_ever", input={}, **how)
    )


async def at_the_gate(client: LangGraphClient, thread_id: str, gate: Path) -> Any:
    """A run of `line` that has done its first step and waits for `gate`."""
    run = await client.runs.create(
        thread_id, "line", input={"log": [str(gate)]}, stream_mode="custom"
    )
    async for part in client.runs.join_stream(thread_id, run["run_id"], stream_mode="custom"):
        if part.event == "custom":
            return run
    raise AssertionError("it never came to the gate")


# --- creating, waiting, reading ------------------------------------------------------------------


async def test_a_run_on_a_thread_is_waited_for(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        seen: list[Any] = []
        values = await client.runs.wait(
            thread_id, "plus", input={"x": 1}, metadata={"m": 1}, on_run_created=seen.append
        )
        (run,) = await client.runs.list(thread_id)
        assistant = await client.assistants.get("plus")
    assert values == {"x": 2}
    assert seen == [{"run_id": run["run_id"], "thread_id": thread_id}]
    assert run["status"] == "success"
    assert run["metadata"] == {"m": 1}
    assert run["assistant_id"] == assistant["assistant_id"]
    assert run["multitask_strategy"] == "enqueue"


async def test_a_run_without_a_thread_is_waited_for_and_names_one(hub_url: str) -> None:
    async with rest(hub_url) as client:
        seen: list[Any] = []
        values = await client.runs.wait(None, "plus", input={"x": 1}, on_run_created=seen.append)
        run: Any = await client.runs.get(seen[0]["thread_id"], seen[0]["run_id"])
    assert values == {"x": 2}
    assert run["output"] == {"x": 2}


async def test_a_created_run_is_pending_and_joined_later(hub_url: str) -> None:
    async with rest(hub_url) as client:
        for thread_id in (await new_thread(client), None):
            seen: list[Any] = []
            run: Any = await client.runs.create(
                thread_id, "plus", input={"x": 1}, on_run_created=seen.append
            )
            assert run["status"] == "pending"
            assert seen == [{k: run[k] for k in ("run_id", "thread_id")}]
            for _ in range(2):
                joined = await client.runs.join(run["thread_id"], run["run_id"])
                assert joined == {"x": 2}
            read: Any = await client.runs.get(run["thread_id"], run["run_id"])
            assert (read["status"], read["output"], read["attempts"]) == ("success", {"x": 2}, 1)
            assert read["created_at"] <= read["started_at"] <= read["ended_at"]


async def test_responses_say_where_the_run_is(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread = (await raw.post("/threads", json={})).json()["thread_id"]
        body = {"assistant_id": "plus", "input": {"x": 1}}
        for prefix in (f"/threads/{thread}", ""):
            made = await raw.post(f"{prefix}/runs", json=body)
            run = made.json()
            where = f"/threads/{run['thread_id']}/runs/{run['run_id']}"
            assert made.headers["content-location"] == where
            assert "location" not in made.headers
            waited = await raw.post(f"{prefix}/runs/wait", json=body)
            assert waited.headers["location"] == waited.headers["content-location"] + "/join"
            assert waited.headers["content-type"] == "application/json"
            assert waited.json() == {"x": 2}
            joined = await raw.get(where + "/join")
            assert joined.headers["content-location"] == where
            assert joined.json() == {"x": 2}


async def test_a_thread_keeps_its_state_between_runs(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        await client.runs.wait(thread_id, "two_steps", input={"log": ["a"]})
        values = await client.runs.wait(thread_id, "two_steps", input={"log": ["b"]})
        assert values == {"log": ["a", "first", "second", "b", "first", "second"]}


async def test_an_agent_goes_on_where_another_has_worked(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        await client.runs.wait(thread_id, "two_steps", input={"log": ["a"]})
        values = await client.runs.wait(thread_id, "two_more", input={"log": ["b"]})
        assert values == {"log": ["a", "first", "second", "b", "third", "fourth"]}
        runs = await client.runs.list(thread_id)
        agents = [await client.assistants.get(run["assistant_id"]) for run in runs]
        assert [agent["graph_id"] for agent in agents] == ["two_more", "two_steps"]


async def test_runs_are_listed_newest_first_by_page_and_status(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        for x in range(3):
            await client.runs.wait(thread_id, "plus", input={"x": x}, metadata={"x": x})
        found = await client.runs.list(thread_id)
        assert [r["metadata"]["x"] for r in found] == [2, 1, 0]
        assert await client.runs.list(thread_id, limit=1, offset=1) == found[1:2]
        assert await client.runs.list(thread_id, status="success") == found
        assert await client.runs.list(thread_id, status="error") == []
        brief: Any = await client.runs.list(thread_id, select=["run_id", "status"])
        assert brief == [{"run_id": r["run_id"], "status": "success"} for r in found]


async def test_a_failure_is_told_in_every_way(hub_url: str) -> None:
    told = {"error": "ValueError", "message": "this agent always fails"}
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        with pytest.raises(Exception, match="ValueError: this agent always fails"):
            await client.runs.wait(thread_id, "fail", input={})
        waited: Any = await client.runs.wait(thread_id, "fail", input={}, raise_error=False)
        assert waited == {"__error__": told}
        run: Any = (await client.runs.list(thread_id))[0]
        assert (run["status"], run["error"], run["output"]) == ("error", told, None)
        assert await client.runs.join(thread_id, run["run_id"]) == {"__error__": told}
        streamed = await parts(client.runs.stream(thread_id, "fail", input={}))
        assert [p.event for p in streamed] == ["metadata", "error", "end"]
        assert streamed[1].data == told
        assert streamed[2].data["status"] == "error"


async def test_what_does_not_exist_is_not_found(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        other = await client.runs.create(None, "plus", input={"x": 1})
        for call in (
            client.runs.create(UNKNOWN, "plus", input={"x": 1}),
            client.runs.create(thread_id, "nobody"),
            client.runs.create(None, "nobody"),
            client.runs.get(thread_id, UNKNOWN),
            client.runs.get(thread_id, other["run_id"]),
            client.runs.cancel(thread_id, UNKNOWN),
            client.runs.list(UNKNOWN),
            parts(client.runs.stream(UNKNOWN, "plus", input={"x": 1})),
            parts(client.runs.join_stream(thread_id, UNKNOWN)),
        ):
            with refused(404):
                await call


async def test_a_thread_may_be_made_by_its_first_run(hub_url: str) -> None:
    chosen = str(uuid4())
    async with rest(hub_url) as client:
        for x in (1, 2):
            values = await client.runs.wait(chosen, "plus", input={"x": x}, if_not_exists="create")
            assert values == {"x": x + 1}
        assert len(await client.runs.list(chosen)) == 2


# --- what the agent gets -------------------------------------------------------------------------


async def look(client: LangGraphClient, **how: Any) -> Any:
    seen: list[Any] = []
    values: Any = await client.runs.wait(
        None, "look", input={"seen": {}}, on_run_created=seen.append, **how
    )
    found = values["seen"]
    for name in ("thread_id", "run_id"):
        assert found["configurable"].pop(name) == seen[0][name]
    assert found["configurable"].pop("graph_id") == "look"
    return found


async def test_context_and_configurable_are_two_names_of_one_thing(hub_url: str) -> None:
    async with rest(hub_url) as client:
        for how in (
            {"context": {"colour": "red"}},
            {"config": {"configurable": {"colour": "red"}}},
        ):
            found = await look(client, **how)
            assert found["context"] == {"colour": "red"}
            assert found["configurable"] == {"colour": "red"}
        with refused(422, "not both"):
            await look(
                client, context={"colour": "red"}, config={"configurable": {"colour": "red"}}
            )


async def test_tags_and_the_recursion_limit_reach_the_agent(hub_url: str) -> None:
    async with rest(hub_url) as client:
        found = await look(client, config={"tags": ["a"], "recursion_limit": 7})
        assert found["tags"] == ["a"]
        assert found["recursion_limit"] == 7
        with pytest.raises(Exception, match="GraphRecursionError"):
            await client.runs.wait(
                None, "two_steps", input={"log": []}, config={"recursion_limit": 1}
            )


async def test_a_client_cannot_set_what_is_the_hubs_to_set(hub_url: str) -> None:
    theirs = {"thread_id": UNKNOWN, "run_id": "x", "graph_id": "x", "__pregel_resuming": True}
    async with rest(hub_url) as client:
        found = await look(client, config={"configurable": {**theirs, "colour": "red"}})
    assert found["configurable"] == {"colour": "red"}


async def test_a_nodes_retry_policy_is_followed(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        assert await client.runs.wait(thread_id, "flaky", input={"tries": 0}) == {"tries": 3}
        (run,) = await client.runs.list(thread_id)
    assert run["attempts"] == 1, "the node was retried, not the run"


@pytest.mark.parametrize(
    ("durability", "checkpoints"), [("sync", 4), ("async", 4), ("exit", 1), (None, 4)]
)
async def test_durability_decides_how_many_checkpoints_stay(
    hub_url: str, durability: Any, checkpoints: int
) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        values = await client.runs.wait(
            thread_id, "two_steps", input={"log": []}, durability=durability
        )
        assert values == {"log": ["first", "second"]}
        history = await client.threads.get_history(thread_id)
        assert len(history) == checkpoints
        assert history[0]["values"] == values
        # the next run goes on from there
        values = await client.runs.wait(thread_id, "two_steps", input={"log": []})
        assert values == {"log": ["first", "second"] * 2}


async def test_the_old_name_of_durability_is_understood(hub_url: str) -> None:
    async with http(hub_url) as raw:
        for during, checkpoints in ((True, 4), (False, 1)):
            thread_id = (await raw.post("/threads", json={})).json()["thread_id"]
            body = {"assistant_id": "two_steps", "input": {"log": []}, "checkpoint_during": during}
            await raw.post(f"/threads/{thread_id}/runs/wait", json=body)
            history = (await raw.get(f"/threads/{thread_id}/history")).json()
            assert len(history) == checkpoints


async def test_null_fields_are_absent_fields(hub_url: str) -> None:
    fields = ("command", "config", "context", "metadata", "checkpoint", "checkpoint_id")
    fields += ("interrupt_before", "interrupt_after", "stream_mode", "stream_subgraphs", "webhook")
    fields += (
        "multitask_strategy",
        "if_not_exists",
        "after_seconds",
        "durability",
        "on_disconnect",
    )
    async with http(hub_url) as raw:
        body = {"assistant_id": "plus", "input": {"x": 1}, **dict.fromkeys(fields)}
        assert (await raw.post("/runs/wait", json=body)).json() == {"x": 2}


async def test_a_delayed_run_starts_when_it_is_due_and_not_before(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        run: Any = await client.runs.create(thread_id, "plus", input={"x": 1}, after_seconds=1)
        assert (await client.threads.get(thread_id))["status"] == "busy"
        assert await client.runs.join(thread_id, run["run_id"]) == {"x": 2}
        run = await client.runs.get(thread_id, run["run_id"])
    waited = datetime.fromisoformat(run["started_at"]) - datetime.fromisoformat(run["created_at"])
    assert waited >= timedelta(seconds=1)


# --- idempotency ---------------------------------------------------------------------------------


async def test_an_idempotency_key_makes_a_repeated_request_the_same_run(hub_url: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        made = [
            await client.runs.create(thread_id, "plus", input={"x": 1}, headers=key)
            for _ in range(3)
        ]
        assert len({r["run_id"] for r in made}) == 1
        assert await client.runs.wait(thread_id, "plus", input={"x": 1}, headers=key) == {"x": 2}
        streamed = await parts(client.runs.stream(thread_id, "plus", input={"x": 1}, headers=key))
        assert named(streamed, "metadata")[0]["run_id"] == made[0]["run_id"]
        assert len(await client.runs.list(thread_id)) == 1


async def test_an_idempotency_key_is_of_one_request_on_one_thread(hub_url: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    async with rest(hub_url) as client:
        thread_id, other = await new_thread(client), await new_thread(client)
        await client.runs.wait(thread_id, "plus", input={"x": 1}, headers=key)
        for thread, x in ((thread_id, 2), (other, 1), (None, 1)):
            with refused(422, "idempotency key"):
                await client.runs.wait(thread, "plus", input={"x": x}, headers=key)
        assert await client.runs.list(other) == []
        for wrong in ("", "k" * 256):
            with refused(422, "Idempotency-Key"):
                await client.runs.create(
                    None, "plus", input={"x": 1}, headers={"Idempotency-Key": wrong}
                )


# --- cancelling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_running_run_is_cancelled(hub_url: str, action: Any, tmp_path: Path) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        before = await client.runs.wait(thread_id, "line", input={"log": ["before"]})
        run = await at_the_gate(client, thread_id, tmp_path / "gate")
        await client.runs.cancel(thread_id, run["run_id"], wait=True, action=action)
        run = await client.runs.get(thread_id, run["run_id"])
        thread = await client.threads.get(thread_id)
        state: Any = await client.threads.get_state(thread_id)
    assert run["status"] == "interrupted"
    assert thread["status"] == "interrupted"
    assert thread["error"]["error"] == "UserInterrupt"
    if action == "rollback":
        assert state["values"] == before
    else:
        assert state["values"] == {
            "log": ["before", "first", "done", str(tmp_path / "gate"), "first"]
        }
        assert state["next"] == ["gate"]
    assert thread["values"] == state["values"]


async def test_whoever_waits_for_a_cancelled_run_gets_what_there_is(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, asyncio.TaskGroup() as group:
        thread_id = await new_thread(client)
        run = await at_the_gate(client, thread_id, gate)
        joining = group.create_task(client.runs.join(thread_id, run["run_id"]))
        following = group.create_task(parts(client.runs.join_stream(thread_id, run["run_id"])))
        await client.runs.cancel(thread_id, run["run_id"])
        assert await joining == {"log": [str(gate), "first"]}
        assert (await following)[-1].data == {"run_id": run["run_id"], "status": "interrupted"}


async def test_a_pending_run_is_cancelled_in_place(hub_url: str) -> None:
    async with rest(hub_url) as client:
        run = await client.runs.create(None, "plus", input={"x": 1}, after_seconds=600)
        await client.runs.cancel(run["thread_id"], run["run_id"], wait=True)
        read: Any = await client.runs.get(run["thread_id"], run["run_id"])
        assert (read["status"], read["attempts"]) == ("interrupted", 0)
        assert await client.runs.join(run["thread_id"], run["run_id"]) == {}


async def test_an_ended_run_cannot_be_cancelled(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        await client.runs.wait(thread_id, "plus", input={"x": 1})
        (run,) = await client.runs.list(thread_id)
        with refused(404, "already ended"):
            await client.runs.cancel(thread_id, run["run_id"], wait=True)
        assert await client.runs.list(thread_id) == [run]


# --- double texting ------------------------------------------------------------------------------


async def test_enqueue_runs_one_after_the_other(hub_url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        await at_the_gate(client, thread_id, gate)
        second = await client.runs.create(thread_id, "line", input={"log": ["b"]})
        third = await client.runs.create(thread_id, "line", input={"log": ["c"]})
        waiting = [r["status"] for r in await client.runs.list(thread_id)]
        assert waiting == ["pending", "pending", "running"]
        gate.touch()
        assert await client.runs.join(thread_id, third["run_id"]) == {
            "log": [str(gate), "first", "done", "b", "first", "done", "c", "first", "done"]
        }
        read: Any = await client.runs.get(thread_id, second["run_id"])
        assert read["output"]["log"][-3:] == ["b", "first", "done"]


async def test_reject_refuses_a_second_run_and_leaves_the_first(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        run = await forever(client, thread_id)
        for create in (client.runs.create, client.runs.wait):
            with refused(409, "Thread is already running a task"):
                await create(thread_id, "wait_for_ever", input={}, multitask_strategy="reject")
        assert [r["run_id"] for r in await client.runs.list(thread_id)] == [run["run_id"]]
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        values = await client.runs.wait(None, "plus", input={"x": 1}, multitask_strategy="reject")
        assert values == {"x": 2}


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_interrupt_and_rollback_put_the_new_run_in_place_of_the_old(
    hub_url: str, strategy: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        first = await at_the_gate(client, thread_id, gate)
        queued = await client.runs.create(thread_id, "line", input={"log": ["never"]})
        values: Any = await client.runs.wait(
            thread_id, "line", input={"log": ["new"]}, multitask_strategy=strategy
        )
        kept = [] if strategy == "rollback" else [str(gate), "first"]
        assert values == {"log": [*kept, "new", "first", "done"]}
        statuses = {r["run_id"]: r["status"] for r in await client.runs.list(thread_id)}
        assert statuses[first["run_id"]] == statuses[queued["run_id"]] == "interrupted"
        assert (await client.threads.get(thread_id))["status"] == "idle"


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_alive", [0.15, 5.0])
@pytest.mark.parametrize("path", ["wait", "stream", "join", "joined stream"])
@pytest.mark.parametrize("cancel", [True, False])
async def test_a_client_that_leaves_cancels_the_run_only_if_it_said_so(
    hub_url: str, path: str, cancel: bool, keep_alive: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # before the headers of a long wait, and behind its first newlines
    monkeypatch.setattr("agenthub_rest.waiting.KEEP_ALIVE_SECONDS", keep_alive)
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = await new_thread(client)
        body: Any = {"assistant_id": "wait_for_ever", "input": {}, "stream_mode": "custom"}
        if path in ("wait", "stream"):
            body["on_disconnect"] = "cancel" if cancel else "continue"
            call = raw.stream("POST", f"/threads/{thread_id}/runs/{path}", json=body)
        else:
            run = await forever(client, thread_id)
            end = "join" if path == "join" else "stream"
            call = raw.stream(
                "GET",
                f"/threads/{thread_id}/runs/{run['run_id']}/{end}",
                params={"cancel_on_disconnect": str(cancel).lower()},
            )

        newlines = asyncio.Event()

        async def hold() -> None:
            async with call as response:
                async for chunk in response.aiter_bytes():
                    if chunk == b"\n":
                        newlines.set()

        holding = asyncio.create_task(hold())

        async def status() -> str | None:
            runs = await client.runs.list(thread_id)
            return runs[0]["status"] if runs else None

        async def running() -> bool:
            return await status() == "running"

        await eventually(running)
        if keep_alive < 1 and path in ("wait", "join"):
            await newlines.wait()
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        if cancel:

            async def cancelled() -> bool:
                return await status() == "interrupted"

            await eventually(cancelled)
            return
        # what comes next on the thread finds the run still running
        with refused(409):
            await client.runs.create(
                thread_id, "wait_for_ever", input={}, multitask_strategy="reject"
            )
        assert await status() == "running"
        (left,) = await client.runs.list(thread_id)
        await client.runs.cancel(thread_id, left["run_id"], wait=True)


async def test_a_long_wait_is_kept_alive_and_still_answered(
    hub_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenthub_rest.waiting.KEEP_ALIVE_SECONDS", 0.2)
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = await new_thread(client)
        body = {"assistant_id": "line", "input": {"log": [str(gate)]}}
        async with raw.stream("POST", f"/threads/{thread_id}/runs/wait", json=body) as response:
            received = response.aiter_bytes()
            assert response.status_code == 200
            assert await anext(received) == b"\n"
            gate.touch()
            assert b"".join([chunk async for chunk in received]).strip() == (
                b'{"log":["%s","first","done"]}' % str(gate).encode()
            )
