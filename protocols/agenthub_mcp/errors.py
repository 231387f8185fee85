"""Errors of the hub, as MCP tells them.

What the calling model can act on becomes a tool result with `isError`; what it cannot becomes a
JSON-RPC error. Codes of ours lie outside the range that JSON-RPC reserves.
"""

from __future__ import annotations

from typing import Final

import mcp_types as types
from mcp.shared.exceptions import MCPError

from agenthub import errors
from agenthub.errors import HubError
from agenthub.json import Json

CODES: Final[dict[type[HubError], int | None]] = {
    HubError: types.INTERNAL_ERROR,
    errors.NotFound: None,
    errors.Conflict: None,
    errors.UnknownInterrupt: None,
    errors.KeyReused: None,
    errors.Invalid: None,
    errors.AgentFailed: None,
    errors.DeadlineExceeded: None,
    errors.TooManyRequests: None,
    errors.Unavailable: None,
    errors.NotSupported: None,
    errors.Forbidden: 403,
    errors.Unauthenticated: 401,
    errors.TooLarge: 413,
    errors.UnsupportedVersion: types.UNSUPPORTED_PROTOCOL_VERSION,
}
"""By class: the JSON-RPC code, or None for a tool result that the model reads."""


def told(error: HubError) -> types.CallToolResult:
    """The tool result that tells of an error.

    Raises:
        MCPError: the error is none that a model can act on.
    """
    if CODES[type(error)] is None:
        return failed(error.message)
    raise refused(error)


def refused(error: HubError) -> MCPError:
    """The JSON-RPC error that tells of an error, where there is no result to tell it in."""
    return MCPError(
        CODES[type(error)] or types.INVALID_REQUEST, error.message, {"code": error.code}
    )


def failed(text: str, *, meta: dict[str, Json] | None = None) -> types.CallToolResult:
    """A tool result with `isError`: text alone, because strict clients validate anything else."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], is_error=True, _meta=meta
    )
