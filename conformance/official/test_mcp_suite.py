"""The official MCP suites against two replicas without stickiness: every check holds, with no baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from agenthub_conformance.mcp.official import OLD, SUITES, Suite, run_suite
from official.conftest import Replicas
from testkit.npm import NODE

ALIASES = {OLD: "mcp-conformance-0.1"}
LEAST = dict(zip(SUITES, (44, 81, 190, 230), strict=True))
"""How many checks there are at least: a suite that runs nothing passes nothing."""


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=lambda s: s.name)
async def test_every_check_of_the_official_suite_holds_on_any_replica(
    replicas: Replicas, npm: Path, suite: Suite
) -> None:
    package = npm / "node_modules" / ALIASES.get(suite.version, "mcp-conformance-0.2")
    program = [NODE, package / "dist" / "index.js"]
    before = len(replicas.balancer.went)
    checks = await run_suite(program, f"{replicas.url}/mcp", suite)
    failing = [f"{c.scenario}: {c.id}: {c.told}" for c in checks if c.failed]
    assert not failing, "\n".join(failing)
    assert sum(c.status == "success" for c in checks) >= LEAST[suite]
    assert {to for _, to in replicas.balancer.went[before:]} == set(replicas.servers)
