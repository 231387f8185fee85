"""Starts a server again that died without being asked to (out of memory, a stray `kill`).

It watches processes only; that a server answers is for its clients to judge. A backend of Postgres
that dies is not its business: Postgres recovers from that itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from agenthub_server.embedded.errors import EmbeddedError

logger = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0


class Server(Protocol):
    """What the keeper needs of a server."""

    def alive(self) -> bool: ...
    def start(self) -> None: ...


class Keeper:
    """Keeps servers alive from `with` to its end; nobody else may touch them meanwhile."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="embedded-servers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving.set()
        # A server that is being started must not be stopped by two hands.
        self._thread.join()

    def _keep(self) -> None:
        pause = _LOOK_EVERY_SECONDS
        while not self._leaving.wait(pause):
            dead = [server for server in self._servers if not server.alive()]
            pause = _LOOK_EVERY_SECONDS
            if dead and not all([_started(server) for server in dead]):  # noqa: C419  # start every one
                pause = _LONGEST_PAUSE_SECONDS


def _started(server: Server) -> bool:
    name = type(server).__name__
    logger.warning("%s died; starting it again", name)
    try:
        server.start()
    except (EmbeddedError, OSError):
        logger.exception("%s did not start again", name)
        return False
    return True
