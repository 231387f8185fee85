"""Worker processes of `agenthub dev`: started, watched, restarted."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from watchfiles import (
    DefaultFilter,
    awatch,  # pyright: ignore[reportUnknownVariableType]  # its stop event is any of three
)

from agenthub.errors import HubError
from agenthub_server.environments import NotBuilt

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.5
LAST_BACKOFF_SECONDS = 15.0
STOP_SECONDS = 30.0
RESTART_SECONDS = 10.0
"""How long a worker that is replaced may take to drain."""
READY = b"worker "
"""How the line begins that a worker prints when its agents are published."""
STEADY_SECONDS = 10.0
"""A worker that lived this long starts with the first backoff again."""


class Sources(DefaultFilter):
    """What a reload looks at: code and configuration, not our own folder."""

    def __init__(self) -> None:
        super().__init__(ignore_dirs=[*DefaultFilter.ignore_dirs, ".agenthub"])

    def __call__(self, change: object, path: str) -> bool:
        return path.endswith((".py", ".toml", ".json", ".env")) and super().__call__(change, path)  # pyright: ignore[reportArgumentType]


class WorkerProcess:
    """One environment's worker. `run` keeps it alive; `restart` replaces it. `python` finds or makes its
    interpreter; when it cannot, `unavailable` is told why, and a change of the project is waited for."""

    def __init__(
        self,
        project: Path,
        environment: str,
        variables: Mapping[str, str],
        *,
        python: Callable[[], Awaitable[Path]],
        unavailable: Callable[[str], Awaitable[None]],
    ) -> None:
        self.project = project
        self.environment = environment
        self.variables = variables
        self.python = python
        self.unavailable = unavailable
        self.settled = asyncio.Event()
        """It has published its agents, or that will take a while, or never happen."""
        self._process: asyncio.subprocess.Process | None = None
        self._forwarding: asyncio.Task[None] | None = None
        self._replaced = asyncio.Event()

    async def run(self) -> None:
        """Start it, and again whenever it ends."""
        backoff = FIRST_BACKOFF_SECONDS
        clock = asyncio.get_running_loop().time
        try:
            while True:
                self._replaced.clear()
                try:
                    python = await self.python()
                except (NotBuilt, HubError) as failed:
                    await self.unavailable(str(failed))
                    self.settled.set()
                    await self._replaced.wait()
                    continue
                started = clock()
                self._process = await self._start(python)
                # apart: what the worker has started may hold its output open after it
                self._forwarding = asyncio.create_task(self._forward(self._process))
                code = await self._process.wait()
                if self._replaced.is_set():
                    backoff = FIRST_BACKOFF_SECONDS
                    continue
                if clock() - started > STEADY_SECONDS:
                    backoff = FIRST_BACKOFF_SECONDS
                log.warning(
                    "the worker of environment %r ended with code %s; starting it again in %.1f s",
                    self.environment,
                    code,
                    backoff,
                )
                # new code may be the cure: it is tried at once
                with suppress(TimeoutError):
                    async with asyncio.timeout(backoff):
                        await self._replaced.wait()
                backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)
        finally:
            await self._stop()
            if self._forwarding is not None:
                self._forwarding.cancel()

    def say(self, line: str) -> None:
        """Tell the person that waits."""
        print(line, flush=True)  # noqa: T201
        self.settled.set()

    async def _start(self, python: Path) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(python),
            "-m",
            "agenthub_server",
            "work",
            str(self.project),
            "--environment",
            self.environment,
            "--stop-with-stdin",
            # our end of the pipe closes however we end, and the worker with it
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self.variables},
            # Ctrl-C reaches us alone; the worker drains when we say so
            start_new_session=True,
        )

    async def _forward(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what it prints, and notice when it has published its agents."""
        assert process.stdout is not None
        # in pieces, not lines: an agent may print a line of any length
        while piece := await process.stdout.read(65536):
            sys.stdout.write(piece.decode(errors="replace"))
            sys.stdout.flush()
            if piece.startswith(READY) or b"\n" + READY in piece:
                self.settled.set()

    def restart(self) -> None:
        """Replace it by one with the present code."""
        self._replaced.set()
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            # an agent that blocks the event loop would keep the old code for ever
            asyncio.get_running_loop().call_later(RESTART_SECONDS, _kill, process)

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def restart_on_changes(root: Path, workers: list[WorkerProcess]) -> None:
    """Restart the workers when the project's files change."""
    async for changes in awatch(root, watch_filter=Sources(), debounce=300):
        names = sorted({Path(path).name for _, path in changes})
        log.info("%s changed: restarting the workers", ", ".join(names))
        for worker in workers:
            worker.restart()
