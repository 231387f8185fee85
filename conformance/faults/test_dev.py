"""`agenthub dev`, `serve` and `work` as a person meets them: from nothing, through mistakes, to the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agenthub_server.embedded import Postgres
from faults import clients
from faults.cluster import HUB, compiled, knows
from testkit.owners import processes
from testkit.processes import Process, free_port, process
from testkit.servers import DurableServers, suite_environment
from testkit.waiting import eventually

AGENT = '''
import asyncio, os
from pathlib import Path
from langgraph.func import entrypoint

@entrypoint()
async def hello(name: str) -> str:
    """Greets."""
    return f"hello {name}"

@entrypoint()
async def dies(_: str) -> str:
    """Takes its worker along, once."""
    if Path("died").exists():
        return "alive"
    Path("died").touch()
    os._exit(7)

@entrypoint()
async def waits(_: str) -> str:
    """Never ends by itself."""
    Path("waiting").touch()
    await asyncio.Event().wait()
    raise AssertionError
'''
MORE = '''

@entrypoint()
async def more(name: str) -> str:
    """A second agent."""
    return f"more {name}"
'''
BANNER = re.compile("Ctrl-C stops everything")


@pytest.fixture
def project(folder: Path) -> Path:
    """An empty folder with one file."""
    (folder / "agent.py").write_text(AGENT, encoding="utf-8")
    return folder


@asynccontextmanager
async def dev(project: Path, **env: str) -> AsyncGenerator[tuple[Process, str]]:
    """`agenthub dev agent.py`, ready."""
    port = free_port()
    async with process(
        [*HUB, "dev", "agent.py", "--port", str(port)],
        ready=BANNER,
        cwd=project,
        env={**suite_environment(), **compiled(), **env},
    ) as running:
        yield running, f"http://127.0.0.1:{port}"


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    parents = processes()
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    return pids & processes().keys()


async def ask(url: str, agent: str, given: str) -> Any:
    async with clients.rest(url) as client:
        return await client.runs.wait(None, agent, input=given)


async def info(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        return (await client.get("/info")).json()


@pytest.mark.slow
async def test_it_serves_from_nothing_reloads_survives_its_agents_and_ends_everything(
    project: Path,
) -> None:
    async with dev(project) as (running, url):
        assert await ask(url, "hello", "world") == "hello world"
        source = project / "agent.py"
        source.write_text(AGENT + MORE, encoding="utf-8")
        await knows(url, "more", within=90)
        assert await ask(url, "more", "or less") == "more or less"

        source.write_text("def broken(:\n", encoding="utf-8")

        async def unavailable() -> str | None:
            return next(iter((await info(url))["unavailable"].values()), None)

        assert "SyntaxError" in await eventually(unavailable, within=90)
        source.write_text(AGENT, encoding="utf-8")
        await knows(url, "hello", within=90)
        assert await ask(url, "hello", "again") == "hello again"

        assert await ask(url, "dies", "") == "alive"
        assert "starting it again" in running.output()

        pids = family(running.pid)
        running.signal(signal.SIGINT)
        assert await running.wait() == 0, running.output()
        await eventually(lambda: not alive(pids))
        assert "Traceback" not in running.output().split("starting it again")[1]


@pytest.mark.slow
async def test_killed_it_leaves_no_orphan_and_its_data_are_there_for_the_next(
    project: Path,
) -> None:
    async with dev(project) as (running, url):
        assert await ask(url, "hello", "world") == "hello world"
        run = await clients.start(url, "waits", {})
        await eventually((project / "waiting").exists)
        pids = family(running.pid)
        assert len(pids) >= 4, "server, worker, Postgres, Valkey"
        running.signal(signal.SIGKILL)
        await eventually(lambda: not alive(pids))
    async with dev(project) as (_, url):
        async with clients.rest(url) as client:
            found = await client.runs.get(run["thread_id"], run["run_id"])
            assert found["status"] in ("pending", "running")
            await client.runs.cancel(run["thread_id"], run["run_id"], wait=True)
        assert await ask(url, "hello", "again") == "hello again"


@pytest.mark.slow
async def test_a_second_one_in_the_same_folder_attaches_and_the_first_outlives_it(
    project: Path,
) -> None:
    async with dev(project) as (first, url):
        async with dev(project) as (second, other):
            assert f"Attached to the servers of process {first.pid}" in second.output()
            assert await ask(other, "hello", "second") == "hello second"
            second.signal(signal.SIGINT)
            assert await second.wait() == 0
        assert await ask(url, "hello", "first") == "hello first"


@pytest.mark.slow
async def test_with_a_database_of_its_own_it_starts_nothing(
    project: Path, durable_servers: DurableServers
) -> None:
    urls = {"DATABASE_URL": durable_servers.database_url, "REDIS_URL": durable_servers.redis_url}
    async with dev(project, **urls) as (running, url):
        assert await ask(url, "hello", "world") == "hello world"
        assert "Using the Postgres that DATABASE_URL names" in running.output()
        assert not (project / ".agenthub").exists()


@pytest.mark.parametrize("command", [["serve"], ["work", "agent.py"]], ids=["serve", "work"])
async def test_without_a_database_it_says_so(project: Path, command: list[str]) -> None:
    told = await refused(project, command, DATABASE_URL="")
    assert told == (
        "agenthub: DATABASE_URL is not set; `agenthub dev` is what starts a database of its own\n"
    )


@pytest.mark.parametrize("command", [["serve"], ["work", "agent.py"]], ids=["serve", "work"])
async def test_a_database_without_the_schema_is_refused(
    project: Path, command: list[str], postgres: Postgres
) -> None:
    told = await refused(project, command, DATABASE_URL=postgres.url("postgres"))
    assert "run `agenthub migrate` with the same DATABASE_URL" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("command", ["dev", "serve", "work", "migrate"])
async def test_a_misspelt_setting_is_refused(project: Path, command: str) -> None:
    told = await refused(project, [command], AGENTHUB_LEASE_SECOND="5")
    assert told.startswith("agenthub: unknown setting AGENTHUB_LEASE_SECOND;")


async def test_a_port_that_is_taken_is_refused_before_anything_starts(project: Path) -> None:
    async with process([sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"]) as other:
        port = await eventually(lambda: listening(other.pid))
        told = await refused(project, ["dev", "agent.py", "--port", str(port)])
    assert f"cannot listen on 127.0.0.1:{port}" in told
    assert not (project / ".agenthub").exists()


async def refused(project: Path, command: list[str], **env: str) -> str:
    """What a command that ends with code 2 has said."""
    async with process([*HUB, *command], cwd=project, env={**compiled(), **env}) as running:
        assert await running.wait(within=90) == 2, running.output()
        return running.output()


def listening(pid: int) -> int | None:
    """The port that a process listens on."""
    links = set[str]()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # it was closed in the meantime
            links.add(os.readlink(link))
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in links:
            return int(fields[1].split(":")[1], 16)
    return None
