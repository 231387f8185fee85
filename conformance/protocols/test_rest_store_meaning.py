"""Searching the long-term memory by meaning over REST, on a server that was started with the project."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import InternalServerError

from agenthub.project import Project, read_project
from protocols.rest_client import http, refused, rest
from testkit.hub import serving, settings, working

EMBED = '''
"""Counts words: likeness that a reader can compute."""
WORDS = ["cat", "dog", "ship"]


def embed(texts):
    if "the model is down" in texts:
        raise ConnectionError("secret address")
    return [[float(t.lower().count(w)) + 0.01 * i for i, w in enumerate(WORDS)] for t in texts]
'''
AGENT = """
from langgraph.config import get_store
from langgraph.func import entrypoint


@entrypoint()
async def finds(query: str) -> list:
    found = await get_store().asearch(("docs",), query=query)
    return [item.key for item in found]
"""
TOML = """
[agents.finds]
path = "./finds.py:finds"
[store.index]
dims = 3
embed = "./EMBED:embed"
fields = ["text"]
[store.ttl]
default_ttl = 60
"""
DOCS = ["docs"]


@pytest.fixture
async def project(tmp_path: Path, dsn: str) -> Project:
    connection = await asyncpg.connect(dsn)
    there = "select 1 from pg_available_extensions where name = 'vector'"
    if await connection.fetchval(there) is None:
        pytest.skip("this Postgres has no pgvector")
    await connection.close()
    # a name of its own: modules stay loaded
    (tmp_path / "counting_words.py").write_text(EMBED)
    (tmp_path / "finds.py").write_text(AGENT)
    (tmp_path / "agenthub.toml").write_text(TOML.replace("EMBED", "counting_words.py"))
    return read_project(tmp_path)


@pytest.fixture
async def url(dsn: str, redis_url: str, project: Project) -> AsyncGenerator[str]:
    async with serving(settings(dsn, redis_url), project) as (url, _):
        yield url


async def keys(client: LangGraphClient, query: str) -> list[str]:
    """Of the items that are like the query, the most alike first."""
    found = (await client.store.search_items(DOCS, query=query))["items"]
    return [item["key"] for item in found if (item.get("score") or 0) > 0.5]


async def test_items_are_found_by_meaning(url: str) -> None:
    async with rest(url) as client:
        await client.store.put_item(DOCS, "pets", {"text": "a cat and a dog", "title": "ship"})
        await client.store.put_item(DOCS, "cats", {"text": "cat cat cat"})
        await client.store.put_item(DOCS, "sea", {"text": "a ship"})
        assert await keys(client, "cat") == ["cats", "pets"]
        assert await keys(client, "ship") == ["sea"]


async def test_an_item_says_which_of_its_fields_are_found(url: str) -> None:
    async with rest(url) as client:
        await client.store.put_item(DOCS, "hidden", {"text": "cat"}, index=False)
        await client.store.put_item(
            DOCS, "titled", {"text": "ship", "title": "cat"}, index=["title"]
        )
        assert await keys(client, "cat") == ["titled"]


async def test_an_item_that_was_replaced_is_found_by_what_it_is_now(url: str) -> None:
    async with rest(url) as client, http(url) as raw:
        item: dict[str, Any] = {"namespace": DOCS, "key": "one"}
        for version, said in enumerate(["cat", "dog"]):
            body = {**item, "value": {"text": said}, "if_version": version}
            (await raw.put("/store/items", json=body)).raise_for_status()
        assert await keys(client, "cat") == []
        assert await keys(client, "dog") == ["one"]
        batch = [{**item, "value": {"text": "ship"}}]
        (await raw.post("/store/items/batch", json=batch)).raise_for_status()
        assert await keys(client, "ship") == ["one"]


async def test_an_agent_finds_what_was_put_over_rest(
    url: str, dsn: str, redis_url: str, project: Project
) -> None:
    async with working(settings(dsn, redis_url), project.root), rest(url) as client:
        await client.store.put_item(DOCS, "cats", {"text": "cat"})
        await client.store.put_item(DOCS, "sea", {"text": "ship"})
        found: Any = await client.runs.wait(None, "finds", input="ship")
        assert found[0] == "sea"


async def test_an_item_stays_as_long_as_the_project_says(url: str, dsn: str) -> None:
    async with rest(url) as client:
        await client.store.put_item(DOCS, "default", {"text": ""})
        await client.store.put_item(DOCS, "own", {"text": ""}, ttl=5)
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("select key, ttl from store_items order by key")
    await connection.close()
    assert [(row["key"], row["ttl"].total_seconds()) for row in rows] == [
        ("default", 3600),
        ("own", 300),
    ]


async def test_an_embedding_that_fails_writes_nothing_and_tells_no_secret(url: str) -> None:
    async with rest(url) as client:
        with pytest.raises(InternalServerError) as failed:
            await client.store.put_item(DOCS, "one", {"text": "the model is down"})
        assert failed.value.status_code == 503
        assert "secret" not in str(failed.value)
        assert (await client.store.search_items(DOCS))["items"] == []


async def test_a_server_that_cannot_embed_says_so(
    url: str, dsn: str, redis_url: str, project: Project
) -> None:
    """Another replica, which was started without the project."""
    async with serving(settings(dsn, redis_url)) as (bare, _), rest(bare) as client:
        with refused(501, "agenthub serve PROJECT"):
            await client.store.search_items(DOCS, query="cat")
        await client.store.put_item(DOCS, "one", {"text": "cat"})
    async with rest(url) as client:
        assert await keys(client, "cat") == [], "nobody embedded it"


async def test_a_function_that_the_server_cannot_load_costs_the_search_alone(
    dsn: str, redis_url: str, project: Project
) -> None:
    file = project.root / "agenthub.toml"
    (project.root / "broken_words.py").write_text("import there_is_no_such_module")
    file.write_text(file.read_text().replace("counting_words", "broken_words"))
    async with (
        serving(settings(dsn, redis_url), read_project(file)) as (url, _),
        rest(url) as client,
    ):
        await client.store.put_item(DOCS, "one", {"text": "cat"})
        assert len((await client.store.search_items(DOCS, query="cat"))["items"]) == 1
