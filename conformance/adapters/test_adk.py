"""What ADK has besides plain agents, in the framework's own environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testkit.environments import Unreachable, hub_environment

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "scripts" / "adk_kinds.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script tells, by its subject."""
    try:
        programs = hub_environment("adk")
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    done = subprocess.run(
        [programs / "python", SCRIPT],
        check=True,
        capture_output=True,
        text=True,
        env={"CONTRACT_NOTES": str(tmp_path_factory.mktemp("adk") / "notes")},
    )
    return {line["of"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_a_tool_that_asks_by_itself_gets_what_the_person_adds(found: dict[str, Any]) -> None:
    asked = found["dynamic confirmation"]
    kind, prompt, payload, _ = asked["ask"]
    assert (kind, prompt) == ("approval", "May the agent call spend? It is a lot.")
    assert payload == {"tool": "spend", "args": {"amount": 9}, "payload": {"limit": 0}}
    assert asked["told"][0] == ["spend", "5 of 9"]
    # one call before the question, and one behind its answer
    assert (asked["models"], asked["paid"]) == (2, 1)


def test_a_workflow_asks_for_a_value_of_a_schema_and_says_its_output(found: dict[str, Any]) -> None:
    asked = found["request for input"]
    kind, prompt, payload, schema = asked["ask"]
    assert (kind, prompt, payload) == ("input", "How much?", {"for": "kettle"})
    assert schema["required"] == ["amount"]
    assert (asked["status"], asked["output"]) == ("done", None)
    assert asked["told"] == [["limits", 'limit {"amount": 5}']]


def test_a_confirmation_reaches_the_agent_that_was_transferred_to(found: dict[str, Any]) -> None:
    asked = found["transfer"]
    assert asked["ask"][:2] == ["approval", "May the agent call pay?"]
    assert asked["told"] == [["pay", "paid 7"], ["billing", "it gave paid 7"]]
    assert (asked["models"], asked["paid"]) == (3, 1)
    assert asked["events"] == [{"event": "handoff", "data": {"from": "triage", "to": "billing"}}]


@pytest.mark.parametrize("kind", ["app", "runner"])
def test_apps_and_runners_are_run_as_their_agents_are(found: dict[str, Any], kind: str) -> None:
    assert found[kind]["told"] == [["pay", "paid 7"], ["approver", "it gave paid 7"]]
    assert (found[kind]["models"], found[kind]["paid"]) == (2, 1)


@pytest.mark.parametrize(
    ("whom", "known"),
    [
        (
            "ann on t",
            ["Norwegian", 1, "only", ["report.pdf", "user:notes.txt"], "\0report", "notes"],
        ),
        ("ann on u", ["Norwegian", 1, None, ["user:notes.txt"], None, "notes"]),
        ("bob on u", [None, 1, None, [], None, None]),
    ],
)
def test_state_and_artifacts_are_known_to_whom_they_belong(
    found: dict[str, Any], whom: str, known: list[Any]
) -> None:
    assert json.loads(found[f"known to {whom}"]["told"]) == known


def test_agents_in_sequence_speak_under_their_names_and_leave_their_state(
    found: dict[str, Any],
) -> None:
    line = found["sequence"]
    assert [author for author, _ in line["told"]] == ["lookup", "one", "two"]
    assert line["state"] == line["told"][-1][1]


def test_an_output_key_of_words_is_what_was_said(found: dict[str, Any]) -> None:
    assert found["key"]["output"] is None
    assert found["key"]["told"] == [["keyed", "turn 1: you said Oslo"]]
