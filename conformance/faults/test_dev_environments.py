"""`agenthub dev` with environments: made once, kept, made anew when they change, and missed by their own
agents alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from faults import clients
from faults.cluster import HUB, compiled, knows
from faults.test_dev import BANNER
from testkit.processes import Process, free_port, process
from testkit.servers import suite_environment
from testkit.waiting import eventually

# the hub has no such package, and it is small
AGENTS = '''
from langgraph.func import entrypoint

@entrypoint()
async def hello(name: str) -> str:
    """Greets."""
    return f"hello {name}"
'''
FARM = '''
import cowsay
from langgraph.func import entrypoint

@entrypoint()
async def cow(said: str) -> str:
    """Says it as a cow."""
    return f"{said in cowsay.get_output_string('cow', said)}"
'''
TOML = """
[agents.hello]
path = "./agents.py:hello"
[agents.cow]
path = "./farm.py:cow"
environment = "farm"
[agents.lost]
path = "./agents.py:hello"
environment = "lost"
[environments.farm]
requirements = ["-r farm.txt", "agenthub"]
[environments.lost]
python = "./nowhere/bin/python"
"""


@pytest.fixture
def project(folder: Path) -> Path:
    (folder / "agents.py").write_text(AGENTS, "utf-8")
    (folder / "farm.py").write_text(FARM, "utf-8")
    (folder / "farm.txt").write_text("cowsay==99\n", "utf-8")
    (folder / "agenthub.toml").write_text(TOML, "utf-8")
    return folder


@asynccontextmanager
async def dev(project: Path) -> AsyncGenerator[tuple[Process, str]]:
    port = free_port()
    async with process(
        [*HUB, "dev", ".", "--port", str(port)],
        ready=BANNER,
        cwd=project,
        env={**suite_environment(), **compiled()},
    ) as running:
        yield running, f"http://127.0.0.1:{port}"


async def ask(url: str, agent: str, given: str) -> Any:
    async with clients.rest(url) as client:
        return await client.runs.wait(None, agent, input=given)


async def missing(url: str) -> dict[str, str]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        return (await client.get("/info")).json()["unavailable"]


@pytest.mark.slow
async def test_agents_run_in_environments_of_their_own(project: Path) -> None:
    async with dev(project) as (running, url):
        # one whose environment cannot be made takes nobody along
        assert await ask(url, "hello", "world") == "hello world"

        async def both() -> bool:
            return (await missing(url)).keys() == {"cow", "lost"}

        await eventually(both)
        told = await missing(url)
        assert "there is no version of cowsay==99" in told["cow"]
        assert "nowhere/bin/python does not exist" in told["lost"]

        # its description is mended, and it is made while the hub serves
        (project / "farm.txt").write_text("cowsay==6.1\n", "utf-8")
        (project / "agenthub.toml").write_text(TOML + "\n", "utf-8")
        await knows(url, "cow", within=120)
        assert await ask(url, "cow", "moo") == "True"
        assert "environment farm: made in" in running.output()
    async with dev(project) as (running, url):
        await knows(url, "cow", within=120)
        assert await ask(url, "cow", "moo") == "True"
        assert "being made" not in running.output(), "it was there"
