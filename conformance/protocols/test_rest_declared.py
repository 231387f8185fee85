"""What a langgraph.json says about its server, as clients see it: lives of threads, headers, webhooks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agenthub.json import text
from agenthub.project import read_project
from protocols.rest_client import http, refused, rest
from testkit.hub import FIXTURES, serving, settings, working
from testkit.receiver import Receiver, receiving
from testkit.waiting import eventually

BODY: Any = {
    "graphs": {name: f"{FIXTURES / 'rest_agents.py'}:{name}" for name in ("plus", "look")},
    "checkpointer": {"ttl": {"strategy": "keep_latest", "default_ttl": 90}},
    "http": {"configurable_headers": {"includes": ["x-*"], "excludes": ["x-secret"]}},
    "webhooks": {
        "url": {"allowed_domains": ["127.0.0.1"]},
        "headers": {"Authorization": "Bearer ${{ env.LG_WEBHOOK_TOKEN }}"},
    },
}


@pytest.fixture
async def url(
    dsn: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[str]:
    monkeypatch.setenv("LG_WEBHOOK_TOKEN", "token")
    file = tmp_path / "langgraph.json"
    file.write_text(text(BODY), "utf-8")
    config = settings(dsn, redis_url, outbound_networks=("127.0.0.0/8",))
    project = read_project(file)
    async with working(config, file), serving(config, project) as (url, hub):
        await hub.agents.refresh()
        yield url


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as one:
        yield one


async def test_threads_live_as_long_as_the_project_says(url: str, dsn: str) -> None:
    async with rest(url) as client, http(url) as raw:
        plain = await client.threads.create()
        own = await client.threads.create(ttl=5)
        made = "0190a5a5-0000-7000-8000-000000000001"
        await client.runs.wait(made, "plus", input={"x": 1}, if_not_exists="create")
        await client.runs.wait(None, "plus", input={"x": 1})
        kept: list[Any] = []
        await client.runs.wait(
            None, "plus", input={"x": 1}, on_completion="keep", on_run_created=kept.append
        )
        cron: Any = await client.crons.create("plus", schedule="0 0 1 1 *", input={"x": 1})
        fired = (await raw.post(f"/runs/crons/{cron['cron_id']}/run")).json()
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("select thread_id, strategy, ttl from thread_ttls")
    await connection.close()
    lives = {str(r["thread_id"]): (r["strategy"], r["ttl"].total_seconds()) for r in rows}
    as_said = ("keep_latest", 5400)
    assert lives.pop(own["thread_id"]) == ("delete", 300)
    assert lives.pop(fired["thread_id"], as_said) == as_said
    assert lives == dict.fromkeys((plain["thread_id"], made, kept[0]["thread_id"]), as_said), (
        "threads of stateless runs go by themselves"
    )


async def test_runs_see_the_headers_that_the_project_passes_on(url: str) -> None:
    headers = {"X-User": "u", "X-Secret": "s", "Authorization": "Bearer a", "X-Api-Key": "k"}
    own = {"configurable": {"x-user": "somebody else", "colour": "red"}}
    async with http(url) as raw:
        body = {"assistant_id": "look", "input": {"seen": {}}, "config": own}
        waited = (await raw.post("/runs/wait", json=body, headers=headers)).json()
    seen = {k: v for k, v in waited["seen"]["configurable"].items() if not k.endswith("_id")}
    assert seen == {"x-user": "u", "colour": "red"}


async def test_webhooks_get_the_headers_of_the_project(url: str, receiver: Receiver) -> None:
    async with rest(url) as client:
        await client.runs.wait(None, "plus", input={"x": 1}, webhook=receiver.url)
        await eventually(lambda: receiver.got)
    assert receiver.got[0].headers["authorization"] == "Bearer token"


async def test_a_webhook_that_the_project_does_not_allow_is_refused(url: str) -> None:
    async with rest(url) as client:
        with refused(422, "may not be called at 'example.com' here"):
            await client.runs.wait(None, "plus", input={"x": 1}, webhook="https://example.com/x")
