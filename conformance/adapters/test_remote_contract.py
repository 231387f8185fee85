"""The adapter contract, as far as it is about what an agent that is elsewhere can have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from faults.cluster import compiled
from testkit.hub import FIXTURES

NO_TOOLS = "its tools are its own business: neither protocol tells of their calls"
NO_APPROVALS = "it asks questions; which of them approve a call, its protocol does not say"
NO_MODEL = "its model is not the worker's, and is not killed with it"
NO_USAGE = "neither protocol tells what was used"
LACKS = {
    **dict.fromkeys(("tool:told", "tool:messages", "stream:messages"), NO_TOOLS),
    **dict.fromkeys(("state:tools", "state:tools-concurrent", "state:json"), NO_TOOLS),
    "describe:json": NO_TOOLS,
    **dict.fromkeys(("crash:repeats", "crash:messages", "crash:answer"), NO_MODEL),
    **dict.fromkeys(("pause:usage", "usage:sum", "usage:next"), NO_USAGE),
    **dict.fromkeys(
        (
            *("pause:ask", "pause:state", "pause:approve", "pause:words", "pause:decline"),
            *("pause:reason", "pause:told", "pause:several", "pause:each", "pause:talk"),
            "pause:after",
        ),
        NO_APPROVALS,
    ),
}
"""Behaviours that a remote agent cannot have, and why; `test_remote_*` have its own in their place."""


@pytest.mark.slow
def test_the_adapter_of_remote_agents_keeps_what_of_the_contract_they_can_have() -> None:
    target = f"{FIXTURES / 'remote_contract.py'}:fixtures"
    done = subprocess.run(
        [sys.executable, "-m", "agenthub_conformance.adapter", target],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **compiled()},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    outcomes: list[dict[str, Any]] = [json.loads(line) for line in lines]
    wrong = [f"{o['id']}: {o['told']}" for o in outcomes if o["verdict"] == "fails"]
    assert not wrong, "\n".join(wrong)
    assert {o["id"] for o in outcomes if o["verdict"] == "skipped"} == set(LACKS), done.stderr
    assert len([o for o in outcomes if o["verdict"] == "holds"]) >= 15
