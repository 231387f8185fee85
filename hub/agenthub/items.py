"""Items: the long-term memory of agents, by namespace and key, with versions.

Agents reach it through LangGraph's store (`agenthub_langgraph.store`), people through the surfaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol, TypeAlias, cast, get_args

from agenthub.json import Json, JsonObject
from agenthub.ports import Lease

ItemOperator: TypeAlias = Literal["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$object"]
OPERATORS: Final = frozenset(get_args(ItemOperator)) - {"$object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """An item of the long-term memory; `score` is its likeness to the query, if there was one."""

    namespace: tuple[str, ...]
    key: str
    value: JsonObject
    created_at: datetime
    updated_at: datetime
    score: float | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemWrite:
    """An item to keep, or to delete (`value=None`). `vectors` by field; None leaves them alone."""

    namespace: tuple[str, ...]
    key: str
    value: JsonObject | None
    ttl: timedelta | None = None
    vectors: Mapping[str, Sequence[float]] | None = None


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """A condition on the value at `path`; `$object` asks for any object there."""

    path: tuple[str, ...]
    operator: ItemOperator
    wanted: Json = None


class ItemStore(Protocol):
    """Items that outlive threads, by namespace and key."""

    async def get(
        self, tenant: str, namespace: Sequence[str], key: str, *, refresh: bool
    ) -> StoredItem | None:
        """`refresh` begins the item's time to live anew."""
        ...

    async def search(
        self,
        tenant: str,
        prefix: Sequence[str],
        *,
        filters: Sequence[ItemFilter] = (),
        near: Sequence[float] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh: bool = False,
    ) -> Sequence[StoredItem]:
        """The latest change first; with `near`, the most alike first and items without vectors last."""
        ...

    async def under(
        self, tenant: str, namespace: Sequence[str], *, after: str, limit: int, refresh: bool
    ) -> Sequence[StoredItem]:
        """Items of exactly this namespace, by key, behind `after`. Costs what it returns, while a search may
        read all that the tenant has."""
        ...

    async def namespaces(
        self,
        tenant: str,
        *,
        prefixes: Sequence[Sequence[str]] = (),
        suffixes: Sequence[Sequence[str]] = (),
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[tuple[str, ...]]:
        """All that match every prefix and suffix (`*` stands for any part), cut to `max_depth`."""
        ...

    async def write(
        self, tenant: str, writes: Sequence[ItemWrite], *, lease: Lease | None = None
    ) -> None:
        """All or nothing. Raises `LeaseLost` when `lease` is not held any more."""
        ...


class VersionedItems(ItemStore, Protocol):
    """An `ItemStore` with compare-and-set. Every write makes an item's next version, from 1 on."""

    async def write_if(self, tenant: str, write: ItemWrite, version: int) -> int | None:
        """Write if the item's version is `version` (0: it must not exist); its new version, or None
        when it was not, and nothing was written."""
        ...

    async def indexed(self) -> bool:
        """Whether there is an index for semantic search."""
        ...


def filters_of(path: tuple[str, ...], wanted: Mapping[str, Json]) -> Iterator[ItemFilter]:
    """Conditions of a filter; a nested object narrows the path, operators apply where they stand.

    Raises:
        ValueError: an unknown operator.
    """
    for name, value in wanted.items():
        at = (*path, name)
        if not isinstance(value, Mapping):
            yield ItemFilter(at, "$eq", value)
            continue
        inner = cast("Mapping[str, Json]", value)
        if not any(k.startswith("$") for k in inner):
            yield ItemFilter(at, "$object")
            yield from filters_of(at, inner)
            continue
        for operator, operand in inner.items():
            if operator not in OPERATORS:
                raise ValueError(f"Unsupported operator: {operator}")
            yield ItemFilter(at, cast("ItemOperator", operator), operand)
