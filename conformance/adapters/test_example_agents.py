"""The examples of frameworks with the frameworks' real clients, which stream from a provider on this machine;
with their scripted models they are run by `test_frameworks_together`."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest

from testkit.environments import ROOT, Unreachable, hub_environment
from testkit.model_server import (
    BUSY,
    CUT,
    DONE,
    DOWN,
    HANG,
    REASON,
    SICK,
    USAGE,
    WELCOME,
    ModelServer,
    model_server,
)

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "conformance" / "adapters" / "scripts" / "example.py"
REAL = [
    ("openai-agents", "openai"),
    ("openai-agents", "openai-chat"),
    ("pydantic-ai", "openai"),
    ("strands", "openai"),
    ("adk", "gemini"),
    ("crewai", "openai"),
]
"""Examples, and the providers that they take instead of the script."""
TRIES = defaultdict(lambda: 3, adk=1)
"""How often a client asks a provider that refuses: OpenAI's three times, Gemini's once."""
PATIENCE_SECONDS = 240
LATE_MODULES = 100
"""Modules that a first run may still import: the transports of clients, which are small."""
STORY = ["human", "ai", "tool", "ai", "tool", "ai"]
WORDS = (BUSY, DOWN, CUT, SICK, HANG)


@dataclass(slots=True)
class Told:
    """What an example told: its turns, the requests until each had ended, and who was dialled."""

    turns: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    requests: list[int] = field(default_factory=list[int])
    dialled: set[str] = field(default_factory=set[str])
    left: bool = False

    def of(self, word: str) -> tuple[dict[str, Any], int]:
        """The turn that a word began, behind the story's three, and how many requests it took."""
        at = 3 + WORDS.index(word)
        return self.turns[at], self.requests[at] - self.requests[at - 1]


async def told(framework: str, server: ModelServer, **variables: str) -> Told:
    """The turns of an example: it asks, is answered, and is thanked, and what comes of a provider's bad
    days."""
    try:
        programs = hub_environment(framework)
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    folder = ROOT / "adapters" / "examples" / framework.replace("-", "_")
    # no key of whoever runs the tests, and nothing that keeps frameworks from calling home but the hub
    inherited = {"PATH": os.environ["PATH"], "LANGGRAPH_STRICT_MSGPACK": "true"}
    if "HOME" in os.environ:
        inherited["HOME"] = os.environ["HOME"]
    process = await asyncio.create_subprocess_exec(
        programs / "python",
        SCRIPT,
        folder,
        framework,
        *WORDS,
        env=inherited | variables,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    found = Told()
    errors = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line := await process.stdout.readline():
                found.turns.append(json.loads(line))
                found.requests.append(server.requests)
                if "cancelled" in found.turns[-1]:
                    # the program waits for us, so that nothing else has ended the request
                    await server.left.wait()
                    found.left = process.returncode is None
                    process.stdin.close()
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        said = (await errors).decode()
    assert code == 0, said
    lines = (line.split() for line in said.splitlines() if line.startswith("dialled "))
    found.dialled = {line[1] for line in lines}
    return found


Running = dict[tuple[str, str], asyncio.Task[Told]]


@pytest.fixture(scope="module")
async def running() -> AsyncGenerator[Running]:
    """Examples with their own clients, as far as they have been started."""
    started: Running = {}
    yield started
    for one in started.values():
        one.cancel()
    await asyncio.gather(*started.values(), return_exceptions=True)


@pytest.fixture(scope="module", params=REAL, ids="-".join)
async def real(request: pytest.FixtureRequest, running: Running) -> tuple[str, Told]:
    """A framework, and what its example told with its own client. The next one imports its own meanwhile."""
    at = REAL.index(request.param)
    for one in REAL[at : at + 2]:
        if one not in running:
            running[one] = asyncio.create_task(_real(*one))
    return request.param[0], await running[request.param]


async def _real(framework: str, model: str) -> Told:
    async with model_server() as server:
        found = await told(
            framework,
            server,
            AGENTHUB_EXAMPLE_MODEL=model,
            OPENAI_API_KEY="key",
            OPENAI_BASE_URL=server.openai_url,
            GOOGLE_API_KEY="key",
            GOOGLE_GEMINI_BASE_URL=server.origin,
        )
    assert not server.unknown, server.unknown
    return found


def test_a_frameworks_own_client_streams_from_a_provider(real: tuple[str, Told]) -> None:
    _, found = real
    asked, done, thanked = found.turns[:3]
    (question,) = asked["asked"]
    assert (question["kind"], question["key"]) == ("approval", "refund")
    assert question["payload"] == {"tool": "refund", "args": {"number": "A-17", "amount": 42}}
    assert [kind for kind, _ in done["messages"]] == STORY
    # each piece of a reply is streamed, and together they are its message
    assert len(done["pieces"]) > 2
    assert "".join(done["pieces"]) == done["messages"][-1][1] == DONE
    assert thanked["messages"][: len(STORY)] == done["messages"]
    assert "".join(thanked["pieces"]) == thanked["messages"][-1][1] == WELCOME
    # two before the question, one behind it, and one for the second turn
    assert found.requests[:3] == [2, 3, 4]


def test_a_worker_that_knows_its_agent_has_imported_what_a_run_needs(
    real: tuple[str, Told],
) -> None:
    # and it knows its agents before it claims: a run does not wait for a framework's import
    _, found = real
    first, *others = (turn["imported"] for turn in found.turns[:3])
    assert first < LATE_MODULES
    assert others == [0, 0]


def test_usage_is_what_the_provider_reports_for_each_call(real: tuple[str, Told]) -> None:
    _, found = real
    twice = {name: 2 * count for name, count in USAGE.items()}
    assert [turn["usage"] for turn in found.turns[:3]] == [twice, USAGE, USAGE]


def test_a_provider_that_is_busy_is_asked_again_or_named(real: tuple[str, Told]) -> None:
    framework, found = real
    busy, requests = found.of(BUSY)
    if TRIES[framework] == 1:
        assert (requests, "429" in busy["error"], REASON in busy["error"]) == (2, True, True)
        return
    # the order is found once, and its payment waits as if nothing had happened
    assert (requests, [question["key"] for question in busy["asked"]]) == (3, ["refund"])
    assert busy["usage"] == {name: 2 * count for name, count in USAGE.items()}


def test_a_provider_that_is_down_fails_the_run_with_its_reason(real: tuple[str, Told]) -> None:
    framework, found = real
    down, requests = found.of(DOWN)
    assert requests == 1 + TRIES[framework]
    assert "500" in down["error"]
    assert REASON in down["error"]
    assert down["seconds"] < 30


def test_an_answer_that_breaks_off_fails_the_run_and_is_no_answer(real: tuple[str, Told]) -> None:
    _, found = real
    cut, requests = found.of(CUT)
    assert "onnection" in cut["error"]
    # what has been streamed is not taken back, so nobody asks again by himself
    assert requests == 1


def test_an_error_in_the_middle_of_an_answer_fails_the_run_with_its_reason(
    real: tuple[str, Told],
) -> None:
    _, found = real
    sick, requests = found.of(SICK)
    assert REASON in sick["error"]
    assert requests == 1


def test_cancelling_a_run_closes_its_request(real: tuple[str, Told]) -> None:
    _, found = real
    assert found.of(HANG)[0] == {"cancelled": True}
    assert found.left


def test_nobody_but_the_provider_is_dialled(real: tuple[str, Told]) -> None:
    _, found = real
    assert found.dialled == {"127.0.0.1"}
