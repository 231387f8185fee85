"""Who is calling: one value for every protocol, made at the edge and checked in the service."""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. `tenant` separates data; `subject` owns it; `scopes` limit what may be done."""

    tenant: str = DEFAULT_TENANT
    subject: str = "anonymous"
    scopes: frozenset[str] = field(default_factory=lambda: frozenset({"*"}))


ANONYMOUS = Principal()
