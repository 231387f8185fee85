"""`agenthub runs|threads|crons|assistants` against a hub, as an operator types them."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from protocols.rest_client import rest


async def agenthub(url: str, *words: str, code: int = 0) -> str:
    """What a command prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agenthub_server", *words, "--url", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    assert process.returncode == code, printed.decode()
    return printed.decode()


async def agenthub_json(url: str, *words: str) -> Any:
    return json.loads(await agenthub(url, *words, "--json"))


@pytest.fixture
async def done(hub_url: str) -> dict[str, Any]:
    """A run that has ended."""
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "count", input=2)
        await client.runs.join(thread["thread_id"], run["run_id"])
    return dict(run)


async def test_runs_are_listed_newest_first(hub_url: str, done: dict[str, Any]) -> None:
    listed = await agenthub(hub_url, "runs", "list", "--limit", "1")
    heading, row = listed.splitlines()
    assert heading.split()[:2] == ["RUN", "STATUS"]
    assert row.split()[:2] == [done["run_id"], "success"]
    found = await agenthub_json(hub_url, "runs", "list", "--thread", done["thread_id"])
    assert [run["run_id"] for run in found] == [done["run_id"]]


async def test_a_run_is_shown_with_its_output(hub_url: str, done: dict[str, Any]) -> None:
    shown = await agenthub(hub_url, "runs", "show", done["run_id"])
    assert "success" in shown
    assert "output" in shown
    run = await agenthub_json(hub_url, "runs", "show", done["run_id"])
    assert run["output"]


async def test_a_run_is_followed_from_its_first_event_to_its_end(
    hub_url: str, done: dict[str, Any]
) -> None:
    printed = await agenthub(hub_url, "runs", "follow", done["run_id"])
    assert printed.splitlines()[-1] == f"Run {done['run_id']}: success"
    assert "updates" in printed


async def test_a_run_is_cancelled(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "wait_for_ever", input={})
        await agenthub(hub_url, "runs", "cancel", run["run_id"])
        assert (await client.runs.get(thread["thread_id"], run["run_id"]))[
            "status"
        ] == "interrupted"


async def test_threads_are_listed_shown_and_deleted(hub_url: str, done: dict[str, Any]) -> None:
    listed = await agenthub_json(hub_url, "threads", "list", "--status", "idle")
    assert done["thread_id"] in [thread["thread_id"] for thread in listed]
    assert done["thread_id"] in await agenthub(hub_url, "threads", "show", done["thread_id"])
    await agenthub(hub_url, "threads", "delete", done["thread_id"])
    gone = await agenthub(hub_url, "threads", "show", done["thread_id"], code=2)
    assert gone.startswith("agenthub: ")
    assert len(gone.splitlines()) == 1


async def test_assistants_are_listed_with_their_agents(hub_url: str) -> None:
    listed = await agenthub(hub_url, "assistants", "list", "--limit", "100")
    assert "count" in listed
    (first, *_) = await agenthub_json(hub_url, "assistants", "list")
    shown = await agenthub_json(hub_url, "assistants", "show", first["assistant_id"])
    assert shown["graph_id"] == first["graph_id"]


async def test_a_cron_is_listed_run_and_switched_off(hub_url: str) -> None:
    async with rest(hub_url) as client:
        await client.crons.create("count", schedule="0 0 1 1 *", input=2)
    (cron,) = await agenthub_json(hub_url, "crons", "list")
    started = await agenthub_json(hub_url, "crons", "run", cron["cron_id"])
    fired = await agenthub(hub_url, "crons", "history", cron["cron_id"])
    assert started["run_id"] in fired
    await agenthub(hub_url, "crons", "disable", cron["cron_id"])
    assert "disabled" in await agenthub(hub_url, "crons", "list")
    await agenthub(hub_url, "crons", "delete", cron["cron_id"])
    assert await agenthub_json(hub_url, "crons", "list") == []


async def test_a_hub_that_is_not_there_is_one_sentence() -> None:
    told = await agenthub("http://127.0.0.1:1", "runs", "list", code=2)
    assert "start one with `agenthub dev`" in told
    assert len(told.splitlines()) == 1
