"""The caller of one request: who it is, which era it speaks, and what it declared that it can do.

What is sent is chosen by declared capabilities alone, never by the client's name. The one private
attribute of the SDK that we need is read here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.dispatcher import DispatchContext
from mcp.shared.transport_context import TransportContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from agenthub.principal import Principal
from agenthub_mcp.exchange import Exchange

Context: TypeAlias = ServerRequestContext[Any, Request]

DISCONNECTED: Final = "agenthub.mcp.disconnected"
"""Key of the ASGI scope: the client, and not the server, ended the connection."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's caller."""

    ctx: Context
    who: Principal

    @property
    def modern(self) -> bool:
        """Whether it speaks a revision without handshake, 2026-07-28 or later."""
        return self.ctx.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def wants_progress(self) -> bool:
        """Whether it gave a progress token."""
        return self.ctx.meta is not None and self.ctx.meta.get("progress_token") is not None

    @property
    def can_answer(self) -> bool:
        """Whether questions can be put to its user: as a result of this call, or as a request."""
        declared = self.ctx.session.client_capabilities
        elicitation = None if declared is None else declared.elicitation
        if elicitation is None or (elicitation.form is None and elicitation.url is not None):
            return False
        return self.modern or self.ctx.session.can_send_request

    @property
    def cancelled(self) -> bool:
        """Whether it took the request back in words (`notifications/cancelled`)."""
        return self._outbound.cancel_requested.is_set()

    @property
    def key(self) -> str | None:
        """The idempotency key of the call, where another replica may follow it again."""
        return self._outbound.key if isinstance(self._outbound, Exchange) else None

    @property
    def again(self) -> bool:
        """Whether another replica served this call before."""
        return isinstance(self._outbound, Exchange) and self._outbound.again

    async def elicit(self, params: types.ElicitRequestFormParams, key: str) -> types.ElicitResult:
        """Put a question to the user; put again under the same key, it gets the same answer.

        Raises:
            MCPError: the client refused.
            ValidationError: its answer is none.
        """
        asked = params.model_dump(by_alias=True, mode="json", exclude_none=True)
        given = await self._outbound.send_raw_request(
            "elicitation/create", asked, {"request_id": key}
        )
        return types.ElicitResult.model_validate(given, by_name=False)

    @property
    def _outbound(self) -> DispatchContext[TransportContext]:
        return self.ctx.session._request_outbound  # pyright: ignore[reportPrivateUsage]  # no public way

    @property
    def disconnected(self) -> bool:
        """Whether it closed the response, which in the modern era takes the request back."""
        request = self.ctx.request
        return self.modern and request is not None and bool(request.scope.get(DISCONNECTED))
