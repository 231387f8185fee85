"""Two replicas over one database, and a worker: what the MCP tests need to change replicas on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from agenthub_server.embedded import Postgres, Valkey
from testkit import hub


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replicas over one database, and a worker."""

    one: str
    two: str
    dsn: str
    redis_url: str


@asynccontextmanager
async def pair_of(
    project: Path, servers: tuple[Postgres, Valkey], template: str, *, name: str, number: int
) -> AsyncGenerator[Pair]:
    """A pair that serves a project, over a database of this name and a Redis database of this number."""
    postgres, valkey = servers
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database {name} template {template} strategy file_copy")
    await admin.close()
    dsn, redis_url = postgres.url(name), valkey.url(number)
    async with AsyncExitStack() as stack:
        config = hub.settings(dsn, redis_url, drain_seconds=0.0)
        one = await stack.enter_async_context(hub.hub(config, project))
        other = hub.settings(dsn, redis_url)
        two, service = await stack.enter_async_context(hub.serving(other))
        await service.agents.refresh()
        yield Pair(one, two, dsn, redis_url)
