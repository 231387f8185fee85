"""`agenthub webhook-secret`: what receivers of webhooks verify the signatures with."""

from __future__ import annotations

import asyncio

from agenthub.config import Config
from agenthub.signing import write_secret
from agenthub_server.outgoing import signing_secrets
from agenthub_server.wiring import require_database


def run(config: Config) -> int:
    """Print the secrets that sign, one a line."""
    for secret in asyncio.run(_secrets(config)):
        print(write_secret(secret))  # noqa: T201  # the command's own output
    return 0


async def _secrets(config: Config) -> list[bytes]:
    return await signing_secrets(config, await require_database(config))
