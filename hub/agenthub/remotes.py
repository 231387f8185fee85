"""Remote agents: an A2A agent or an MCP server of somebody else, as a project declares it.

`[agents.NAME] remote = { a2a = URL }` or `{ mcp = URL }`. Nothing is fetched here; that is the adapter's,
in the worker. Secrets are never in the file: a header names the variable that has its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from agenthub.errors import Invalid

Protocol: TypeAlias = Literal["a2a", "mcp"]
COMMON: Final = frozenset({"headers", "hosts"})
KEYS: Final[dict[Protocol, frozenset[str]]] = {
    "a2a": frozenset({"a2a", "binding", "verify", "keys", *COMMON}),
    "mcp": frozenset({"mcp", "tool", *COMMON}),
}
BINDINGS: Final = ("JSONRPC", "HTTP+JSON")
_SECRET: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A remote agent, declared. `headers` maps names to the variables that have their values; `hosts`
    (`host` or `host:port`) are those besides the URL's that may be called. Of A2A: `binding` is the one
    to use (default: what the card prefers), `keys` a JWK set that the card must be signed with, and
    `verify` insists on a signature by keys of the agent's own hosts. Of MCP: `tool` is the one that the
    agent is; without it, there is an agent for each."""

    protocol: Protocol
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    hosts: tuple[str, ...] = ()
    binding: str | None = None
    verify: bool = False
    keys: str | None = None
    tool: str | None = None


def read_remote(said: Any, where: str) -> Remote:
    """The `remote` of an `[agents.NAME]` table.

    Raises:
        Invalid: it makes no sense.
    """
    where = f"remote of {where}"
    fields = _fields(said, where)
    protocol: Protocol = "a2a" if "a2a" in fields else "mcp"
    if unknown := set(fields) - KEYS[protocol]:
        known = ", ".join(sorted(KEYS[protocol]))
        raise Invalid(f"{where}: unknown {', '.join(sorted(unknown))}; known: {known}")
    if fields.get("binding", BINDINGS[0]) not in BINDINGS:
        raise Invalid(f"{where}: binding is {' or '.join(BINDINGS)}")
    if not isinstance(fields.get("verify", False), bool):
        raise Invalid(f"{where}: verify is true or false")
    if not isinstance(fields.get("tool", "x"), str) or fields.get("tool") == "":
        raise Invalid(f"{where}: tool is the name of one")
    return Remote(
        protocol=protocol,
        url=_url(fields[protocol], protocol, where),
        headers=read_headers(fields.get("headers") or {}, where),
        hosts=_hosts(fields.get("hosts") or [], where),
        binding=fields.get("binding"),
        verify=fields.get("verify", False),
        keys=_url(fields["keys"], "keys", where) if "keys" in fields else None,
        tool=fields.get("tool"),
    )


def read_headers(said: Any, where: str) -> dict[str, str]:
    """Headers as declared, `{NAME: "env:VARIABLE"}`, as names and variables.

    Raises:
        Invalid: they make no sense, or one has its value in the file. The message does not show it.
    """
    if not isinstance(said, Mapping):
        raise Invalid(f"{where}: headers is a table of names")
    found: dict[str, str] = {}
    for name, value in cast("Mapping[Any, Any]", said).items():
        if not isinstance(name, str) or not _HEADER.fullmatch(name):
            raise Invalid(f"{where}: {name!r} is not the name of a header")
        match = _SECRET.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise Invalid(
                f'{where}: header {name} must be "env:VARIABLE": its value belongs into the '
                "environment and not into a file"
            )
        found[name] = match[1]
    return found


def _fields(said: Any, where: str) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Invalid(f'{where} is a table like {{ a2a = "https://…" }} or {{ mcp = "https://…" }}')
    fields = cast("dict[str, Any]", said)
    if len({"a2a", "mcp"} & set(fields)) != 1:
        raise Invalid(f"{where} needs either a2a or mcp, with the address")
    return fields


def _url(said: Any, key: str, where: str) -> str:
    parts = None
    try:
        parts = urlsplit(said) if isinstance(said, str) else None
        usable = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and parts is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts is None:
        raise Invalid(f"{where}: {key} is an absolute address, http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise Invalid(f"{where}: {key} must not have a password in it: use headers")
    return str(said)


def _hosts(said: Any, where: str) -> tuple[str, ...]:
    hosts = cast("list[Any]", said) if isinstance(said, list) else [None]
    if not all(isinstance(host, str) and _HOST.fullmatch(host) for host in hosts):
        raise Invalid(f'{where}: hosts is a list like ["agents.example.com", "other:8443"]')
    return tuple(str(host).lower() for host in hosts)
