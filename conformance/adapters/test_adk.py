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


def test_two_threads_of_a_user_keep_what_each_of_them_learns(found: dict[str, Any]) -> None:
    kept = found["two threads at once"]["kept"]
    assert {key.rpartition("/")[2]: value for key, value in kept.items()} == {
        "language": "Norwegian",
        "size": "large",
    }
    # a user's name may have what the scope of a store may not
    assert not any("." in key for key in kept)


def test_agents_in_sequence_speak_under_their_names_and_leave_their_state(
    found: dict[str, Any],
) -> None:
    line = found["sequence"]
    assert [author for author, _ in line["told"]] == ["lookup", "one", "two"]
    assert line["state"] == line["told"][-1][1]


def test_an_output_key_of_words_is_what_was_said(found: dict[str, Any]) -> None:
    assert found["key"]["output"] is None
    assert found["key"]["told"] == [["keyed", "turn 1: you said Oslo"]]


def test_in_a_row_the_next_one_begins_behind_the_answer(found: dict[str, Any]) -> None:
    row = found["row"]
    assert row["asked"] == [[["approval", "May the agent call pay?", "pay"]], []]
    assert row["told"][1:] == [
        ["ann", "ann: This tool call is rejected. too much"],
        ["reader", "knows True"],
    ]
    assert row["notes"] == [["model ann"], ["model ann", "model reader"]]


def test_questions_of_branches_are_answered_at_once_and_each_branch_hears_its_own(
    found: dict[str, Any],
) -> None:
    sides = found["sides"]
    # talked past, both ask anew; neither has paid before its answer
    assert [len(asked) for asked in sides["asked"]] == [2, 2, 0]
    assert sorted(sides["notes"][2]) == ["model ann", "model beate", "tool pay", "tool pay"]
    assert sorted(sides["told"][-2:]) == [["ann", "ann: paid 3"], ["beate", "beate: paid 5"]]
    assert sides["used"] == [45, 45, 30]


def test_who_comes_behind_branches_waits_for_all_of_them(found: dict[str, Any]) -> None:
    nested = found["nested"]
    assert nested["told"][-1] == ["last", "quick, ann: paid 3, beate: paid 5"]
    assert nested["notes"][1].count("tool pay") == 2
    assert nested["notes"][1].count("model last") == 1


def test_branches_that_were_answered_go_on_after_a_crash(found: dict[str, Any]) -> None:
    lost = found["nested lost"]
    assert (lost["status"], lost["told"][-1]) == (
        "done",
        ["last", "quick, ann: paid 3, beate: paid 5"],
    )
    assert lost["notes"].count("model last") == 1


def test_a_loop_ends_when_leaving_it_is_confirmed(found: dict[str, Any]) -> None:
    loop = found["loop"]
    assert [text for _, text in loop["told"]] == ["draft 1", "write another", "draft 2"]
    assert (loop["asked"][0][0][2], loop["status"]) == ("leave", "done")
    assert loop["notes"][1] == ["tool leave"]


def test_who_was_handed_over_to_hands_back_and_the_next_turn_begins_there(
    found: dict[str, Any],
) -> None:
    desk = found["desk"]
    there, back = {"from": "triage", "to": "billing"}, {"from": "billing", "to": "triage"}
    assert desk["handoffs"] == [there, back]
    assert desk["notes"] == [
        ["model triage", "model billing"],
        ["tool pay", "model billing", "model triage"],
        ["model triage"],
    ]


def test_a_long_running_tools_ticket_is_told_and_its_result_comes_as_an_answer(
    found: dict[str, Any],
) -> None:
    order = found["orderer"]
    assert order["asked"][0] == [["external", "What does order give?", "order"]]
    said = [text for author, text in order["told"] if author == "orderer"]
    assert said == ["it gave pending T-kettle", "it gave arrived"]
    assert [notes.count("tool order") for notes in order["notes"]] == [1, 0]


@pytest.mark.parametrize("kind", ["app", "runner"])
def test_the_plugins_of_an_app_see_each_step(found: dict[str, Any], kind: str) -> None:
    assert found[f"{kind} with a plugin"]["notes"] == [
        ["plugin model", "model ann", "plugin pay"],
        ["plugin pay", "tool pay", "plugin model", "model ann"],
    ]


def test_a_workflow_asks_one_question_after_the_other_or_several_at_once(
    found: dict[str, Any],
) -> None:
    form, fork = found["form"], found["fork"]
    assert [[prompt for _, prompt, _ in asked] for asked in form["asked"]] == [
        ["Which size?"],
        ["Which colour?"],
        [],
    ]
    assert (form["output"], form["notes"][2]) == ('closed with "a red one"', ["model clerk"])
    assert sorted(prompt for _, prompt, _ in fork["asked"][0]) == ["Which colour?", "Which size?"]
    assert fork["told"] == [["fork", 'closed with {"ask_colour": "large", "ask_size": "large"}']]
