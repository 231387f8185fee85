"""Steps in other processes, from the side of the one that asks for them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agenthub.adapting import Ask, Inbound, Outcome
from agenthub.json import Json
from agenthub_conformance.adapter.recording import Recording
from agenthub_conformance.adapter.scripted import HANG, NOTES, notes

SECONDS = 60.0
"""What a step may take, a framework's import included."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A step that ran in another process: what it told, and how it ended, if it did."""

    io: Recording
    outcome: Outcome | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Processes:
    """Where steps run, each in a process of its own."""

    process: asyncio.subprocess.Process

    async def step(
        self, agent: str, state: Json, inbound: Inbound, *, kill_at_call: int | None = None
    ) -> Elsewhere:
        """Run a step; with `kill_at_call`, SIGKILL it in that call of a model.

        Raises:
            TimeoutError: it took longer than `SECONDS`.
            RuntimeError: there is no process.
        """
        environ = {NOTES: os.environ[NOTES], HANG: str(kill_at_call or "")}
        hung = notes().count("hangs")
        with tempfile.TemporaryDirectory(prefix="agenthub-step-") as folder:
            out = Path(folder) / "out"
            given = {"agent": agent, "state": state, "inbound": asdict(inbound), "out": str(out)}
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({**given, "environ": environ}).encode() + b"\n")
            async with asyncio.timeout(SECONDS):
                pid = int((await self._line("step")).split()[1])
                ended = asyncio.ensure_future(self._line("end"))
                while kill_at_call and notes().count("hangs") == hung and not ended.done():
                    await asyncio.wait([ended], timeout=0.02)
                if kill_at_call and not ended.done():
                    os.kill(pid, signal.SIGKILL)
                await ended
            return _read(out.read_text("utf-8"))

    async def _line(self, begins: str) -> str:
        """The next line of ours; frameworks print, too."""
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            if line.startswith(begins):
                return line
        raise RuntimeError("the process that runs steps has ended: see its errors above")


@asynccontextmanager
async def processes(target: str) -> AsyncGenerator[Processes]:
    """A process that has imported the fixtures, for steps to be forked from."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agenthub_conformance.adapter.child",
        target,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Processes(process)
    finally:
        # a step that still runs goes with it
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _read(written: str) -> Elsewhere:
    io, outcome, error = Recording(), None, None
    for name, said in (json.loads(line) for line in written.splitlines()):
        match name:
            case "outcome":
                fields: dict[str, Any] = {**said, "asks": [Ask(**ask) for ask in said["asks"]]}
                outcome = Outcome(**fields)
            case "error":
                error = said["message"]
            case _:
                io.told.append((name, said))
    return Elsewhere(io, outcome, error)
