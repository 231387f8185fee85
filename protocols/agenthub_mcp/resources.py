"""Resources: the hub's agents, runs and threads, for hosts that read rather than call.

`agent://{name}`, `run://{run_id}`, `run://{run_id}/events`, `thread://{thread_id}/state` and
`thread://{thread_id}/history`, all JSON. What is not the caller's is not there. A list names the agents and
the caller's runs among the latest of the hub; nothing that is read is larger than `MOST_BYTES`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from uuid import UUID

import mcp_types as types

from agenthub.agents import AgentInfo
from agenthub.archive import RunQuery
from agenthub.errors import HubError, NotFound, TooLarge
from agenthub.json import Json, JsonObject, dumps
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub
from agenthub.threads import ThreadState
from agenthub_mcp.extras import icons_of
from agenthub_mcp.paging import PAGE, bad_cursor, make_cursor, page, read_cursor
from agenthub_mcp.standing import at
from agenthub_mcp.watch import agent_changes, task_changes, thread_changes

Kind: TypeAlias = Literal["agent", "run", "events", "state", "history"]

JSON: Final = "application/json"
MOST_BYTES: Final = 1 << 20
MOST_EVENTS: Final = 500
MOST_STATES: Final = 20
RECENT: Final = 200
"""Runs of the hub, the latest first, among which the caller's own are listed."""
_AGENT: Final = re.compile(r"agent://([A-Za-z0-9_-]{1,40})")
_RUN: Final = re.compile(r"run://([0-9a-f-]{36})(?:/(events)(?:\?after=([0-9]{1,12}))?)?")
_THREAD: Final = re.compile(r"thread://([0-9a-f-]{36})/(state|history)")
TEMPLATES: Final = (
    types.ResourceTemplate(
        name="agent",
        uri_template="agent://{name}",
        description="What an agent takes and returns, and what it says of itself.",
        mime_type=JSON,
    ),
    types.ResourceTemplate(
        name="run",
        uri_template="run://{run_id}",
        description="How a run stands: its status, its output or error, its open questions.",
        mime_type=JSON,
    ),
    types.ResourceTemplate(
        name="run-events",
        uri_template="run://{run_id}/events",
        description="What happened in a run, in order; `next` names the rest, if there is more.",
        mime_type=JSON,
    ),
    types.ResourceTemplate(
        name="thread-state",
        uri_template="thread://{thread_id}/state",
        description="The latest state of a conversation.",
        mime_type=JSON,
    ),
    types.ResourceTemplate(
        name="thread-history",
        uri_template="thread://{thread_id}/history",
        description="The states of a conversation, newest first.",
        mime_type=JSON,
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a URI of ours means; `id` is an agent's name, or the id of a run or a thread."""

    kind: Kind
    id: str
    after: int | None = None


def read_uri(uri: str) -> Place | None:
    """The place of a URI; None when it is none of ours."""
    if match := _AGENT.fullmatch(uri):
        return Place("agent", match[1])
    if match := _RUN.fullmatch(uri):
        if match[2] is None:
            return Place("run", match[1])
        return Place("events", match[1], None if match[3] is None else int(match[3]))
    if match := _THREAD.fullmatch(uri):
        return Place("state" if match[2] == "state" else "history", match[1])
    return None


def run_uri(run_id: UUID) -> str:
    """Where a run's state is read."""
    return f"run://{run_id}"


class Resources:
    """Reads resources. `only` is the agent of `/mcp/{agent}`: what belongs to others is not there."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def list(
        self, who: Principal, only: str | None, cursor: str | None
    ) -> tuple[Sequence[types.Resource], str | None]:
        """A page of the agents, by name, and then of the latest runs.

        Raises:
            MCPError: the cursor is none of ours.
        """
        part, _, key = ("agent", "", "") if cursor is None else read_cursor(cursor).partition(":")
        listed: list[types.Resource] = []
        if part == "agent":
            last = make_cursor(key) if key else None
            agents, following = page(self.agents(only), lambda info: info.name, last)
            listed = [agent_resource(info) for info in agents]
            if following is not None:
                return listed, make_cursor(f"agent:{read_cursor(following)}")
            key = ""
        elif part != "run":
            raise bad_cursor()
        runs = [r for r in await self.recent(who, only) if not key or str(r.run_id) < key]
        room = PAGE - len(listed)
        listed += [run_resource(run) for run in runs[:room]]
        if len(runs) <= room:
            return listed, None
        return listed, make_cursor(f"run:{runs[room - 1].run_id}" if room else "run:")

    def agents(self, only: str | None) -> Sequence[AgentInfo]:
        """The agents that there are."""
        return [info for info in self.hub.agents.all() if only in (None, info.name)]

    async def recent(self, who: Principal, only: str | None) -> Sequence[Run]:
        """The caller's runs among the latest, newest first."""
        latest = await self.hub.archive.runs(who.tenant, RunQuery(agent=only, limit=RECENT))
        return [run for run in latest if run.subject == who.subject]

    async def read(self, who: Principal, only: str | None, uri: str) -> bytes:
        """What a resource says, as JSON.

        Raises:
            NotFound: there is no such resource, or it is not the caller's.
            TooLarge: it is larger than `MOST_BYTES`.
        """
        place = read_uri(uri)
        if place is None:
            raise _nothing(uri)
        body = dumps(await self._read(who, only, place))
        if len(body) > MOST_BYTES:
            raise TooLarge(
                f"the resource {uri!r} has {len(body)} bytes, more than {MOST_BYTES}: "
                "read it over the REST API"
            )
        return body

    async def is_there(self, who: Principal, only: str | None, uri: str) -> bool:
        """Whether the caller may read a resource."""
        place = read_uri(uri)
        try:
            return place is not None and await self._owner(who, only, place) is not None
        except (HubError, ValueError):
            return False

    async def changes(self, who: Principal, only: str | None, uri: str) -> AsyncGenerator[None]:
        """Yield whenever a resource has changed, as long as it can."""
        place = read_uri(uri)
        if place is None:
            return
        try:
            async with aclosing(self._watch(who, only, place)) as changes:
                first = True
                async for _ in changes:
                    if not first:
                        yield
                    first = False
        except (HubError, ValueError):
            return  # it has been deleted

    async def _watch(
        self, who: Principal, only: str | None, place: Place
    ) -> AsyncGenerator[object]:
        watched: AsyncGenerator[object]
        if place.kind == "agent":
            watched = agent_changes(self.hub, place.id)
        elif place.kind in ("run", "events"):
            run = await self._run(who, only, place.id)
            watched = task_changes(self.hub, who, run)
        else:
            watched = thread_changes(self.hub, who, UUID(place.id))
        async with aclosing(watched) as changes:
            async for change in changes:
                yield change

    async def _read(self, who: Principal, only: str | None, place: Place) -> Json:
        try:
            if place.kind == "agent":
                return agent_json(self._agent(only, place.id))
            if place.kind == "run":
                return run_json(await self._run(who, only, place.id))
            if place.kind == "events":
                return await self._events(await self._run(who, only, place.id), place.after)
            await self._owner(who, only, place)
            thread_id = UUID(place.id)
            if place.kind == "state":
                return state_json(await self.hub.state(who, thread_id))
            return await self._history(who, thread_id)
        except ValueError:
            raise _nothing(place.id) from None

    async def _owner(self, who: Principal, only: str | None, place: Place) -> str | None:
        """The agent that a place belongs to. Raises `NotFound`."""
        if place.kind == "agent":
            return self._agent(only, place.id).name
        if place.kind in ("run", "events"):
            return (await self._run(who, only, place.id)).agent
        thread = await self.hub.thread(who, UUID(place.id))
        if only not in (None, thread.agent):
            raise _nothing(place.id)
        return thread.agent or ""

    def _agent(self, only: str | None, name: str) -> AgentInfo:
        info = self.hub.agents.get(name)
        if only not in (None, info.name) or info.name != name:
            raise _nothing(name)
        return info

    async def _run(self, who: Principal, only: str | None, id: str) -> Run:
        run = await self.hub.run(who, UUID(id))
        if only not in (None, run.agent):
            raise _nothing(id)
        return run

    async def _events(self, run: Run, after: int | None) -> Json:
        """A page of a run's events, as large as may be."""
        start = max(run.after_seq, after or 0)
        log = self.hub.streams.log
        found = await log.read(run.tenant, run.task_id, after=start, limit=MOST_EVENTS)
        shown: list[Json] = []
        size, last = 0, start
        for event in found:
            size += len(event.data) + 200
            if shown and size > MOST_BYTES // 2:
                break
            last = event.seq
            if event.run_id == run.run_id:
                shown.append(
                    {"seq": event.seq, "kind": event.kind, "ns": event.ns, "data": event.json()}
                )
        over = len(found) < MOST_EVENTS and (not found or last == found[-1].seq)
        over = over or any(event.run_id != run.run_id for event in found if event.seq <= last)
        following = None if over else f"{run_uri(run.run_id)}/events?after={last}"
        return {"run_id": str(run.run_id), "events": shown, "next": following}

    async def _history(self, who: Principal, thread_id: UUID) -> Json:
        states: list[Json] = []
        size = 0
        for state in await self.hub.history(who, thread_id, limit=MOST_STATES):
            shown = state_json(state)
            size += len(dumps(shown))
            if states and size > MOST_BYTES // 2:
                break
            states.append(shown)
        return {"thread_id": str(thread_id), "states": states}


def agent_resource(info: AgentInfo) -> types.Resource:
    """An agent, as a list shows it."""
    return types.Resource(
        uri=f"agent://{info.name}",
        name=info.name,
        title=info.title,
        description=info.description or None,
        mime_type=JSON,
        icons=icons_of(info),
    )


def run_resource(run: Run) -> types.Resource:
    """A run, as a list shows it."""
    return types.Resource(
        uri=run_uri(run.run_id),
        name=f"{run.agent} {at(run.created_at)}",
        description=f"A run of the agent {run.agent!r}: {run.status}",
        mime_type=JSON,
    )


def agent_json(info: AgentInfo) -> JsonObject:
    """What an agent takes and returns, and what it says of itself."""
    return {
        "name": info.name,
        "title": info.title,
        "description": info.description,
        "input_schema": info.input_schema,
        "output_schema": info.output_schema,
        "task": info.task,
        "skills": list(info.skills),
        "card": info.card,
        "code_version": info.code_version,
    }


def run_json(run: Run) -> JsonObject:
    """How a run stands."""
    return {
        "run_id": str(run.run_id),
        "task_id": str(run.task_id),
        "thread_id": str(run.thread_id),
        "agent": run.agent,
        "kind": run.kind,
        "status": run.status,
        "attempts": run.attempts,
        "created_at": at(run.created_at),
        "updated_at": at(run.updated_at),
        "output": run.output,
        "error": run.error,
        "interrupts": [i.public() for i in run.interrupts],
        "usage": run.usage,
    }


def state_json(state: ThreadState) -> JsonObject:
    """A state of a thread."""
    return {
        "thread_id": str(state.thread_id),
        "checkpoint_id": state.checkpoint_id,
        "parent_id": state.parent_id,
        "values": state.values,
        "next": list(state.next),
        "interrupts": [i.public() for step in state.steps for i in step.interrupts],
        "created_at": state.created_at,
    }


def _nothing(uri: str) -> NotFound:
    return NotFound(f"there is no resource {uri[:120]!r}")
