"""Long-term memory over HTTP, with the official client."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk.errors import UnprocessableEntityError

from protocols.rest_client import http, refused, rest


async def test_an_item_is_put_read_and_deleted(hub_url: str) -> None:
    ns = (str(uuid4()), "notes")
    async with rest(hub_url) as client:
        assert await client.store.get_item(ns, key="a") is None
        await client.store.put_item(ns, key="a", value={"n": 1})
        found: Any = await client.store.get_item(ns, key="a")
        assert (found["namespace"], found["key"], found["value"]) == (list(ns), "a", {"n": 1})
        assert found["created_at"] == found["updated_at"]
        await client.store.put_item(ns, key="a", value={"n": 2}, ttl=60)
        again: Any = await client.store.get_item(ns, key="a", refresh_ttl=False)
        assert (again["value"], again["version"]) == ({"n": 2}, found["version"] + 1)
        for _ in range(2):
            await client.store.delete_item(ns, key="a")
        assert await client.store.get_item(ns, key="a") is None


@pytest.mark.parametrize("label", ["", "a.b", "n\0l"])
async def test_a_namespace_that_could_not_be_read_back_is_refused(hub_url: str, label: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        body = {"namespace": ["x", label], "key": "k", "value": {}}
        with refused(422, "namespace"):
            (await raw.put("/store/items", json=body)).raise_for_status()
        with refused(422, "namespace"):
            (await raw.put("/store/items", json={**body, "namespace": []})).raise_for_status()
        assert client.store


async def test_items_are_searched_by_filters_and_page(hub_url: str) -> None:
    top = str(uuid4())
    async with rest(hub_url) as client:
        for n in range(4):
            await client.store.put_item(
                (top, "a" if n % 2 else "b"), key=str(n), value={"n": n, "at": {"x": n}}
            )

        async def keys(*rest_of_it: str, **how: Any) -> list[str]:
            found = await client.store.search_items((top, *rest_of_it), **how)
            return sorted(item["key"] for item in found["items"])

        assert await keys() == ["0", "1", "2", "3"]
        assert await keys("a") == ["1", "3"]
        assert await keys(filter={"n": {"$gt": 1}}) == ["2", "3"]
        assert await keys(filter={"at": {"x": 3}}) == ["3"]
        assert len(await keys(limit=2)) == 2
        assert len(await keys(limit=10, offset=3)) == 1
        with pytest.raises(UnprocessableEntityError, match="Unsupported operator"):
            await keys(filter={"n": {"$like": 1}})
        found: Any = await client.store.search_items((top,), query="anything", limit=1)
        assert found["items"][0]["score"] is None


async def test_namespaces_are_listed_by_prefix_suffix_and_depth(hub_url: str) -> None:
    top = str(uuid4())
    async with rest(hub_url) as client:
        for ns in ((top, "a", "x"), (top, "a", "y"), (top, "b", "x")):
            await client.store.put_item(ns, key="k", value={})

        async def found(**how: Any) -> Any:
            listed: Any = await client.store.list_namespaces(prefix=[top], **how)
            return listed["namespaces"]

        assert await found() == [[top, "a", "x"], [top, "a", "y"], [top, "b", "x"]]
        assert await found(suffix=["x"]) == [[top, "a", "x"], [top, "b", "x"]]
        assert await found(max_depth=2) == [[top, "a"], [top, "b"]]
        assert await found(limit=1, offset=1) == [[top, "a", "y"]]


async def test_a_batch_is_made_as_a_whole(hub_url: str) -> None:
    ns = [str(uuid4())]
    async with http(hub_url) as raw:
        await raw.put("/store/items", json={"namespace": ns, "key": "old", "value": {"n": 0}})
        changes: list[Any] = [
            {"namespace": ns, "key": "a", "value": {"n": 1}},
            {"namespace": ns, "key": "b", "value": {"n": 2}, "ttl": 5},
            {"namespace": ns, "key": "old", "value": None},
        ]
        with refused(422):
            wrong = [*changes, {"namespace": [], "key": "c", "value": {}}]
            (await raw.post("/store/items/batch", json=wrong)).raise_for_status()
        assert await keys(raw, ns) == ["old"]
        assert (await raw.post("/store/items/batch", json=changes)).status_code == 204
        assert await keys(raw, ns) == ["a", "b"]


async def keys(raw: httpx.AsyncClient, ns: list[str]) -> list[str]:
    found = await raw.post("/store/items/search", json={"namespace_prefix": ns})
    return sorted(item["key"] for item in found.json()["items"])


async def test_of_two_writers_who_read_the_same_version_one_wins(hub_url: str) -> None:
    at: Any = {"namespace": [str(uuid4())], "key": "k"}
    async with http(hub_url) as raw:

        async def put(n: int, version: int) -> httpx.Response:
            body = {**at, "value": {"n": n}, "if_version": version}
            return await raw.put("/store/items", json=body)

        async def version() -> int:
            query = {"namespace": at["namespace"][0], "key": "k"}
            return (await raw.get("/store/items", params=query)).json()["version"]

        with refused(409, "at version 0, not 1"):
            (await put(0, 1)).raise_for_status()
        assert (await put(1, 0)).status_code == 204
        with refused(409, "not 0"):
            (await put(2, 0)).raise_for_status()
        seen = await version()
        assert (await put(3, seen)).status_code == 204
        late = await put(4, seen)
        assert (late.status_code, late.json()["version"]) == (409, seen + 1)
        body = {**at, "if_version": seen}
        with refused(409):
            (await raw.request("DELETE", "/store/items", json=body)).raise_for_status()
        body["if_version"] = await version()
        assert (await raw.request("DELETE", "/store/items", json=body)).status_code == 204
        with refused(409, "at version 0"):
            (await put(5, seen)).raise_for_status()
