"""The catalogue in memory: fresh when it is announced, and still there when the database is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.errors import NotFound, Unavailable
from agenthub.ports import CATALOGUE_TOPIC, Deployed
from testkit.virtual import moment, virtual


@dataclass
class World:
    """What workers published, and the announcements of it."""

    published: list[Deployed] = field(default_factory=list)
    away: bool = False
    announced: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    def agents(self) -> Agents:
        return Agents(self, self, tenant="default")  # pyright: ignore[reportArgumentType]

    async def deployed(self, tenant: str) -> Sequence[Deployed]:
        assert tenant == "default"
        if self.away:
            raise OSError("the database is away")
        return list(self.published)

    async def broadcasts(self, topic: str) -> AsyncIterator[None]:
        assert topic == CATALOGUE_TOPIC
        yield
        while True:
            await self.announced.get()
            yield

    def follow(self, task_id: Any) -> AbstractAsyncContextManager[Any]:
        raise NotImplementedError


def deployed(name: str, reason: str | None = None) -> Deployed:
    return Deployed(info=AgentInfo(name=name, description="An agent."), reason=reason)


async def loaded(*published: Deployed) -> Agents:
    agents = World(list(published)).agents()
    await agents.refresh()
    return agents


@virtual
async def test_an_agent_is_found_by_name_and_by_assistant_id() -> None:
    agents = await loaded(deployed("b"), deployed("a"))
    info = agents.get("a")
    assert info.name == "a"
    assert agents.get(str(info.assistant_id)) is info
    assert [one.name for one in agents.all()] == ["a", "b"]


@virtual
async def test_an_unknown_agent_is_refused_with_those_that_are_known() -> None:
    agents = await loaded(deployed("b"), deployed("a"))
    for name in ("c", "", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(NotFound, match=f"there is no agent '{name}'; deployed: a, b"):
            agents.get(name)
    with pytest.raises(NotFound, match="deployed: none"):
        (await loaded()).get("a")


@virtual
async def test_an_agent_that_could_not_be_loaded_is_listed_with_the_reason() -> None:
    agents = await loaded(deployed("a"), deployed("bad", "ImportError: no module named x"))
    assert [one.name for one in agents.all()] == ["a"]
    assert agents.unavailable() == {"bad": "ImportError: no module named x"}
    with pytest.raises(Unavailable, match="'bad' is not available: ImportError"):
        agents.get("bad")


@virtual
async def test_the_version_grows_with_each_change_and_only_then() -> None:
    world = World([deployed("a")])
    agents = world.agents()
    seen: list[int] = []

    async def watch() -> None:
        async for version in agents.changes():
            seen.append(version)  # noqa: PERF401  # the test looks while it grows

    watching = asyncio.create_task(watch())
    await moment()
    for published in ([deployed("a")], [deployed("a")], [deployed("a"), deployed("b")], []):
        world.published = published
        await agents.refresh()
        await moment()
    assert seen == [0, 1, 2, 3]
    watching.cancel()


@virtual
async def test_an_announcement_refreshes_and_a_failure_keeps_what_is_known() -> None:
    world = World([deployed("a")])
    agents = world.agents()
    running = asyncio.create_task(agents.run())
    await moment()
    assert agents.get("a")
    world.away = True
    world.announced.put_nowait(None)
    await moment()
    assert agents.get("a")
    world.away, world.published = False, [deployed("b")]
    world.announced.put_nowait(None)
    await moment()
    assert [one.name for one in agents.all()] == ["b"]
    running.cancel()
