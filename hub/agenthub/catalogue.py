"""The catalogue in memory: what is deployed, read without SQL, refreshed when a worker says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from agenthub.agents import AgentInfo
from agenthub.errors import NotFound, Unavailable
from agenthub.ports import CATALOGUE_TOPIC, Catalogue, Deployed, Tail

log = logging.getLogger(__name__)


class Agents:
    """A replica's view of the catalogue; `run` keeps it fresh. `version` grows with each change."""

    def __init__(self, catalogue: Catalogue, tail: Tail, *, tenant: str) -> None:
        self.catalogue = catalogue
        self.tail = tail
        self.tenant = tenant
        self.version = 0
        self._by_name: dict[str, Deployed] = {}
        self._by_id: dict[UUID, str] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Refresh on every announcement, for ever."""
        async for _ in self.tail.broadcasts(CATALOGUE_TOPIC):
            try:
                await self.refresh()
            except Exception:
                # The catalogue in memory stays valid; the next announcement tries again.
                log.exception("could not read the catalogue")

    async def refresh(self) -> None:
        """Read the catalogue now."""
        found = {d.info.name: d for d in await self.catalogue.deployed(self.tenant)}
        if found == self._by_name:
            return
        self._by_name = found
        self._by_id = {d.info.assistant_id: name for name, d in found.items()}
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self) -> AsyncIterator[int]:
        """Yield the version now and after each change."""
        while True:
            changed = self._changed
            yield self.version
            await changed.wait()

    def all(self) -> Sequence[AgentInfo]:
        """Every agent that can be served, by name."""
        return [d.info for _, d in sorted(self._by_name.items()) if d.reason is None]

    def unavailable(self) -> dict[str, str]:
        """Agents that cannot be served now, with the reason."""
        return {n: d.reason for n, d in sorted(self._by_name.items()) if d.reason is not None}

    def get(self, name: str) -> AgentInfo:
        """Find an agent by name or assistant id.

        Raises:
            NotFound: there is no such agent.
            Unavailable: it is deployed and its worker could not load it.
        """
        deployed = self._by_name.get(name)
        if deployed is None:
            try:
                deployed = self._by_name.get(self._by_id[UUID(name)])
            except (ValueError, KeyError):
                deployed = None
        if deployed is None:
            known = ", ".join(sorted(self._by_name)) or "none"
            raise NotFound(f"there is no agent {name!r}; deployed: {known}")
        if deployed.reason is not None:
            raise Unavailable(f"agent {name!r} is not available: {deployed.reason}")
        return deployed.info
