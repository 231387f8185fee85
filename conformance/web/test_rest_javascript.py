"""The official JavaScript clients and React hooks against the hub, each scenario a program of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from testkit.npm import NODE, environment, packages

HERE = Path(__file__).parent
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="session")
def web() -> Path:
    """A folder with the packages installed and the scenarios in it."""
    return packages(HERE)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sorted(p.stem for p in (HERE / "scenarios").glob("*.mjs")))
async def test_the_javascript_clients_work_unchanged(
    hub_url: str, web: Path, scenario: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        f"scenarios/{scenario}.mjs",
        hub_url,
        cwd=web,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    assert output.decode().endswith("passed\n")
