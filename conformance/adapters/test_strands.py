"""Strands' graphs, swarms and agents that are tools, in the framework's own environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testkit.environments import Unreachable, hub_environment

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "scripts" / "strands_teams.py"
ONE_CALL = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
TALKED_PAST = "Not executed: the user said something else instead of answering."


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script tells, by its subject. Agents that print would break its lines."""
    try:
        programs = hub_environment("strands")
    except Unreachable as why:
        pytest.skip(f"its environment cannot be made: {why}")
    done = subprocess.run(
        [programs / "python", SCRIPT],
        check=True,
        capture_output=True,
        text=True,
        env={"CONTRACT_NOTES": str(tmp_path_factory.mktemp("strands") / "notes")},
    )
    return {line["of"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_a_graph_pauses_in_a_node_and_goes_on_in_objects_that_have_seen_nothing(
    found: dict[str, Any],
) -> None:
    graph = found["graph"]
    assert (graph["asks"], graph["status"]) == ([["approval", "pay"]], "done")
    assert graph["told"] == [
        ["chat", "turn 1: you said go on"],
        ["pay", "paid 7"],
        ["approver", "it gave paid 7"],
    ]
    assert (graph["models"], graph["paid"]) == (3, 1)
    assert graph["usage"][1] == ONE_CALL
    assert graph["events"] == [
        {"event": "handoff", "data": {"from": ["draft"], "to": ["pay"]}},
    ]


def test_a_swarm_hands_over_and_goes_on_with_who_was_asked(found: dict[str, Any]) -> None:
    swarm = found["swarm"]
    assert (swarm["asks"], swarm["status"]) == ([["approval", "pay"]], "done")
    assert swarm["told"][1:] == [["pay", "paid 7"], ["billing", "it gave paid 7"]]
    assert (swarm["models"], swarm["paid"]) == (2, 1)
    assert swarm["events"] == [
        {"event": "handoff", "data": {"from": ["triage"], "to": ["billing"]}},
    ]


def test_an_agent_that_is_a_tool_pauses_for_the_tool_that_it_calls(found: dict[str, Any]) -> None:
    boss = found["agent as tool"]
    assert (boss["asks"], boss["status"]) == ([["approval", "pay"]], "done")
    # its own words are those of a tool, and what it used counts
    assert [author for author, _ in boss["told"]] == ["worker", "boss"]
    assert (boss["models"], boss["paid"]) == (2, 1)
    assert boss["usage"] == [ONE_CALL, ONE_CALL]
    assert boss["events"] == []


@pytest.mark.parametrize("kind", ["graph", "swarm"])
def test_a_new_message_begins_anew_and_runs_nothing_that_was_not_approved(
    found: dict[str, Any], kind: str
) -> None:
    again = found[f"{kind} talked past"]
    assert (again["status"], again["paid"]) == ("paused", 0)
    assert (again["first"]["tool_call_id"], again["first"]["content"]) == ("pay-1", TALKED_PAST)


def test_a_lost_graph_goes_on_behind_the_nodes_that_had_ended(found: dict[str, Any]) -> None:
    lost = found["graph lost"]
    assert (lost["saved"], lost["models"], lost["status"]) == (["chat"], 1, "paused")
    assert lost["draft_knows"] == ["user", "assistant"]


def test_the_error_of_a_swarms_agent_is_the_runs(found: dict[str, Any]) -> None:
    assert found["swarm failing"]["error"] == "the model is on fire"


def test_an_agent_with_checkpoints_goes_on_elsewhere_at_each_of_them(found: dict[str, Any]) -> None:
    steps = found["checkpoints"]
    assert steps["statuses"] == ["boundary", "boundary", "done"]
    assert (steps["told"], steps["models"]) == ([["tool_user", "it gave sunny in Oslo"]], 2)


def test_questions_of_a_graphs_branches_come_together_and_who_follows_waits_for_all(
    found: dict[str, Any],
) -> None:
    line = found["branches"]
    # talked past, both ask anew; neither has paid before its answer
    assert [len(asked) for asked in line["asked"]] == [2, 2, 0]
    assert line["notes"][:2] == [["model ann", "model beate", "model quick"]] * 2
    assert line["notes"][2].count("tool pay") == 2
    assert line["told"][-1] == ["teller", "ann: paid 3, beate: paid 5, quick"]
    assert line["used"] == [45, 45, 45]


def test_a_graph_that_has_looped_goes_on_where_it_paused(found: dict[str, Any]) -> None:
    line = found["loop"]
    drafts = [text for author, text in line["told"] if author == "writer"]
    assert drafts == ["draft 1", "draft 2"]
    assert line["notes"][1] == ["model ann", "tool pay"]


def test_graphs_and_swarms_in_a_graph_pause_one_after_the_other(found: dict[str, Any]) -> None:
    line = found["nested"]
    assert [asked[0][::2] for asked in line["asked"][:2]] == [
        ["approval", "pay"],
        ["input", "ask_person"],
    ]
    assert line["notes"][1:] == [
        ["model ann", "model asker", "model front", "model front", "tool pay"],
        ["model asker", "model teller"],
    ]
    assert line["told"][-1] == ["teller", "it is Oslo"]


def test_a_graph_asks_before_it_runs_a_node_and_fails_with_the_reason_of_a_refusal(
    found: dict[str, Any],
) -> None:
    gated, shut = found["gated"], found["gate shut"]
    assert gated["asked"][0] == [["approval", "Shall it be sent?", "approval"]]
    assert gated["notes"] == [["model clerk"], ["model sender"]]
    assert (shut["error"], shut["notes"]) == ("not sent: too late", [["model clerk"], []])
