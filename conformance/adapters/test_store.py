"""The long-term memory: LangGraph's own store as the oracle where it has an answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    MatchCondition,
    PutOp,
    SearchOp,
    TTLConfig,
)
from langgraph.store.memory import InMemoryStore

import agenthub_langgraph  # noqa: F401  # strict msgpack, before langgraph
from agenthub.errors import Invalid, LeaseLost, Unavailable
from agenthub.items import ItemWrite
from agenthub.ports import Lease
from agenthub_langgraph.store import HubStore
from agenthub_postgres import items
from agenthub_postgres.items import PostgresItems, ensure_index
from testkit.core import Core, has_vectors

WORDS = ["cat", "dog", "ship", "sea"]


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Counts words: likeness that a reader can compute."""
    return [[float(t.lower().count(w)) + 0.01 * i for i, w in enumerate(WORDS)] for t in texts]


def index(fields: list[str] | None = None) -> IndexConfig:
    made: IndexConfig = {"dims": len(WORDS), "embed": embed}
    if fields is not None:
        made["fields"] = fields
    return made


def hub_store(core: Core, **how: Any) -> HubStore:
    return HubStore(PostgresItems(core.db), "default", **how)


async def indexed_store(core: Core, fields: list[str] | None = None) -> HubStore:
    await make_index(core, len(WORDS))
    return hub_store(core, index=index(fields))


async def make_index(core: Core, dims: int) -> None:
    if not await has_vectors(core):
        pytest.skip("this Postgres has no pgvector")
    await ensure_index(core.db.dsn, dims)


# --- as LangGraph's own -------------------------------------------------------------------------

VALUES: list[dict[str, Any]] = [
    {"kind": "a", "n": 1, "deep": {"x": 1, "y": {"z": "q"}}, "tags": ["u", "v"], "flag": True},
    {"kind": "b", "n": 2.5, "deep": {"x": 2}, "tags": [], "none": None},
    {"kind": "a", "n": 10, "deep": {}, "quote": 'it\'s "$" {curly} %s'},
    {"kind": "c", "n": -3, "flag": False, "text": "ünï ☃"},
]


async def fill(store: BaseStore) -> None:
    for at, value in enumerate(VALUES):
        await store.aput(("docs", f"u{at % 2}"), f"k{at}", value)
    await store.aput(("docs",), "root", {"kind": "root", "n": 0})
    await store.aput(("other", "docs"), "k9", {"kind": "a", "n": 99})


@pytest.mark.parametrize(
    "filter",
    [
        None,
        {},
        {"kind": "a"},
        {"kind": "a", "n": 10},
        {"n": {"$gt": 1}},
        {"n": {"$gte": 1, "$lt": 10}},
        {"n": {"$lte": 2.5}},
        {"kind": {"$ne": "a"}},
        {"kind": {"$eq": "b"}},
        {"flag": True},
        {"flag": False},
        {"none": None},
        {"missing": None},
        {"missing": {"$ne": 1}},
        {"tags": ["u", "v"]},
        {"tags": []},
        {"tags": ["u"]},
        {"deep": {"x": 1}},
        {"deep": {"y": {"z": "q"}}},
        {"deep": {"x": {"$eq": 2}}},
        {"deep": {}},
        {"quote": 'it\'s "$" {curly} %s'},
        {"text": "ünï ☃"},
        {"x' or true --": 1},
        {"kind": "' or true --"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("prefix", [(), ("docs",), ("docs", "u0"), ("doc",), ("none",)])
async def test_a_search_finds_what_langgraphs_own_store_finds(
    core: Core, prefix: tuple[str, ...], filter: dict[str, Any] | None
) -> None:
    ours, theirs = hub_store(core), InMemoryStore()
    await fill(ours)
    await fill(theirs)
    found = await ours.asearch(prefix, filter=filter, limit=50)
    expected = await theirs.asearch(prefix, filter=filter, limit=50)
    assert {(i.namespace, i.key) for i in found} == {(i.namespace, i.key) for i in expected}
    assert {i.key: i.value for i in found} == {i.key: i.value for i in expected}


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"prefix": ("docs",)},
        {"prefix": ("*", "u1")},
        {"suffix": ("u0",)},
        {"suffix": ("docs", "*")},
        {"suffix": ("docs",)},
        {"prefix": ("docs",), "suffix": ("u1",)},
        {"max_depth": 1},
        {"prefix": ("docs",), "max_depth": 1},
        {"limit": 2},
        {"limit": 2, "offset": 1},
        {"prefix": ("docs", "u0", "deeper")},
    ],
    ids=repr,
)
async def test_namespaces_are_listed_as_by_langgraphs_own_store(
    core: Core, how: dict[str, Any]
) -> None:
    ours, theirs = hub_store(core), InMemoryStore()
    await fill(ours)
    await fill(theirs)
    assert await ours.alist_namespaces(**how) == await theirs.alist_namespaces(**how)


