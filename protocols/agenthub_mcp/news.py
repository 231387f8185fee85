"""News: the standing GET stream of a handshake session, which tells that the tools have changed.

Nothing is kept for it. The id of its events is a fingerprint of the tools as the client knows them, so a
client that comes back, to whatever replica, hears of what changed meanwhile, and of nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256
from typing import Final

from mcp_types.version import is_version_at_least

from agenthub.catalogue import Agents
from agenthub.json import dumps
from agenthub.ports import Tail
from agenthub.sessions import Session, SessionStore
from agenthub_mcp.tools import Toolbox
from agenthub_mcp.wire import PRIMED_SINCE, message_frame, primer

PREFIX: Final = "tools-"
CHANGED: Final = dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
USED_SECONDS: Final = 3600.0
"""A standing stream is a use of its session: how often that is noted."""


class News:
    """The standing streams of this replica."""

    def __init__(self, sessions: SessionStore, agents: Agents, tools: Toolbox, tail: Tail) -> None:
        self.sessions = sessions
        self.agents = agents
        self.tools = tools
        self.tail = tail
        self._fingerprints: dict[str | None, str] = {}
        self._version = -1

    def knows(self, event_id: str) -> bool:
        """Whether an event is of a standing stream."""
        return event_id.startswith(PREFIX)

    def closed(self, session: Session) -> None:
        """End the session's streams, on every replica."""
        self.tail.publish(session.session_id, ())

    async def of(
        self, session: Session, only: str | None, last: str | None
    ) -> AsyncGenerator[bytes]:
        """The frames of a session's stream, from an event on, until the session is closed."""
        known = last or self._fingerprint(only)
        if is_version_at_least(session.version, PRIMED_SINCE):
            yield primer(known)
        async with (
            self.tail.follow(session.session_id) as following,
            aclosing(self._versions()) as versions,
        ):
            changed = asyncio.ensure_future(anext(versions))
            used = asyncio.ensure_future(following.next(timeout=USED_SECONDS))
            try:
                while True:
                    now = self._fingerprint(only)
                    if now != known:
                        known = now
                        yield message_frame(CHANGED, known)
                    await asyncio.wait([changed, used], return_when=asyncio.FIRST_COMPLETED)
                    if changed.done():
                        changed = asyncio.ensure_future(anext(versions))
                    if used.done():
                        if await self.sessions.get(session.tenant, session.session_id) is None:
                            return
                        used = asyncio.ensure_future(following.next(timeout=USED_SECONDS))
            finally:
                changed.cancel()
                used.cancel()
                await asyncio.wait([changed, used])

    async def _versions(self) -> AsyncGenerator[int]:
        async for version in self.agents.changes():
            yield version

    def _fingerprint(self, only: str | None) -> str:
        if self._version != self.agents.version:
            self._version = self.agents.version
            self._fingerprints = {}
        if only not in self._fingerprints:
            tools = [t.model_dump(mode="json", by_alias=True) for t in self.tools.listed(only)]
            self._fingerprints[only] = PREFIX + sha256(dumps(tools)).hexdigest()[:16]
        return self._fingerprints[only]
