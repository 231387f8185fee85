"""Clients of others, as they are, against two replicas without stickiness: SDKs and the Inspector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from official.conftest import HERE, Replicas
from testkit.environments import Unreachable
from testkit.environments import environment as python_environment
from testkit.npm import NODE, environment
from testkit.processes import output_of

INSPECTOR = Path("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")
PATIENCE_SECONDS = 90.0


async def output(*argv: str | Path, cwd: Path) -> str:
    """What a program prints; it must end with status 0."""
    env = {**environment(), "HOME": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    return await output_of(*argv, cwd=cwd, env=env, within=PATIENCE_SECONDS, errors=False)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["sdk_v1.mjs", "sdk_v2.mjs"])
async def test_the_typescript_sdk_lists_calls_and_answers(
    replicas: Replicas, npm: Path, script: str
) -> None:
    told = await output(NODE, script, f"{replicas.url}/mcp", cwd=npm)
    assert told.endswith("passed\n")


@pytest.mark.slow
async def test_the_python_sdk_1_28_lists_calls_and_answers(
    replicas: Replicas, tmp_path: Path
) -> None:
    try:
        programs = python_environment("mcp-1.28")
    except Unreachable as offline:
        pytest.skip(f"no packages: {offline}")
    script = HERE / "sdk_1_28.py"
    told = await output(programs / "python", script, f"{replicas.url}/mcp", cwd=tmp_path)
    assert told.endswith("passed\n")


async def inspected(replicas: Replicas, npm: Path, home: Path, *arguments: str) -> Any:
    """What the Inspector's command line makes of a method."""
    argv = (NODE, npm / INSPECTOR, "--cli", f"{replicas.url}/mcp", *arguments, "--format", "json")
    return json.loads(await output(*argv, cwd=home))["result"]


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_lists_calls_and_follows_a_task(
    replicas: Replicas, npm: Path, tmp_path: Path, era: str
) -> None:
    asked = ("--protocol-era", era)
    listed = await inspected(replicas, npm, tmp_path, *asked, "--method", "tools/list")
    assert "greet" in {tool["name"] for tool in listed["tools"]}
    call = (*asked, "--method", "tools/call", "--tool-name")
    greeted = await inspected(replicas, npm, tmp_path, *call, "greet", "--tool-arg", "name=Ann")
    assert greeted["content"][0]["text"] == "Hello, Ann!"
    given = ("slow_compute", "--tool-arg", "seconds=2", "label=inspected")
    computed = await inspected(replicas, npm, tmp_path, *call, *given)
    assert computed["content"][0]["text"] == "Computed inspected in 2 s"
