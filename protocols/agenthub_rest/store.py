"""Long-term memory over HTTP: items by namespace and key, batches, compare-and-set."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agenthub.errors import Conflict, Invalid, NotSupported, Unavailable
from agenthub.items import ItemWrite, filters_of
from agenthub.json import dumps
from agenthub.memory import Indexed, Vectors
from agenthub_rest import render
from agenthub_rest.api import Api
from agenthub_rest.errors import JsonResponse
from agenthub_rest.reading import checked, flag, read
from agenthub_rest.store_bodies import (
    ItemBatch,
    ItemChange,
    ItemDelete,
    ItemKey,
    ItemPut,
    ItemSearch,
    NamespaceSearch,
)

log = logging.getLogger(__name__)
T = TypeVar("T")


class Store(Api):
    """The routes of the long-term memory."""

    def routes(self) -> list[Route]:
        return [
            Route("/store/items", self.item, methods=["PUT", "GET", "DELETE"]),
            Route("/store/items/batch", self.batch, methods=["POST"]),
            Route("/store/items/search", self.search, methods=["POST"]),
            Route("/store/namespaces", self.namespaces, methods=["POST"]),
        ]

    async def item(self, request: Request) -> Response:
        # one route for all methods: with several, the router would tell of the first one's alone
        match request.method:
            case "PUT":
                return await self.put(request)
            case "DELETE":
                return await self.delete(request)
            case _:
                return await self.get(request)

    async def put(self, request: Request) -> Response:
        body = await read(request, ItemPut, self.max_body_bytes)
        (write,) = await self._writes([body], [body.index])
        return await self._written(request, write, body.if_version)

    async def delete(self, request: Request) -> Response:
        body = await read(request, ItemDelete, self.max_body_bytes)
        write = ItemWrite(namespace=tuple(body.namespace), key=body.key, value=None)
        return await self._written(request, write, body.if_version)

    async def _written(self, request: Request, write: ItemWrite, version: int | None) -> Response:
        tenant = self.who(request).tenant
        if version is None:
            await self.hub.items.write(tenant, [write])
            return Response(status_code=204)
        if await self.hub.items.write_if(tenant, write, version) is None:
            found = await self.hub.items.get(tenant, write.namespace, write.key, refresh=False)
            now = 0 if found is None else found.version
            raise Conflict(
                f"item {write.key!r} is at version {now}, not {version}: read it and decide again",
                version=now,
            )
        return Response(status_code=204)

    async def _writes(
        self, changes: Sequence[ItemPut | ItemChange], index: Sequence[Indexed]
    ) -> list[ItemWrite]:
        """The changes, embedded where that can be done here."""
        memory = self.hub.memory
        stale: Vectors | None = None
        if memory.embedder is None and await self.hub.items.indexed():
            # nobody can embed here, and a vector of what the item held before would be a lie
            stale = {}
        vectors: Sequence[Vectors | None] = [stale for _ in changes]
        if memory.embedder is not None:
            given = [change.value for change in changes]
            embedding = memory.embedder.vectors(list(zip(given, index, strict=True)))
            vectors = await _embedded(embedding)
        return [
            ItemWrite(
                namespace=tuple(change.namespace),
                key=change.key,
                value=change.value,
                ttl=memory.default_ttl if change.ttl is None else timedelta(minutes=change.ttl),
                vectors=found,
            )
            for change, found in zip(changes, vectors, strict=True)
        ]

    async def batch(self, request: Request) -> Response:
        body = await read(request, ItemBatch, self.max_body_bytes)
        writes = await self._writes(body.root, [one.index for one in body.root])
        await self.hub.items.write(self.who(request).tenant, writes)
        return Response(status_code=204)

    async def get(self, request: Request) -> Response:
        query = dict(request.query_params)
        at = checked(ItemKey, {**query, "namespace": query.get("namespace", "").split(".")})
        found = await self.hub.items.get(
            self.who(request).tenant,
            [part for part in at.namespace if part],
            at.key,
            refresh="refresh_ttl" not in query or flag(request, "refresh_ttl"),
        )
        # not 404: the official client reads a null as "none"
        return JsonResponse(dumps(None if found is None else render.item(found)))

    async def search(self, request: Request) -> Response:
        body = await read(request, ItemSearch, self.max_body_bytes)
        tenant = self.who(request).tenant
        near = await self._meant(body.query)
        try:
            filters = list(filters_of((), body.filter))
        except ValueError as error:
            raise Invalid(f"filter: {error}") from None
        found = await self.hub.items.search(
            tenant,
            body.namespace_prefix,
            filters=filters,
            near=near,
            limit=body.limit,
            offset=body.offset,
            refresh=body.refresh_ttl,
        )
        items = [{**render.item(i), "score": i.score} for i in found]
        return JsonResponse(dumps({"items": items}))

    async def _meant(self, query: str | None) -> Sequence[float] | None:
        """The vector of a query; without an index, a query says nothing."""
        if not query:
            return None
        if self.hub.memory.embedder is not None:
            return await _embedded(self.hub.memory.embedder.query(query))
        if await self.hub.items.indexed():
            raise NotSupported(
                "this server cannot embed queries: start it with the project whose `store.index` says how "
                "(`agenthub serve PROJECT`), search from an agent, or leave out `query`"
            )
        return None

    async def namespaces(self, request: Request) -> Response:
        body = await read(request, NamespaceSearch, self.max_body_bytes)
        found = await self.hub.items.namespaces(
            self.who(request).tenant,
            prefixes=[body.prefix] if body.prefix else [],
            suffixes=[body.suffix] if body.suffix else [],
            max_depth=body.max_depth,
            limit=body.limit,
            offset=body.offset,
        )
        return JsonResponse(dumps({"namespaces": [list(ns) for ns in found]}))


async def _embedded(embedding: Awaitable[T]) -> T:
    """The project's own code, and often another service, which may fail."""
    try:
        return await embedding
    except Exception as error:
        log.exception("the project's embedding function failed")
        raise Unavailable("the project's embedding function failed: try again later") from error
