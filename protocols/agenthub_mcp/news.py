"""News: the standing GET stream of a handshake session, which tells what has changed.

The lists on offer, and the resources that the session has subscribed to, wherever it did. Nothing is kept
for it but the subscriptions. The id of its events is a fingerprint of the lists as the client knows them, so
a client that comes back, to whatever replica, hears of what changed meanwhile, and of nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Final

from mcp_types.version import is_version_at_least
from pydantic import BaseModel

from agenthub.catalogue import Agents
from agenthub.json import dumps
from agenthub.ports import Following, Slice, Tail
from agenthub.principal import Principal
from agenthub.sessions import Session, SessionStore
from agenthub_mcp.resources import Resources
from agenthub_mcp.wire import PRIMED_SINCE, message_frame, primer

PREFIX: Final = "news-"
USED_SECONDS: Final = 3600.0
"""A standing stream is a use of its session: how often that is noted."""
PACE_SECONDS: Final = 0.5
"""Changes of one resource within this time are one piece of news."""

Lists = Mapping[str, Callable[[str | None], Sequence[BaseModel]]]
"""What is on offer at an endpoint, by kind: `tools`, `prompts`, `resources`."""


class News:
    """The standing streams of this replica."""

    def __init__(
        self,
        sessions: SessionStore,
        agents: Agents,
        lists: Lists,
        resources: Resources,
        tail: Tail,
    ) -> None:
        self.sessions = sessions
        self.agents = agents
        self.lists = lists
        self.resources = resources
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
            _Watchers(self.resources, session, only) as watchers,
        ):
            await watchers.watch(await self._subscriptions(session))
            changed = asyncio.ensure_future(anext(versions))
            used = _next(following)
            updated = asyncio.ensure_future(watchers.next())
            try:
                while True:
                    now = self._fingerprint(only)
                    for kind in self._differing(known, now):
                        yield message_frame(_changed(kind), now)
                    known = now
                    waiting = [changed, used, updated]
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if changed.done():
                        changed = asyncio.ensure_future(anext(versions))
                    if updated.done():
                        yield message_frame(_updated(updated.result()), known)
                        updated = asyncio.ensure_future(watchers.next())
                    if used.done():
                        if await self.sessions.get(session.tenant, session.session_id) is None:
                            return
                        await watchers.watch(await self._subscriptions(session))
                        used = _next(following)
            finally:
                for task in (changed, used, updated):
                    task.cancel()
                await asyncio.wait([changed, used, updated])

    async def _subscriptions(self, session: Session) -> Sequence[str]:
        return await self.sessions.subscriptions(session.tenant, session.session_id)

    async def _versions(self) -> AsyncGenerator[int]:
        async for version in self.agents.changes():
            yield version

    def _differing(self, known: str, now: str) -> Sequence[str]:
        """The kinds of lists that differ between two fingerprints."""
        if known == now:
            return ()
        before = known.removeprefix(PREFIX).split(".")
        if len(before) != len(self.lists):
            return list(self.lists)  # one of another release
        after = now.removeprefix(PREFIX).split(".")
        pairs = zip(self.lists, before, after, strict=True)
        return [kind for kind, one, other in pairs if one != other]

    def _fingerprint(self, only: str | None) -> str:
        if self._version != self.agents.version:
            self._version = self.agents.version
            self._fingerprints = {}
        if only not in self._fingerprints:
            parts = (_digest(listed(only)) for listed in self.lists.values())
            self._fingerprints[only] = PREFIX + ".".join(parts)
        return self._fingerprints[only]


class _Watchers:
    """Watches the resources of a session; `next` gives the URI of one that changed."""

    def __init__(self, resources: Resources, session: Session, only: str | None) -> None:
        self.resources = resources
        self.who = Principal(tenant=session.tenant, subject=session.subject)
        self.only = only
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    async def __aenter__(self) -> _Watchers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.watch(())

    async def watch(self, uris: Sequence[str]) -> None:
        """Watch these, and no others."""
        gone = [task for uri, task in self._tasks.items() if uri not in uris]
        self._tasks = {uri: task for uri, task in self._tasks.items() if uri in uris}
        for task in gone:
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        for uri in uris:
            if uri not in self._tasks:
                self._tasks[uri] = asyncio.create_task(self._watch(uri))

    async def next(self) -> str:
        """Wait for a change."""
        while not self._changed:
            self._news.clear()
            await self._news.wait()
        uri = next(iter(self._changed))
        del self._changed[uri]
        return uri

    async def _watch(self, uri: str) -> None:
        async with aclosing(self.resources.changes(self.who, self.only, uri)) as changes:
            async for _ in changes:
                self._changed[uri] = None
                self._news.set()
                await asyncio.sleep(PACE_SECONDS)


def _next(following: Following) -> asyncio.Future[Slice | None]:
    return asyncio.ensure_future(following.next(timeout=USED_SECONDS))


def _digest(listed: Sequence[BaseModel]) -> str:
    shown = [one.model_dump(mode="json", by_alias=True) for one in listed]
    return sha256(dumps(shown)).hexdigest()[:12]


def _changed(kind: str) -> bytes:
    return dumps({"jsonrpc": "2.0", "method": f"notifications/{kind}/list_changed"})


def _updated(uri: str) -> bytes:
    method = "notifications/resources/updated"
    return dumps({"jsonrpc": "2.0", "method": method, "params": {"uri": uri}})
