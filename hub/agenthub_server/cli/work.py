"""`agenthub work`: a worker for the agents of one environment."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import replace

import uvloop

from agenthub.config import Config
from agenthub.project import Project, read_project
from agenthub_langgraph.discovery import discover
from agenthub_server.cli.collecting import collect_seldom
from agenthub_server.cli.signals import stop_on_signals, stop_with_stdin
from agenthub_server.wiring import open_worker

ORPHAN_SECONDS = 8.0
"""How long a worker outlives whoever started it."""


def run(config: Config, args: argparse.Namespace) -> int:
    """Load the agents and work until told to stop."""
    project = read_project(args.project)
    if args.environment:
        config = replace(config, environment=args.environment)
    project.fill(os.environ)
    uvloop.run(work(config, project, with_stdin=args.stop_with_stdin))
    return 0


async def work(config: Config, project: Project, *, with_stdin: bool) -> None:
    """Discover, publish, and execute runs."""
    found = discover(project, config.environment)
    stopping = asyncio.Event()
    stop_on_signals(stopping.set)
    if with_stdin:
        stop_with_stdin(stopping.set, within_seconds=ORPHAN_SECONDS)
    async with open_worker(config, found) as worker:
        collect_seldom()
        print(  # noqa: T201  # whoever started this worker reads it
            f"worker {worker.worker_id} serves {', '.join(sorted(found.graphs)) or 'no agent'}",
            flush=True,
        )
        for name, reason in found.failures.items():
            print(f"agent {name} is not available: {reason}", flush=True)  # noqa: T201
        await worker.run(stopping)
