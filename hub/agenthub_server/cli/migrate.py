"""`agenthub migrate`: bring the schema up to date."""

from __future__ import annotations

import argparse
import asyncio

from agenthub.config import Config
from agenthub.errors import Invalid
from agenthub_postgres.migrate import Phase, migrate


def run(config: Config, args: argparse.Namespace) -> int:
    """Apply what is missing and say what that was."""
    if config.database_url is None:
        raise Invalid("DATABASE_URL is not set: which database is to be migrated?")
    phases: tuple[Phase, ...] = (args.phase,) if args.phase else ("pre", "post")
    done = asyncio.run(migrate(config.database_url, phases))
    for name in done:
        print(f"applied {name}")  # noqa: T201  # the command's own output
    if not done:
        print("the schema is up to date")  # noqa: T201
    return 0
