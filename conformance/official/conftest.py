"""Fixtures of the official MCP suites and clients: two replicas without stickiness, and a worker."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from agenthub_server.embedded import Postgres, Valkey
from testkit.hub import FIXTURES
from testkit.npm import packages
from testkit.processes import free_port, process
from testkit.round_robin import RoundRobin, round_robin

HERE = Path(__file__).parent
REDIS_DATABASE = 14
"""Far from those that the hubs within this process use."""
HUB = ("/usr/bin/env", "-u", "AGENTHUB_TEST_PG_BIN", sys.executable, "-m", "agenthub_server")


@dataclass(frozen=True, slots=True)
class Replicas:
    """A hub of two servers and a worker. `url` is the balancer's, by the name that the suite wants."""

    url: str
    servers: tuple[str, str]
    balancer: RoundRobin
    environment: dict[str, str]


@pytest.fixture(scope="session")
async def replicas(postgres: Postgres, valkey: Valkey, template: str) -> AsyncGenerator[Replicas]:
    """The hub, with the suite's agents on its worker and the suite's fixtures on its servers."""
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database official template {template} strategy file_copy")
    await admin.close()
    environment = {
        "DATABASE_URL": postgres.url("official"),
        "REDIS_URL": valkey.url(REDIS_DATABASE),
        "AGENTHUB_MCP_FIXTURES": "1",
    }
    urls = tuple(f"http://127.0.0.1:{free_port()}" for _ in range(2))
    async with AsyncExitStack() as stack:
        working = [*HUB, "work", FIXTURES / "mcp_suite.toml"]
        ready = re.compile("serves .*test_simple_text")
        await stack.enter_async_context(process(working, ready=ready, env=environment))
        for url in urls:
            serving = [*HUB, "serve", "--port", url.rpartition(":")[2]]
            await stack.enter_async_context(process(serving, ready=f"{url}/ok", env=environment))
        balancer = await stack.enter_async_context(round_robin(urls))
        url = balancer.url.replace("127.0.0.1", "localhost")
        yield Replicas(url, (urls[0], urls[1]), balancer, environment)


@pytest.fixture(scope="session")
def npm() -> Path:
    """A folder with the suites and clients installed."""
    return packages(HERE)
