"""What a project declares for servers: how long threads live, which webhooks may be called and with which
headers, and which headers of a request its runs get to see. In the words of a langgraph.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from agenthub.archive import ThreadTtl
from agenthub.errors import Invalid

NEVER: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "cookie", "x-tenant-id", "x-service-key"}
)
"""Headers that no run gets to see, whatever a project says: they are about the caller's right to call."""
SECRETIVE: Final = (
    "token",
    "secret",
    "passw",
    "auth",
    "key",
    "cred",
    "cookie",
    "signature",
)
"""Words in the names of headers with secrets: what a run is configured with is stored with its thread."""
ENV_PREFIX: Final = "LG_WEBHOOK_"
TEMPLATE: Final = re.compile(r"\$\{\{\s*env\.(\w+)\s*\}\}")
URL_KEYS: Final = frozenset({"allowed_domains", "require_https", "allowed_ports", "max_url_length"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOn:
    """The headers of a request that become `configurable` of its runs: patterns as of a shell, lower case.
    `secretive` ones, by their names, are passed on only where a project says itself what is."""

    includes: tuple[str, ...] = ("x-*",)
    excludes: tuple[str, ...] = ()
    secretive: bool = False

    def of(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Those of a request, by their lower-case names."""
        return {
            name.lower(): value for name, value in headers.items() if self._passes(name.lower())
        }

    def _passes(self, name: str) -> bool:
        if name in NEVER or any(fnmatchcase(name, pattern) for pattern in self.excludes):
            return False
        if not self.secretive and any(word in name for word in SECRETIVE):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self.includes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Which webhooks may be called, beyond what the outbound client refuses anyway (private addresses), and
    the headers that they get. Domains may begin with `*.`; without any, all are allowed."""

    allowed_domains: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = ()
    require_https: bool = False
    max_url_length: int | None = None
    disabled: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    env_prefix: str = ENV_PREFIX

    def check(self, url: str, scheme: str, host: str, port: int) -> None:
        """Raises `Invalid` for a webhook that the project does not allow."""
        if self.disabled:
            raise Invalid("this hub calls no webhooks: http.disable_webhooks says so")
        if self.max_url_length is not None and len(url) > self.max_url_length:
            raise Invalid(f"the webhook's URL is longer than {self.max_url_length} characters")
        if self.require_https and scheme != "https":
            raise Invalid("a webhook's URL must begin with https:// here")
        if self.allowed_ports and port not in self.allowed_ports:
            raise Invalid(f"a webhook may not be called at port {port} here")
        if self.allowed_domains and not any(_within(host, d) for d in self.allowed_domains):
            raise Invalid(f"a webhook may not be called at {host!r} here")

    def sent(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The headers with the environment's values.

        Raises:
            Invalid: a variable is not set, or is none of those that begin with `env_prefix`.
        """

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if not name.startswith(self.env_prefix):
                raise Invalid(f"webhooks.headers: {name} does not begin with {self.env_prefix}")
            if name not in variables:
                raise Invalid(f"webhooks.headers: the environment has no {name}")
            return variables[name]

        return {name: TEMPLATE.sub(value, text) for name, text in self.headers.items()}


def thread_ttl(section: Mapping[str, Any], where: str) -> ThreadTtl | None:
    """The time to live of threads, from the `ttl` of `checkpointer`; None: they stay."""
    minutes = section.get("default_ttl")
    if minutes is None:
        return None
    strategy = section.get("strategy", "delete")
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or minutes <= 0:
        raise Invalid(f"{where}: checkpointer.ttl.default_ttl is a number of minutes above 0")
    if strategy not in ("delete", "keep_latest"):
        raise Invalid(f"{where}: checkpointer.ttl.strategy is delete or keep_latest")
    return ThreadTtl(strategy, timedelta(minutes=minutes))


def passed_on(section: Mapping[str, Any] | None, where: str) -> PassedOn:
    """From `http.configurable_headers`."""
    if not section:
        return PassedOn()
    where = f"{where}: http.configurable_headers"
    includes = section.get("includes", section.get("include"))
    return PassedOn(
        includes=_texts(["x-*"] if includes is None else includes, where),
        secretive=includes is not None,
        excludes=_texts(section.get("excludes", section.get("exclude", [])), where),
    )


def webhooks(section: Mapping[str, Any], where: str, *, disabled: bool) -> Webhooks:
    """From `webhooks` and `http.disable_webhooks`."""
    url: Any = section.get("url") or {}
    headers: Any = section.get("headers") or {}
    if not isinstance(url, dict) or not isinstance(headers, dict):
        raise Invalid(f"{where}: webhooks.url and webhooks.headers are tables")
    url = cast("dict[str, Any]", url)
    ports: Any = url.get("allowed_ports") or []
    if not isinstance(ports, list) or not all(isinstance(p, int) for p in cast("list[Any]", ports)):
        raise Invalid(f"{where}: webhooks.url.allowed_ports is a list of numbers")
    named = cast("dict[str, Any]", headers)
    if not all(isinstance(value, str) for value in named.values()):
        raise Invalid(f"{where}: webhooks.headers has texts")
    return Webhooks(
        allowed_domains=_texts(url.get("allowed_domains") or [], f"{where}: webhooks.url"),
        allowed_ports=tuple(cast("list[int]", ports)),
        require_https=bool(url.get("require_https")),
        max_url_length=url.get("max_url_length"),
        disabled=disabled,
        headers=named,
        env_prefix=str(section.get("env_prefix") or ENV_PREFIX),
    )


def _texts(value: Any, where: str) -> tuple[str, ...]:
    items: Sequence[Any] = cast("list[Any]", value) if isinstance(value, list) else [None]
    if not all(isinstance(item, str) for item in items):
        raise Invalid(f"{where} has lists of texts")
    return tuple(item.lower() for item in items)


def _within(host: str, domain: str) -> bool:
    if domain.startswith("*."):
        return host.lower().endswith(domain[1:])
    return host.lower() == domain
