"""One call of a tool, whatever the era: what is kept of it, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import mcp_types as types

from agenthub.adapting import Io
from agenthub.json import JsonObject
from agenthub.remotes import Remote


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions, `{"method", "params"}` by their keys, that a call waits for."""

    requests: Mapping[str, JsonObject]


class Lost(Exception):
    """The connection of a call is gone, and nothing names the call to the server."""


@dataclass(slots=True)
class Kept:
    """A step's state: the `thread` of the tool, where it has one; and of an open call its `arguments`, and
    in `call` what its era needs to go on with it in another process (`requests` are its open questions,
    `found` says that the server can name it)."""

    remote: Remote
    io: Io
    thread: str | None = None
    arguments: JsonObject | None = None
    call: JsonObject | None = None

    def to_json(self) -> JsonObject:
        """As the driver keeps it."""
        return {"thread": self.thread, "arguments": self.arguments, "call": self.call}

    async def note(self, **said: object) -> None:
        """Save more of the call; returns when it is committed."""
        self.call = {**(self.call or {}), **said}
        await self.io.save(self.to_json())


class Calling(Protocol):
    """A call over the wire of an era. Raises `Lost`, `MCPError` or an error of the HTTP library."""

    async def begin(self) -> types.CallToolResult | Asked:
        """Make the call."""
        ...

    async def resume(self, replies: Mapping[str, JsonObject]) -> types.CallToolResult | Asked:
        """Go on with a call that asked, or that another attempt has made."""
        ...

    async def cancel(self) -> None:
        """Tell the server that nobody waits any more, within bounds."""
        ...


def tell(io: Io, progress: float, total: float | None, message: str | None) -> None:
    """Tell how far a call has come."""
    told = {"progress": progress, "total": total, "message": message}
    io.event("progress", {k: v for k, v in told.items() if v is not None})
