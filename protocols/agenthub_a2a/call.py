"""A call: who wants something of which agent, as a binding hands it to the operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a2a.server.context import ServerCallContext

from agenthub.agents import AgentInfo
from agenthub.principal import Principal

CALL: Final = "agenthub.call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The caller, the agent, the version that the client speaks, and the key under which the call may
    be repeated."""

    who: Principal
    info: AgentInfo
    idempotency_key: str | None = None
    version: str = "1.0"

    def put(self, context: ServerCallContext) -> None:
        """Attach it to a request's context; the binding's context builder does."""
        context.state[CALL] = self

    @classmethod
    def of(cls, context: ServerCallContext) -> Call:
        """What the binding attached."""
        call = context.state[CALL]
        assert isinstance(call, cls)
        return call
