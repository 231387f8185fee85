"""The requirements manifest: whole, met by the hub over every binding, and strict with others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from agenthub_conformance.a2a import CHECKS, REQUIREMENTS, Outcome, run_all
from testkit.processes import free_port
from testkit.waiting import eventually

SERVER = Path(__file__).with_name("a2a_sdk_server.py")
DEFECTS = {
    # what is dropped silently, and what is never looked at
    ("list:status-unknown", "JSONRPC"), ("list:status-unknown", "HTTP+JSON"),
    ("list:status-unknown", "GRPC"), ("version:minor", "JSONRPC"), ("version:minor", "HTTP+JSON"),
    ("version:minor", "GRPC"), ("version:unknown", "GRPC"), ("query:version", "JSONRPC"),
    ("query:version", "HTTP+JSON"), ("extension:required", "JSONRPC"),
    ("extension:required", "HTTP+JSON"), ("extension:required", "GRPC"),
    # a context that a task's second answer has lost
    ("context:inferred", "JSONRPC"), ("context:inferred", "HTTP+JSON"), ("context:inferred", "GRPC"),
    # empty fields in lists, the tenant in front of the prefix, and a card without a tag
    ("list:lean", "JSONRPC"), ("list:lean", "HTTP+JSON"),
    ("http:tenant", "HTTP+JSON"), ("http:card-cache", "HTTP+JSON"),
}  # fmt: skip


@pytest.fixture(scope="module")
async def sdk_server() -> AsyncGenerator[str]:
    """The SDK's own server."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, SERVER, str(port), str(free_port()), stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as http:

            async def up() -> bool:
                try:
                    return (await http.get(f"{url}/.well-known/agent-card.json")).is_success
                except httpx.TransportError:
                    return False

            await eventually(up)
        yield url
    finally:
        process.kill()
        await process.wait()


def failing(outcomes: list[Outcome]) -> dict[tuple[str, str], str]:
    return {(o.requirement.id, o.binding): o.told for o in outcomes if o.verdict == "fails"}


def test_every_requirement_has_a_check_and_every_check_a_requirement() -> None:
    assert CHECKS.keys() == REQUIREMENTS.keys()


async def test_the_hub_meets_every_requirement_over_every_binding(
    grpc_hub: tuple[str, str],
) -> None:
    url = f"{grpc_hub[0]}/agents/tck"
    outcomes = await run_all(url, CHECKS, webhook_host="127.0.0.1")
    assert failing(outcomes) == {}
    assert {o.binding for o in outcomes} == {"JSONRPC", "HTTP+JSON", "GRPC"}
    skipped = {o.requirement.id for o in outcomes if o.verdict == "skipped"}
    assert skipped == {"extension:required"}


async def test_the_defects_of_the_sdks_own_server_are_found_and_nothing_else(
    sdk_server: str,
) -> None:
    outcomes = await run_all(sdk_server, CHECKS)
    assert failing(outcomes).keys() == DEFECTS


async def test_the_command_prints_a_row_for_every_binding_and_fails_with_a_must(
    sdk_server: str,
) -> None:
    command = [sys.executable, "-m", "agenthub_server", "conformance", "a2a", "--url", sdk_server]

    async def checked(only: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *command, "--only", only, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    must, should = await asyncio.gather(checked("version:unknown"), checked("http:card-cache"))
    assert (must[0], should[0]) == (1, 0)
    assert must[1].count("version:unknown") == 3
    assert "99.0 was not refused" in must[1]
    assert "no max-age" in should[1]
