"""The event-streaming protocol over HTTP: channels, filters, cursors and commands (agent-server.md §2.6)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agenthub_server.embedded import Valkey
from protocols.protocol_client import (
    ALL,
    command,
    data,
    done,
    is_end,
    refusal,
    told,
    until,
)
from protocols.rest_client import http, rest
from testkit import hub
from testkit.processes import free_port

HI = {"messages": [{"role": "user", "content": "hi"}]}


def new_thread() -> str:
    return str(uuid4())


# --- channels ------------------------------------------------------------------------------------


async def test_a_run_is_told_on_every_channel_that_it_has_something_for(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        result = await done(
            raw, thread_id, "run.start", assistant_id="two_steps", input={"log": []}
        )
        found = await until(raw, thread_id)
    assert result["run_id"]
    assert data(found, "values") == [
        {"log": []},
        {"log": ["first"]},
        {"log": ["first", "second"]},
    ]
    assert data(found, "updates") == [
        {"node": "first", "values": {"log": ["first"]}},
        {"node": "second", "values": {"log": ["second"]}},
    ]
    assert [task["name"] for task in data(found, "tasks")] == ["first"] * 2 + ["second"] * 2
    places = data(found, "checkpoints")
    assert [place["step"] for place in places] == [-1, 0, 1, 2]
    assert [p["parent_id"] for p in places[1:]] == [p["id"] for p in places[:-1]]
    assert [state["event"] for state in data(found, "lifecycle")] == ["running", "completed"]
    seqs = [event["seq"] for event in found]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert max(seqs) < 1 << 53
    times = [event["params"]["timestamp"] for event in found]
    assert times == sorted(times)
    assert times[0] > 1_700_000_000_000


async def test_a_message_is_told_as_content_blocks(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="chat", input=HI)
        found = await until(raw, thread_id, channels=["messages", "lifecycle"])
    said = data(found, "messages")
    assert [s["event"] for s in said[:2]] == ["message-start", "content-block-start"]
    assert [s["event"] for s in said[-2:]] == ["content-block-finish", "message-finish"]
    assert {s["event"] for s in said[2:-2]} == {"content-block-delta"}
    assert "".join(s["delta"]["text"] for s in said[2:-2]) == "one two three"
    assert said[-2]["content"] == {"type": "text", "text": "one two three"}
    assert said[0]["role"] == "ai"
    assert len({s["id"] for s in said}) == 1
    assert {e["params"]["node"] for e in found if e["method"] == "messages"} == {"answer"}


async def test_a_subgraph_has_a_namespace_and_a_life_of_its_own(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="nested", input=HI)
        found = await until(raw, thread_id)
        (inner,) = {tuple(e["params"]["namespace"]) for e in found} - {()}
        assert inner[0].startswith("inner:")
        inside = [e for e in found if e["params"]["namespace"]]
        assert [s["event"] for s in data(inside, "lifecycle")] == ["started", "completed"]
        assert "".join(s.get("delta", {}).get("text", "") for s in data(inside, "messages"))
        tree = (await done(raw, thread_id, "agent.getTree"))["tree"]
    assert tree == {
        "namespace": [],
        "status": "completed",
        "graph_name": "nested",
        "children": [
            {"namespace": list(inner), "status": "completed", "graph_name": "inner"},
        ],
    }


async def test_custom_events_go_to_their_own_channel_if_they_name_one(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="announce", input=1)
        everything = await until(raw, thread_id, channels=["custom", "lifecycle"])
        one = await until(raw, thread_id, channels=["custom:news", "lifecycle"])
    assert data(everything, "custom") == [
        {"payload": "plain"},
        {"name": "news", "payload": {"n": 1}},
        {"name": "other", "payload": 2},
    ]
    assert data(one, "custom") == [{"name": "news", "payload": {"n": 1}}]


async def test_tools_are_told_from_their_start_to_their_end(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="tooled", input={"messages": []})
        found = await until(raw, thread_id)
    told_ = data(found, "tools")
    assert [t["event"] for t in told_] == ["tool-started", "tool-finished"]
    assert (told_[0]["tool_call_id"], told_[0]["tool_name"]) == ("call-1", "add")
    assert told_[0]["input"] == {"a": 2, "b": 3}
    blocks = [s["content"] for s in data(found, "messages") if s["event"] == "content-block-finish"]
    assert {"type": "tool_call", "id": "call-1", "name": "add", "args": {"a": 2, "b": 3}} in blocks


async def test_a_failure_is_told_with_its_reason(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="fail", input=1)
        (*_, last) = await until(raw, thread_id)
    assert last["params"]["data"]["event"] == "failed"
    assert last["params"]["data"]["error"] == "this agent always fails"


# --- filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "depths"),
    [
        ({}, {0, 1}),
        ({"namespaces": [[]]}, {0, 1}),
        ({"namespaces": [[]], "depth": 0}, {0}),
        ({"namespaces": [["inner"]]}, {1}),
        ({"namespaces": [["inner"]], "depth": 0}, {1}),
        ({"namespaces": [["other"], []], "depth": 0}, {0}),
    ],
)
async def test_a_subscription_sees_the_graphs_that_it_asks_for(
    hub_url: str, asked: Any, depths: set[int]
) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="nested", input=HI)
        await until(raw, thread_id)
        last = "completed"
        found = await until(
            raw, thread_id, lambda e: e["params"]["data"].get("event") == last, **asked
        )
        if 0 in depths:
            found = await until(raw, thread_id, is_end, **asked)
    assert {len(e["params"]["namespace"]) for e in found} == depths


async def test_each_channel_can_be_asked_for_by_itself(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="tooled", input={"messages": []})
        whole = await until(raw, thread_id)
        for channel in set(ALL) - {"input", "custom", "lifecycle"}:
            found = await until(raw, thread_id, channels=[channel, "lifecycle"])
            assert {e["method"] for e in found} == {channel, "lifecycle"}
            assert found == [e for e in whole if e["method"] in (channel, "lifecycle")]


@pytest.mark.parametrize(
    "body",
    [
        {"channels": []},
        {"channels": ["bogus"]},
        {"channels": ["custom:"]},
        {"channels": ["values:x"]},
        {"channels": ["values"], "since": -1},
        {"channels": ["values"], "since": 1 << 60},
        {"channels": ["values"], "depth": -1},
        {"channels": ["values"], "namespaces": "x"},
        {},
    ],
)
async def test_a_subscription_that_makes_no_sense_is_refused(hub_url: str, body: Any) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = (await client.threads.create())["thread_id"]
        response = await raw.post(f"/threads/{thread_id}/stream/events", json=body)
    assert response.status_code == 422
    assert response.json()["detail"]


async def test_a_thread_that_is_not_there_has_no_events(hub_url: str) -> None:
    async with http(hub_url) as raw:
        path = f"/threads/{new_thread()}/stream/events"
        assert (await raw.post(path, json={"channels": ["values"]})).status_code == 404


# --- places in the stream ------------------------------------------------------------------------


async def test_a_client_that_is_cut_anywhere_goes_on_at_the_other_replica(
    dsn: str, valkey: Valkey
) -> None:
    config = hub.settings(dsn, valkey.url(12), drain_seconds=0.0)
    async with (
        hub.working(config, hub.FIXTURES / "rest_agents.py"),
        hub.serving(config) as (url, service),
        hub.serving(replace(config, port=free_port())) as (other_url, other_service),
    ):
        await service.agents.refresh()
        await other_service.agents.refresh()
        async with http(url) as raw, http(other_url) as other:
            thread_id = new_thread()
            for _ in range(2):
                await done(raw, thread_id, "run.start", assistant_id="nested", input=HI)
                await until(raw, thread_id, times=1)
            whole = await until(raw, thread_id, times=2, since=0)
            assert [e["seq"] for e in whole] == sorted({e["seq"] for e in whole})
            for at, event in enumerate(whole[:-1], 1):
                ends = sum(map(is_end, whole[at:]))
                how: Any = (
                    {"since": event["seq"]}
                    if at % 2
                    else {"headers": {"Last-Event-ID": event["event_id"]}}
                )
                assert await until(other, thread_id, times=ends, **how) == whole[at:]


async def test_a_filter_leaves_the_places_as_they_are(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="chat", input=HI)
        whole = await until(raw, thread_id)
        some = await until(raw, thread_id, channels=["values", "lifecycle"])
        assert some == [e for e in whole if e["method"] in ("values", "lifecycle")]
        # a place of one subscription is good for another
        rest_ = await until(raw, thread_id, since=some[1]["seq"])
    assert rest_ == [e for e in whole if e["seq"] > some[1]["seq"]]


async def test_who_names_no_place_sees_the_last_run_and_not_the_whole_conversation(
    hub_url: str,
) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        for x in (1, 5):
            await done(raw, thread_id, "run.start", assistant_id="plus", input={"x": x})
            await until(raw, thread_id)
        found = await until(raw, thread_id, channels=["values", "lifecycle"])
        whole = await until(raw, thread_id, channels=["values", "lifecycle"], since=0, times=2)
    assert data(found, "values") == [{"x": 5}, {"x": 6}]
    assert data(whole, "values") == [{"x": x} for x in (1, 2, 5, 6)]


async def test_a_subscription_goes_on_with_the_runs_to_come(hub_url: str) -> None:
    async with http(hub_url) as raw, asyncio.TaskGroup() as group:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="plus", input={"x": 1})
        following = group.create_task(until(raw, thread_id, times=3))
        for x in (5, 9):
            await done(raw, thread_id, "run.start", assistant_id="plus", input={"x": x})
        found = await following
    assert [v["x"] for v in data(found, "values")] == [1, 2, 5, 6, 9, 10]


# --- commands ------------------------------------------------------------------------------------


async def test_a_question_is_asked_with_its_schema_and_answered_once(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="publish", input={"topic": "bees"})
        found = await until(raw, thread_id)
        (asked,) = data(found, "input.requested")
        assert asked["payload"] == asked["value"] == {"question": "Publish bees?"}
        assert asked["response_schema"] == {"type": "boolean"}
        assert data(found, "lifecycle")[-1]["event"] == "interrupted"
        reply: Any = {"interrupt_id": asked["interrupt_id"], "namespace": [], "response": True}
        result = await done(raw, thread_id, "input.respond", **reply)
        assert result["run_id"]
        (*_, last) = await until(raw, thread_id)
        assert last["params"]["data"]["event"] == "completed"
        assert await refusal(raw, thread_id, "input.respond", **reply) == "no_such_interrupt"
        state = await done(raw, thread_id, "state.get", namespace=[])
    assert state["values"]["published"] is True


async def test_several_questions_are_answered_at_once(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="ask_both", input={"log": []})
        asked = data(await until(raw, thread_id), "input.requested")
        answers = [
            {"interrupt_id": a["interrupt_id"], "namespace": [], "response": a["value"] + "!"}
            for a in asked
        ]
        await done(raw, thread_id, "input.respond", responses=answers)
        await until(raw, thread_id)
        state = await done(raw, thread_id, "state.get", namespace=[])
    assert state["values"] == {"log": ["left left?!", "right right?!"]}


async def test_a_message_is_injected_behind_what_runs(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="chat", input=HI)
        await until(raw, thread_id)
        message = {"role": "user", "content": "and now?"}
        result = await done(raw, thread_id, "input.inject", namespace=[], message=message)
        await until(raw, thread_id)
        state = await done(raw, thread_id, "state.get", namespace=[], keys=["messages"])
        inner = {"namespace": ["x"], "message": message}
        assert await refusal(raw, thread_id, "input.inject", **inner) == "not_supported"
    assert result["run_id"]
    texts = [m["content"] for m in state["values"]["messages"]]
    assert texts == ["hi", "one two three", "and now?", "one two three"]


async def test_a_run_is_cancelled(hub_url: str, tmp_path: Path) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        given = {"n": 1, "gate": str(tmp_path / "never")}
        run = await done(raw, thread_id, "run.start", assistant_id="gated", input=given)
        stream: Any = told(raw, thread_id)
        async with aclosing(stream):
            async for event in stream:
                if event["method"] == "custom":
                    break
        assert await done(raw, thread_id, "run.cancel") == {"run_id": run["run_id"]}
        (*_, last) = await until(raw, thread_id)
        assert await refusal(raw, thread_id, "run.cancel") == "no_such_run"
    assert last["params"]["data"]["event"] == "interrupted"
    assert last["params"]["data"]["error"]


async def test_a_thread_is_forked_at_a_checkpoint(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="two_steps", input={"log": ["a"]})
        places = data(await until(raw, thread_id), "checkpoints")
        listed = await done(raw, thread_id, "state.listCheckpoints")
        assert [c["id"] for c in listed["checkpoints"]] == [p["id"] for p in places[::-1]]
        assert [c["step"] for c in listed["checkpoints"]] == [2, 1, 0, -1]
        older = await done(raw, thread_id, "state.listCheckpoints", before=places[2]["id"], limit=1)
        assert [c["id"] for c in older["checkpoints"]] == [places[1]["id"]]
        fork = await done(raw, thread_id, "state.fork", checkpoint_id=places[2]["id"])
        assert fork["thread_id"] == thread_id
        forked = await until(raw, thread_id)
        nowhere = {"checkpoint_id": "nowhere"}
        assert await refusal(raw, thread_id, "state.fork", **nowhere) == "no_such_checkpoint"
    # behind the first step, so the second is done once more
    assert [task["name"] for task in data(forked, "tasks")] == ["second"] * 2
    assert data(forked, "values")[-1] == {"log": ["a", "first", "second"]}


async def test_a_state_is_read_by_its_keys_and_its_namespace(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        await done(raw, thread_id, "run.start", assistant_id="plus", input={"x": 1})
        await until(raw, thread_id)
        state = await done(raw, thread_id, "state.get", namespace=[])
        assert state["values"] == {"x": 2}
        assert state["checkpoint"]["id"]
        assert (await done(raw, thread_id, "state.get", namespace=[], keys=["y"]))["values"] == {}
        wrong = await refusal(raw, thread_id, "state.get", namespace=["x:1"])
    assert wrong == "no_such_namespace"


async def test_commands_that_cannot_be_carried_out_say_why(hub_url: str) -> None:
    async with http(hub_url) as raw:
        thread_id = new_thread()
        start = {"assistant_id": "nobody", "input": 1}
        assert await refusal(raw, thread_id, "run.start", **start) == "invalid_argument"
        assert await refusal(raw, thread_id, "run.start") == "invalid_argument"
        assert await refusal(raw, thread_id, "no.such") == "unknown_command"
        # on HTTP the connection is the subscription
        subscribe = await refusal(raw, thread_id, "subscription.subscribe", channels=["values"])
        assert subscribe == "unknown_command"
        run = {"run_id": new_thread()}
        assert await refusal(raw, thread_id, "agent.getTree", **run) == "no_such_run"
        assert await refusal(raw, thread_id, "input.respond") == "invalid_argument"
        answer = await command(raw, thread_id, "state.get", namespace=[])
        assert answer["type"] == "error"


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"id": -1, "method": "x"}', b'{"id": 1}'])
async def test_what_is_no_command_is_malformed(hub_url: str, body: bytes) -> None:
    async with http(hub_url) as raw:
        response = await raw.post(f"/threads/{new_thread()}/commands", content=body)
    assert response.status_code == 400
    assert response.json()["type"] == "error"
    assert response.json()["error"] == "invalid_argument"
    assert response.json()["id"] is None
