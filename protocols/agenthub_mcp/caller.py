"""The caller of one request: who it is, which era it speaks, and what it declared that it can do.

What is sent is chosen by declared capabilities alone, never by the client's name. The one private
attribute of the SDK that we need is read here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.dispatcher import DispatchContext
from mcp.shared.transport_context import TransportContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub_mcp.exchange import Exchange

TASKS: Final = "io.modelcontextprotocol/tasks"
"""The extension of 2026-07-28."""
RELATED_TASK: Final = "io.modelcontextprotocol/related-task"
"""Key of the `_meta` of what belongs to a task, in 2025-11-25."""

Context: TypeAlias = ServerRequestContext[Any, Request]

DISCONNECTED: Final = "agenthub.mcp.disconnected"
"""Key of the ASGI scope: the client, and not the server, ended the connection."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's caller. `about` is the task that what is sent to it belongs to, where it knows tasks."""

    ctx: Context
    who: Principal
    about: UUID | None = None

    @property
    def base_url(self) -> str:
        """The hub's address, as the caller has it."""
        assert self.ctx.request is not None, "served over HTTP"
        return str(self.ctx.request.base_url).rstrip("/")

    @property
    def modern(self) -> bool:
        """Whether it speaks a revision without handshake, 2026-07-28 or later."""
        return self.ctx.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def wants_progress(self) -> bool:
        """Whether it gave a progress token."""
        return self.ctx.meta is not None and self.ctx.meta.get("progress_token") is not None

    @property
    def modes(self) -> frozenset[str]:
        """How questions can be put to its user, as a result of this call or as a request: `form`, `url`."""
        declared = self.ctx.session.client_capabilities
        elicitation = None if declared is None else declared.elicitation
        if elicitation is None or not (self.modern or self.ctx.session.can_send_request):
            return frozenset()
        if elicitation.url is None:
            return frozenset({"form"})
        return frozenset({"url"} if elicitation.form is None else {"form", "url"})

    @property
    def can_answer(self) -> bool:
        """Whether questions can be put to its user at all."""
        return bool(self.modes)

    @property
    def takes_tasks(self) -> bool:
        """Whether a call may end in a task (the extension, by this request's declaration)."""
        declared = self.ctx.session.client_capabilities
        extensions = None if declared is None else declared.extensions
        return self.modern and extensions is not None and TASKS in extensions

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

    async def notify(self, method: str, params: JsonObject) -> None:
        """Send a notification on the response of this request."""
        await self._outbound.notify(method, params)

    async def elicit(
        self, params: types.ElicitRequestParams, key: str, settled: Coroutine[Any, Any, object]
    ) -> types.ElicitResult:
        """Put a question to the user; put again under the same key, it gets the same answer. `settled` ends
        when none is needed any more.

        Raises:
            MCPError: the client refused.
            Withdrawn: it was settled without the user.
            ValidationError: its answer is none.
        """
        asked = params.model_dump(by_alias=True, mode="json", exclude_none=True)
        if self.about is not None:
            asked["_meta"] = {RELATED_TASK: {"taskId": str(self.about)}}
        outbound = self._outbound
        assert isinstance(outbound, Exchange), "there is no other way to put a question"
        given = await outbound.ask("elicitation/create", asked, key, settled=settled)
        return types.ElicitResult.model_validate(given, by_name=False)

    @property
    def _outbound(self) -> DispatchContext[TransportContext]:
        return self.ctx.session._request_outbound  # pyright: ignore[reportPrivateUsage]  # no public way

    @property
    def disconnected(self) -> bool:
        """Whether it closed the response, which in the modern era takes the request back."""
        request = self.ctx.request
        return self.modern and request is not None and bool(request.scope.get(DISCONNECTED))
