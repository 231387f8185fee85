"""Programs under test, each in a session of its own, ended by its own process group and no other.

Output goes to a file and not to a pipe: a full pipe would stop the program, and a file can still be
read after it was killed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from inspect import isawaitable
from pathlib import Path
from random import SystemRandom

import httpx

Ready = re.Pattern[str] | str | Callable[[], bool | Awaitable[bool]]
_PORTS = range(20_000, 32_000)
"""Below those that the system gives to whoever binds port 0, and to every connection."""
_ours: set[int] = set()


@dataclass(frozen=True, slots=True)
class Process:
    """A running program."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    def output(self) -> str:
        """All that it has printed so far, both streams."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, how: signal.Signals) -> None:
        """Signal the program alone, as an operator would."""
        self.popen.send_signal(how)

    def kill(self) -> None:
        """SIGKILL the program and everything in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def wait(self, *, within: float = 60.0) -> int:
        """Its exit status.

        Raises:
            TimeoutError: it still runs after so many seconds.
        """
        deadline = time.monotonic() + within
        while (status := self.popen.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"still runs after {within:g} s")
            await asyncio.sleep(0.01)
        return status


@asynccontextmanager
async def process(
    argv: Sequence[str | Path],
    *,
    ready: Ready | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    within: float = 180.0,
    stop_within: float = 15.0,
) -> AsyncGenerator[Process]:
    """Run a program until the end of the block.

    `ready` is a pattern to find in its output, a URL that must answer below 500, or a condition.
    `env` is added to the environment.

    Raises:
        AssertionError: it ended, or was not ready within so many seconds; has its output.
    """
    descriptor, name = tempfile.mkstemp(prefix="process-", suffix=".log")
    with os.fdopen(descriptor, "wb") as output:
        popen = subprocess.Popen(  # noqa: ASYNC220  # asyncio's own reaps it, hiding its pid
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    running = Process(popen, Path(name))
    try:
        await _until_ready(running, ready, within)
        yield running
    finally:
        await _end(running, stop_within)
        running.log.unlink()


async def output_of(
    *argv: str | Path, cwd: Path, env: Mapping[str, str], within: float, errors: bool = True
) -> str:
    """What a program prints, its errors included where they are wanted; it must end with status 0 within so
    many seconds. For programs that print little."""
    running = await asyncio.create_subprocess_exec(
        *map(str, argv),
        cwd=cwd,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT if errors else asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within):
            told, wrong = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, told.decode() + (wrong or b"").decode()
    return told.decode()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that is this process's alone until it ends.

    Between here and the program that listens there, others start programs too, and the system gives away
    ports to all who ask for any.
    """
    start = SystemRandom().randrange(len(_PORTS))
    for port in (*_PORTS[start:], *_PORTS[:start]):
        if port not in _ours and _claimed(port):
            _ours.add(port)
            return port
    raise AssertionError("no port is free")


def _claimed(port: int) -> bool:
    try:
        # one byte for each port; a lock of this kind ends with its process, and costs no descriptor
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@cache
def _claims() -> int:
    """The file, never closed, whose bytes the processes of this user's tests lock."""
    name = Path(tempfile.gettempdir()) / f"agenthub-test-ports-{os.getuid()}"
    return os.open(name, os.O_RDWR | os.O_CREAT, 0o600)


async def _until_ready(running: Process, ready: Ready | None, within: float) -> None:
    deadline = time.monotonic() + within
    while ready is not None and not await _is_ready(running, ready):
        assert running.alive, f"ended with {running.popen.returncode}:\n{running.output()}"
        assert time.monotonic() < deadline, f"not ready in {within:g} s:\n{running.output()}"
        await asyncio.sleep(0.01)


async def _is_ready(running: Process, ready: Ready) -> bool:
    if isinstance(ready, re.Pattern):
        return ready.search(running.output()) is not None
    if isinstance(ready, str):
        # No proxies from the environment: the address is on this machine.
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            with suppress(httpx.TransportError):
                return (await client.get(ready)).status_code < 500
            return False
    result = ready()
    return await result if isawaitable(result) else result


async def _end(running: Process, within: float) -> None:
    if running.alive:
        running.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await running.wait(within=within)
    # Children that outlived it, or the program itself if it did not stop.
    running.kill()
    await running.wait(within=10)
