"""Requests that make no sense, or too much: an answer of the specification's, and nothing from inside."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agenthub_mcp.errors import CODES
from protocols.mcp_client import MODERN, open_session
from protocols.mcp_pair import Pair
from protocols.mcp_wire import WITH_TASKS, Wire

FOREIGN: Final = str(UUID(int=7, version=4))
KNOWN_ERRORS: Final = frozenset(
    {
        *(-32700, -32600, -32601, -32602, -32800),
        *(-32002, -32020, -32021, -32022),
        *(code for code in CODES.values() if code is not None and code != -32603),
    }
)
"""What a client can be told. An internal error is none of them: it is a bug here, whatever was sent."""
INSIDE: Final = (
    "Traceback",
    "site-packages",
    "asyncpg",
    'File "',
    "pydantic",
    "<class ",
    "object at",
)

VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    # NUL, and half of a surrogate pair
    | st.sampled_from(["\x00", "\ud800", FOREIGN]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
METHODS: Final = st.sampled_from(
    [
        *("tools/list", "tools/call", "tasks/get", "tasks/update", "tasks/cancel", "tasks/result"),
        *("tasks/list", "resources/list", "resources/read", "resources/templates/list"),
        *("resources/subscribe", "resources/unsubscribe", "prompts/list", "prompts/get"),
        *("completion/complete", "subscriptions/listen", "server/discover", "initialize", "ping"),
        *("logging/setLevel", "notifications/cancelled", "sampling/createMessage", "no/such"),
    ]
)
URIS: Final = st.sampled_from(
    [
        "agent://chat",
        "agent://../x",
        f"run://{FOREIGN}",
        f"run://{FOREIGN}/events?after=999999999999",
        f"thread://{FOREIGN}/state",
        "run://" + "-" * 36,
        "thread://%00/history",
        "\x00",
    ]
)
PARAMS: Final = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["echo", "chat", "run_status", "greet"]) | VALUES,
        "arguments": st.fixed_dictionaries({"text": VALUES})
        | st.fixed_dictionaries({"task_id": VALUES})
        | st.fixed_dictionaries({"message": VALUES, "thread_id": VALUES})
        | VALUES,
        "taskId": st.just(FOREIGN) | VALUES,
        "task": st.just({"ttl": 1}) | VALUES,
        "uri": URIS | VALUES,
        "cursor": st.sampled_from(["MGVjaG8", "cnVuOg", "YWdlbnQ6"]) | VALUES,
        "ref": st.fixed_dictionaries(
            {"type": st.sampled_from(["ref/resource", "ref/prompt"]), "uri": URIS, "name": VALUES}
        )
        | VALUES,
        "argument": st.fixed_dictionaries({"name": st.just("run_id"), "value": st.text()}) | VALUES,
        "notifications": st.fixed_dictionaries(
            {},
            optional={
                "taskIds": st.lists(st.just(FOREIGN) | VALUES, max_size=2) | VALUES,
                "resourceSubscriptions": st.lists(URIS, max_size=2) | VALUES,
                "toolsListChanged": VALUES,
            },
        )
        | VALUES,
        "inputResponses": st.dictionaries(st.just("a" * 32) | st.text(), VALUES, max_size=2)
        | VALUES,
        "requestState": st.text() | VALUES,
        "requestId": VALUES,
        "level": VALUES,
        "protocolVersion": st.just("2025-11-25") | VALUES,
        "capabilities": VALUES,
    },
)
BODIES: Final = st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode())
HEADERS: Final = st.dictionaries(
    st.sampled_from(
        [
            "MCP-Protocol-Version",
            "Mcp-Method",
            "Mcp-Name",
            "Mcp-Session-Id",
            "Last-Event-ID",
            "Accept",
        ]
    ),
    st.sampled_from(["", "x", "tools/call", FOREIGN, MODERN, "2025-11-25", "9999-01-01", "*/*"])
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip),
    max_size=2,
)
fuzzed = settings(
    max_examples=150,
    deadline=None,
    # the same requests in every run: what fails here fails for everybody
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MODERN_META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": WITH_TASKS,
}


async def answer(raw: httpx.AsyncClient, headers: dict[str, str], body: bytes) -> None:
    """Send a request and look at the beginning of the answer."""
    async with (
        asyncio.timeout(30),
        raw.stream("POST", "/mcp", content=body, headers=headers) as response,
    ):
        text = ""
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            async for line in response.aiter_lines():
                text = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                if text:
                    break
        else:
            text = (await response.aread()).decode()
    assert response.status_code < 500, text
    assert not any(word in text for word in INSIDE), text
    if text.startswith("{"):
        message = json.loads(text)
        assert message["jsonrpc"] == "2.0"
        if "error" in message:
            assert message["error"]["code"] in KNOWN_ERRORS, text
            assert message["error"]["message"]


@pytest.fixture
async def raw(declared: Pair) -> Any:
    async with httpx.AsyncClient(base_url=declared.one, trust_env=False, timeout=30) as client:
        yield client


@fuzzed
@given(method=METHODS, params=PARAMS, changes=HEADERS, meta=st.just(MODERN_META) | VALUES)
async def test_modern_requests_of_every_kind_get_typed_answers(
    raw: httpx.AsyncClient, method: str, params: Any, changes: dict[str, str], meta: Any
) -> None:
    named = params.get("taskId") or params.get("uri") or params.get("name")
    name = named if isinstance(named, str) and named.isascii() and named.isprintable() else "x"
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
        "Mcp-Name": name.strip() or "x",
        **changes,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    await answer(raw, headers, json.dumps(body).encode())


SESSIONS: Final[dict[str, dict[str, str]]] = {}


@fuzzed
@example(method="resources/unsubscribe", params={"uri": "\x00"}, changes={}, id=1)
@given(method=METHODS, params=PARAMS | VALUES, changes=HEADERS, id=st.just(1) | VALUES)
async def test_requests_in_a_session_of_every_kind_get_typed_answers(
    raw: httpx.AsyncClient, method: str, params: Any, changes: dict[str, str], id: Any
) -> None:
    at = str(raw.base_url)
    if at not in SESSIONS:
        SESSIONS[at] = await open_session(raw)
    headers = {
        **SESSIONS[at],
        "MCP-Protocol-Version": "2025-11-25",
        "Content-Type": "application/json",
        **changes,
    }
    body = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
    await answer(raw, headers, json.dumps(body).encode())


@fuzzed
@given(body=BODIES, headers=HEADERS)
async def test_bodies_that_are_no_messages_get_typed_answers(
    raw: httpx.AsyncClient, body: bytes, headers: dict[str, str]
) -> None:
    accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    await answer(raw, {**accept, **headers}, body)


@settings(fuzzed, max_examples=60)
@given(
    at=st.integers(min_value=0, max_value=10_000),
    bit=st.integers(min_value=0, max_value=5),
    cut=st.integers(min_value=0, max_value=40),
)
async def test_a_request_state_that_was_changed_anywhere_is_refused(
    raw: httpx.AsyncClient, at: int, bit: int, cut: int
) -> None:
    url = str(raw.base_url).rstrip("/")
    forms = {"elicitation": {}}
    call = {"name": "approve", "arguments": {"text": "x"}}
    mcp = Wire(raw, forms)
    if url not in STATES:
        STATES[url] = (await mcp.ask(url, "tools/call", call))["requestState"]
    state = STATES[url]
    place = at % len(state)
    other = "ABCDEF"[bit] if state[place] != "ABCDEF"[bit] else "z"
    changed = state[:place] + other + state[place + 1 :]
    changed = changed[: len(changed) - cut]
    refused = await mcp.refused(url, "tools/call", {**call, "requestState": changed})
    assert refused["code"] == -32602
    # as it was, but for another call
    for wrong in ({"name": "ask_twice"}, {"arguments": {"text": "y"}}):
        replayed = {**call, **wrong, "requestState": state}
        assert (await mcp.refused(url, "tools/call", replayed))["code"] == -32602


STATES: Final[dict[str, str]] = {}
