"""Configuration of a process: one frozen value, read once from the environment.

Names are `AGENTHUB_` plus the field's name in capitals; `DATABASE_URL` and `REDIS_URL` are honoured as
they are. An unknown `AGENTHUB_` name is an error, because it is a typing mistake. The table in the
README is generated from here (`agenthub config`), and a test keeps it true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from agenthub.errors import Invalid

PREFIX: Final = "AGENTHUB_"
PLAIN: Final = {"DATABASE_URL": "database_url", "REDIS_URL": "redis_url"}
RESERVED: Final = frozenset(
    {
        "AGENTHUB_EXAMPLE_MODEL",
        "AGENTHUB_PG_BIN",
        "AGENTHUB_PG_USER",
        "AGENTHUB_REDIS_BIN",
        "AGENTHUB_URL",
    }
)
"""Read by the examples and the embedded servers alone, and by the commands that look at a running hub."""
LEAST: Final[Mapping[str, float]] = {
    "slots": 1,
    "claim_batch": 1,
    "max_failures": 1,
    "max_body_bytes": 1,
    # loops that did not pause would do nothing else
    "renew_seconds": 0.001,
    "reap_seconds": 0.001,
    "poll_seconds": 0.001,
    "stream_poll_seconds": 0.001,
}
"""The least value of a setting, where it is not 0."""

CARD_COMPAT: Final = ("strict", "header", "merge")


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting of a server or worker process. Times are seconds."""

    database_url: str | None = _setting(
        None, "Postgres 15 to 18. Without it, `dev` starts its own; `serve` and `work` refuse."
    )
    redis_url: str | None = _setting(
        None,
        "Redis ≥ 7.2 or Valkey. Without it, wake-ups go through Postgres: slower, no less safe.",
    )
    host: str = _setting("127.0.0.1", "Address that the server listens on.")
    port: int = _setting(2024, "Port that the server listens on.")
    public_url: str | None = _setting(
        None,
        "The hub's address as clients see it, for agent cards and approval pages; default: from the "
        "request.",
    )
    grpc_port: int = _setting(
        0, "Port on which A2A is served over gRPC, too (extra `grpc`); 0 = it is not."
    )
    grpc_address: str | None = _setting(
        None,
        "`host:port` of gRPC as clients see it, for agent cards; default: the host of the public URL, and "
        "that port.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (), "Further `Host` values that MCP accepts (comma-separated); localhost always is."
    )
    allowed_origins: tuple[str, ...] = _setting(
        (), "Further web origins that may call the hub (comma-separated); localhost's always may."
    )
    default_agent: str | None = _setting(
        None, "The agent whose card stands at the root; default: the only one, if there is one."
    )
    card_compat: str = _setting(
        "strict",
        "The A2A card of those who name no version: `strict` 1.0, `header` 0.3 as the specification has "
        "it, or `merge` for one that old and new clients read.",
    )
    card_keys: tuple[str, ...] = _setting(
        (),
        "P-256 keys of agent cards, each the `d` of its JWK (comma-separated): the first signs, all are "
        "published; default: from the database.",
    )
    max_body_bytes: int = _setting(4 * 1024 * 1024, "Largest request body.")
    soft_deadline_seconds: float = _setting(
        50.0,
        "How long an MCP call without tasks may take before it answers with a handle; 0 = for ever.",
    )
    state_key: str = _setting(
        "",
        "Secret that seals MCP `requestState`, the same on every replica; default: from the database.",
    )
    mcp_fixtures: bool = _setting(
        False, "1 adds what the official MCP suite calls to the server; never in production."
    )
    environment: str = _setting("default", "The environment whose agents a worker serves.")
    slots: int = _setting(512, "Runs that a worker executes at once.")
    claim_batch: int = _setting(32, "Runs that a worker claims at a time.")
    lease_seconds: float = _setting(15.0, "How long a worker that is silent keeps its runs.")
    renew_seconds: float = _setting(4.0, "How often a worker renews its leases.")
    lease_margin_seconds: float = _setting(
        3.0, "How long before its lease ends a worker stops trusting it."
    )
    reap_seconds: float = _setting(4.0, "How often expired leases are looked for.")
    max_failures: int = _setting(3, "Attempts that may die before a run is given up.")
    poll_seconds: float = _setting(1.0, "How often a worker looks for runs when no doorbell rings.")
    stream_poll_seconds: float = _setting(
        2.0, "How often a stream looks into the log when it is quiet."
    )
    slice_seconds: float = _setting(0.01, "Longest time that events wait to be committed together.")
    cancel_grace_seconds: float = _setting(5.0, "How long a cancelled agent may clean up.")
    drain_seconds: float = _setting(20.0, "How long a stopping worker lets its runs go on.")
    ephemeral_ttl_seconds: float = _setting(
        3600.0, "How long the thread of a stateless run stays after its end."
    )

    cron_poll_seconds: float = _setting(
        5.0,
        "How often a server looks for due crons and deadlines of questions; 0 = it acts on none.",
    )
    delivery_poll_seconds: float = _setting(
        1.0, "How often a server looks for due webhooks when nothing wakes it; 0 = it sends none."
    )
    delivery_timeout_seconds: float = _setting(
        15.0, "How long a webhook may take, from resolving its name to the answer."
    )
    outbound_networks: tuple[str, ...] = _setting(
        (), "Private networks that webhooks may go to (comma-separated, like `10.0.0.0/8`)."
    )
    webhook_secrets: tuple[str, ...] = _setting(
        (), "Secrets that sign webhooks (`whsec_…`, comma-separated); default: from the database."
    )

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            least = LEAST.get(f.name, 0)
            # `not >=` refuses what is no number at all, too
            if isinstance(value, (int, float)) and not least <= value < math.inf:
                raise Invalid(f"{f.name} is {value}: it must be a number, {least} at least")
        if self.card_compat not in CARD_COMPAT:
            raise Invalid(
                f"card_compat is {self.card_compat!r}, not one of {', '.join(CARD_COMPAT)}"
            )
        if self.renew_seconds * 3 > self.lease_seconds - self.lease_margin_seconds + 1e-9:
            raise Invalid(
                f"three renewals ({self.renew_seconds} s each) must fit into the lease less its margin "
                f"({self.lease_seconds} s - {self.lease_margin_seconds} s)"
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Config:
        """Read the environment.

        Raises:
            Invalid: an unknown `AGENTHUB_` name, or a value that cannot be read.
        """
        known = {PREFIX + f.name.upper(): f for f in fields(cls) if f.name not in PLAIN.values()}
        unknown = {
            name for name in environ if name.startswith(PREFIX) and name not in {*known, *RESERVED}
        }
        if unknown:
            raise Invalid(
                f"unknown setting {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
            )
        values: dict[str, Any] = {
            name: environ[variable] for variable, name in PLAIN.items() if environ.get(variable)
        }
        for variable, f in known.items():
            if variable in environ:
                values[f.name] = _read(variable, environ[variable], f.default)
        return cls(**values)


def _read(variable: str, text: str, default: Any) -> Any:
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if default is None or isinstance(default, str):
        return text
    kind: type[int] | type[float] = float if isinstance(default, float) else int
    try:
        return kind(text)
    except ValueError:
        raise Invalid(f"{variable}={text!r} is not a {kind.__name__}") from None


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    plain = {name: variable for variable, name in PLAIN.items()}
    for f in fields(Config):
        default = f"`{f.default}`" if f.default not in (None, (), "") else ""
        variable = plain.get(f.name, PREFIX + f.name.upper())
        rows.append(f"| `{variable}` | {default} | {f.metadata['doc']} |")
    return "\n".join(rows)
