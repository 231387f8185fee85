"""The tail on Redis pub/sub: committed slices reach every process that follows their task.

One connection per process, whatever the number of followers. Pub/sub promises nothing, and nothing is
needed: a reader accepts a slice only where it stands and otherwise reads the log, so a restart, a
`FLUSHALL` or a lost message costs time and never an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from agenthub.background import in_background
from agenthub.events import Event, pack, unpack
from agenthub.fanout import Fanout, Follower
from agenthub.ports import Following
from agenthub_redis.outgoing import Outgoing

log = logging.getLogger(__name__)

SUBSCRIBE_SECONDS = 0.5
RECONNECT_SECONDS = 0.5
UNSUBSCRIBE_SECONDS = 0.1
"""How long a channel that nobody follows any more waits for others to be given up with it: a short run
would pay for it while its client waits."""
LARGEST_SLICE = 1 << 20
"""Bytes; a larger slice is announced instead of carried, so that Redis' buffers stay small."""


class RedisTail:
    """`agenthub.ports.Tail`; `run` must be running."""

    def __init__(
        self, client: Redis, outgoing: Outgoing, *, prefix: str, refresh_seconds: float
    ) -> None:
        # redis-py's types are partial
        self.client: Any = client
        self.outgoing = outgoing
        self.task_prefix = f"{prefix}task:".encode()
        self.topic_prefix = f"{prefix}topic:".encode()
        self.refresh_seconds = refresh_seconds
        self._fanout = Fanout()
        self._pubsub: Any = self.client.pubsub()
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._wanted: set[bytes] = set()
        self._unwanted: set[bytes] = set()
        self._giving_up = False
        self._changed = asyncio.Event()
        self._down = False
        # of two tasks that connect at once, each would get a connection, and one of them be forgotten
        # with what was subscribed on it
        self._connected = asyncio.Event()

    def _channel(self, task_id: UUID) -> bytes:
        return self.task_prefix + task_id.bytes

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        packed = pack(events) if events else b""
        self._publish(self._channel(task_id), packed if len(packed) <= LARGEST_SLICE else b"")

    def announce(self, topic: str) -> None:
        self._publish(self.topic_prefix + topic.encode(), b"")

    def _publish(self, channel: bytes, packed: bytes) -> None:
        def send(pipeline: Any) -> None:
            pipeline.publish(channel, packed)

        self.outgoing.put(send)

    def broadcasts(self, topic: str) -> AsyncIterator[None]:
        return self._fanout.broadcasts(topic, every=self.refresh_seconds)

    def prepare(self, task_id: UUID) -> None:
        if self._fanout.prepare(task_id, self._forget):
            self._subscribe(self._channel(task_id))

    def _forget(self, task_id: UUID, follower: Follower) -> None:
        if self._fanout.remove(task_id, follower):
            self._unsubscribe(self._channel(task_id))

    @asynccontextmanager
    async def follow(self, task_id: UUID) -> AsyncGenerator[Following]:
        channel = self._channel(task_id)
        follower, first = self._fanout.add(task_id)
        try:
            if first:
                self._subscribe(channel)
            confirmed = self._confirmed.get(channel)
            if not follower.prepared and confirmed is not None and not self._down:
                # without the confirmation the follower's poll finds what it misses
                await asyncio.wait([confirmed], timeout=SUBSCRIBE_SECONDS)
            yield follower
        finally:
            self._forget(task_id, follower)

    def _subscribe(self, channel: bytes) -> None:
        self._confirmed[channel] = asyncio.get_running_loop().create_future()
        self._wanted.add(channel)
        self._unwanted.discard(channel)
        self._changed.set()

    def _unsubscribe(self, channel: bytes) -> None:
        self._confirmed.pop(channel, None)
        self._wanted.discard(channel)
        if not self._unwanted:
            asyncio.get_running_loop().call_later(UNSUBSCRIBE_SECONDS, self._give_up)
        self._unwanted.add(channel)

    def _give_up(self) -> None:
        self._giving_up = True
        self._changed.set()

    async def _subscriptions(self) -> None:
        """Send what changed, in one command for many followers. What is lost with the connection is
        made good when `_receive` connects again."""
        while True:
            await self._connected.wait()
            await self._changed.wait()
            if not self._connected.is_set():
                continue
            self._changed.clear()
            wanted, self._wanted = self._wanted, set()
            unwanted = set[bytes]()
            if self._giving_up:
                self._giving_up = False
                unwanted, self._unwanted = self._unwanted, set()
            try:
                if wanted:
                    await self._pubsub.subscribe(*wanted)
                if unwanted:
                    await self._pubsub.unsubscribe(*unwanted)
            except (RedisError, OSError) as lost:
                log.debug("subscriptions wait for the next connection: %s", lost)

    async def run(self) -> None:
        """Receive, for ever."""
        async with in_background(self._receive, self._subscriptions):
            await asyncio.Event().wait()

    async def _receive(self) -> None:
        while True:
            try:
                await self._pubsub.psubscribe(self.topic_prefix + b"*")
                channels = [self._channel(task_id) for task_id in self._fanout.tasks]
                if channels:
                    await self._pubsub.subscribe(*channels)
                self._fanout.look_everywhere()
                self._down = False
                self._connected.set()
                while True:
                    message = await self._pubsub.get_message(timeout=None)
                    if message is not None:
                        self._received(message)
            except (RedisError, OSError) as broken:
                if not self._down:
                    log.warning("Redis is not reachable (%s); streams fall back to polling", broken)
                self._down = True
                self._connected.clear()
                self._fanout.look_everywhere()
                await self._pubsub.aclose()
                self._pubsub = self.client.pubsub()
                await asyncio.sleep(RECONNECT_SECONDS)

    def _received(self, message: dict[str, Any]) -> None:
        kind, channel = message["type"], message["channel"]
        if kind == "subscribe":
            confirmed = self._confirmed.get(channel)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)
        elif kind == "pmessage":
            self._fanout.announce(channel[len(self.topic_prefix) :].decode())
        elif kind == "message":
            task_id = UUID(bytes=channel[len(self.task_prefix) :])
            self._fanout.deliver(task_id, unpack(message["data"]) if message["data"] else ())
