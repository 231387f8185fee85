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
from uuid import UUID

from agenthub.background import in_background
from agenthub.events import Event, pack, unpack
from agenthub.fanout import Fanout, Follower
from agenthub.ports import Following
from agenthub_redis.link import BROKEN, Link
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
        self, link: Link, outgoing: Outgoing, *, prefix: str, refresh_seconds: float
    ) -> None:
        self.link = link
        self.outgoing = outgoing
        self.task_prefix = f"{prefix}task:".encode()
        self.topic_prefix = f"{prefix}topic:".encode()
        self.refresh_seconds = refresh_seconds
        self._fanout = Fanout()
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._wanted: set[bytes] = set()
        self._unwanted: set[bytes] = set()
        self._giving_up = False
        self._changed = asyncio.Event()
        self._down = False
        # what is asked for before has to wait: it would be subscribed nowhere
        self._connected = asyncio.Event()

    def _channel(self, task_id: UUID) -> bytes:
        return self.task_prefix + task_id.bytes

    def publish(self, task_id: UUID, events: Sequence[Event]) -> None:
        packed = pack(events) if events else b""
        self._publish(self._channel(task_id), packed if len(packed) <= LARGEST_SLICE else b"")

    def announce(self, topic: str) -> None:
        self._publish(self.topic_prefix + topic.encode(), b"")

    def _publish(self, channel: bytes, packed: bytes) -> None:
        self.outgoing.put("PUBLISH", channel, packed)

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
            commands = [
                (name, *channels)
                for name, channels in (("SUBSCRIBE", wanted), ("UNSUBSCRIBE", unwanted))
                if channels
            ]
            try:
                await self.link.send(commands)
            except BROKEN as lost:
                log.debug("subscriptions wait for the next connection: %s", lost)

    async def run(self) -> None:
        """Receive, for ever."""
        async with in_background(self._receive, self._subscriptions):
            await asyncio.Event().wait()

    async def _receive(self) -> None:
        while True:
            try:
                await self.link.open()
                channels = [self._channel(task_id) for task_id in self._fanout.tasks]
                await self.link.send(
                    [
                        ("PSUBSCRIBE", self.topic_prefix + b"*"),
                        *([("SUBSCRIBE", *channels)] if channels else []),
                    ]
                )
                self._fanout.look_everywhere()
                self._down = False
                self._connected.set()
                while True:
                    self._received(await self.link.receive())
            except BROKEN as broken:
                if not self._down:
                    log.warning("Redis is not reachable (%s); streams fall back to polling", broken)
                    # once: what comes until it is there again is found by polls
                    self._fanout.look_everywhere()
                self._down = True
                self._connected.clear()
                # a new connection has no subscription to give up
                self._unwanted.clear()
                await self.link.close()
                await asyncio.sleep(RECONNECT_SECONDS)

    def _received(self, message: Sequence[bytes]) -> None:
        """`[kind, (pattern,) channel, data]` of the Redis protocol, 2."""
        kind, *_, channel, data = message
        if kind == b"message":
            task_id = UUID(bytes=channel[len(self.task_prefix) :])
            self._fanout.deliver(task_id, unpack(data) if data else ())
        elif kind == b"pmessage":
            self._fanout.announce(channel[len(self.topic_prefix) :].decode())
        elif kind == b"subscribe":
            confirmed = self._confirmed.get(channel)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)
