"""The adapter of remote agents. The SDKs of the protocols are imported when an agent is spoken to, so that
a worker without them serves its other agents and says what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from agenthub.adapting import Inbound, Io, Outcome
from agenthub.agents import AgentInfo
from agenthub.errors import AgentFailed
from agenthub.json import Json
from agenthub.remotes import Remote
from agenthub_remote.agents import RemoteAgent, RemoteMcp, agent_of


class RemoteAdapter:
    """`agenthub.adapting.RemoteAdapter` for A2A agents and MCP servers."""

    name = "remote"

    def detect(self, obj: Any) -> bool:
        """An object that stands for a remote agent; not its class."""
        return isinstance(obj, RemoteAgent)

    def declared(self, remote: Remote) -> RemoteAgent:
        """See `agenthub.adapting.RemoteAdapter`."""
        return agent_of(remote)

    async def ask(self, obj: RemoteAgent) -> Sequence[tuple[str, RemoteAgent]]:
        """See `agenthub.adapting.RemoteAdapter`. An MCP server without a tool is an agent for each."""
        if isinstance(obj, RemoteMcp):
            return await _of("mcp_tools").agents_of(obj)
        await _of("a2a_card").card_of(obj)
        return [("", obj)]

    def describe(self, obj: RemoteAgent) -> AgentInfo:
        """What was heard of it; `ask` comes first."""
        if obj.heard is None:
            raise AgentFailed(f"{obj.remote.url} has not been asked yet what it is")
        module = "mcp_tools" if isinstance(obj, RemoteMcp) else "a2a_card"
        return _of(module).described(obj.heard)

    async def step(self, obj: RemoteAgent, state: Json, inbound: Inbound, io: Io) -> Outcome:
        """See `agenthub.adapting.Adapter`."""
        module = "mcp_step" if isinstance(obj, RemoteMcp) else "a2a_step"
        return await _of(module).step(obj, state or {}, inbound, io)


def _of(name: str) -> Any:
    return import_module(f"agenthub_remote.{name}")
