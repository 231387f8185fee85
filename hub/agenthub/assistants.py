"""Assistants: versioned configurations of agents, and what they add to a run.

Every agent has a system assistant, with the id that LangGraph's users compute; it is the agent as it was
deployed until somebody changes it. A change is a new version, and any version may become the latest
again. Runs by an agent's name cost no read: the few system assistants that were changed are kept in
memory and refreshed when a replica announces a change.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.errors import Conflict, HubError, NotFound
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject
from agenthub.ports import Tail
from agenthub.principal import Principal

log = logging.getLogger(__name__)

SYSTEM: Final[JsonObject] = {"created_by": "system"}
ASSISTANTS_TOPIC: Final = "assistants"
SortBy: TypeAlias = Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """An assistant at one of its versions. `config` holds `tags`, `recursion_limit`, `configurable`."""

    tenant: str
    assistant_id: UUID
    agent: str
    name: str
    description: str | None = None
    config: JsonObject = field(default_factory=dict[str, Json])
    context: JsonObject = field(default_factory=dict[str, Json])
    metadata: JsonObject = field(default_factory=dict[str, Json])
    version: int = 1
    created_at: datetime
    updated_at: datetime

    def settings(self) -> JsonObject:
        """What its runs get as `configurable` and context, which mirror each other."""
        return {**self.context, **(self.config.get("configurable") or {})}

    def run_metadata(self) -> JsonObject:
        """What its runs get as metadata."""
        return {k: v for k, v in self.metadata.items() if k != "created_by"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantDraft:
    """An assistant to make. `assistant_id=None` makes an id; `exists_ok` returns what is there."""

    agent: str
    name: str = "Untitled"
    description: str | None = None
    config: JsonObject = field(default_factory=dict[str, Json])
    context: JsonObject = field(default_factory=dict[str, Json])
    metadata: JsonObject = field(default_factory=dict[str, Json])
    assistant_id: UUID | None = None
    exists_ok: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantChange:
    """What a new version has instead; None leaves it. Metadata is merged, shallowly."""

    agent: str | None = None
    name: str | None = None
    description: str | None = None
    config: JsonObject | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantQuery:
    """A search. `name` is any part of it, in any case; `agents` are those that are deployed."""

    agents: Sequence[str] = ()
    name: str | None = None
    metadata: JsonObject | None = None
    sort_by: SortBy = "name"
    descending: bool = False
    limit: int = 10
    offset: int = 0


class AssistantStore(Protocol):
    """Assistants and their versions."""

    async def ensure(self, tenant: str, agents: Sequence[AgentInfo]) -> None:
        """Make the system assistants that are missing; names and descriptions follow the agents'
        as long as nobody changed the assistant."""
        ...

    async def create(self, tenant: str, draft: AssistantDraft) -> Assistant | None:
        """None: the id is taken."""
        ...

    async def get(self, tenant: str, assistant_id: UUID) -> Assistant | None: ...
    async def update(
        self, tenant: str, assistant_id: UUID, change: AssistantChange
    ) -> Assistant | None: ...
    async def set_latest(
        self, tenant: str, assistant_id: UUID, version: int
    ) -> Assistant | None: ...
    async def delete(self, tenant: str, assistant_id: UUID) -> bool: ...
    async def versions(
        self,
        tenant: str,
        assistant_id: UUID,
        *,
        metadata: JsonObject | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Assistant]:
        """Newest first."""
        ...

    async def search(self, tenant: str, query: AssistantQuery) -> Sequence[Assistant]: ...
    async def count(self, tenant: str, query: AssistantQuery) -> int: ...
    async def changed_system(self, tenant: str) -> Sequence[Assistant]:
        """The system assistants that are not as their agents were deployed."""
        ...


class Dependent(Protocol):
    """What goes when an assistant goes: schedules, for one."""

    async def assistant_deleted(self, tenant: str, assistant_id: UUID) -> None: ...


class Assistants:
    """The use cases of assistants. `run` keeps the changed system assistants fresh; whoever owns what
    hangs on assistants adds itself to `dependents`."""

    def __init__(self, store: AssistantStore, agents: Agents, tail: Tail, *, tenant: str) -> None:
        self.store = store
        self.agents = agents
        self.tail = tail
        self.tenant = tenant
        self.dependents: list[Dependent] = []
        self._changed: dict[UUID, Assistant] = {}
        self._ensured = -1

    async def run(self) -> None:
        """Refresh on every announcement, for ever."""
        async for _ in self.tail.broadcasts(ASSISTANTS_TOPIC):
            try:
                await self.refresh()
            except Exception:
                # what is in memory stays valid; the next announcement tries again
                log.exception("could not read the assistants")

    async def prepare(self) -> None:
        """Before the first request: what is deployed has its assistants, and what was changed is
        known."""
        await self._ensure()
        await self.refresh()

    async def refresh(self) -> None:
        """Read the changed system assistants now."""
        found = await self.store.changed_system(self.tenant)
        self._changed = {a.assistant_id: a for a in found}

    # --- for runs -------------------------------------------------------------------------------

    async def resolve(self, who: Principal, name: str) -> tuple[AgentInfo, Assistant | None]:
        """The agent that a run is for, and the assistant whose settings it gets, if any.

        Raises:
            NotFound: neither an agent nor an assistant has this name or id.
            Unavailable: the agent cannot be served now.
        """
        try:
            info = self.agents.get(name)
        except NotFound:
            assistant = await self._stored(who, name)
            if assistant is None:
                raise
            return self.agents.get(assistant.agent), assistant
        assistant = self._changed.get(info.assistant_id)
        if assistant is not None and assistant.agent != info.name:
            return self.agents.get(assistant.agent), assistant
        return info, assistant

    # --- use cases ------------------------------------------------------------------------------

    async def create(self, who: Principal, draft: AssistantDraft) -> Assistant:
        """Raises `NotFound` for an unknown agent, `Conflict` when the id is taken."""
        info = self.agents.get(draft.agent)
        chosen = draft.assistant_id or new_id()
        await self._ensure()
        draft = replace(draft, agent=info.name, assistant_id=chosen)
        made = await self.store.create(who.tenant, draft)
        if made is not None:
            return made
        found = await self.store.get(who.tenant, chosen)
        if found is None or not draft.exists_ok:
            raise Conflict(f"assistant {str(chosen)!r} already exists")
        return found

    async def get(self, who: Principal, name: str) -> Assistant:
        """By id or agent's name. Raises `NotFound`, or `Unavailable` for an agent that is."""
        await self._ensure()
        try:
            id_ = self.agents.get(name).assistant_id
        except HubError:
            found = await self._stored(who, name)
            if found is None:
                raise
            return found
        found = await self.store.get(who.tenant, id_)
        if found is None:
            raise NotFound(f"there is no assistant {name!r}")
        return found

    async def update(self, who: Principal, name: str, change: AssistantChange) -> Assistant:
        """Make a new version and make it the latest. Raises `NotFound`."""
        current = await self.get(who, name)
        if change.agent is not None:
            change = replace(change, agent=self.agents.get(change.agent).name)
        changed = await self.store.update(who.tenant, current.assistant_id, change)
        return await self._announced(name, changed)

    async def set_latest(self, who: Principal, name: str, version: int) -> Assistant:
        """Make a version the latest again, with all that it had. Raises `NotFound`."""
        current = await self.get(who, name)
        changed = await self.store.set_latest(who.tenant, current.assistant_id, version)
        if changed is None:
            raise NotFound(f"assistant {name!r} has no version {version}")
        return await self._announced(name, changed)

    async def delete(self, who: Principal, name: str) -> Assistant:
        """Delete an assistant with its versions and what hangs on it; returns it as it was.

        Raises:
            NotFound: unknown assistant.
            Conflict: an agent's own assistant lives as long as the agent is deployed.
        """
        current = await self.get(who, name)
        if self._is_system(current):
            raise Conflict(
                f"assistant {name!r} belongs to agent {current.agent!r} and stays as long as the "
                "agent is deployed"
            )
        for dependent in self.dependents:
            await dependent.assistant_deleted(who.tenant, current.assistant_id)
        if not await self.store.delete(who.tenant, current.assistant_id):
            raise NotFound(f"there is no assistant {name!r}")
        return current

    async def versions(
        self,
        who: Principal,
        name: str,
        *,
        metadata: JsonObject | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> Sequence[Assistant]:
        """Newest first. Raises `NotFound`."""
        current = await self.get(who, name)
        return await self.store.versions(
            who.tenant, current.assistant_id, metadata=metadata, limit=limit, offset=offset
        )

    async def search(self, who: Principal, query: AssistantQuery) -> Sequence[Assistant]:
        """Those whose agents are deployed."""
        return await self.store.search(who.tenant, await self._deployed(query))

    async def count(self, who: Principal, query: AssistantQuery) -> int:
        return await self.store.count(who.tenant, await self._deployed(query))

    # --- inside ---------------------------------------------------------------------------------

    async def _deployed(self, query: AssistantQuery) -> AssistantQuery:
        await self._ensure()
        deployed = [a.name for a in self.agents.all()]
        wanted = [a for a in deployed if a in query.agents] if query.agents else deployed
        return replace(query, agents=wanted)

    async def _ensure(self) -> None:
        version = self.agents.version
        if self._ensured != version:
            await self.store.ensure(self.tenant, self.agents.all())
            self._ensured = version

    async def _stored(self, who: Principal, name: str) -> Assistant | None:
        try:
            return await self.store.get(who.tenant, UUID(name))
        except ValueError:
            return None

    def _is_system(self, assistant: Assistant) -> bool:
        return assistant.assistant_id in {a.assistant_id for a in self.agents.all()}

    async def _announced(self, name: str, changed: Assistant | None) -> Assistant:
        if changed is None:
            raise NotFound(f"there is no assistant {name!r}")
        if changed.metadata.get("created_by") == "system" or self._is_system(changed):
            await self.refresh()
            self.tail.announce(ASSISTANTS_TOPIC)
        return changed
