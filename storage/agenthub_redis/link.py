"""One connection to Redis that is held by whoever uses it.

redis-py's client takes a connection from its pool for every command, looks whether it is still good, and
wraps what it does into retries and measurements: three quarters of the processor time of a ring. Wake-ups
need none of that. They may be lost, and whoever sends or awaits them connects again when he has to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError

SILENT_SECONDS = 1.0
"""A server that is this late does not answer at all."""
BROKEN = (RedisError, OSError, TimeoutError)
"""What a link raises when it could not do what it was asked for."""

Command: TypeAlias = Sequence[bytes | str | int | float]


class Link:
    """A connection, open or not. It sends and receives at the same time, but each for one caller."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        # redis-py's types are partial
        self._connection: Any = make()

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._connection.is_connected

    async def open(self) -> None:
        """Connect, unless it is connected.

        Raises:
            RedisError, OSError, TimeoutError: there is nobody, or nobody who answers.
        """
        if self.is_open:
            return
        connection = self._make()
        # a task of its own: redis-py turns a cancellation that meets its greeting into an error
        greeting = asyncio.ensure_future(connection.connect())
        greeting.add_done_callback(_heed)
        try:
            await asyncio.wait([greeting], timeout=SILENT_SECONDS)
            if not greeting.done():
                raise TimeoutError("the server does not answer")
            greeting.result()
            self._connection = connection
        finally:
            greeting.cancel()
            if self._connection is not connection:
                await connection.disconnect(nowait=True)

    async def send(self, commands: Sequence[Command]) -> None:
        """Write commands out together.

        Raises:
            RedisError, OSError: it is not open, or broke.
        """
        if not self.is_open:
            raise Disconnected("not connected")
        packed = self._connection.pack_commands(commands)
        await self._connection.send_packed_command(packed, check_health=False)

    async def receive(self) -> Any:
        """The next reply, or message of a channel; whoever is cancelled meanwhile closes the link.

        Raises:
            ResponseError: the reply is an error; the link goes on.
            RedisError, OSError: the link broke.
        """
        return await self._connection.read_response()

    async def close(self) -> None:
        """Disconnect; it may be opened again."""
        await self._connection.disconnect(nowait=True)


def links(url: str) -> Callable[[], Link]:
    """Makes links to one server, each closed at first."""
    pool: Any = ConnectionPool
    made = pool.from_url(
        url,
        # 3 has nothing for us
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=SILENT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return lambda: Link(made.make_connection)


def _heed(greeting: asyncio.Future[None]) -> None:
    """Look at how it ended, so that nobody is told that nobody did."""
    if not greeting.cancelled():
        greeting.exception()
