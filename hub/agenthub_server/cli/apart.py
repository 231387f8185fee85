"""The workers of a project in development: one for each environment, which is made first where it is new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agenthub.agents import slug
from agenthub.ports import Tail
from agenthub.project import Project, read_project
from agenthub_langgraph.discovery import Discovered
from agenthub_postgres.database import open_database
from agenthub_server.cli.workers import WorkerProcess
from agenthub_server.environments import interpreter
from agenthub_server.wiring import publish

FOLDER = "envs"


def workers_of(
    project: Project, target: Path, data: Path, variables: Mapping[str, str], tail: Tail
) -> list[WorkerProcess]:
    """The workers, not yet started; `data` is where environments are kept."""
    return [
        _worker(name, project, target, data.resolve() / FOLDER, variables, tail)
        for name in project.environments
    ]


def _worker(
    name: str,
    project: Project,
    target: Path,
    folder: Path,
    variables: Mapping[str, str],
    tail: Tail,
) -> WorkerProcess:
    async def python() -> Path:
        # as it is described now: a restart follows a change of the description
        described = read_project(target).described.get(name)
        return await interpreter(described, folder, worker.say)

    async def unavailable(reason: str) -> None:
        worker.say(f"environment {name} cannot be made: {reason}")
        failures = {
            source.name or slug(Path(source.file).stem): f"environment {name!r}: {reason}"
            for source in project.of(name)
        }
        async with open_database(variables["DATABASE_URL"], least=1, most=1) as db:
            await publish(db, tail, f"dev-{name}", name, Discovered(failures=failures))

    worker = WorkerProcess(target, name, variables, python=python, unavailable=unavailable)
    return worker
