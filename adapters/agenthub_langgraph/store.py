"""Long-term memory: LangGraph's store over `ItemStore`.

A run gets a view of it (`leased`) whose writes are fenced by the run's lease, like its checkpoints: a
worker that lost its run leaves no memory behind either. Reads of a batch come before its writes, as in
LangGraph's own stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from agenthub.errors import LeaseLost
from agenthub.items import ItemStore, ItemWrite, StoredItem, filters_of
from agenthub.json import JsonObject, loads
from agenthub.memory import Vectors
from agenthub.ports import Lease
from agenthub_langgraph.embedding import Embedding
from agenthub_langgraph.encode import encode

PAGE = 500


class HubStore(BaseStore):
    """The store of a tenant. With `index`, `agenthub_postgres.items.ensure_index` must have run."""

    supports_ttl = True

    def __init__(
        self,
        items: ItemStore,
        tenant: str,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        self.items = items
        self.tenant = tenant
        self.ttl_config = ttl
        self.lease: Lease | None = None
        self.on_lost: Callable[[], None] | None = None
        self.embedding = None if index is None else Embedding(index)

    def leased(self, lease: Lease, on_lost: Callable[[], None]) -> HubStore:
        """The store of one attempt: its writes are refused once the lease is lost."""
        view = copy(self)
        view.lease, view.on_lost = lease, on_lost
        return view

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        raise NotImplementedError(
            "the hub is asynchronous: use `aget`, `aput`, `asearch`, `adelete`, `alist_namespaces`"
        )

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        results: list[Result] = []
        puts: dict[tuple[tuple[str, ...], str], PutOp] = {}
        for op in ops:
            match op:
                case GetOp():
                    results.append(await self._get(op))
                case SearchOp():
                    results.append(await self._search(op))
                case ListNamespacesOp():
                    results.append(await self._namespaces(op))
                case PutOp():
                    puts[(op.namespace, op.key)] = op
                    results.append(None)
                case _:
                    raise ValueError(f"Unknown operation type: {type(op)}")
        if puts:
            await self._put(list(puts.values()))
        return results

    async def under(self, namespace: tuple[str, ...]) -> Mapping[str, Mapping[str, Any]]:
        """All values of exactly this namespace, by key."""
        refresh = (self.ttl_config or {}).get("refresh_on_read", True)
        found: dict[str, Mapping[str, Any]] = {}
        last = ""
        while True:
            page = await self.items.under(
                self.tenant, namespace, after=last, limit=PAGE, refresh=refresh
            )
            found |= {item.key: item.value for item in page}
            if len(page) < PAGE:
                return found
            last = page[-1].key

    async def _get(self, op: GetOp) -> Item | None:
        found = await self.items.get(self.tenant, op.namespace, op.key, refresh=op.refresh_ttl)
        if found is None:
            return None
        return Item(
            value=found.value,
            key=found.key,
            namespace=found.namespace,
            created_at=found.created_at,
            updated_at=found.updated_at,
        )

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        near: Sequence[float] | None = None
        if op.query and self.embedding is not None:
            near = await self.embedding.query(op.query)
        found = await self.items.search(
            self.tenant,
            op.namespace_prefix,
            filters=list(filters_of((), op.filter or {})),
            near=near,
            limit=op.limit,
            offset=op.offset,
            refresh=op.refresh_ttl,
        )
        return [_found(item) for item in found]

    async def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        found = await self.items.namespaces(
            self.tenant,
            prefixes=[c.path for c in conditions if c.match_type == "prefix"],
            suffixes=[c.path for c in conditions if c.match_type == "suffix"],
            max_depth=op.max_depth,
            limit=op.limit,
            offset=op.offset,
        )
        return list(found)

    async def _put(self, ops: Sequence[PutOp]) -> None:
        vectors = await self._vectors(ops)
        writes = [
            ItemWrite(
                namespace=op.namespace,
                key=op.key,
                value=None if op.value is None else _plain(op.value),
                ttl=None if op.ttl is None else timedelta(minutes=op.ttl),
                vectors=v,
            )
            for op, v in zip(ops, vectors, strict=True)
        ]
        try:
            await self.items.write(self.tenant, writes, lease=self.lease)
        except LeaseLost:
            if self.on_lost is not None:
                self.on_lost()
            raise

    async def _vectors(self, ops: Sequence[PutOp]) -> Sequence[Vectors | None]:
        """The vectors of each op; None without an index."""
        if self.embedding is None:
            return [None] * len(ops)
        return await self.embedding.vectors([(op.value, op.index) for op in ops])


def _found(item: StoredItem) -> SearchItem:
    return SearchItem(
        namespace=item.namespace,
        key=item.key,
        value=item.value,
        created_at=item.created_at,
        updated_at=item.updated_at,
        score=item.score,
    )


def _plain(value: Mapping[str, Any]) -> JsonObject:
    return loads(encode(dict(value)))
