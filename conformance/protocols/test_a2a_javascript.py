"""The official A2A client for JavaScript, unchanged, over every binding."""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit.npm import packages, passes

WEB = Path(__file__).parent.parent / "web"


@pytest.mark.slow
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_the_official_client_for_javascript_does_all_that_it_can(
    grpc_hub: tuple[str, str], tmp_path: Path, binding: str
) -> None:
    await passes(packages(WEB), "a2a.mjs", grpc_hub[0], binding, str(tmp_path / "gate"))
