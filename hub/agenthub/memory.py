"""What a project says about the long-term memory: how items are found by meaning, and how long they stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias

Indexed: TypeAlias = Literal[False] | Sequence[str] | None
"""The fields of an item that are found by meaning: none, these paths, or those of the configuration."""
Vectors: TypeAlias = Mapping[str, Sequence[float]]
"""A vector for each indexed field."""


class Embedder(Protocol):
    """Turns texts into vectors, with the function or the model that the project names."""

    async def query(self, text: str) -> Sequence[float]:
        """The vector of what is looked for."""
        ...

    async def vectors(
        self, items: Sequence[tuple[Mapping[str, Any] | None, Indexed]]
    ) -> list[Vectors]:
        """The vectors of each item's fields, embedded in one call; of a deletion (None) there are none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The long-term memory's configuration. Without an embedder, nothing is found by meaning here."""

    embedder: Embedder | None = None
    default_ttl: timedelta | None = None
