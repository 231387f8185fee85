"""A private Postgres in one folder.

`data/` is the cluster, made aside and renamed, so that it is either absent or complete.
`binaries-…/` is a copy of the executables, kept only where the account cannot read the originals.
The caller owns the folder: two instances over one home are kept apart by `servers.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from agenthub_server.embedded import sockets
from agenthub_server.embedded.account import (
    Account,
    credentials,
    private_folder,
    runnable,
    service_account,
    switching,
)
from agenthub_server.embedded.binaries import OLDEST_POSTGRES, postgres_binaries
from agenthub_server.embedded.child import Child, end_orphan
from agenthub_server.embedded.errors import EmbeddedError

DATABASE: Final = "agenthub"

DURABLE: Final[Mapping[str, str]] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # No replica will ever follow this server, so the log needs no more than recovery does.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# For data that nobody misses after a crash of the machine: tests, and nothing else.
DISPOSABLE: Final[Mapping[str, str]] = {
    **DURABLE,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
}

StopMode = Literal["smart", "fast", "immediate"]

_SIGNALS: Final[Mapping[StopMode, signal.Signals]] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}

# After `kill -9` of the server its backends need a moment to notice, and an orphan to shut down.
_STILL_IN_USE = re.compile(r"shared memory block .* still in use|lock file .* already exists")


class Postgres:
    """Start, stop and kill one cluster; `start` after any of them continues it."""

    def __init__(
        self,
        home: Path,
        *,
        settings: Mapping[str, str] = DURABLE,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings
        self.version = ""
        self.account: Account | None = service_account(environ, home)
        self._asked_home = home.absolute()
        self.home = self._asked_home  # the real one from `start` on
        self._bindir = postgres_binaries(environ)
        self._environ = {**environ, "LC_ALL": "C", "PGTZ": "UTC"}
        self._socket_folder: Path | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._child is not None, "Postgres has not been started"
        return self._child.pid

    @property
    def socket(self) -> Path:
        """The Unix socket of the running server."""
        assert self._socket_folder is not None, "Postgres has not been started"
        return self._socket_folder / ".s.PGSQL.5432"

    def url(self, database: str = DATABASE) -> str:
        """The address of a database, as libpq and asyncpg take it."""
        # The port is spelled out because drivers would otherwise read PGPORT.
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket.parent))}&port=5432"

    def alive(self) -> bool:
        """Whether the server runs."""
        return self._child is not None and self._child.alive()

    def start(self, *, within: float = 60.0) -> None:
        """Make the cluster if it is not there, and return once it accepts connections.

        Raises:
            EmbeddedError: it cannot run here, with the end of its log.
        """
        assert not self.alive(), "Postgres runs already"
        deadline = time.monotonic() + within
        self.home = private_folder(self._asked_home, self.account)
        self._bindir = runnable(self._bindir, self.account, self.home)
        self._check_version()
        if not (self.home / "data" / "PG_VERSION").exists():
            self._create()
        self._end_orphan()
        self._socket_folder = sockets.socket_folder(self.home, self.account)
        while True:
            self._child = self._spawn()
            if self._wait_until_ready(self._child, deadline):
                return
            ending = self._child.output()[-1000:]
            if time.monotonic() > deadline or not _STILL_IN_USE.search(ending):
                raise EmbeddedError(f"Postgres did not start:\n{ending.strip()}")
            time.sleep(0.05)

    def stop(self, mode: StopMode = "fast", *, within: float = 30.0) -> None:
        """Shut down; does nothing when it does not run."""
        self._end(_SIGNALS[mode], within)
        sockets.release(self.home)

    def kill(self) -> None:
        """SIGKILL the server, as a fault does."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, how: signal.Signals, within: float) -> None:
        child, self._child = self._child, None
        if child is not None and child.alive():
            child.end(how, within=within)

    def _check_version(self) -> None:
        told = subprocess.run(  # noqa: S603  # our own words, no shell
            [str(self._bindir / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.search(r"\d+(\.\d+)?", told.stdout)
        if told.returncode != 0 or found is None:
            raise EmbeddedError(f"{str(self._bindir)!r} has no working Postgres: {told.stderr}")
        self.version = found[0]
        major = int(self.version.partition(".")[0])
        if major < OLDEST_POSTGRES:
            raise EmbeddedError(
                f"{str(self._bindir)!r} has Postgres {self.version}; "
                f"the hub needs {OLDEST_POSTGRES} or newer."
            )
        with suppress(FileNotFoundError):
            made_by = (self.home / "data" / "PG_VERSION").read_text(encoding="ascii").strip()
            if made_by != str(major):
                raise EmbeddedError(
                    f"{str(self.home)!r} was made by Postgres {made_by}, and this is {major}. "
                    f"Point AGENTHUB_PG_BIN at a Postgres {made_by}, or remove the folder."
                )

    def _create(self) -> None:
        for unfinished in self.home.glob("data.*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        # A name of its own each time: an interrupted initdb may live on for a moment.
        folder = Path(tempfile.mkdtemp(prefix="data.", dir=self.home))
        if self.account is not None:
            os.chown(folder, self.account.uid, self.account.gid)
        initdb, at = str(self._bindir / "initdb"), ["-D", str(folder)]
        self._tool(
            # Locale C, so that text sorts the same wherever the folder was made.
            [initdb, *at, "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync"]
        )
        # Without a server: a cluster that exists has its database.
        single = [str(self._bindir / "postgres"), "--single", *at, "-c", "fsync=off"]
        self._tool([*single, "-c", "exit_on_error=on", "postgres"], f"create database {DATABASE}\n")
        if self.settings.get("fsync") != "off":
            self._tool([initdb, *at, "--sync-only"])
        folder.rename(self.home / "data")

    def _tool(self, argv: list[str], text: str = "") -> None:
        with switching(self.account):
            done = subprocess.run(  # noqa: S603  # our own words, no shell
                argv,
                input=text,
                capture_output=True,
                text=True,
                cwd="/",
                env=self._environ,
                check=False,
                **credentials(self.account),
            )
        if done.returncode != 0:
            name = Path(argv[0]).name
            raise EmbeddedError(f"`{name}` failed:\n{(done.stdout + done.stderr)[-1000:].strip()}")

    def _spawn(self) -> Child:
        data = str(self.home / "data")
        options = {
            **self.settings,
            "unix_socket_directories": str(self._socket_folder),
            "port": "5432",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Child(
            [str(self._bindir / "postgres"), "-D", data, *flags],
            log=self.home / "postgres.log",
            signals=(signal.SIGINT, signal.SIGQUIT),
            account=self.account,
            environ=self._environ,
        )

    def _wait_until_ready(self, child: Child, deadline: float) -> bool:
        while child.alive():
            status = self._pid_file()
            if len(status) > 7 and status[0] == str(child.pid) and status[7].strip() == "ready":
                return True
            if time.monotonic() > deadline:
                child.end(signal.SIGQUIT, within=5)
                return False
            time.sleep(0.005)
        return False

    def _pid_file(self) -> list[str]:
        with suppress(OSError):
            return (self.home / "data" / "postmaster.pid").read_text(errors="replace").splitlines()
        return []

    def _end_orphan(self) -> None:
        # Nobody else owns the folder, so a server in it lost both its owner and its watchdog.
        status = self._pid_file()
        if status and status[0].isdigit():
            end_orphan(int(status[0]), str(self.home / "data"), signal.SIGINT)
