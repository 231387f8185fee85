"""The core on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from testkit.core import Core, open_core


@pytest.fixture
async def core(dsn: str) -> AsyncGenerator[Core]:
    async with open_core(dsn) as core:
        yield core
