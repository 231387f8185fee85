"""CrewAI's crews and flows, beyond the adapter contract."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agenthub.project import read_project
from agenthub_langgraph import frameworks
from agenthub_langgraph.discovery import discover
from faults.cluster import compiled
from testkit.environments import Unreachable, hub_environment

SCRIPT = Path(__file__).parent / "scripts" / "crewai_kinds.py"


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `crewai_kinds.py` tells."""
    try:
        programs = hub_environment("crewai")
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    notes = tmp_path_factory.mktemp("crewai") / "notes"
    environ = {**os.environ, **compiled(), **frameworks.SILENT, "CONTRACT_NOTES": str(notes)}
    done = subprocess.run(
        [programs / "python", SCRIPT], check=False, capture_output=True, text=True, env=environ
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout, "a worker's output is no place for panels"
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def test_frameworks_are_kept_from_calling_home_before_a_project_imports_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in frameworks.SILENT:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    names = list(frameworks.SILENT)
    file = tmp_path / "quiet_bot.py"
    file.write_text(f"import os\nfound = [os.environ[name] for name in {names}]\n", "utf-8")
    discovered = discover(read_project(file), "default")
    assert discovered.failures == {}


@pytest.mark.slow
def test_a_crew_and_a_flow_say_what_they_take(told: list[dict[str, Any]]) -> None:
    crew, flow = told[:2]
    assert (crew["name"], set(crew["input_schema"]["properties"])) == ("writers", {"topic"})
    assert (flow["name"], set(flow["input_schema"]["properties"])) == (
        "Editor",
        {"message", "turns"},
    )


@pytest.mark.slow
def test_a_crews_result_is_reviewed_until_it_is_good_and_no_model_is_asked_twice(
    told: list[dict[str, Any]],
) -> None:
    first, changed, done = told[2:5]
    assert first["asks"][0]["payload"]["output"] == "turn 1: you said hello"
    assert "shorter" in changed["asks"][0]["payload"]["output"]
    assert (done["status"], done["asks"]) == ("done", [])
    assert [step["notes"] for step in (first, changed, done)] == [["model"], ["model"], []]
    assert [step["usage"].get("total_tokens", 0) for step in (first, changed, done)] == [15, 15, 0]


@pytest.mark.slow
def test_a_flow_asks_has_its_work_approved_and_remembers_its_state(
    told: list[dict[str, Any]],
) -> None:
    asked, review, published = told[5:8]
    assert (asked["asks"][0]["kind"], asked["asks"][0]["prompt"]) == ("input", "Who signs?")
    assert asked["notes"] == ["write 1", "model", "tool lookup", "model"]
    # the method runs anew, as far as the question; its models and tools do not
    assert review["notes"] == ["write 1", "review"]
    assert review["asks"][0]["payload"]["outcomes"] == ["approved", "rejected"]
    assert published["said"] == ["published: it gave sunny in Oslo, signed Ann"]
    assert published["notes"] == []
    again, _, dropped = told[8:]
    assert again["notes"][0] == "write 2"
    assert dropped["said"] == ["dropped: rejected"]
