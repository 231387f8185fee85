"""The examples of frameworks: with their scripted models, and with the frameworks' real clients, which
stream from a provider on this machine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from testkit.environments import ROOT, Unreachable, hub_environment
from testkit.model_server import REFUNDED, WELCOME, model_server

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "scripts" / "example.py"
REAL = {"strands": "openai", "adk": "gemini"}
"""Examples, and the provider that they take instead of the script."""
PATIENCE_SECONDS = 120
STORY = ["human", "ai", "tool", "ai", "tool", "ai"]


async def told(framework: str, **variables: str) -> list[dict[str, Any]]:
    """The turns of an example: it asks, is answered, and is thanked."""
    try:
        programs = hub_environment(framework)
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    folder = ROOT / "adapters" / "examples" / framework
    # no key of whoever runs the tests
    inherited = {"PATH": os.environ["PATH"], "LANGGRAPH_STRICT_MSGPACK": "true"}
    process = await asyncio.create_subprocess_exec(
        programs / "python",
        SCRIPT,
        folder,
        framework,
        env=inherited | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in out.decode().splitlines()]


def check(turns: list[dict[str, Any]], paid: str, welcome: str) -> None:
    asked, done, thanked = turns
    (question,) = asked["asked"]
    assert (question["kind"], question["key"]) == ("approval", "refund")
    assert question["payload"] == {"tool": "refund", "args": {"number": "A-17", "amount": 42}}
    assert [kind for kind, _ in done["messages"]] == STORY
    # each piece of a reply is streamed, and together they are its message
    assert len(done["pieces"]) > 2
    assert "".join(done["pieces"]) == done["messages"][-1][1] == paid
    assert thanked["messages"][: len(STORY)] == done["messages"]
    assert "".join(thanked["pieces"]) == thanked["messages"][-1][1] == welcome


@pytest.mark.parametrize("framework", REAL)
async def test_an_example_runs_offline_with_a_pause_and_two_turns(framework: str) -> None:
    paid = "I am sorry about that. 42 EUR for order A-17 are on their way."
    check(await told(framework), paid, "You are welcome. Is there anything else?")


@pytest.mark.parametrize("framework", REAL)
async def test_a_frameworks_own_client_streams_from_a_provider(framework: str) -> None:
    async with model_server() as server:
        turns = await told(
            framework,
            AGENTHUB_EXAMPLE_MODEL=REAL[framework],
            OPENAI_API_KEY="key",
            OPENAI_BASE_URL=server.openai_url,
            GOOGLE_API_KEY="key",
            GOOGLE_GEMINI_BASE_URL=server.origin,
        )
    check(turns, REFUNDED, WELCOME)
    # two before the question, one behind it, and one for the second turn
    assert server.requests == 4
