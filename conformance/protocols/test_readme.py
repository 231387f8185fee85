"""The README's examples do what it says."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from a2a.types import Message, Part, Role, SendMessageRequest, TaskState

from testkit.hub import hub, settings

README = Path(__file__).parents[2] / "README.md"
AGENT, REST, MCP, A2A = re.findall(
    r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S
)
WHERE = "http://127.0.0.1:2024"


@pytest.fixture
async def url(dsn: str, redis_url: str, tmp_path: Path) -> AsyncGenerator[str]:
    """A hub that serves the README's agent."""
    file = tmp_path / "hello.py"
    file.write_text(AGENT, "utf-8")
    async with hub(settings(dsn, redis_url), file) as url:
        yield url


async def execute(example: str, url: str) -> dict[str, Any]:
    """Run an example against a hub; returns the names that it leaves."""
    assert WHERE in example
    code = compile(
        example.replace(WHERE, url), "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    names: dict[str, Any] = {}
    if code.co_flags & inspect.CO_COROUTINE:
        async with asyncio.timeout(30):
            await eval(code, names)  # our own README
    else:
        exec(code, names)  # as above
    return names


async def test_the_rest_example_prints_what_the_readme_shows(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = await execute(REST, url)
    await names["client"].aclose()
    paused, greeted = capsys.readouterr().out.splitlines()
    assert "'question': 'Greet Ada?'" in paused
    assert f"# {greeted}" in REST


async def test_the_mcp_example_is_told_how_to_answer(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await execute(MCP, url)
    assert "resume_run" in capsys.readouterr().out


async def test_the_a2a_example_finds_the_agent(url: str) -> None:
    names = await execute(A2A, url)
    async with names["client"] as client:
        message = Message(role=Role.ROLE_USER, parts=[Part(text="Ada")], message_id="1")
        answers = [a async for a in client.send_message(SendMessageRequest(message=message))]
    assert answers[-1].status_update.status.state == TaskState.TASK_STATE_INPUT_REQUIRED


def test_the_readme_names_files_that_exist() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README.read_text("utf-8"))
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
