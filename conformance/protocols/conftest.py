"""What several modules of protocol tests share."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import asyncpg
import pytest

from agenthub_server.embedded import Postgres, Valkey
from protocols.mcp_pair import Pair, pair_of
from testkit import hub
from testkit.processes import free_port


@pytest.fixture(scope="session")
async def declared(postgres: Postgres, valkey: Valkey, template: str) -> AsyncGenerator[Pair]:
    """Two replicas with the agents of `mcp_declared.toml`, which say all that a declaration can."""
    project = hub.FIXTURES / "mcp_declared.toml"
    servers = (postgres, valkey)
    async with pair_of(project, servers, template, name="mcp_declared", number=13) as pair:
        yield pair


@pytest.fixture(scope="session")
async def grpc_hub(
    postgres: Postgres, valkey: Valkey, template: str
) -> AsyncGenerator[tuple[str, str]]:
    """A hub with gRPC, whose default agent is `ship`, and which may call this machine: its address, and
    that of gRPC."""
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database hub_grpc template {template} strategy file_copy")
    await admin.close()
    config = hub.settings(
        postgres.url("hub_grpc"),
        valkey.url(12),
        drain_seconds=0.0,
        delivery_poll_seconds=0.05,
        outbound_networks=("127.0.0.0/8",),
        default_agent="ship",
        grpc_port=free_port(),
        max_body_bytes=1 << 20,
    )
    async with hub.hub(config, hub.FIXTURES / "a2a_grpc.toml") as url:
        yield url, f"127.0.0.1:{config.grpc_port}"
