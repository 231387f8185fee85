"""Private Postgres and Valkey for the tests: where they live, what is in them.

Nothing is assumed to run on the machine, and nothing is left on it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from agenthub_server.embedded import DISPOSABLE, Postgres, Valkey

_ENOUGH_BYTES = 512 << 20
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class DurableServers:
    """Own servers on disk, durable as in production, for tests that break them."""

    postgres: Postgres
    valkey: Valkey

    @property
    def database_url(self) -> str:
        """The migrated database `agenthub`."""
        return self.postgres.url()

    @property
    def redis_url(self) -> str:
        """Database 0."""
        return self.valkey.url()


def suite_environment() -> dict[str, str]:
    """The environment, with AGENTHUB_TEST_PG_BIN deciding which Postgres the tests use."""
    chosen = os.environ.get("AGENTHUB_TEST_PG_BIN")
    return {**os.environ, **({"AGENTHUB_PG_BIN": chosen} if chosen else {})}


@contextmanager
def scratch_folder(*, in_memory: bool) -> Generator[Path]:
    """A folder for servers, in memory where there is room; removed at the end.

    Docker gives /dev/shm 64 MB by default, which is not enough for a Postgres.
    """
    base = Path(tempfile.gettempdir())
    if in_memory and _free_bytes(_MEMORY) > _ENOUGH_BYTES:
        base = _MEMORY
    _remove_stale(base)
    folder = Path(tempfile.mkdtemp(prefix="agenthub-test-", dir=base))
    # Root's Postgres runs as another account, which passes through.
    folder.chmod(0o711)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def migrate(dsn: str) -> None:
    """Bring a database to the current schema, and let plain connections of tests find it."""
    from agenthub_postgres.migrate import migrate as apply

    await apply(dsn)
    connection = await asyncpg.connect(dsn)
    # the hub's own connections say so themselves; a test that looks into a table need not
    await connection.execute("alter role postgres set search_path = agenthub, public")
    await connection.close()


async def make_seed(home: Path) -> None:
    """Make a cluster with a migrated `agenthub`, stopped, to be copied by `from_seed`."""
    postgres = Postgres(home, settings=DISPOSABLE, environ=suite_environment())
    postgres.start()
    try:
        await migrate(postgres.url())
    finally:
        postgres.stop()


def from_seed(seed: Path, folder: Path) -> DurableServers:
    """Start durable servers in `folder`; copying a cluster is ten times faster than `initdb`."""
    home = folder / "postgres"
    # `cp -a` and not `shutil`: the files keep the account that Postgres runs with.
    subprocess.run(["cp", "-a", str(seed), str(home)], check=True)
    servers = DurableServers(
        Postgres(home, environ=suite_environment()), Valkey(folder / "valkey", durable=True)
    )
    servers.postgres.start()
    servers.valkey.start()
    return servers


def _free_bytes(folder: Path) -> int:
    with suppress(OSError):
        status = os.statvfs(folder)
        return status.f_bavail * status.f_frsize
    return 0


def _remove_stale(base: Path) -> None:
    """Remove what killed test runs left: their locks are free."""
    for folder in base.glob("agenthub-test-*"):
        with suppress(OSError), (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
