"""A hub of real processes over servers that may be broken, and what is seen of it from outside."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from faults import invariants
from testkit.hub import FIXTURES
from testkit.processes import Process, free_port, process
from testkit.servers import DurableServers
from testkit.waiting import PATIENCE_SECONDS, eventually

AGENTS = FIXTURES / "fault_agents.py"
REAPED_SOON = {"AGENTHUB_REAP_SECONDS": "0.4"}
"""Where workers die and their leases lapse."""
TIGHT = {
    "AGENTHUB_LEASE_SECONDS": "6",
    "AGENTHUB_RENEW_SECONDS": "1.5",
    "AGENTHUB_LEASE_MARGIN_SECONDS": "1.5",
    **REAPED_SOON,
}
"""Where leases end by themselves: soon, and still a machine that stalls takes nobody's run away."""
RARE_POLL_SECONDS = 10.0
RARE_POLLS = {
    "AGENTHUB_POLL_SECONDS": str(RARE_POLL_SECONDS),
    "AGENTHUB_STREAM_POLL_SECONDS": str(RARE_POLL_SECONDS),
}
"""Who waits for such a poll stands out on any machine, however busy."""
# `env` and not the environment of `process`: what a test run is told is no setting of the hub
HUB = ("/usr/bin/env", "-u", "AGENTHUB_TEST_PG_BIN", sys.executable, "-m", "agenthub_server")


@dataclass(frozen=True, slots=True)
class Server:
    """A replica."""

    process: Process
    url: str


@dataclass(frozen=True, slots=True)
class Journal:
    """What the steps of a run wrote down; the gates that it stops at."""

    path: Path

    @property
    def lines(self) -> list[tuple[int, int, int]]:
        """(step, process id, attempt) of each execution, in order."""
        if not self.path.exists():
            return []
        rows = [line.split() for line in self.path.read_text("ascii").splitlines()]
        return [(int(step), int(pid), int(attempt)) for step, pid, attempt in rows]

    def executions(self) -> Counter[int]:
        """How often each step began."""
        return Counter(step for step, _, _ in self.lines)

    def order(self, *gates: int) -> dict[str, Any]:
        """The agent's input: go through all steps, and wait at these."""
        return {"journal": str(self.path), "gates": {str(g): str(self._gate(g)) for g in gates}}

    def open(self, gate: int) -> None:
        """Let the run go on."""
        self._gate(gate).touch()

    async def reached(
        self, step: int, *, attempt: int = 1, within: float = PATIENCE_SECONDS
    ) -> int:
        """Wait until a step began; returns the process that executes it."""

        def began() -> int | None:
            return next((p for s, p, a in self.lines if s == step and a == attempt), None)

        return await eventually(began, within=within)

    def _gate(self, step: int) -> Path:
        return self.path.with_suffix(f".gate-{step}")


@dataclass(slots=True)
class Cluster:
    """Replicas and workers over one database. What it starts ends with it."""

    on: DurableServers
    folder: Path
    stack: AsyncExitStack
    redis: bool = True
    settings: dict[str, str] = field(default_factory=dict[str, str])
    servers: list[Server] = field(default_factory=list[Server])
    workers: list[Process] = field(default_factory=list[Process])

    @property
    def url(self) -> str:
        """The first replica's address."""
        return self.servers[0].url

    async def start(self, *, servers: int = 1, workers: int = 2, **env: str) -> None:
        """Start processes, and wait until the servers know the agents."""
        began = [self.server(**env) for _ in range(servers)]
        await asyncio.gather(*began, *(self.worker(**env) for _ in range(workers)))
        if workers:
            for server in self.servers:
                await knows(server.url, "ten_steps")

    async def server(self, **env: str) -> Server:
        """Another replica."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        argv = [*HUB, "serve", "--port", str(port)]
        started = await self.stack.enter_async_context(
            process(argv, ready=f"{url}/ok", env=self.environment(**env))
        )
        self.servers.append(Server(started, url))
        return self.servers[-1]

    async def worker(self, **env: str) -> Process:
        """Another worker."""
        started = await self.stack.enter_async_context(
            process(
                [*HUB, "work", AGENTS],
                ready=re.compile("serves .*ten_steps"),
                env=self.environment(**env),
            )
        )
        self.workers.append(started)
        return started

    def worker_of(self, pid: int) -> Process:
        """The worker with this process id."""
        return next(w for w in self.workers if w.pid == pid)

    async def lapse(self, worker: Process) -> None:
        """Wait for a worker's end, and let the time pass that its leases last."""
        await worker.wait()
        await self.rows(
            """update runs set lease_expires_at = now()
                where status = 'running' and worker_id like $1""",
            f"%-{worker.pid}-%",
        )

    def environment(self, **env: str) -> dict[str, str]:
        """What a process of this hub is told."""
        redis = self.on.redis_url if self.redis else ""
        urls = {"DATABASE_URL": self.on.database_url, "REDIS_URL": redis}
        return {**compiled(), **urls, **self.settings, **env}

    def journal(self, name: str = "run") -> Journal:
        """A new journal."""
        return Journal(self.folder / f"{name}.journal")

    # --- the database, as it stands -------------------------------------------------------------

    async def rows(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """The rows of a query."""
        connection = await asyncpg.connect(self.on.database_url)
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    async def value(self, sql: str, *args: object) -> Any:
        """The one value of a query."""
        return (await self.rows(sql, *args))[0][0]

    async def log(self, run_id: object) -> list[asyncpg.Record]:
        """A run's events."""
        return await self.rows(
            "select seq, kind, epoch, at from events where run_id = $1 order by seq",
            UUID(str(run_id)),
        )

    async def run(self, run_id: object) -> asyncpg.Record:
        """A run's row."""
        return (await self.rows("select * from runs where run_id = $1", UUID(str(run_id))))[0]

    async def recovered(self, run_id: object, *, attempt: int = 2) -> float:
        """Wait until another attempt began; returns when, by the database's clock."""

        async def at() -> float | None:
            found = await self.rows(
                "select at from events where run_id = $1 and kind = 'started' and epoch = $2",
                UUID(str(run_id)),
                attempt,
            )
            return found[0]["at"].timestamp() if found else None

        return await eventually(at)

    async def holds(self, *, within: float = PATIENCE_SECONDS) -> None:
        """Assert that everything has ended and that every invariant holds."""
        connection = await asyncpg.connect(self.on.database_url)
        try:
            await eventually(
                lambda: connection.fetchval(
                    "select count(*) = 0 from runs where status in ('pending', 'running')"
                ),
                within=within,
            )
            broken = await invariants.broken(connection)
            assert broken == {}, broken
        finally:
            await connection.close()


def compiled() -> dict[str, str]:
    """Variables that spare each process the compilation of all that it imports."""
    cache = Path(tempfile.gettempdir()) / "agenthub-test-bytecode"
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache)}


async def knows(url: str, agent: str, *, within: float = PATIENCE_SECONDS) -> None:
    """Wait until a server can start an agent."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:

        async def listed() -> bool:
            return agent in (await client.get("/info")).json()["agents"]

        await eventually(listed, within=within)


@asynccontextmanager
async def cluster(on: DurableServers, folder: Path) -> AsyncGenerator[Cluster]:
    """A hub with nothing running yet, whose history is kept."""
    await invariants.watch(on.database_url)
    async with AsyncExitStack() as stack:
        yield Cluster(on, folder, stack)


def ids(seen: Sequence[Any]) -> list[int]:
    """The ids of what a REST stream gave."""
    return [int(part.id) for part in seen if part.id is not None]
