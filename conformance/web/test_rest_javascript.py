"""The official JavaScript clients and React hooks against the hub, each scenario a program of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit.npm import packages, passes

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def web() -> Path:
    """A folder with the packages installed and the scenarios in it."""
    return packages(HERE)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", sorted(p.stem for p in (HERE / "scenarios").glob("*.mjs")))
async def test_the_javascript_clients_work_unchanged(
    hub_url: str, web: Path, scenario: str
) -> None:
    await passes(web, f"scenarios/{scenario}.mjs", hub_url)
