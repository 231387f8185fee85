"""Making environments with uv: once for each content, kept in `.agenthub/envs`, one process at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, TextIO, TypeAlias

from agenthub.environments import Environment
from agenthub_server.environments.own import with_own

TOLD_LINES: Final = 6
"""So much of what uv said belongs to the reason of a failure."""
LOCK_SECONDS: Final = 0.2

Say: TypeAlias = Callable[[str], None]


class NotBuilt(Exception):
    """An environment that cannot be had, with a sentence for whoever described it."""


async def interpreter(environment: Environment | None, folder: Path, say: Say) -> Path:
    """The interpreter of an environment, which is made first where that is needed. `say` gets a line now
    and then while it is.

    Raises:
        NotBuilt: it cannot be made, or the hub is not in it.
    """
    if environment is None:
        return Path(sys.executable)
    if environment.python is not None:
        if not environment.python.is_file():
            raise NotBuilt(f"its python {environment.python} does not exist")
        await _require_hub(environment.python, "install agenthub into it")
        return environment.python
    lines, own = with_own(environment.requirements)
    home = folder / environment.name
    place = home / _digest(environment, lines, own)
    python = place / "bin" / "python"
    async with _alone(home):
        if not (place / "installed").exists():
            await _make(environment, place, lines, say)
            await _require_hub(python, "its requirements have another agenthub than this one")
            (place / "installed").touch()
        _forget_others(home, place)
    return python


def _digest(environment: Environment, lines: Sequence[str], own: str) -> str:
    """What the environment is made from: with any of it changed, it is another."""
    known = sha256(sys.version.encode())
    for text in (own, *lines):
        known.update(text.encode() + b"\0")
    for file in environment.files():
        known.update(file.read_bytes() + b"\0")
    return known.hexdigest()[:16]


async def _make(environment: Environment, place: Path, lines: Sequence[str], say: Say) -> None:
    uv = _uv()
    say(f"environment {environment.name}: being made, the first time takes a while")
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    listed = place.with_suffix(".txt")
    listed.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    tell = f"environment {environment.name}: "
    await _call([*uv, "venv", "--python", sys.executable, str(place)], lambda _: None)
    install = [*uv, "pip", "install", "--python", str(place / "bin" / "python"), "-r", str(listed)]
    began = asyncio.get_running_loop().time()
    await _call(install, lambda line: say(tell + line))
    say(f"{tell}made in {asyncio.get_running_loop().time() - began:.0f} s")


def _uv() -> list[str]:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise NotBuilt("there is no uv to make it with: `pip install uv`, or give it a `python`")
    # a company's proxy may have a certificate of its own
    return [found, "--system-certs", "--no-progress"]


async def _call(command: Sequence[str], say: Say) -> None:
    """Run a program to its end, cancelled with us."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_plain_environment(),
    )
    told: list[str] = []
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            if text:
                told.append(text)
                # neither the packages one by one nor where they go
                if not text.startswith(("+", "-", "~", "Using ")):
                    say(text)
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        first = next((n for n, text in enumerate(told) if text.startswith("error:")), -TOLD_LINES)
        reason = " ".join(told[first:][:TOLD_LINES])
        raise NotBuilt(reason or f"{Path(command[0]).name} ended with code {code}")


async def _require_hub(python: Path, hint: str) -> None:
    try:
        await _call(
            [str(python), "-c", "import agenthub_server, agenthub_langgraph"], lambda _: None
        )
    except (NotBuilt, OSError) as failed:
        raise NotBuilt(f"{python} cannot run a worker ({failed}): {hint}") from None


def _plain_environment() -> dict[str, str]:
    """Ours without what would make another environment look like this one."""
    gone = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")
    return {name: value for name, value in os.environ.items() if name not in gone}


@asynccontextmanager
async def _alone(home: Path) -> AsyncGenerator[None]:
    """One process at a time makes an environment."""
    with _lock_file(home) as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_SECONDS)
        yield


def _lock_file(home: Path) -> TextIO:
    home.mkdir(parents=True, exist_ok=True)
    return (home / "lock").open("w")


def _forget_others(home: Path, place: Path) -> None:
    """Those of earlier contents, which are large; the latest of them may still be in use."""
    others = [other for other in home.iterdir() if other.is_dir() and other != place]
    for other in sorted(others, key=lambda folder: folder.stat().st_mtime)[:-1]:
        shutil.rmtree(other, ignore_errors=True)
