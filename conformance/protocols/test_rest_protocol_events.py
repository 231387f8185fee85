"""Rendering a run for the event-streaming protocol: what the log says decides, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agenthub.events import Event, ended, started
from agenthub.ids import new_id
from agenthub.json import dumps
from agenthub.runs import Run
from agenthub_rest.protocol_events import Filter, ProtocolEvent, Rendering, instant, microseconds
from protocols.protocol_client import checked

BEGUN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RUN = Run(
    tenant="default",
    run_id=new_id(),
    thread_id=new_id(),
    task_id=new_id(),
    agent="a",
    kind="input",
    status="running",
    created_at=BEGUN,
    updated_at=BEGUN,
    started_at=BEGUN,
)


def log(*said: tuple[str, Any] | tuple[str, Any, str]) -> list[Event]:
    """Events of one run: kind, payload and namespace."""
    found: list[Event] = []
    for seq, (kind, payload, *ns) in enumerate(said, 1):
        data = payload if isinstance(payload, bytes) else dumps(payload)
        found.append(Event(seq, RUN.run_id, kind, data, ns[0] if ns else ""))
    return found


def rendered(*said: Any) -> list[Any]:
    """What becomes of them, each event checked against the specification."""
    rendering = Rendering(RUN, microseconds(BEGUN))
    return [checked(event.to_json()) for event in rendering.render(log(*said))]


def chunk(text: Any = "", id_: str = "m", **more: Any) -> tuple[str, Any]:
    node = more.pop("node", "n")
    body = {"type": "AIMessageChunk", "id": id_, "content": text, "tool_call_chunks": [], **more}
    return "messages", [body, {"langgraph_node": node}]


def said(found: list[Any]) -> list[tuple[str, str]]:
    return [
        (e["params"]["data"]["id"], e["params"]["data"]["event"])
        for e in found
        if e["method"] == "messages"
    ]


def block_ends(found: list[Any]) -> list[Any]:
    events = [e["params"]["data"] for e in found if e["method"] == "messages"]
    return [e["content"] for e in events if e["event"] == "content-block-finish"]


def test_a_place_is_an_integer_that_leads_back_to_its_run() -> None:
    (event,) = rendered(("started", started(RUN.run_id, 1)))
    assert event["seq"] == microseconds(BEGUN) + 1
    assert instant(microseconds(BEGUN)) == BEGUN
    assert instant((1 << 53) - 1) > BEGUN


def test_the_slices_in_which_events_come_do_not_matter() -> None:
    events = log(
        ("started", started(RUN.run_id, 1)),
        chunk("a"),
        chunk("b", chunk_position="last"),
        ("updates", {"n": {"x": 1}}),
        ("values", {"x": 1}),
        ("ended", ended(RUN.run_id, "success")),
    )
    whole = list(Rendering(RUN, 0).render(events))
    rendering = Rendering(RUN, 0)
    assert [e for one in events for e in rendering.render([one])] == whole
    assert [e.seq for e in whole] == list(range(1, len(whole) + 1))


def test_two_messages_that_are_said_at_once_keep_apart() -> None:
    found = rendered(
        chunk("a", "one"),
        chunk("x", "two"),
        chunk("b", "one", chunk_position="last"),
        chunk("y", "two"),
    )
    assert block_ends(found) == [{"type": "text", "text": "ab"}]
    found = rendered(
        chunk("a", "one"),
        chunk("x", "two"),
        chunk("y", "two"),
        ("ended", ended(RUN.run_id, "success")),
    )
    assert block_ends(found) == [{"type": "text", "text": "a"}, {"type": "text", "text": "xy"}]


def test_a_message_without_a_last_chunk_is_finished_with_its_node() -> None:
    found = rendered(chunk("a"), ("updates", {"other": None}), ("updates", {"n": None}))
    assert [e["method"] for e in found][-4:] == ["updates", "messages", "messages", "updates"]
    assert said(found)[-1] == ("m", "message-finish")


def test_a_message_that_comes_whole_is_told_in_one_go() -> None:
    body = {"type": "ai", "id": "w", "content": "all", "tool_calls": [], "usage_metadata": None}
    found = rendered(("messages", [body, {}]), ("messages", [body, {}]))
    assert [event for _, event in said(found)] == [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ]


def test_what_a_tool_answered_is_not_on_the_messages_channel() -> None:
    assert rendered(("messages", [{"type": "tool", "id": "t", "content": "5"}, {}])) == []


def test_reasoning_text_and_calls_are_blocks_of_their_own() -> None:
    call = {"name": "add", "id": "c", "args": '{"a"', "index": 1}
    rest = {"name": None, "id": None, "args": ": 1}", "index": 1}
    found = rendered(
        chunk([{"type": "thinking", "thinking": "hm", "index": 0}]),
        chunk([{"type": "thinking", "thinking": "m", "index": 0}]),
        chunk([], tool_call_chunks=[call]),
        chunk([], tool_call_chunks=[rest]),
        chunk([{"type": "text", "text": "so", "index": 2}], chunk_position="last"),
    )
    assert block_ends(found) == [
        {"type": "reasoning", "reasoning": "hmm"},
        {"type": "tool_call", "id": "c", "name": "add", "args": {"a": 1}},
        {"type": "text", "text": "so"},
    ]


@pytest.mark.parametrize("args", ["{", "[1]", "1"])
def test_a_call_whose_arguments_are_broken_is_told_as_such(args: str) -> None:
    call = {"name": "add", "id": "c", "args": args, "index": 0}
    (block,) = block_ends(rendered(chunk("", tool_call_chunks=[call], chunk_position="last")))
    assert (block["type"], block["args"]) == ("invalid_tool_call", args)


def test_usage_is_the_sum_of_what_the_chunks_say() -> None:
    def usage(n: int) -> Any:
        return {"input_tokens": n, "output_tokens": 1, "total_tokens": n + 1}

    found = rendered(
        chunk("a", usage_metadata=usage(5)),
        chunk("b", usage_metadata=usage(0), chunk_position="last"),
    )
    last = found[-1]["params"]["data"]
    assert last["usage"] == {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}


def test_a_run_that_is_taken_up_by_another_worker_drops_what_was_half_said() -> None:
    found = rendered(
        ("started", started(RUN.run_id, 1)),
        chunk("hal", "m"),
        ("started", started(RUN.run_id, 2)),
        chunk("whole", "m2", chunk_position="last"),
        ("ended", ended(RUN.run_id, "success")),
    )
    assert ("m", "error") in said(found)
    assert ("m", "message-finish") not in said(found)
    states = [e["params"]["data"]["event"] for e in found if e["method"] == "lifecycle"]
    assert states == ["running", "running", "completed"]


def test_a_failed_run_fails_its_open_messages_and_graphs() -> None:
    error = {"error": "ValueError", "message": "boom"}
    found = rendered(
        ("started", started(RUN.run_id, 1)),
        ("values", {}, "inner:1|deep:2"),
        chunk("hal"),
        ("ended", ended(RUN.run_id, "error", error=error)),
    )
    assert said(found)[-1] == ("m", "error")
    states = [
        (e["params"]["namespace"], e["params"]["data"]["event"])
        for e in found
        if e["method"] == "lifecycle"
    ]
    assert states == [
        ([], "running"),
        (["inner:1"], "started"),
        (["inner:1", "deep:2"], "started"),
        (["inner:1", "deep:2"], "failed"),
        (["inner:1"], "failed"),
        ([], "failed"),
    ]
    assert found[-1]["params"]["data"]["error"] == "boom"


def test_a_question_is_asked_where_it_arose_once_it_can_be_answered() -> None:
    question = {"id": "q", "value": {"ok": "?"}, "response_schema": {"type": "boolean"}}
    found = rendered(
        ("updates", {"__interrupt__": [question]}, "inner:1"),
        ("updates", {"__interrupt__": [question]}),
        ("ended", ended(RUN.run_id, "success", interrupts=[question])),
    )
    (asked,) = [e["params"] for e in found if e["method"] == "input.requested"]
    assert asked["namespace"] == ["inner:1"]
    assert asked["data"] == {
        "interrupt_id": "q",
        "payload": {"ok": "?"},
        "value": {"ok": "?"},
        "response_schema": {"type": "boolean"},
    }
    assert found[-1]["params"]["data"]["event"] == "interrupted"


@pytest.mark.parametrize(
    ("prefix", "depth", "matches"),
    [
        ((), None, True),
        ((), 1, False),
        ((), 2, True),
        (("a",), None, True),
        (("a",), 0, False),
        (("a:1",), 1, True),
        (("a:2",), None, False),
        (("a", "b"), 0, True),
        (("b",), None, False),
        (("a", "b", "c"), None, False),
    ],
)
def test_a_namespace_matches_by_its_beginning_and_depth(
    prefix: tuple[str, ...], depth: int | None, matches: bool
) -> None:
    event = ProtocolEvent(1, "values", ("a:1", "b:2"), {}, 0)
    assert Filter(frozenset({"values"}), (prefix,), depth).matches(event) is matches
