"""`agenthub serve`: a server process. It never imports agent code."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import uvicorn
import uvloop

from agenthub.config import Config
from agenthub.project import Http, Project, read_project
from agenthub.service import Hub
from agenthub_a2a import read_key
from agenthub_postgres.secrets import shared_secret
from agenthub_server.app import create_app, surfaces, without
from agenthub_server.cli.collecting import collect_seldom
from agenthub_server.cli.leaving import Cut, LeavingServer
from agenthub_server.custom import Beside, load
from agenthub_server.wiring import open_hub

SHUTDOWN_SECONDS = 3
"""Open streams are cut after this; their clients resume elsewhere by `Last-Event-ID`."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    config = replace(config, host=args.host or config.host, port=args.port or config.port)
    project = None if args.project is None else read_project(args.project)
    if project is not None:
        project.fill(os.environ)
    uvloop.run(_serve(config, project))
    return 0


async def _serve(config: Config, project: Project | None) -> None:
    async with serving(config, project) as (server, _):
        await server.serve()


@asynccontextmanager
async def serving(
    config: Config, project: Project | None = None
) -> AsyncGenerator[tuple[LeavingServer, Hub]]:
    """A server that is ready to `serve()`, and its hub, open for the time of the context. Of a project it
    takes what is said about servers; its agents are the workers'."""
    http = Http() if project is None else project.http
    own = load(project)
    async with open_hub(config, project) as hub:
        mounted = without(
            surfaces(
                hub,
                config,
                await _state_key(config),
                http.passed_on,
                card_keys=await _card_keys(config),
            ),
            http.without,
        )
        app = create_app(mounted, config.allowed_origins, cors=http.cors, own=own)
        server = LeavingServer(
            uvicorn.Config(
                Cut(app if own is None else Beside(app, own)),
                host=config.host,
                port=config.port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                timeout_keep_alive=75,
                server_header=False,
            )
        )
        collect_seldom()
        yield server, hub


async def _state_key(config: Config) -> bytes:
    """The 32 bytes that seal what clients carry for us; the same on every replica."""
    if config.state_key:
        return hashlib.sha256(config.state_key.encode()).digest()
    assert config.database_url is not None
    return await asyncio.wait_for(shared_secret(config.database_url, "state_key"), 10)


async def _card_keys(config: Config) -> list[bytes]:
    """The configured keys that sign agent cards, or the installation's own.

    Raises:
        Invalid: a configured one cannot be read.
    """
    if config.card_keys:
        return [read_key(text) for text in config.card_keys]
    assert config.database_url is not None
    return [await asyncio.wait_for(shared_secret(config.database_url, "card_key"), 10)]
