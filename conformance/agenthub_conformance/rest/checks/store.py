"""The store: items below namespaces."""

from __future__ import annotations

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import Json, Probe

ITEMS = "/store/items"


async def put(probe: Probe, *labels: str, key: str = "k", **value: Json) -> None:
    """Keep an item below the probe's own namespace."""
    item = {"namespace": [probe.mark["check"], *labels], "key": key, "value": value}
    await probe.call("PUT", ITEMS, json=item, status=204)


async def get(probe: Probe, *labels: str, key: str = "k") -> Json:
    """Read one of them."""
    return await probe.get(ITEMS, key=key, namespace=".".join([probe.mark["check"], *labels]))


@requirement("store:put")
async def keep(probe: Probe) -> None:
    await put(probe, "a", n=1)
    item = await get(probe, "a")
    assert (item["key"], item["value"]) == ("k", {"n": 1})
    assert item["namespace"] == [probe.mark["check"], "a"]
    assert {"created_at", "updated_at"} <= item.keys()
    await put(probe, "a", n=2)
    assert (await get(probe, "a"))["value"] == {"n": 2}
    gone = {"namespace": [probe.mark["check"], "a"], "key": "k"}
    assert await probe.call("DELETE", ITEMS, json=gone, status=204) is None
    assert await get(probe, "a") is None


@requirement("store:absent")
async def absent(probe: Probe) -> None:
    assert await get(probe, "nowhere") is None
    gone = {"namespace": [probe.mark["check"]], "key": "k"}
    await probe.call("DELETE", ITEMS, json=gone, status=204)


@requirement("store:search")
async def search(probe: Probe) -> None:
    for n in range(3):
        await put(probe, "a" if n else "b", key=f"k{n}", n=n, kind="x" if n == 1 else "y")
    below = {"namespace_prefix": [probe.mark["check"]]}
    everything = (await probe.post(f"{ITEMS}/search", below))["items"]
    assert {i["key"] for i in everything} == {"k0", "k1", "k2"}
    in_a = {"namespace_prefix": [probe.mark["check"], "a"]}
    assert len((await probe.post(f"{ITEMS}/search", in_a))["items"]) == 2
    for condition, keys in (({"kind": "x"}, {"k1"}), ({"n": {"$gte": 1}}, {"k1", "k2"})):
        found = await probe.post(f"{ITEMS}/search", {**below, "filter": condition})
        assert {i["key"] for i in found["items"]} == keys
    page = await probe.post(f"{ITEMS}/search", {**below, "limit": 2, "offset": 2})
    assert len(page["items"]) == 1


@requirement("store:namespaces")
async def namespaces(probe: Probe) -> None:
    mine = probe.mark["check"]
    await put(probe, "a", "deep")
    await put(probe, "b")
    path = "/store/namespaces"

    async def listed(**asked: Json) -> list[Json]:
        found = await probe.post(path, {"prefix": [mine], **asked})
        return sorted(found["namespaces"])

    assert await listed() == [[mine, "a", "deep"], [mine, "b"]]
    assert await listed(max_depth=2) == [[mine, "a"], [mine, "b"]]
    assert await listed(suffix=["deep"]) == [[mine, "a", "deep"]]


@requirement("store:malformed")
async def malformed(probe: Probe) -> None:
    good: Json = {"namespace": ["a"], "key": "k", "value": {}}
    await probe.call("PUT", ITEMS, json={**good, "namespace": ["a.b"]}, status=422)
    await probe.call("PUT", ITEMS, json={**good, "namespace": [""]}, status=422)
    await probe.call("PUT", ITEMS, json={"namespace": ["a"], "value": {}}, status=422)
    await probe.call("PUT", ITEMS, json={**good, "value": "text"}, status=422)
    await probe.call("GET", ITEMS, params={"namespace": "a"}, status=422)
    await probe.call("DELETE", ITEMS, json={"namespace": ["a"]}, status=422)
    await probe.post(f"{ITEMS}/search", {"namespace_prefix": "a"}, status=422)
    await probe.post(f"{ITEMS}/search", {"namespace_prefix": ["a"], "limit": "x"}, status=422)
