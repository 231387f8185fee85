"""CrewAI's crews and flows, beyond the adapter contract."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agenthub.project import read_project
from agenthub_crewai import answers
from agenthub_langgraph import frameworks
from agenthub_langgraph.discovery import discover
from faults.cluster import compiled
from testkit.environments import Unreachable, hub_environment

SCRIPT = Path(__file__).parent / "scripts" / "crewai_kinds.py"


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
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
    assert "token count" not in done.stderr, "nor for how models count, with each of their calls"
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


@pytest.fixture
def told(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps of the first agents, one after the other."""
    return [line for line in lines if "of" not in line]


@pytest.fixture
def tales(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The turns of crews and flows of several parts, by their names."""
    return {line["of"]: line for line in lines if "of" in line}


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


@pytest.mark.parametrize(
    ("answer", "outcomes", "word"),
    [
        (True, ["rejected", "approved"], "approved"),
        ({"approved": True}, ["not_approved", "approved"], "approved"),
        ({"approved": False}, ["approved", "not_approved"], "not_approved"),
        ({"action": "decline"}, ["enough", "needs_revision"], "needs_revision"),
        ({"action": "decline"}, ["approved", "disapproved"], "disapproved"),
        ({"approved": False, "reason": "too long"}, ["approved", "rejected"], "too long"),
        ({"text": "well, send it"}, ["approved", "rejected"], "well, send it"),
        (False, ["known", "unknown"], answers.DECLINED),
        ({"approved": True}, [], "approved"),
    ],
)
def test_an_answer_means_an_outcome_by_its_words_or_by_its_yes_or_no(
    answer: Any, outcomes: list[str], word: str
) -> None:
    assert answers.outcome(answer, outcomes) == word


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"approved": True}, ""),
        ("", ""),
        ("shorter", "shorter"),
        ({"approved": False}, answers.DECLINED),
        ({"approved": False, "response": "shorter"}, "shorter"),
        ({"text": "shorter"}, "shorter"),
    ],
)
def test_a_review_is_what_an_answer_says_and_never_the_form_that_it_came_in(
    answer: Any, said: str
) -> None:
    assert answers.feedback(answer) == said


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


@pytest.mark.slow
def test_a_manager_delegates_and_what_its_coworker_does_is_approved(
    tales: dict[str, dict[str, Any]],
) -> None:
    tale = tales["hierarchy"]
    assert tale["asked"] == [["approval", "May I pay 7?", "pay"]]
    assert tale["said"] == [
        ["pay", "paid 7"],
        ["cashier", "done: paid 7"],
        ["delegate_work_to_coworker", "done: paid 7"],
        ["Crew Manager", "the cashier says: done: paid 7"],
    ]
    # neither the manager nor its coworker is asked anew behind the answer
    assert tale["notes"] == [
        ["model cashier", "model manager"],
        ["model cashier", "model manager", "tool pay"],
    ]
    assert tale["used"] == [30, 30]


@pytest.mark.slow
def test_tasks_side_by_side_are_the_context_of_one_that_a_person_reviews(
    tales: dict[str, dict[str, Any]],
) -> None:
    tale = tales["line"]
    assert sorted(tale["said"][:2]) == [["drawer", "round"], ["painter", "red"]]
    assert tale["said"][2:] == [["writer", "red round"], ["writer", "shorter red round"]]
    assert [len(noted) for noted in tale["notes"]] == [3, 1, 0]
    assert (tale["status"], tale["used"]) == ("done", [45, 15, 0])


@pytest.mark.slow
def test_each_of_two_tasks_is_reviewed_and_the_second_knows_what_the_first_became(
    tales: dict[str, dict[str, Any]],
) -> None:
    tale = tales["reviews"]
    assert [key for _, _, key in tale["asked"]] == ["one", "one", "two"]
    assert tale["said"] == [["one", "good"], ["one", "better"], ["two", "built on better"]]
    assert (tale["status"], tale["used"]) == ("done", [15, 15, 15, 0])


@pytest.mark.slow
def test_a_flow_routes_works_side_by_side_and_pauses_in_three_ways(
    tales: dict[str, dict[str, Any]],
) -> None:
    tale = tales["refund"]
    assert [kind for kind, _, _ in tale["asked"]] == ["approval", "feedback", "input"]
    assert tale["said"][-1] == [None, "sent, DHL [read, settle, close]"]
    # whichever branch is first: each model and each tool once, in all of the steps together
    noted = [note for notes in tale["notes"] for note in notes]
    worked = sorted(note for note in noted if not note.startswith("method"))
    assert worked == ["model cashier"] * 2 + ["model scales"] * 2 + ["tool pay", "tool weigh"]
    assert sum(tale["used"]) == 4 * 15
    # behind the feedback no method runs again
    assert tale["notes"][2:] == [[], []]


@pytest.mark.slow
def test_a_refusal_without_words_is_the_outcome_that_refuses(
    tales: dict[str, dict[str, Any]],
) -> None:
    tale = tales["refused"]
    assert tale["said"][-1] == [None, "kept: refused [read, settle, close]"]
    assert tale["notes"][2] == [], "a model was asked what a refusal means"


@pytest.mark.slow
def test_a_flow_comes_back_to_a_method_by_a_router_and_by_a_persons_word(
    tales: dict[str, dict[str, Any]],
) -> None:
    assert tales["loop"]["said"] == [[None, '["count", "count", "count"]']]
    letter = tales["letter"]
    assert [key for _, _, key in letter["asked"]] == ["write", "write"]
    assert letter["notes"] == [["method write", "model writer"]] * 2 + [[]]
    assert letter["said"][-1] == [None, "posted: long"]


@pytest.mark.slow
def test_what_a_flow_inside_of_a_flow_asks_is_asked(tales: dict[str, dict[str, Any]]) -> None:
    tale = tales["flow in flow"]
    assert tale["asked"] == [
        ["feedback", "Do you sign?", "sign"],
        ["approval", "May I pay 7?", "pay"],
    ]
    assert tale["said"][-1] == [None, "the paper signed Ann, done: paid 7"]


@pytest.mark.slow
def test_a_flow_whose_state_is_a_mapping_pauses_in_a_crew_of_its_own(
    tales: dict[str, dict[str, Any]],
) -> None:
    tale = tales["plain state"]
    assert tale["asked"] == [["approval", "May I pay 7?", "pay"]]
    assert tale["said"][-1] == [None, "done: paid 7 for hello"]
    assert tales["question"]["said"] == [[None, "hello Ann [read, answer, close]"]]
