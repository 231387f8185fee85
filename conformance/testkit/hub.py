"""A hub under test: server and worker in this process, over real servers, on a private port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn

from agenthub.config import Config
from agenthub.project import Project, read_project
from agenthub.service import Hub
from agenthub_langgraph.discovery import discover
from agenthub_server.app import create_app, surfaces
from agenthub_server.cli.leaving import Cut
from agenthub_server.wiring import open_hub, open_worker
from testkit.processes import free_port

STATE_KEY = bytes(range(32))
FIXTURES = Path(__file__).parent.parent / "agenthub_conformance" / "fixtures"


class Quiet(uvicorn.Server):
    """A server that leaves the signals of this process alone."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def settings(dsn: str, redis_url: str | None, **changes: object) -> Config:
    """The default configuration over these servers, on a free port."""
    config = Config(database_url=dsn, redis_url=redis_url, port=free_port())
    return replace(config, **changes)  # pyright: ignore[reportArgumentType]


@asynccontextmanager
async def serving(
    config: Config, project: Project | None = None
) -> AsyncGenerator[tuple[str, Hub]]:
    """A server without a worker, started with a project or without: its address and its hub."""
    async with open_hub(config, project) as hub:
        passed_on = None if project is None else project.http.passed_on
        app = create_app(surfaces(hub, config, STATE_KEY, passed_on, card_keys=[STATE_KEY]))
        server = Quiet(
            uvicorn.Config(
                Cut(app),
                host="127.0.0.1",
                port=config.port,
                log_level="warning",
                timeout_graceful_shutdown=1,
            )
        )
        serve = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0)
            if serve.done():
                serve.result()
        try:
            yield f"http://127.0.0.1:{config.port}", hub
        finally:
            server.should_exit = True
            await serve


@asynccontextmanager
async def working(config: Config, project: Path) -> AsyncGenerator[None]:
    """A worker for the default environment of a project."""
    found = discover(read_project(project), config.environment)
    stopping = asyncio.Event()
    async with open_worker(config, found) as worker:
        run = asyncio.create_task(worker.run(stopping))
        try:
            yield
        finally:
            stopping.set()
            await run


@asynccontextmanager
async def hub(config: Config, project: Path) -> AsyncGenerator[str]:
    """A server and a worker: the server's address, once it knows the agents."""
    async with working(config, project), serving(config) as (url, service):
        await service.agents.refresh()
        yield url