async def test_an_item_is_put_read_replaced_and_deleted(core: Core) -> None:
    store = hub_store(core)
    assert await store.aget(("a",), "k") is None
    await store.aput(("a",), "k", {"v": 1, "nul": "\x00"})
    first = await store.aget(("a",), "k")
    assert first is not None
    await store.aput(("a",), "k", {"v": 2})
    second = await store.aget(("a",), "k")
    assert second is not None
    assert (second.value, second.created_at) == ({"v": 2}, first.created_at)
    assert second.updated_at >= first.updated_at
    await store.adelete(("a",), "k")
    await store.adelete(("a",), "k")
    assert await store.aget(("a",), "k") is None


async def test_a_batch_reads_before_it_writes_and_its_last_write_counts(core: Core) -> None:
    store = hub_store(core)
    results = await store.abatch(
        [
            PutOp(("a",), "k", {"v": 1}),
            GetOp(("a",), "k"),
            PutOp(("a",), "k", {"v": 2}),
            PutOp(("a",), "gone", None),
            SearchOp(("a",)),
        ]
    )
    assert results == [None, None, None, None, []]
    item = await store.aget(("a",), "k")
    assert item is not None
    assert item.value == {"v": 2}


async def test_pages_of_a_search_do_not_overlap(core: Core) -> None:
    store = hub_store(core)
    for at in range(7):
        await store.aput(("a",), f"k{at}", {"n": at})
    pages = [await store.asearch(("a",), limit=3, offset=o) for o in (0, 3, 6)]
    assert [i.key for page in pages for i in page] == [f"k{at}" for at in reversed(range(7))]


async def test_unknown_operators_and_namespaces_are_refused(core: Core) -> None:
    store = hub_store(core)
    with pytest.raises(ValueError, match=r"Unsupported operator: \$where"):
        await store.asearch(("a",), filter={"n": {"$where": "1"}})
    with pytest.raises(ValueError, match="Namespace cannot be empty"):
        await store.aput((), "k", {})


async def test_comparisons_never_mix_kinds(core: Core) -> None:
    store = hub_store(core)
    await store.aput(("a",), "n", {"v": 5})
    await store.aput(("a",), "s", {"v": "5"})
    await store.aput(("a",), "date", {"v": "2026-01-02"})
    numbers = await store.asearch(("a",), filter={"v": {"$gt": 4}})
    dates = await store.asearch(("a",), filter={"v": {"$gte": "2026-01-01"}})
    assert ([i.key for i in numbers], sorted(i.key for i in dates)) == (["n"], ["date", "s"])


async def test_the_synchronous_calls_are_refused_with_the_names_of_the_others(core: Core) -> None:
    with pytest.raises(NotImplementedError, match="aget"):
        hub_store(core).get(("a",), "k")


