"""Fixtures of the fault tests: a hub of real processes over servers of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from faults.cluster import Cluster, cluster
from testkit.servers import DurableServers


@pytest.fixture
async def hub(durable_servers: DurableServers, tmp_path: Path) -> AsyncGenerator[Cluster]:
    """A hub over servers that the test may break; nothing runs yet."""
    async with cluster(durable_servers, tmp_path) as empty:
        yield empty
