"""A process that owns embedded servers, and what is seen of it from outside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from agenthub_server.embedded import Servers
from testkit.processes import Process, process
from testkit.servers import suite_environment

OWNER = """
import json, sys, threading
from dataclasses import asdict
from pathlib import Path
from agenthub_server.embedded import embedded
with embedded(Path(sys.argv[1]), durable=False) as servers:
    print("ready", json.dumps(asdict(servers)), flush=True)
    threading.Event().wait()
"""


@asynccontextmanager
async def owner(root: Path, **env: str) -> AsyncGenerator[tuple[Process, Servers]]:
    """A process that holds the servers of `root` until it is ended."""
    argv = [sys.executable, "-c", OWNER, root]
    async with process(
        argv, ready=re.compile(r"ready .*\n"), env={**suite_environment(), **env}
    ) as one:
        told = re.search(r"ready (.*)", one.output())
        assert told is not None
        yield one, Servers(**json.loads(told[1]))


def copy_tree(made: Path, root: Path) -> Path:
    """Copy with owners, which `shutil` would lose."""
    root.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", made, root], check=True)
    return root


def server_pids(root: Path) -> list[int]:
    lines = (root / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
    return [int(lines[0]), int((root / "valkey" / "valkey.pid").read_text())]


def processes() -> dict[int, int]:
    """The parent of every process that lives; one that only waits to be reaped does not."""
    if Path("/proc/self/stat").exists():
        lines: list[str] = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                before, _, after = file.read_text(errors="replace").rpartition(")")
                lines.append(f"{before.split()[0]} {after}")
    else:
        argv = ["ps", "-A", "-o", "pid=,stat=,ppid="]
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split()[:3] for line in lines]
    return {int(pid): int(parent) for pid, state, parent in rows if not state.startswith("Z")}


def running(pids: list[int]) -> set[int]:
    return set(pids) & processes().keys()


async def sql(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
