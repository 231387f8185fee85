"""Reading: the handlers of resources, prompts and completion, in both eras.

A resource that is not there is told as the caller's revision has it: -32602 since 2026-07-28, before that
-32002. Subscriptions of handshake clients stay with their session; modern ones listen instead.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import mcp_types as types
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.exceptions import MCPError

from agenthub.errors import HubError, Invalid, NotFound
from agenthub.ports import Tail
from agenthub.sessions import SessionStore
from agenthub_mcp.caller import Caller
from agenthub_mcp.completion import complete
from agenthub_mcp.paging import page
from agenthub_mcp.prompts import Prompts
from agenthub_mcp.resources import JSON, TEMPLATES, Resources, read_uri

LIST_TTL_MS: Final = 5_000
TEMPLATES_TTL_MS: Final = 3_600_000
READ_TTL_MS: Final = 0
"""A run may end at any moment."""
RESOURCE_NOT_FOUND: Final = -32002
"""Until 2025-11-25."""
MOST_SUBSCRIPTIONS: Final = 100
"""Of one session."""


class Reading:
    """The handlers. `only` is the agent of `/mcp/{agent}`."""

    def __init__(
        self, resources: Resources, prompts: Prompts, sessions: SessionStore, tail: Tail
    ) -> None:
        self.resources = resources
        self.prompts = prompts
        self.sessions = sessions
        self.tail = tail

    async def list(
        self, caller: Caller, only: str | None, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """The agents, and the caller's latest runs."""
        cursor = None if params is None else params.cursor
        resources, following = await self.resources.list(caller.who, only, cursor)
        return types.ListResourcesResult(
            resources=list(resources),
            next_cursor=following,
            ttl_ms=LIST_TTL_MS,
            cache_scope="private",
        )

    async def templates(
        self, caller: Caller, only: str | None, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """The same for everybody."""
        return types.ListResourceTemplatesResult(
            resource_templates=list(TEMPLATES), ttl_ms=TEMPLATES_TTL_MS, cache_scope="public"
        )

    async def read(
        self, caller: Caller, only: str | None, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """What a resource says now."""
        with finding(caller, params.uri):
            body = await self.resources.read(caller.who, only, params.uri)
        contents = types.TextResourceContents(uri=params.uri, mime_type=JSON, text=body.decode())
        return types.ReadResourceResult(
            contents=[contents], ttl_ms=READ_TTL_MS, cache_scope="private"
        )

    async def subscribe(
        self, caller: Caller, only: str | None, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell the caller's session of changes, on whatever replica it listens."""
        with finding(caller, params.uri):
            if not await self.resources.is_there(caller.who, only, params.uri):
                raise NotFound(f"there is no resource {params.uri[:120]!r}")
        session_id = self._session_id(caller)
        if not await self.sessions.subscribe(
            caller.who.tenant, session_id, params.uri, most=MOST_SUBSCRIPTIONS
        ):
            raise MCPError(
                types.INVALID_PARAMS,
                f"A session has {MOST_SUBSCRIPTIONS} subscriptions at most: give one up first",
            )
        self.tail.publish(session_id, ())
        return types.EmptyResult()

    async def unsubscribe(
        self, caller: Caller, only: str | None, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Take a subscription back; one that is not there is no error."""
        if read_uri(params.uri) is None:
            return types.EmptyResult()  # nobody can have subscribed to it
        session_id = self._session_id(caller)
        await self.sessions.unsubscribe(caller.who.tenant, session_id, params.uri)
        self.tail.publish(session_id, ())
        return types.EmptyResult()

    async def list_prompts(
        self, caller: Caller, only: str | None, params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        """The prompts that agents declare."""
        cursor = None if params is None else params.cursor
        prompts, following = page(self.prompts.listed(only), lambda prompt: prompt.name, cursor)
        return types.ListPromptsResult(
            prompts=prompts, next_cursor=following, ttl_ms=LIST_TTL_MS, cache_scope="private"
        )

    async def get_prompt(
        self, caller: Caller, only: str | None, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        """A prompt, filled in."""
        try:
            return self.prompts.get(only, params.name, params.arguments or {})
        except (NotFound, Invalid) as wrong:
            raise MCPError(types.INVALID_PARAMS, wrong.message) from None

    async def complete(
        self, caller: Caller, only: str | None, params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        """What fits into a template."""
        return await complete(self.resources, caller.who, only, params)

    @staticmethod
    def _session_id(caller: Caller) -> UUID:
        assert caller.ctx.request is not None, "served over HTTP"
        # the endpoint has let in no other session
        return UUID(caller.ctx.request.headers[MCP_SESSION_ID_HEADER])


@contextmanager
def finding(caller: Caller, uri: str) -> Generator[None]:
    """Tell of a resource that is not there, or not the caller's, in the words of its revision."""
    try:
        yield
    except NotFound:
        code = types.INVALID_PARAMS if caller.modern else RESOURCE_NOT_FOUND
        raise MCPError(code, "Resource not found", {"uri": uri}) from None
    except HubError as error:
        raise MCPError(types.INVALID_PARAMS, error.message, {"uri": uri}) from None
