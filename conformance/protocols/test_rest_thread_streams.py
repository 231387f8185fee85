"""The stream of a thread: every run on it, in order, from any point, on any replica."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from agenthub_server.embedded import Valkey
from protocols.rest_client import Frame, frames, http, refused, rest
from testkit import hub
from testkit.processes import free_port


async def followed(
    raw: httpx.AsyncClient, thread_id: str, ends: int, *, after: str | None = "-", **params: Any
) -> list[Frame]:
    """What the thread's stream says up to and with so many ends of runs."""
    found: list[Frame] = []
    headers = {} if after is None else {"Last-Event-ID": after}
    path = f"/threads/{thread_id}/stream"
    async with raw.stream("GET", path, params=params, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async for frame in frames(response.aiter_lines()):
            found.append(frame)
            ends -= frame.event == "end"
            if not ends:
                return found
    raise AssertionError("a thread's stream has no end")


def told(found: list[Frame]) -> list[tuple[str, Any]]:
    """What happened, without whom and when."""
    return [(f.event, None if f.event == "metadata" else f.data) for f in found]


async def test_a_thread_stream_tells_of_every_run_one_after_the_other(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        async with asyncio.TaskGroup() as group:
            following = group.create_task(followed(raw, thread_id, 3))
            runs = [await client.runs.create(thread_id, "plus", input={"x": n}) for n in (1, 5, 9)]
        live = await following
        again = await followed(raw, thread_id, 3)
    assert again == live
    ids = [run["run_id"] for run in runs]
    assert [f.data["run_id"] for f in live if f.event == "metadata"] == ids
    assert [f.data["run_id"] for f in live if f.event == "end"] == ids
    assert [f.data for f in live if f.event == "values"] == [{"x": x} for x in (1, 2, 5, 6, 9, 10)]
    assert len({f.id for f in live}) == len(live)


async def test_a_question_and_its_answer_are_two_runs_of_the_stream(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "ask", input=4)
        await client.runs.wait(thread_id, "ask", command={"resume": "yes"})
        found = await followed(raw, thread_id, 2)
    updates = [f.data for f in found if f.event == "updates"]
    assert updates[0] == {"double": 8}
    assert updates[1]["__interrupt__"][0]["value"] == {"question": "use 8?"}
    assert updates[-1] == {"ask": {"doubled": 8, "answer": "yes"}}


async def test_a_follower_sees_a_new_run_at_once_and_without_polling(
    dsn: str, valkey: Valkey
) -> None:
    config = hub.settings(dsn, valkey.url(13), drain_seconds=0.0, stream_poll_seconds=1000.0)
    async with (
        hub.hub(config, hub.FIXTURES / "rest_agents.py") as url,
        rest(url) as client,
        http(url) as raw,
        asyncio.TaskGroup() as group,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        following = group.create_task(followed(raw, thread_id, 4))
        for n in range(4):
            await client.runs.wait(thread_id, "count", input=n)
        found = await following
    assert [f.data for f in found if f.event == "custom"] == [0, 0, 1, 0, 1, 2]


async def test_without_redis_a_follower_is_told_as_well(dsn: str) -> None:
    config = hub.settings(dsn, None, drain_seconds=0.0, stream_poll_seconds=1000.0)
    async with (
        hub.hub(config, hub.FIXTURES / "rest_agents.py") as url,
        rest(url) as client,
        http(url) as raw,
        asyncio.TaskGroup() as group,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        following = group.create_task(followed(raw, thread_id, 2))
        for n in (1, 2):
            await client.runs.wait(thread_id, "count", input=n)
        found = await following
    assert [f.data for f in found if f.event == "custom"] == [0, 0, 1]


async def test_a_run_that_was_cancelled_in_line_is_passed_over(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, http(hub_url) as raw, asyncio.TaskGroup() as group:
        thread_id = (await client.threads.create())["thread_id"]
        given = {"n": 1, "gate": str(gate)}
        first, second, third = [
            await client.runs.create(thread_id, "gated", input=given) for _ in range(3)
        ]
        following = group.create_task(followed(raw, thread_id, 2))
        await client.runs.cancel(thread_id, second["run_id"])
        gate.touch()
        found = await following
    ids = [first["run_id"], third["run_id"]]
    assert [f.data["run_id"] for f in found if f.event == "end"] == ids


async def test_a_run_that_never_begins_does_not_bring_back_those_before_it(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        given = {"n": 1, "gate": str(gate)}
        first = await client.runs.create(thread_id, "gated", input=given)
        later = await client.runs.create(thread_id, "gated", input=given, after_seconds=1000)
        gate.touch()
        await client.runs.join(thread_id, first["run_id"])
        async with raw.stream("GET", f"/threads/{thread_id}/stream") as response:
            await client.runs.cancel(thread_id, later["run_id"])
            run = await client.runs.create(thread_id, "gated", input=given)
            frame = await anext(frames(response.aiter_lines()))
    assert frame.data["run_id"] == run["run_id"]


async def test_a_follower_of_an_open_run_sees_all_of_it_and_nothing_before(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        done = tmp_path / "done"
        done.touch()
        await client.runs.wait(thread_id, "gated", input={"n": 1, "gate": str(done)})
        run = await client.runs.create(thread_id, "gated", input={"n": 2, "gate": str(gate)})
        stream = client.runs.join_stream(thread_id, run["run_id"], stream_mode="custom")
        async with aclosing(stream) as begun:
            async for part in begun:
                if part.data == 1:
                    break
        said: list[Any] = []
        async with raw.stream("GET", f"/threads/{thread_id}/stream") as response:
            async for frame in frames(response.aiter_lines()):
                if frame.event == "custom":
                    said.append(frame.data)
                if said == [0, 1]:
                    gate.touch()
                if frame.event == "end":
                    break
    assert said == [0, 1, 2, 3]


async def test_a_follower_of_an_idle_thread_sees_what_comes_only(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "plus", input={"x": 1})
        path = f"/threads/{thread_id}/stream"
        async with raw.stream("GET", path) as response:
            run = await client.runs.create(thread_id, "plus", input={"x": 5})
            first = await anext(frames(response.aiter_lines()))
    assert first.data["run_id"] == run["run_id"]


async def test_the_modes_choose_between_all_lifecycle_and_state(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "count", input=2)
        # the Python client says `stream_mode`, the Agent Server reads `stream_modes`
        for name in ("stream_mode", "stream_modes"):
            params: Any = {name: "lifecycle"}
            found = await followed(raw, thread_id, 1, **params)
            assert [f.event for f in found] == ["metadata", "end"]
            params = {name: ["lifecycle", "state_update"]}
            found = await followed(raw, thread_id, 1, **params)
            assert told(found)[:2] == [("metadata", None), ("values", 2)]
            assert [f.event for f in found] == ["metadata", "values", "end"]
            params = {name: "run_modes"}
            found = await followed(raw, thread_id, 1, **params)
            assert [f.event for f in found].count("custom") == 2
        stream: Any = await client.threads.join_stream(
            thread_id, last_event_id="-", stream_mode="state_update"
        )
        async with aclosing(stream):
            first = await anext(stream)
    assert (first.event, first.data) == ("values", 2)


async def test_a_state_update_is_told_to_those_who_ask_for_states(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "plus", input={"x": 1})
        await client.threads.update_state(thread_id, {"x": 7})
        await client.runs.wait(thread_id, "plus", input={"x": 20})
        modes: Any = {"stream_mode": ["state_update", "lifecycle"]}
        found = await followed(raw, thread_id, 2, **modes)
        runs = await followed(raw, thread_id, 2)
    values = [f.data for f in found if f.event == "values"]
    assert values == [{"x": 1}, {"x": 2}, {"x": 7}, {"x": 20}, {"x": 21}]
    assert [f.data for f in runs if f.event == "values"] == [{"x": x} for x in (1, 2, 20, 21)]


@pytest.mark.parametrize("wrong", ["x", "-5", "9" * 40, "0" * 32 + "-1", "f" * 31 + "-1", "1-1"])
async def test_an_id_of_another_stream_is_refused(hub_url: str, wrong: str) -> None:
    async with rest(hub_url) as client:
        thread_id = (await client.threads.create())["thread_id"]
        status = 404 if wrong.startswith("0000") else 422
        with refused(status):
            async for _ in await client.threads.join_stream(thread_id, last_event_id=wrong):
                pass


async def test_an_id_of_another_threads_run_is_refused(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        mine, other = [(await client.threads.create())["thread_id"] for _ in range(2)]
        await client.runs.wait(other, "plus", input={"x": 1})
        (*_, last) = await followed(raw, other, 1)
        with refused(422, "Last-Event-ID"):
            async for _ in await client.threads.join_stream(mine, last_event_id=str(last.id)):
                pass


async def test_an_unknown_thread_and_an_unknown_mode_are_refused(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = (await client.threads.create())["thread_id"]
        with refused(404):
            async for _ in await client.threads.join_stream("0" * 32):
                pass
        with refused(422, "stream_mode"):
            wrong: Any = "values"
            async for _ in await client.threads.join_stream(thread_id, stream_mode=wrong):
                pass


async def test_a_client_that_is_cut_anywhere_goes_on_at_the_other_replica(
    dsn: str, valkey: Valkey
) -> None:
    # nobody polls here: who is not told waits for ever
    config = hub.settings(dsn, valkey.url(13), drain_seconds=0.0, stream_poll_seconds=1000.0)
    async with (
        hub.working(config, hub.FIXTURES / "rest_agents.py"),
        hub.serving(config) as (url, service),
        hub.serving(replace(config, port=free_port())) as (other_url, other_service),
    ):
        await service.agents.refresh()
        await other_service.agents.refresh()
        async with rest(url) as client, http(url) as raw, http(other_url) as other:
            thread_id = (await client.threads.create())["thread_id"]
            async with asyncio.TaskGroup() as group:
                following = group.create_task(followed(other, thread_id, 3))
                await client.runs.wait(thread_id, "ask", input=4)
                await client.runs.wait(thread_id, "ask", command={"resume": "yes"})
                await client.runs.wait(thread_id, "ask", input=1)
            whole = await followed(raw, thread_id, 3)
            assert following.result() == whole
            for at, frame in enumerate(whole[:-1], 1):
                ends = sum(f.event == "end" for f in whole[at:])
                rest_ = await followed(other, thread_id, ends, after=frame.id)
                assert rest_ == whole[at:]
