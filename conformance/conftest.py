"""Fixtures of the whole suite: real servers, private to this run, started once.

`dsn` and `redis_url` are what most tests want. `durable_servers` is for tests that kill servers.
AGENTHUB_TEST_PG_BIN runs the suite on another Postgres.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import redis

from agenthub_server.embedded import DISPOSABLE, Postgres, Valkey
from testkit import hub
from testkit.servers import (
    DurableServers,
    from_seed,
    make_seed,
    migrate,
    scratch_folder,
    suite_environment,
)


def pytest_configure() -> None:
    """What a shell runs in the background ignores Ctrl-C, and so would all that the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def scratch() -> Generator[Path]:
    """A folder for this run, in memory where there is room."""
    with scratch_folder(in_memory=True) as folder:
        yield folder


@pytest.fixture
def folder() -> Generator[Path]:
    """An empty folder for servers of one test, in memory where there is room.

    Not `tmp_path`, which only we may enter: root's Postgres runs as another account.
    """
    with scratch_folder(in_memory=True) as path:
        yield path


@pytest.fixture(scope="session")
def postgres(scratch: Path) -> Generator[Postgres]:
    """The server of this run. Fast, and not durable: never kill it."""
    server = Postgres(scratch / "postgres", settings=DISPOSABLE, environ=suite_environment())
    server.start()
    yield server
    server.stop("immediate")


@pytest.fixture(scope="session")
def valkey(scratch: Path) -> Generator[Valkey]:
    """The Valkey of this run."""
    server = Valkey(scratch / "valkey", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def template(postgres: Postgres) -> str:
    """The name of a migrated database that is only ever copied."""
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute("create database template_agenthub")
    await admin.close()
    await migrate(postgres.url("template_agenthub"))
    return "template_agenthub"


@pytest.fixture
async def dsn(postgres: Postgres, template: str) -> AsyncGenerator[str]:
    """A migrated database of its own for one test."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(postgres.url("postgres"))
    # Copying files beats replaying them through the log by a factor of two.
    await admin.execute(f"create database {name} template {template} strategy file_copy")
    yield postgres.url(name)
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """An empty Redis database."""
    with redis.Redis.from_url(valkey.url()) as client:
        client.flushall()
    return valkey.url()


@pytest.fixture(scope="session")
async def seed(scratch: Path) -> Path:
    """A migrated cluster at rest."""
    home = scratch / "seed"
    await make_seed(home)
    return home


@pytest.fixture
def durable_servers(seed: Path) -> Generator[DurableServers]:
    """Servers on disk with production durability, for one test that breaks them."""
    with scratch_folder(in_memory=False) as folder:
        servers = from_seed(seed, folder)
        yield servers
        servers.postgres.stop("immediate")
        servers.valkey.stop()


Hubs = Callable[[Path], Awaitable[str]]


@pytest.fixture(scope="session")
async def hubs(postgres: Postgres, valkey: Valkey, template: str) -> AsyncGenerator[Hubs]:
    """Hubs by the file of their agents, each started once and shared by tests that only use it."""
    async with AsyncExitStack() as stack:
        urls: dict[Path, str] = {}

        async def url_of(agents: Path) -> str:
            if agents not in urls:
                name = f"hub_{agents.stem}"
                admin = await asyncpg.connect(postgres.url("postgres"))
                await admin.execute(
                    f"create database {name} template {template} strategy file_copy"
                )
                await admin.close()
                config = hub.settings(
                    postgres.url(name), valkey.url(1 + len(urls)), drain_seconds=0.0
                )
                urls[agents] = await stack.enter_async_context(hub.hub(config, agents))
            return urls[agents]

        yield url_of


@pytest.fixture(scope="module")
async def hub_url(request: pytest.FixtureRequest, hubs: Hubs) -> str:
    """The hub of this module's protocol: `test_mcp_tools` gets the agents of `mcp_agents.py`."""
    protocol = request.module.__name__.rpartition(".")[2].split("_")[1]
    return await hubs(hub.FIXTURES / f"{protocol}_agents.py")
