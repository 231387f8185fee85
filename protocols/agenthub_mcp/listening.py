"""Listening: `subscriptions/listen`, the stream of news that a client of 2026-07-28 asks for.

The lists that changed, the tasks and the resources that it named, as far as they are its own. Nothing is
kept and nothing is replayed: a client that listens again, at whatever replica, is first told how its tasks
stand. News of one kind that a slow client has not taken yet is one piece of news.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing
from typing import Any, Final

import mcp_types as types
from mcp.server.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    PromptsListChanged,
    ResourcesListChanged,
    ServerEvent,
    SubscriptionBus,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from agenthub.errors import HubError
from agenthub.json import JsonObject
from agenthub_mcp.caller import Caller
from agenthub_mcp.resources import Resources
from agenthub_mcp.tasks import Tasks, require_tasks
from agenthub_mcp.watch import task_changes

MOST_STREAMS: Final = 1024
MOST_WATCHED: Final = 100
"""Tasks or resources that one stream is about."""
LISTS: Final = {
    "toolsListChanged": "tools",
    "promptsListChanged": "prompts",
    "resourcesListChanged": "resources",
}
KINDS: Final[dict[type[ServerEvent], str]] = {
    ToolsListChanged: "tools",
    PromptsListChanged: "prompts",
    ResourcesListChanged: "resources",
}


class Listening:
    """The streams of this replica."""

    def __init__(self, tasks: Tasks, resources: Resources, bus: SubscriptionBus) -> None:
        self.tasks = tasks
        self.resources = resources
        self.bus = bus
        self._open = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams, in good order."""
        self._closing.set()

    async def __call__(
        self, caller: Caller, only: str | None, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one stream, until the client leaves, the server stops, or nothing more can come."""
        asked = params.notifications.model_dump(by_alias=True, exclude_none=True)
        task_ids, uris = _texts(asked, "taskIds"), _texts(asked, "resourceSubscriptions")
        if task_ids:
            require_tasks(caller)
        if self._open >= MOST_STREAMS:
            raise MCPError(types.INTERNAL_ERROR, "Subscription limit reached")
        lists = {kind: key for key, kind in LISTS.items() if asked.get(key) is True}
        mine = [id for id in task_ids if await self.tasks.find(caller, id) is not None]
        known = [uri for uri in uris if await self.resources.is_there(caller.who, only, uri)]
        stream = _Stream(caller)
        self._open += 1
        # before the client knows that it listens, so that it misses nothing
        unsubscribe = self.bus.subscribe(lambda event: stream.hear(lists.keys(), event))
        try:
            honored: JsonObject = dict.fromkeys(lists.values(), True)
            if known:
                honored["resourceSubscriptions"] = known
            if mine:
                honored["taskIds"] = mine
            await stream.send(
                "notifications/subscriptions/acknowledged", {"notifications": honored}
            )
            async with asyncio.TaskGroup() as group:
                watching = [
                    *(group.create_task(self._task(stream, id)) for id in mine),
                    *(group.create_task(self._resource(stream, only, uri)) for uri in known),
                ]
                if lists:
                    watching.append(group.create_task(stream.tell()))
                closing = group.create_task(self._closing.wait())
                if watching:
                    over = asyncio.ensure_future(asyncio.wait(watching))
                    await asyncio.wait([over, closing], return_when=asyncio.FIRST_COMPLETED)
                    over.cancel()
                else:
                    await closing
                for task in (*watching, closing):
                    task.cancel()
        finally:
            unsubscribe()
            self._open -= 1
        return types.SubscriptionsListenResult(_meta=stream.meta)

    async def _task(self, stream: _Stream, task_id: str) -> None:
        last: Any = None
        task = await self.tasks.find(stream.caller, task_id)
        if task is None:
            return
        changes = task_changes(self.tasks.hub, stream.caller.who, task)
        try:
            async with aclosing(changes) as news:
                async for change in news:
                    shown = await self.tasks.detailed(stream.caller, change.task, step=change.step)
                    # links are sealed anew each time: the questions are what counts
                    now = (
                        shown["status"],
                        shown.get("statusMessage"),
                        sorted(shown.get("inputRequests", ())),
                    )
                    if now != last:
                        last = now
                        await stream.send("notifications/tasks", shown)
        except HubError:
            return  # it has been deleted

    async def _resource(self, stream: _Stream, only: str | None, uri: str) -> None:
        async with aclosing(self.resources.changes(stream.caller.who, only, uri)) as changes:
            async for _ in changes:
                await stream.send("notifications/resources/updated", {"uri": uri})


class _Stream:
    """The response that a client listens to."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: caller.ctx.request_id}
        self._changed: set[str] = set()
        self._news = asyncio.Event()

    def hear(self, kinds: Collection[str], event: ServerEvent) -> None:
        """Take note that a list has changed, if the client asked for it."""
        kind = KINDS.get(type(event))
        if kind is not None and kind in kinds:
            self._changed.add(kind)
            self._news.set()

    async def tell(self) -> None:
        """Pass on what was heard, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._changed:
                await self.send(f"notifications/{self._changed.pop()}/list_changed", {})

    async def send(self, method: str, params: JsonObject) -> None:
        await self.caller.notify(method, {**params, "_meta": self.meta})


def _texts(asked: JsonObject, key: str) -> Sequence[str]:
    """A list of texts, each once."""
    given: Any = asked.get(key) or ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):  # pyright: ignore[reportUnknownVariableType]
        if given:
            raise MCPError(types.INVALID_PARAMS, f"{key} is a list of texts")
        return ()
    texts: list[str] = list(dict.fromkeys(given))  # pyright: ignore[reportUnknownArgumentType]
    if len(texts) > MOST_WATCHED:
        raise MCPError(types.INVALID_PARAMS, f"{key} names more than {MOST_WATCHED}: ask twice")
    return texts
