"""The agents that a deployed object is made of: itself, the nodes of a graph or swarm, agents as tools.

Strands keeps a conversation on its objects. So each step loads what its thread knows into all of them, or
the pristine state that they came with, and one object runs one step at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from agenthub.json import JsonObject
from agenthub_strands import messages as m
from agenthub_strands.telling import listen

AGENT = "strands.agent.agent.Agent"
MULTI = "strands.multiagent.base.MultiAgentBase"


@dataclass(slots=True)
class Known:
    """An object that has been seen: what it was like before any thread, and who runs it."""

    pristine: JsonObject
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Member:
    """An agent, a graph or a swarm at its place. What does not speak works for one that does; what is
    not `kept` begins anew with each call."""

    obj: Any
    path: str
    speaks: bool
    kept: bool


_KNOWN: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()


class Team:
    """All agents of an object, by their paths."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.members = {member.path: member for member in _members(root)}
        self.paths = {id(member.obj): path for path, member in self.members.items()}
        for member in self.members.values():
            if member.obj not in _KNOWN:
                _KNOWN[member.obj] = Known(_state_of(member.obj))
                listen(member.obj, multi=is_multi(member.obj))

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Keep other steps away from all of them; an agent may be in several teams."""
        async with AsyncExitStack() as stack:
            # in one order, so that two teams never wait for each other
            for member in sorted(self.members.values(), key=lambda one: id(one.obj)):
                await stack.enter_async_context(_KNOWN[member.obj].lock)
            yield

    def member(self, obj: Any) -> Member | None:
        """Who an object is here."""
        path = self.paths.get(id(obj))
        return None if path is None else self.members[path]

    def load(self, state: JsonObject) -> None:
        """Set all of them to what a thread knows, graphs and swarms first: they reset their nodes."""
        for member in sorted(self.members.values(), key=lambda one: not is_multi(one.obj)):
            found = state.get(member.path) or _KNOWN[member.obj].pristine
            if is_multi(member.obj):
                member.obj.deserialize_state(m.unpacked(found))
            else:
                snapshot = m.sdk("strands.types._snapshot").Snapshot
                member.obj.load_snapshot(snapshot.from_dict(m.unpacked(found)))

    def state(self, *, running: bool, under: str = "") -> JsonObject:
        """What the thread knows now; with `running`, how far graphs and swarms have come, too."""
        return {
            path: _state_of(member.obj)
            for path, member in self.members.items()
            if member.kept
            and (running or not is_multi(member.obj))
            and (path == under or path.startswith(f"{under}/"))
        }


def closed(state: JsonObject, reason: str) -> tuple[JsonObject, list[tuple[str, JsonObject]]]:
    """A paused thread's state without its questions: what waited has the reason why it did not run, and
    graphs and swarms begin anew. With it come the results, each with the name of its tool."""
    agents: JsonObject = {}
    results: list[tuple[str, JsonObject]] = []
    for path, snapshot in state.items():
        if "data" not in snapshot:  # how far a graph or a swarm had come
            continue
        data: JsonObject = snapshot["data"]
        history: list[JsonObject] = data.get("messages") or []
        pending: JsonObject = data.get("interrupt_state", {}).get("pending_tool_execution") or {}
        done = {r["toolUseId"]: r for r in pending.get("completed_tool_results") or ()}
        calls = m.calls_of(history[-1]) if history else []
        given = [
            (call["name"], done.get(call["toolUseId"]) or _unanswered(call, reason))
            for call in calls
        ]
        if given:
            blocks = [{"toolResult": result} for _, result in given]
            history = [*history, {"role": "user", "content": blocks}]
            results += given
        interrupts: JsonObject = {"interrupts": {}, "context": {}, "activated": False}
        after = {**data, "messages": history, "interrupt_state": interrupts}
        agents[path] = {**snapshot, "data": after}
    return agents, results


def _unanswered(call: JsonObject, reason: str) -> JsonObject:
    return {"toolUseId": call["toolUseId"], "status": "error", "content": [{"text": reason}]}


def is_multi(obj: Any) -> bool:
    """Whether this is a graph or a swarm."""
    return MULTI in kinds(obj)


def kinds(obj: Any) -> set[str]:
    """The names of an object's classes."""
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(obj).__mro__}


def _members(root: Any) -> Iterator[Member]:
    waiting = [Member(root, "", speaks=True, kept=True)]
    seen = set[int]()
    while waiting:
        one = waiting.pop(0)
        found = kinds(one.obj)
        if id(one.obj) in seen or not found & {AGENT, MULTI}:
            continue
        seen.add(id(one.obj))
        yield one
        if MULTI in found:
            for name, node in getattr(one.obj, "nodes", {}).items():
                waiting.append(Member(node.executor, f"{one.path}/{name}", one.speaks, one.kept))
            continue
        for name, tool in one.obj.tool_registry.registry.items():
            if (agent := getattr(tool, "agent", None)) is not None:
                kept = bool(getattr(tool, "_preserve_context", False))
                waiting.append(Member(agent, f"{one.path}/{name}", speaks=False, kept=kept))


def _state_of(obj: Any) -> JsonObject:
    found = (
        obj.serialize_state() if is_multi(obj) else obj.take_snapshot(preset="session").to_dict()
    )
    return m.packed(found)