async def test_another_tenant_sees_nothing(core: Core) -> None:
    await hub_store(core).aput(("a",), "k", {})
    other = HubStore(PostgresItems(core.db), "other")
    assert await other.aget(("a",), "k") is None
    assert await other.asearch(()) == []
    assert await other.alist_namespaces() == []
    await other.adelete(("a",), "k")
    assert await hub_store(core).aget(("a",), "k") is not None


# --- times to live ------------------------------------------------------------------------------


async def expire_soon(core: Core, seconds: int) -> None:
    await core.value(
        "update store_items set expires_at = now() + make_interval(secs => $1)", float(seconds)
    )


async def minutes_left(core: Core) -> float:
    left = await core.value("select extract(epoch from expires_at - now()) / 60 from store_items")
    return round(float(left), 1)


async def test_an_expired_item_is_gone_for_every_reader_and_tidied_away(core: Core) -> None:
    from datetime import timedelta

    store = hub_store(core)
    await store.aput(("a",), "k", {"v": 1}, ttl=5)
    await expire_soon(core, -1)
    assert await store.aget(("a",), "k") is None
    assert await store.asearch(()) == []
    assert await store.alist_namespaces() == []
    await core.queue.tidy(ephemeral_ttl=timedelta(hours=1))
    assert await core.value("select count(*) from store_items") == 0


async def test_reading_renews_an_item_unless_it_is_told_not_to(core: Core) -> None:
    store = hub_store(core)
    await store.aput(("a",), "k", {"v": 1}, ttl=5)
    await expire_soon(core, 60)
    await store.aget(("a",), "k", refresh_ttl=False)
    await store.asearch(("a",), refresh_ttl=False)
    assert await minutes_left(core) == 1
    await store.aget(("a",), "k")
    assert await minutes_left(core) == 5
    await expire_soon(core, 60)
    await store.asearch(("a",))
    assert await minutes_left(core) == 5


async def test_the_configuration_decides_what_is_not_said(core: Core) -> None:
    ttl: TTLConfig = {"default_ttl": 3, "refresh_on_read": False}
    store = hub_store(core, ttl=ttl)
    await store.aput(("a",), "k", {"v": 1})
    assert await minutes_left(core) == 3
    await expire_soon(core, 60)
    await store.aget(("a",), "k")
    assert await minutes_left(core) == 1
    await store.aput(("a",), "k", {"v": 2}, ttl=None)
    assert await core.value("select expires_at from store_items") is None


# --- likeness -----------------------------------------------------------------------------------

DOCS = {
    "c": {"text": "cat cat dog", "lang": "en"},
    "d": {"text": "dog", "lang": "en"},
    "s": {"text": "ship at sea", "lang": "de"},
    "m": {"text": "cat ship", "lang": "de", "more": ["sea sea sea", "dog dog"]},
}


@pytest.mark.parametrize("fields", [None, ["text"], ["text", "more[*]"]])
@pytest.mark.parametrize("query", ["cat", "dog", "sea ship", "cat dog"])
@pytest.mark.parametrize("filter", [None, {"lang": "de"}])
async def test_a_query_ranks_as_langgraphs_own_store_does(
    core: Core, fields: list[str] | None, query: str, filter: dict[str, Any] | None
) -> None:
    ours, theirs = await indexed_store(core, fields), InMemoryStore(index=index(fields))
    for store in (ours, theirs):
        for key, value in DOCS.items():
            await store.aput(("docs",), key, value)
        await store.aput(("docs",), "unindexed", {"text": "cat", "lang": "de"}, index=False)
    found = await ours.asearch(("docs",), query=query, filter=filter)
    expected = await theirs.asearch(("docs",), query=query, filter=filter)
    assert [i.key for i in found] == [i.key for i in expected]
    for mine, other in zip(found, expected, strict=True):
        if other.score is None:
            assert mine.score is None
        else:
            assert mine.score is not None
            assert math.isclose(mine.score, other.score, abs_tol=1e-5)


