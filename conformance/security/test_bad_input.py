"""Bad input on every surface: the protocol's own typed error, a readable sentence, and no trace.

Each request is sent between two looks at every row of the database. What goes wrong inside the hub is
never shown: no traceback, no SQL, no name of a class or file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from agenthub_server.embedded import Postgres, Valkey
from protocols.mcp_client import modern_call, modern_headers
from protocols.rest_client import http
from testkit import hub

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"
NO_SUCH_ID = "0" * 32
NESTED = b'{"assistant_id":"plus","input":%s%s}' % (b"[" * 230, b"]" * 230)
BOTTOMLESS = b"[" * 200_000
TOO_LARGE = b'{"assistant_id":"plus","input":"%s"}' % (b"x" * (5 << 20))
INTERNAL = re.compile(
    r"Traceback|\.py\b|asyncpg|pydantic|starlette|orjson|uvicorn|agenthub[._](?!dev\b)|<class|object at 0x"
    r"|\b(select|insert|update|delete) .*\b(from|into|where)\b|constraint|sqlstate|bytea|jsonb",
    re.IGNORECASE,
)

TABLES = """
select format('%I.%I', n.nspname, c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')
   and c.relname <> 'agents'  -- workers renew their publications
 order by 1
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A hub of its own, with something in it."""

    url: str
    dsn: str
    finished: dict[str, Any]
    """A run that has ended."""
    asking: dict[str, Any]
    """A run that asked a question, which is open."""
    question: str

    async def rows(self) -> dict[str, tuple[int, str]]:
        """Each table's count of rows and the hash of their contents."""
        connection = await asyncpg.connect(self.dsn)
        try:
            found: dict[str, tuple[int, str]] = {}
            for table in [row["name"] for row in await connection.fetch(TABLES)]:
                rows = await connection.fetch(f"select t::text as row from {table} t order by 1")
                content = "\n".join(row["row"] for row in rows)
                found[table] = len(rows), hashlib.sha256(content.encode()).hexdigest()
            return found
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def site(postgres: Postgres, valkey: Valkey, template: str) -> AsyncGenerator[Site]:
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database bad_input template {template} strategy file_copy")
    await admin.close()
    dsn = postgres.url("bad_input")
    config = hub.settings(dsn, valkey.url(15), drain_seconds=0.0)
    async with hub.hub(config, hub.FIXTURES / "rest_agents.py") as url, http(url) as raw:

        async def ended(agent: str, input_: Any) -> dict[str, Any]:
            thread = (await raw.post("/threads", json={})).json()["thread_id"]
            body = {"assistant_id": agent, "input": input_}
            waited = await raw.post(f"/threads/{thread}/runs/wait", json=body)
            return (await raw.get(waited.headers["content-location"])).json()

        finished, asking = await ended("plus", {"x": 1}), await ended("ask", 2)
        yield Site(url, dsn, finished, asking, asking["interrupts"][0]["id"])


@asynccontextmanager
async def nothing_changes(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """The block leaves every row of every table as it was."""
    before = await site.rows()
    assert sum(count for count, _ in before.values()) > 10
    async with http(site.url) as raw:
        yield raw
    assert await site.rows() == before


def readable(text: str, echoed: str = "") -> None:
    """A sentence for people, which shows nothing of the inside."""
    assert 5 < len(text) < 1000, text[:200]
    assert " " in text
    assert not INTERNAL.search(text.replace(echoed, "") if echoed else text), text


# --- REST ----------------------------------------------------------------------------------------

RUN = {"assistant_id": "plus", "input": {"x": 1}}
ASKING, FINISHED = "/threads/{asking}", "/threads/{finished}"

BODIES: list[tuple[str, Any, int, str]] = [
    # path, body (bytes as they are), status, what the sentence says
    ("/runs/wait", b"", 422, "assistant_id: is required"),
    ("/runs/wait", b"{", 422, "not valid JSON"),
    ("/runs/wait", b"\xff\xfe", 422, "not valid JSON"),
    ("/runs/wait", b'{"assistant_id": "\\ud800"}', 422, "not valid JSON"),
    ("/runs/wait", b'{"assistant_id": NaN}', 422, "not valid JSON"),
    ("/runs/wait", b"null", 422, "the body must be an object"),
    ("/runs/wait", b"[]", 422, "the body must be an object"),
    ("/runs/wait", b'"text"', 422, "the body must be an object"),
    ("/runs/wait", BOTTOMLESS, 422, "not valid JSON"),
    ("/runs/wait", NESTED, 422, "nested deeper"),
    ("/runs/wait", TOO_LARGE, 413, "larger than"),
    ("/runs/wait", {"assistant_id": 5}, 422, "assistant_id: must be a valid string"),
    ("/runs/wait", {"assistant_id": "nobody"}, 404, "no agent 'nobody'"),
    ("/runs/wait", {"assistant_id": "plus\0"}, 422, "NUL"),
    ("/runs/wait", {"assistant_id": "p" * 300}, 422, "at most 255"),
    ("/runs/wait", {"assistant_id": UNKNOWN}, 404, UNKNOWN),
    ("/runs/wait", {**RUN, "stream_mode": "bogus"}, 422, "stream mode 'bogus'"),
    ("/runs/wait", {**RUN, "stream_mode": [{}]}, 422, "stream mode"),
    ("/runs/wait", {**RUN, "stream_mode": ["x" * 4000]}, 422, "stream mode"),
    ("/runs/wait", {**RUN, "metadata": []}, 422, "metadata: must be an object"),
    ("/runs/wait", {**RUN, "config": "x"}, 422, "config: must be an object"),
    ("/runs/wait", {**RUN, "config": {"configurable": 5}}, 422, "config.configurable"),
    ("/runs/wait", {**RUN, "config": {"recursion_limit": "many"}}, 422, "config.recursion_limit"),
    ("/runs/wait", {**RUN, "config": {"recursion_limit": 0}}, 422, "config.recursion_limit"),
    ("/runs/wait", {**RUN, "config": {"tags": [5]}}, 422, "config.tags.0"),
    ("/runs/wait", {**RUN, "context": 5}, 422, "context: must be an object"),
    ("/runs/wait", {**RUN, "command": "go"}, 422, "command: must be an object"),
    ("/runs/wait", {**RUN, "multitask_strategy": "hope"}, 422, "multitask_strategy: must be"),
    ("/runs/wait", {**RUN, "durability": 1}, 422, "durability: must be"),
    ("/runs/wait", {**RUN, "after_seconds": -1}, 422, "after_seconds"),
    ("/runs/wait", {**RUN, "after_seconds": 1e300}, 422, "after_seconds"),
    ("/runs/wait", {**RUN, "after_seconds": "NaN"}, 422, "after_seconds"),
    ("/runs/wait", {**RUN, "interrupt_before": 5}, 422, "interrupt_before"),
    ("/runs/wait", {**RUN, "interrupt_before": [[]]}, 422, "interrupt_before"),
    ("/runs/wait", {**RUN, "on_disconnect": "explode"}, 422, "on_disconnect"),
    ("/runs/wait", {**RUN, "webhook": "ftp://x"}, 422, "http:// or https://"),
    ("/runs/wait", {**RUN, "command": {"resume": 1}}, 422, "needs the thread"),
    ("/runs/stream", {"assistant_id": "nobody"}, 404, "no agent"),
    ("/runs", {"assistant_id": "nobody"}, 404, "no agent"),
    ("/threads/nonsense/runs", RUN, 422, "not a UUID"),
    ("/threads/%00/runs/wait", RUN, 422, "not a UUID"),
    (f"/threads/{UNKNOWN}/runs/wait", RUN, 404, UNKNOWN),
    (f"/threads/{UNKNOWN}/runs/stream", RUN, 404, UNKNOWN),
    (FINISHED + "/runs/wait", {**RUN, "checkpoint_id": "a\0b"}, 422, "NUL"),
    (FINISHED + "/runs/wait", {**RUN, "checkpoint": {"checkpoint_id": 5}}, 422, "checkpoint_id"),
    (ASKING + "/runs/wait", {**RUN, "command": {"resume": 1}}, 409, "belongs to agent 'ask'"),
    (FINISHED + "/runs/wait", {**RUN, "command": {"goto": "\0"}}, 422, "NUL"),
    (FINISHED + "/runs/wait", {**RUN, "command": {"goto": [{"node": "\0"}]}}, 422, "NUL"),
    ("/runs/wait", {**RUN, "config": {"configurable": {"checkpoint_id": "\0"}}}, 422, "NUL"),
    (FINISHED + "/runs/wait", {**RUN, "command": {"resume": 1}}, 409, "nothing to resume"),
    (
        ASKING + "/runs/wait",
        {"assistant_id": "ask", "command": {"resume": {NO_SUCH_ID: 1}}},
        409,
        "",
    ),
    (
        ASKING + "/runs/stream",
        {"assistant_id": "ask", "command": {"resume": {NO_SUCH_ID: 1}}},
        409,
        "",
    ),
    ("/threads", {"thread_id": "nonsense"}, 422, "not a UUID"),
    ("/threads", {"thread_id": 5}, 422, "thread_id"),
    ("/threads", {"metadata": "x"}, 422, "metadata"),
    ("/threads", {"if_exists": "hope"}, 422, "if_exists"),
    ("/threads", {"ttl": 5}, 422, "ttl: must be an object"),
    ("/threads", {"ttl": {"ttl": 0}}, 422, "ttl.ttl"),
    ("/threads", {"ttl": {"ttl": 1e300}}, 422, "ttl.ttl"),
    ("/threads", {"supersteps": [{}]}, 422, "supersteps.0.updates"),
    ("/threads", {"supersteps": [{"updates": [{"as_node": 5}]}]}, 422, "as_node"),
    ("/threads", {"supersteps": [{"updates": [{"command": {"resume": 1}}]}]}, 422, "resume"),
    ("/threads/search", {"limit": 0}, 422, "limit"),
    ("/threads/search", {"limit": 10**9}, 422, "limit"),
    ("/threads/search", {"limit": 10**30}, 422, "limit"),
    ("/threads/search", {"offset": -1}, 422, "offset"),
    ("/threads/search", {"offset": 2**63}, 422, "offset"),
    ("/threads/search", {"status": "sad"}, 422, "status"),
    ("/threads/search", {"metadata": [1]}, 422, "metadata"),
    ("/threads/search", {"sort_by": "mood"}, 422, "sort_by"),
    ("/threads/search", {"select": 5}, 422, "select"),
    ("/threads/search", {"ids": ["nonsense"]}, 422, "not a UUID"),
    ("/threads/search", {"values": 5}, 422, "values"),
    ("/threads/search", {"extract": {"a": "b"}}, 422, "no path"),
    ("/threads/search", {"extract": {"a": "values" + "[0]" * 500}}, 422, "at most 500"),
    ("/threads/count", {"status": "sad"}, 422, "status"),
    ("/threads/prune", {}, 422, "thread_ids: is required"),
    ("/threads/prune", {"thread_ids": ["x"]}, 422, "not a UUID"),
    ("/threads/prune", {"thread_ids": [], "strategy": "burn"}, 422, "strategy"),
    (f"/threads/{UNKNOWN}/copy", {}, 404, UNKNOWN),
    (f"/threads/{UNKNOWN}/state", {"values": {"x": 1}}, 404, UNKNOWN),
    (FINISHED + "/state", {"values": 5}, 422, "values"),
    (FINISHED + "/state", {"values": {"x": 1}, "as_node": "\0"}, 422, "NUL"),
    (FINISHED + "/state", {"values": {"x": 1}, "checkpoint_id": "x"}, 404, "no checkpoint"),
    ("/assistants", {}, 422, "graph_id: is required"),
    ("/assistants", {"graph_id": "nobody"}, 404, "no agent 'nobody'"),
    ("/assistants", {"graph_id": "plus", "assistant_id": "x"}, 422, "not a UUID"),
    ("/assistants", {"graph_id": "plus", "name": "\0"}, 422, "NUL"),
    ("/assistants", {"graph_id": "plus", "description": "\0"}, 422, "NUL"),
    ("/assistants/count", {"name": "\0"}, 422, "NUL"),
    ("/assistants/plus/latest", {"version": 99}, 404, "no version 99"),
    ("/assistants/plus/latest", {"version": 1 << 31}, 422, "version"),
    ("/assistants/nobody/versions", {}, 404, "no agent"),
    ("/runs/batch", [], 422, "at least 1"),
    ("/runs/batch", [RUN, {}], 422, "1.assistant_id: is required"),
    ("/runs/batch", [RUN, {"assistant_id": "nobody"}], 404, "no agent"),
    ("/runs/cancel", {}, 422, "either status"),
    ("/runs/cancel", {"thread_id": UNKNOWN, "run_ids": [UNKNOWN]}, 404, "no open run"),
    ("/runs/search", {"status": "sad"}, 422, "status"),
    ("/runs/search", {"metadata": 5}, 422, "metadata"),
    ("/store/items/search", {"filter": {"a": {"$like": 1}}}, 422, "Unsupported operator"),
    ("/store/items/search", {"namespace_prefix": ["a\0"]}, 422, "NUL"),
    ("/store/items/search", {"limit": 10**9}, 422, "limit"),
    ("/store/items/batch", [{"namespace": ["a"]}], 422, "key: is required"),
    ("/store/namespaces", {"max_depth": 0}, 422, "max_depth"),
    ("/assistants/search", {"limit": 10**9}, 422, "limit"),
    ("/assistants/search", {"graph_id": 5}, 422, "graph_id"),
    (FINISHED + "/history", {"limit": 10**9}, 422, "limit"),
    (FINISHED + "/history", {"before": 5}, 422, "before"),
    (FINISHED + "/history", {"before": "a\0"}, 422, "NUL"),
    (FINISHED + "/history", {"before": {"configurable": 5}}, 422, "before"),
    (FINISHED + "/history", {"checkpoint": {"checkpoint_ns": "\0"}}, 422, "NUL"),
    (f"/threads/{UNKNOWN}/history", {}, 404, UNKNOWN),
    (FINISHED + "/state/checkpoint", {}, 422, "checkpoint: is required"),
    (FINISHED + "/state/checkpoint", {"checkpoint": {"checkpoint_id": "\0"}}, 422, "NUL"),
    (FINISHED + "/state/checkpoint", {"checkpoint": {"checkpoint_id": "x"}}, 404, "no checkpoint"),
]

REQUESTS: list[tuple[str, str, int, str]] = [
    # method, path, status, what the sentence says
    ("GET", "/nowhere", 404, "nothing at '/nowhere'"),
    ("POST", "/", 404, "nothing at"),
    ("GET", "/threads/%00/%ff/x", 404, "nothing at"),
    ("PUT", "/threads", 405, "does not take PUT"),
    ("GET", "/threads", 405, "does not take GET"),
    ("GET", "/runs/wait", 405, "does not take GET"),
    ("PUT", "/assistants/plus", 405, "does not take PUT"),
    ("PUT", FINISHED, 405, "does not take PUT"),
    ("DELETE", FINISHED + "/runs", 405, "does not take DELETE"),
    ("PUT", FINISHED + "/runs/{run}", 405, "does not take PUT"),
    ("DELETE", ASKING + "/runs/{run}", 404, "on this thread"),
    ("DELETE", FINISHED + f"/runs/{UNKNOWN}", 404, UNKNOWN),
    ("GET", f"/runs/{UNKNOWN}", 404, UNKNOWN),
    ("GET", "/runs/nonsense", 422, "not a UUID"),
    ("GET", "/runs/%00", 422, "not a UUID"),
    ("DELETE", "/assistants/nobody", 404, "no agent"),
    ("GET", f"/threads/{UNKNOWN}/storage", 404, UNKNOWN),
    ("GET", "/store/items?key=", 422, "key"),
    ("GET", "/store/items?key=%00", 422, "NUL"),
    ("GET", "/assistants/nobody", 404, "no agent 'nobody'"),
    ("GET", "/assistants/%00", 404, "no agent"),
    ("GET", "/threads/nonsense", 422, "not a UUID"),
    ("GET", "/threads/%00", 422, "not a UUID"),
    ("GET", "/threads/%ED%A0%80", 422, "not a UUID"),
    ("GET", "/threads/" + "9" * 5000, 422, "not a UUID"),
    ("GET", f"/threads/{UNKNOWN}", 404, UNKNOWN),
    ("PATCH", f"/threads/{UNKNOWN}", 404, UNKNOWN),
    ("DELETE", f"/threads/{UNKNOWN}", 404, UNKNOWN),
    ("GET", f"/threads/{UNKNOWN}/state", 404, UNKNOWN),
    ("GET", f"/threads/{UNKNOWN}/runs", 404, UNKNOWN),
    ("GET", FINISHED + "/state/nonsense", 404, "no checkpoint"),
    ("GET", FINISHED + "/state/%00", 422, "NUL"),
    ("GET", FINISHED + "/history?limit=many", 422, "limit"),
    ("GET", FINISHED + "/history?limit=0", 422, "limit"),
    ("GET", FINISHED + "/history?before=%00", 422, "NUL"),
    ("GET", FINISHED + "/runs?limit=-1", 422, "limit"),
    ("GET", FINISHED + "/runs?limit=1001", 422, "limit"),
    ("GET", FINISHED + "/runs?limit=%C2%B2", 422, "limit"),
    ("GET", FINISHED + "/runs?limit=" + "9" * 5000, 422, "limit"),
    ("GET", FINISHED + "/runs?offset=1.5", 422, "offset"),
    ("GET", FINISHED + "/runs?offset=99999999999", 422, "offset"),
    ("GET", FINISHED + "/runs?status=sad", 422, "status 'sad'"),
    ("GET", FINISHED + "/runs/nonsense", 422, "not a UUID"),
    ("GET", FINISHED + f"/runs/{UNKNOWN}", 404, UNKNOWN),
    ("GET", FINISHED + f"/runs/{UNKNOWN}/join", 404, UNKNOWN),
    ("GET", FINISHED + f"/runs/{UNKNOWN}/stream", 404, UNKNOWN),
    ("GET", ASKING + "/runs/{run}", 404, "on this thread"),
    ("GET", ASKING + "/runs/{run}/stream", 404, "on this thread"),
    ("GET", FINISHED + "/runs/{run}/stream?stream_mode=bogus", 422, "stream mode 'bogus'"),
    ("GET", FINISHED + "/runs/{run}/stream?stream_mode=[", 422, "stream_mode"),
    ("GET", FINISHED + "/runs/{run}/stream?stream_mode=[[]]", 422, "stream mode"),
    ("POST", FINISHED + "/runs/{run}/cancel", 404, "already ended"),
    ("POST", FINISHED + "/runs/{run}/cancel?action=explode", 422, "action 'explode'"),
    ("POST", FINISHED + f"/runs/{UNKNOWN}/cancel?wait=1", 404, UNKNOWN),
    ("POST", ASKING + "/runs/{run}/cancel", 404, "on this thread"),
]

CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 422: "invalid"}


def at(path: str, site: Site) -> str:
    """The path with the ids of the site."""
    ids = {"asking": site.asking["thread_id"], "finished": site.finished["thread_id"]}
    return path.format(**ids, run=site.finished["run_id"])


def is_rest_error(answer: httpx.Response, status: int, text: str) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["code"] == CODES.get(status, body["code"])
    assert text in body["detail"]
    readable(answer.text)


@pytest.mark.parametrize(("path", "body", "status", "text"), BODIES)
async def test_rest_refuses_a_bad_body(
    site: Site, path: str, body: Any, status: int, text: str
) -> None:
    async with nothing_changes(site) as raw:
        sent: Any = {"content": body} if isinstance(body, bytes) else {"json": body}
        is_rest_error(await raw.post(at(path, site), **sent), status, text)


@pytest.mark.parametrize(("method", "path", "status", "text"), REQUESTS)
async def test_rest_refuses_a_bad_request(
    site: Site, method: str, path: str, status: int, text: str
) -> None:
    async with nothing_changes(site) as raw:
        is_rest_error(await raw.request(method, at(path, site)), status, text)


async def test_rest_names_the_questions_that_are_open(site: Site) -> None:
    async with nothing_changes(site) as raw:
        body = {"assistant_id": "ask", "command": {"resume": {NO_SUCH_ID: 1}}}
        answer = (await raw.post(at(ASKING + "/runs/wait", site), json=body)).json()
    assert answer["code"] == "unknown_interrupt"
    assert answer["open"] == [site.question]
    assert site.question in answer["detail"]


async def test_rest_tells_which_methods_a_path_takes(site: Site) -> None:
    async with nothing_changes(site) as raw:
        allowed = {
            path: (await raw.request("PUT", at(path, site))).headers["allow"]
            for path in (FINISHED, FINISHED + "/runs", "/threads")
        }
    assert [set(value.split(", ")) for value in allowed.values()] == [
        {"GET", "HEAD", "PATCH", "DELETE"},
        {"GET", "HEAD", "POST"},
        {"POST"},
    ]


async def test_rest_notices_a_body_that_is_too_large_while_it_arrives(site: Site) -> None:
    async def of_unknown_length() -> AsyncIterator[bytes]:
        for _ in range(128):
            yield b" " * 65536

    async with nothing_changes(site) as raw:
        answer = await raw.post("/runs/wait", content=of_unknown_length())
    is_rest_error(answer, 413, "larger than")


@pytest.mark.parametrize("wrong", ["x", "-5", "9" * 30, "1-x"])
async def test_rest_refuses_an_id_that_no_stream_gave(site: Site, wrong: str) -> None:
    async with nothing_changes(site) as raw:
        path = at(FINISHED + "/runs/{run}/stream", site)
        answer = await raw.get(path, headers={"Last-Event-ID": wrong})
    is_rest_error(answer, 422, "Last-Event-ID")


@pytest.mark.parametrize(
    "odd",
    ["nul \0 inside", "\\u0000", "\u202e\ufffe\U0001f9ff", "'; drop table runs; --", "\n\r\n"],
)
async def test_odd_text_passes_through_unharmed(site: Site, odd: str) -> None:
    async with http(site.url) as raw:
        said = {"messages": [{"role": "user", "content": odd}]}
        body = {"assistant_id": "chat", "input": said, "metadata": {odd: odd}}
        thread = (await raw.post("/threads", json={"metadata": {"odd": odd}})).json()
        waited = await raw.post(f"/threads/{thread['thread_id']}/runs/wait", json=body)
        assert waited.json()["messages"][0]["content"] == odd
        state = (await raw.get(f"/threads/{thread['thread_id']}/state")).json()
        assert state["values"]["messages"][0]["content"] == odd
        # jsonb cannot hold a NUL: it becomes the replacement character
        assert thread["metadata"] == {"odd": odd.replace("\0", "\ufffd")}
        found = await raw.post("/threads/search", json={"metadata": {"odd": odd}})
        assert thread["thread_id"] in [t["thread_id"] for t in found.json()]


async def test_a_body_as_deep_as_is_allowed_is_executed(site: Site) -> None:
    deep: Any = "bottom"
    for _ in range(190):
        deep = [deep]
    async with http(site.url) as raw:
        body = {"assistant_id": "look", "input": {"seen": {"deep": deep}}}
        waited = await raw.post("/runs/wait", json=body)
        assert waited.status_code == 200
        assert waited.json()["seen"]["context"] is None


# --- MCP -----------------------------------------------------------------------------------------


async def call_tool(raw: httpx.AsyncClient, name: str, arguments: Any, **how: Any) -> Any:
    body = modern_call(name, {})
    body["params"]["arguments"] = arguments
    return await raw.post("/mcp", json=body, headers=modern_headers("tools/call", name), **how)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"", 400, -32700),
        (b"\xff\xfe", 400, -32700),
        (BOTTOMLESS, 400, -32700),
        (b"null", 400, -32600),
        (b"5", 400, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', 400, -32600),
    ],
)
async def test_mcp_refuses_a_bad_body(site: Site, content: bytes, status: int, code: int) -> None:
    async with nothing_changes(site) as raw:
        headers = {**modern_headers("tools/call", "plus"), "Content-Type": "application/json"}
        answer = await raw.post("/mcp", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    readable(answer.json()["error"]["message"])


async def test_mcp_refuses_a_body_that_is_too_large(site: Site) -> None:
    async with nothing_changes(site) as raw:
        headers = {**modern_headers("tools/call", "plus"), "Content-Type": "application/json"}
        answer = await raw.post("/mcp", content=TOO_LARGE, headers=headers)
    # the SDK refuses it below JSON-RPC
    assert answer.status_code == 413
    readable(answer.text)


@pytest.mark.parametrize("arguments", ["text", ["x"], 7])
async def test_mcp_refuses_arguments_of_the_wrong_type(site: Site, arguments: Any) -> None:
    async with nothing_changes(site) as raw:
        answer = await call_tool(raw, "plus", arguments)
    assert answer.json()["error"]["code"] == -32602
    readable(answer.text)


async def test_mcp_refuses_a_tool_that_does_not_exist(site: Site) -> None:
    async with nothing_changes(site) as raw:
        answer = await call_tool(raw, "nobody", {})
        assert answer.json()["error"]["code"] == -32602
        readable(answer.json()["error"]["message"])
        assert "nobody" in answer.json()["error"]["message"]
        answer = await raw.post("/mcp/nobody", json={}, headers=modern_headers("ping"))
    assert answer.status_code == 404
    readable(answer.json()["error"]["message"])


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("ask", {}, "input"),
        ("plus", {"x": "many"}, "x"),
        ("plus", {"x": 1, "thread_id": "nonsense"}, "not a UUID"),
        ("plus", {"x": 1, "thread_id": UNKNOWN}, UNKNOWN),
        ("plus", {"x": 1, "thread_id": "{asking}"}, "ask"),
        ("ask", {"input": 2, "thread_id": "{asking}"}, "waits for an answer"),
        ("run_status", {}, "task_id"),
        ("run_status", {"task_id": "nonsense"}, "not a UUID"),
        ("run_status", {"task_id": "\0"}, "not a UUID"),
        ("run_status", {"task_id": UNKNOWN}, UNKNOWN),
        ("cancel_run", {"task_id": UNKNOWN}, UNKNOWN),
        ("resume_run", {"task_id": UNKNOWN, "answer": 1}, UNKNOWN),
        ("resume_run", {"task_id": "{done}", "answer": 1}, "waits for no answer"),
        ("resume_run", {"task_id": "{waits}"}, "answer"),
        ("resume_run", {"task_id": "{waits}", "answers": {NO_SUCH_ID: 1}}, "is not open"),
        ("resume_run", {"task_id": "{waits}", "answers": []}, "answers"),
    ],
)
async def test_mcp_tells_the_model_what_it_did_wrong(
    site: Site, tool: str, arguments: Any, text: str
) -> None:
    ids = {
        "{asking}": site.asking["thread_id"],
        "{waits}": site.asking["task_id"],
        "{done}": site.finished["task_id"],
    }
    given = {k: ids.get(v, v) if isinstance(v, str) else v for k, v in arguments.items()}
    async with nothing_changes(site) as raw:
        answer = await call_tool(raw, tool, given)
    assert answer.status_code == 200, answer.text
    result = answer.json()["result"]
    assert result["isError"] is True
    (content,) = result["content"]
    assert text in content["text"]
    readable(content["text"])


