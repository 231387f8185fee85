"""`agenthub dev`: everything on one machine, from one command.

A real server and real workers over real Postgres and Valkey: the same code as in production, on one
machine. What is given by URL is used; what is missing is started, in `.agenthub/`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvloop

from agenthub.config import Config
from agenthub.errors import Unavailable
from agenthub.project import Project, read_project
from agenthub.service import Hub
from agenthub_postgres.migrate import migrate
from agenthub_server.cli import banner, dev_conformance
from agenthub_server.cli.apart import workers_of
from agenthub_server.cli.serve import serving
from agenthub_server.cli.signals import stop_with_stdin
from agenthub_server.cli.workers import WorkerProcess, restart_on_changes
from agenthub_server.embedded import EmbeddedError, embedded

log = logging.getLogger(__name__)

DATA = Path(".agenthub")
ORPHAN_SECONDS = 30.0
"""How long a hub outlives whoever started it, at most: it has a database to stop."""
DRAIN_SECONDS = "2"
"""A developer who saves a file does not wait for long runs: they go on with the new code."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Serve a project until Ctrl-C."""
    if args.conformance:
        served, config = dev_conformance.projects(args.project), dev_conformance.widened(config)
    else:
        served = [(read_project(args.project), args.project)]
    project, _ = served[0]
    # for the project's own application; workers read it themselves
    project.fill(os.environ)
    config = replace(config, host=args.host or config.host, port=args.port or config.port)
    _require_port(config, config.port, "--port")
    if config.grpc_port:
        _require_port(config, config.grpc_port, "AGENTHUB_GRPC_PORT")
    with servers(config, DATA) as (config, notes):
        if project.ignored:
            assert project.config_file is not None
            where = project.config_file.name
            notes.append(f"Without effect in {where}: {', '.join(project.ignored)}.")
        if args.conformance:
            notes.append(dev_conformance.NOTE)
        serve = _dev(
            config,
            served,
            notes,
            reload=not args.no_reload,
            with_stdin=args.stop_with_stdin,
        )
        uvloop.run(serve)
    return 0


@contextmanager
def servers(config: Config, root: Path) -> Generator[tuple[Config, list[str]]]:
    """The configuration with every address filled in; starts what has none."""
    if config.database_url is not None:
        notes = ["Using the Postgres that DATABASE_URL names."]
        if config.redis_url is None:
            notes.append("REDIS_URL is not set: wake-ups go through Postgres.")
        yield config, notes
        return
    try:
        with embedded(root, valkey=config.redis_url is None) as started:
            filled = replace(
                config,
                database_url=started.database_url,
                redis_url=config.redis_url or started.redis_url,
            )
            yield filled, started.notes
    except EmbeddedError as error:
        raise Unavailable(str(error)) from error


async def _dev(
    config: Config,
    served: Sequence[tuple[Project, Path]],
    notes: list[str],
    *,
    reload: bool,
    with_stdin: bool,
) -> None:
    assert config.database_url is not None
    await migrate(config.database_url)
    variables = {
        "DATABASE_URL": config.database_url,
        **({"REDIS_URL": config.redis_url} if config.redis_url else {}),
        "AGENTHUB_DRAIN_SECONDS": os.environ.get("AGENTHUB_DRAIN_SECONDS", DRAIN_SECONDS),
    }
    project, _ = served[0]
    async with serving(config, project) as (server, hub), asyncio.TaskGroup() as group:
        workers = [
            worker
            for one, target in served
            for worker in workers_of(one, target, DATA, variables, hub.streams.tail)
        ]
        background = [group.create_task(worker.run()) for worker in workers]
        background.append(group.create_task(_announce(config, hub, workers, notes)))
        if reload:
            background.append(group.create_task(restart_on_changes(project.root, workers)))
        if with_stdin:
            stop_with_stdin(server.leave, within_seconds=ORPHAN_SECONDS)
        await server.serve()
        for task in background:
            task.cancel()


async def _announce(
    config: Config, hub: Hub, workers: Sequence[WorkerProcess], notes: list[str]
) -> None:
    """Say where everything is, once every worker has published its agents; those whose environment is
    still being made follow."""
    for worker in workers:
        await worker.settled.wait()
    await hub.agents.refresh()
    print(banner.text(config, hub.agents.all(), hub.agents.unavailable(), notes), flush=True)  # noqa: T201


def _require_port(config: Config, port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, port))
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {config.host}:{port} ({error.strerror}): "
                f"stop what is there, or give {name}"
            ) from None
