"""The objects that stand for remote agents. They know an address and what is allowed; of conversations
they keep nothing, and what they remember of the other side is only what it said of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agenthub.remotes import Remote, read_remote

CARD_SECONDS = 300.0
"""How long what the other side says of itself is believed."""


class RemoteAgent:
    """A declaration, and what was last heard by it."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.heard: Any = None
        self.heard_until = 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.remote.url!r})"


class RemoteA2A(RemoteAgent):
    """An A2A agent: `url` is its base address, or that of its card (`….json`). `headers` maps names to
    `"env:VARIABLE"`. The rest is as in `agenthub.remotes.Remote`.

    Raises:
        Invalid: one of them makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        hosts: Sequence[str] = (),
        binding: str | None = None,
        verify: bool = False,
        keys: str | None = None,
    ) -> None:
        said = {"a2a": url, "headers": headers, "hosts": list(hosts), "verify": verify}
        said |= {k: v for k, v in (("binding", binding), ("keys", keys)) if v is not None}
        super().__init__(read_remote(said, f"RemoteA2A({url!r})"))


class RemoteMcp(RemoteAgent):
    """A tool of an MCP server at `url`; without `tool`, there is an agent for each of its tools.

    Raises:
        Invalid: one of them makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        tool: str | None = None,
        headers: Mapping[str, str] | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        said: dict[str, Any] = {"mcp": url, "headers": headers, "hosts": list(hosts)}
        if tool is not None:
            said["tool"] = tool
        super().__init__(read_remote(said, f"RemoteMcp({url!r})"))


def agent_of(remote: Remote) -> RemoteAgent:
    """The object of a declaration."""
    kind = RemoteA2A if remote.protocol == "a2a" else RemoteMcp
    made = kind.__new__(kind)
    RemoteAgent.__init__(made, remote)
    return made