# --- A2A -----------------------------------------------------------------------------------------


async def rpc(raw: httpx.AsyncClient, agent: str, body: Any) -> httpx.Response:
    sent: Any = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {"A2A-Version": "1.0", "Content-Type": "application/json"}
    return await raw.post(f"/agents/{agent}/a2a", headers=headers, **sent)


def method(name: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}


def nested(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


def message(*parts: Any, **fields: Any) -> dict[str, Any]:
    message = {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": list(parts), **fields}
    return method("SendMessage", message=message)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (BOTTOMLESS, -32700),
        (b"null", -32600),
        (b"[]", -32600),
        ({"id": 1, "method": "GetTask"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
        (method("NoSuchMethod"), -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": "x"}, -32600),
        (method("GetTask"), -32602),
        (method("GetTask", id=5), -32602),
        (method("GetTask", id=UNKNOWN), -32001),
        (method("GetTask", id="nonsense"), -32001),
        (method("GetTask", id="\0"), -32001),
        (method("CancelTask", id=UNKNOWN), -32001),
        (method("CancelTask", id="{done}"), -32002),
        (method("SubscribeToTask", id=UNKNOWN), -32001),
        (method("SendMessage"), -32602),
        (message(), -32602),
        (message({"text": 5}), -32602),
        (message({"data": "many"}, role="ROLE_BOSS"), -32602),
        (message({"data": {"x": 1}}, taskId=UNKNOWN), -32001),
        (message({"data": {"x": 1}}, taskId="{done}"), -32004),
        (message({"data": {"x": 1}}, contextId="{asking}"), -32004),
        (message({"text": "x" * (5 << 20)}), -32600),
        (message({"data": nested(30)}), -32602),
        (message({"data": {"x": "many"}}), -32602),
        (message({"data": [1]}), -32602),
        (message({"data": nested(600)}), -32602),
        (message({"text": "hi"}, metadata={"deep": nested(30)}), -32602),
    ],
)
async def test_a2a_refuses_bad_input(site: Site, body: Any, code: int) -> None:
    if isinstance(body, dict):
        text = json.dumps(body).replace("{done}", site.finished["task_id"])
        body = text.replace("{asking}", site.asking["thread_id"]).encode()
    async with nothing_changes(site) as raw:
        answer = await rpc(raw, "plus", body)
    error = answer.json()["error"]
    assert error["code"] == code, answer.text[:300]
    readable(error["message"])
    readable(answer.text, echoed="a2a-protocol.org")


async def test_a2a_refuses_an_agent_that_does_not_exist(site: Site) -> None:
    async with nothing_changes(site) as raw:
        answer = await rpc(raw, "nobody", message({"text": "hi"}))
        assert "nobody" in answer.json()["error"]["message"]
        readable(answer.json()["error"]["message"])
        card = await raw.get("/agents/nobody/.well-known/agent-card.json")
    assert card.status_code == 404
    readable(card.text)


@pytest.mark.parametrize(
    "answer", [{"interrupts": {NO_SUCH_ID: True}}, {"interrupts": {"no": True}}]
)
async def test_a2a_refuses_an_answer_to_a_question_that_is_not_open(
    site: Site, answer: Any
) -> None:
    async with nothing_changes(site) as raw:
        given = message({"data": answer}, taskId=site.asking["task_id"])
        refused = (await rpc(raw, "ask", given)).json()["error"]
    assert refused["code"] == -32602
    assert site.question in refused["message"]
    readable(refused["message"])
