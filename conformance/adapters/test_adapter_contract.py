"""The adapter contract, per framework, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agenthub_langgraph.frameworks import SILENT
from faults.cluster import compiled
from testkit.environments import Unreachable, hub_environment
from testkit.frameworks import FRAMEWORKS, LACKS


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_adapter_keeps_the_whole_contract(framework: str) -> None:
    try:
        programs = hub_environment(framework)
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    argv = [programs / "python", "-m", "agenthub_conformance.adapter"]
    done = subprocess.run(
        [*argv, f"{FRAMEWORKS[framework]}:fixtures"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **compiled(), **SILENT},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    outcomes: list[dict[str, Any]] = [json.loads(line) for line in lines]
    wrong = [f"{o['id']}: {o['told']}" for o in outcomes if o["verdict"] == "fails"]
    assert not wrong, "\n".join(wrong)
    assert len(outcomes) >= 30, done.stderr
    skipped = {(framework, o["id"]) for o in outcomes if o["verdict"] == "skipped"}
    assert skipped == {lack for lack in LACKS if lack[0] == framework}


@pytest.mark.slow
def test_a_handoff_is_told_and_the_next_turn_goes_on_with_who_took_over() -> None:
    try:
        programs = hub_environment("openai-agents")
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    script = Path(__file__).parent / "scripts" / "openai_handoff.py"
    done = subprocess.run([programs / "python", script], check=True, capture_output=True, text=True)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["events"] == [{"event": "handoff", "data": {"from": "triage", "to": "billing"}}]
    called, gave, said = first["messages"]
    assert gave["tool_call_id"] == called["tool_calls"][0]["id"]
    assert (said["name"], said["content"]) == ("billing", "I am billing")
    assert [message["name"] for message in second["messages"]] == ["billing"]
