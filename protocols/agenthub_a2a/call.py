"""A call: who wants something of which agent, as a binding hands it to the operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a2a.server.context import ServerCallContext

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.errors import NotFound
from agenthub.principal import Principal
from agenthub_a2a.card import Place
from agenthub_a2a.leaving import Gone

CALL: Final = "agenthub.call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The caller, the agent and where it was reached, the version that the client speaks, the key under
    which the call may be repeated, the last event that the client had of a stream, and what tells that it
    has left."""

    who: Principal
    info: AgentInfo
    place: Place
    idempotency_key: str | None = None
    version: str = "1.0"
    last_event_id: str | None = None
    gone: Gone | None = None

    def put(self, context: ServerCallContext) -> None:
        """Attach it to a request's context; the binding's context builder does."""
        context.state[CALL] = self

    @classmethod
    def of(cls, context: ServerCallContext) -> Call:
        """What the binding attached."""
        call = context.state[CALL]
        assert isinstance(call, cls)
        return call


def default_agent(agents: Agents, configured: str | None) -> AgentInfo:
    """The agent that is meant where none is named: the configured one, or the only one.

    Raises:
        HubError: there is none, or it cannot be served now.
    """
    if configured is not None:
        return agents.get(configured)
    infos = agents.all()
    if len(infos) != 1:
        raise NotFound("there is no default agent: choose one from /agents, or configure it")
    return infos[0]
