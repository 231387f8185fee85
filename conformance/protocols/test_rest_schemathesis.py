"""schemathesis against our own description: whatever is sent, no 5xx and no status that is not described.

It runs in an environment of its own, against a hub of its own: it makes crons and the like at random.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agenthub_rest.operations import OPERATIONS
from testkit import hub
from testkit.environments import Unreachable, environment
from testkit.processes import output_of

SECONDS = 30
PATIENCE_SECONDS = 180
"""A guard: on a busy machine a last round takes its time."""
SETTINGS = (
    *("--phases", "coverage,fuzzing"),
    *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
    *("--max-examples", "20", "--max-time", str(SECONDS), "--seed", "1", "--no-shrink"),
    *("--generation-database", "none", "--warnings", "off", "--no-color"),
)


@pytest.mark.slow
async def test_nothing_that_is_sent_makes_the_server_fail_or_answer_otherwise_than_described(
    dsn: str, redis_url: str, tmp_path: Path
) -> None:
    try:
        program = environment("schemathesis") / "schemathesis"
    except Unreachable as unreachable:
        pytest.skip(f"schemathesis cannot be installed: {unreachable}")
    config = hub.settings(dsn, redis_url, drain_seconds=0.0)
    async with hub.hub(config, hub.FIXTURES / "rest_agents.py") as url:
        told = await output_of(
            program,
            "run",
            f"{url}/openapi.json",
            *SETTINGS,
            cwd=tmp_path,
            env={"NO_PROXY": "127.0.0.1", "PATH": str(program.parent)},
            within=PATIENCE_SECONDS,
        )
    generated = re.search(r"(\d+) generated", told)
    assert generated, told
    assert int(generated[1]) > len(OPERATIONS), told