async def test_a_replaced_item_is_found_by_its_new_text_only(core: Core) -> None:
    store = await indexed_store(core, ["text", "title"])
    await store.aput(("docs",), "k", {"text": "cat", "title": "dog"})
    await store.aput(("docs",), "k", {"text": "ship"})
    rows = await core.rows("select field from store_vectors")
    assert [r["field"] for r in rows] == ["text"]
    (found,) = await store.asearch(("docs",), query="ship")
    assert found.score == pytest.approx(1.0, abs=1e-3)
    await store.adelete(("docs",), "k")
    assert await core.value("select count(*) from store_vectors") == 0


async def test_making_the_index_again_changes_nothing_and_other_dims_are_refused(
    core: Core,
) -> None:
    await asyncio.gather(*(make_index(core, 4) for _ in range(3)))
    with pytest.raises(Invalid, match="holds vectors of 4 dims, not 8"):
        await ensure_index(core.db.dsn, 8)
    with pytest.raises(Invalid, match="0 dims"):
        await ensure_index(core.db.dsn, 0)


async def test_a_server_without_pgvector_is_refused_with_what_to_do(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "HAS_VECTOR", "select 1 where false")
    with pytest.raises(Unavailable, match="pgvector"):
        await ensure_index(core.db.dsn, 4)


# --- under a lease ------------------------------------------------------------------------------


async def leased(core: Core) -> tuple[HubStore, Lease, list[bool]]:
    await core.create()
    claimed = await core.claim_one()
    lost: list[bool] = []
    return hub_store(core).leased(claimed.lease, lambda: lost.append(True)), claimed.lease, lost


async def test_a_run_writes_while_it_holds_its_lease(core: Core) -> None:
    store, _, lost = await leased(core)
    await store.aput(("a",), "k", {"v": 1})
    assert await hub_store(core).aget(("a",), "k") is not None
    assert not lost


@pytest.mark.parametrize("taken", ["reaped", "claimed again"])
async def test_a_run_that_lost_its_lease_leaves_no_memory_and_is_told(
    core: Core, taken: str
) -> None:
    store, lease, lost = await leased(core)
    await store.aput(("a",), "kept", {"v": 1})
    await core.expire(lease)
    await core.reap()
    if taken == "claimed again":
        await core.claim_one()
    with pytest.raises(LeaseLost):
        await store.abatch([PutOp(("a",), "new", {"v": 2}), PutOp(("a",), "kept", None)])
    assert lost
    assert [i.key for i in await hub_store(core).asearch(())] == ["kept"]


async def test_a_node_uses_the_store_that_its_graph_is_given(core: Core) -> None:
    class State(TypedDict):
        n: int

    async def node(state: State, *, store: BaseStore) -> State:
        await store.aput(("memo",), "n", {"n": state["n"]})
        found = await store.aget(("memo",), "n")
        assert found is not None
        return {"n": found.value["n"] + 1}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    store, _, _ = await leased(core)
    assert await builder.compile(store=store).ainvoke({"n": 1}) == {"n": 2}


async def test_matching_conditions_may_be_given_as_operations(core: Core) -> None:
    from langgraph.store.base import ListNamespacesOp

    store = hub_store(core)
    await fill(store)
    conditions = (MatchCondition("prefix", ("docs",)), MatchCondition("suffix", ("u0",)))
    assert await store.abatch([ListNamespacesOp(match_conditions=conditions)]) == [[("docs", "u0")]]


async def test_a_value_that_is_set_by_its_version_is_not_found_by_what_it_was(core: Core) -> None:
    store = await indexed_store(core)
    await store.aput(("docs",), "k", {"text": "cat cat"})
    items_ = PostgresItems(core.db)
    found = await items_.get("default", ("docs",), "k", refresh=False)
    assert found is not None
    write = ItemWrite(namespace=("docs",), key="k", value={"text": "ship"})
    assert await items_.write_if("default", write, found.version) == found.version + 1
    (near,) = await store.asearch(("docs",), query="cat")
    assert near.value == {"text": "ship"}
    assert not near.score
    assert await items_.write_if("default", write, found.version) is None
