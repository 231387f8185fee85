"""The MCP endpoints under requests that no official client would send."""

from __future__ import annotations

import json

import pytest

from protocols.mcp_client import http, modern_call, modern_headers

LEGACY_HEADERS = {"Accept": "application/json, text/event-stream"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
HEADERS = [modern_headers("tools/call", "echo"), LEGACY_HEADERS]
eras = pytest.mark.parametrize("headers", HEADERS, ids=["modern", "handshake"])


@eras
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:2024"])
async def test_a_foreign_host_is_refused(hub_url: str, headers: dict[str, str], host: str) -> None:
    async with http(hub_url) as raw:
        answer = await raw.post("/mcp", json=PING, headers={**headers, "Host": host})
    assert answer.status_code == 421


@eras
async def test_a_foreign_origin_is_refused(hub_url: str, headers: dict[str, str]) -> None:
    async with http(hub_url) as raw:
        foreign = {**headers, "Origin": "http://evil.example"}
        assert (await raw.post("/mcp", json=PING, headers=foreign)).status_code == 403


@eras
async def test_a_body_that_is_too_large_is_refused(hub_url: str, headers: dict[str, str]) -> None:
    async with http(hub_url) as raw:
        body = modern_call("echo", {"text": "x" * (64 << 20)})
        assert (await raw.post("/mcp", json=body, headers=headers)).status_code == 413


@eras
@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff\xfe"])
async def test_malformed_json_is_a_parse_error(
    hub_url: str, headers: dict[str, str], body: bytes
) -> None:
    async with http(hub_url) as raw:
        typed = {**headers, "Content-Type": "application/json"}
        answer = await raw.post("/mcp", content=body, headers=typed)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32700


@eras
async def test_an_agent_that_does_not_exist_has_no_endpoint(
    hub_url: str, headers: dict[str, str]
) -> None:
    async with http(hub_url) as raw:
        answer = await raw.post("/mcp/nobody", json=PING, headers=headers)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "There is no agent 'nobody'"


async def test_a_modern_endpoint_takes_posts_alone(hub_url: str) -> None:
    async with http(hub_url) as raw:
        for method in ("GET", "DELETE"):
            answer = await raw.request(method, "/mcp", headers=modern_headers("ping"))
            assert answer.status_code == 405


@pytest.mark.parametrize("arguments", ["text", ["x"], 7])
async def test_arguments_that_are_no_object_are_invalid_params(
    hub_url: str, arguments: object
) -> None:
    async with http(hub_url) as raw:
        body = modern_call("echo", {})
        body["params"]["arguments"] = arguments
        answer = await raw.post("/mcp", json=body, headers=modern_headers("tools/call", "echo"))
    assert answer.json()["error"]["code"] == -32602


async def test_an_unknown_session_is_not_found(hub_url: str) -> None:
    async with http(hub_url) as raw:
        headers = {**LEGACY_HEADERS, "Mcp-Session-Id": "0" * 32}
        answer = await raw.post("/mcp", json=PING, headers=headers)
    assert answer.status_code == 404
    assert json.loads(answer.content)["error"]
