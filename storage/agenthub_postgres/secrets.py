"""Secrets that the replicas share and nobody has configured: made once, kept in the database."""

from __future__ import annotations

import secrets

from agenthub_postgres.database import connect

SECRET_BYTES = 32

MAKE = """
-- belongs to no tenant: it is the installation's
insert into hub_secrets (name, value) values ($1, $2) on conflict (name) do nothing
"""
GET = "select value from hub_secrets where name = $1"


async def shared_secret(dsn: str, name: str) -> bytes:
    """A random secret of 32 bytes, the same for everyone who asks by this name."""
    connection = await connect(dsn)
    try:
        await connection.execute(MAKE, name, secrets.token_bytes(SECRET_BYTES))
        return await connection.fetchval(GET, name)
    finally:
        await connection.close()
