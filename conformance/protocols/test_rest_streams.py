"""Streams with the official client: what they say in each mode, and how they are joined and resumed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from agenthub_server.embedded import Valkey
from protocols.rest_client import (
    Frame,
    cutting_proxy,
    frames,
    http,
    joined,
    named,
    parts,
    refused,
    rest,
    stream_of,
)
from testkit import hub
from testkit.processes import free_port

HI = {"messages": [{"role": "user", "content": "hi"}]}
EVERY_MODE = ["values", "updates", "messages", "messages-tuple", "custom", "tasks", "checkpoints"]
EVERY_MODE += ["debug"]


async def said(client: LangGraphClient, agent: str, input_: Any, mode: Any, **how: Any) -> Any:
    """What a stateless stream says, without its first and last event, which are the same for all."""
    first, *rest_, last = await parts(
        client.runs.stream(None, agent, input=input_, stream_mode=mode, **how)
    )
    assert first.event == "metadata"
    assert (first.data["attempt"], set(first.data)) == (1, {"run_id", "attempt", "at"})
    assert last.event == "end"
    assert last.data == {"run_id": first.data["run_id"], "status": "success"}
    return [(part.event, part.data) for part in rest_]


async def ended(client: LangGraphClient, agent: str, input_: Any, mode: Any) -> Any:
    """A run that has ended."""
    thread = await client.threads.create()
    run = await client.runs.create(thread["thread_id"], agent, input=input_, stream_mode=mode)
    await client.runs.join(run["thread_id"], run["run_id"])
    return run


# --- the modes -----------------------------------------------------------------------------------


async def test_values_are_the_whole_state_after_each_step(hub_url: str) -> None:
    async with rest(hub_url) as client:
        assert await said(client, "two_steps", {"log": ["a"]}, "values") == [
            ("values", {"log": ["a"]}),
            ("values", {"log": ["a", "first"]}),
            ("values", {"log": ["a", "first", "second"]}),
        ]


async def test_updates_are_what_each_node_returned(hub_url: str) -> None:
    async with rest(hub_url) as client:
        assert await said(client, "two_steps", {"log": ["a"]}, "updates") == [
            ("updates", {"first": {"log": ["first"]}}),
            ("updates", {"second": {"log": ["second"]}}),
        ]


async def test_custom_events_are_what_the_agent_writes(hub_url: str) -> None:
    async with rest(hub_url) as client:
        assert await said(client, "count", 3, "custom") == [("custom", i) for i in range(3)]


async def test_messages_tuple_is_each_token_with_where_it_comes_from(hub_url: str) -> None:
    async with rest(hub_url) as client:
        events = await said(client, "chat", HI, "messages-tuple")
        (assistant,) = await client.assistants.search(graph_id="chat")
    assert {name for name, _ in events} == {"messages"}
    chunks = [chunk for _, (chunk, _) in events]
    assert "".join(chunk["content"] for chunk in chunks) == "one two three"
    assert len({chunk["id"] for chunk in chunks}) == 1
    shape = {"content", "additional_kwargs", "response_metadata", "type", "name", "id"}
    shape |= {"tool_calls", "invalid_tool_calls", "usage_metadata", "tool_call_chunks"}
    for chunk in chunks:
        assert set(chunk) == shape | {"chunk_position"}
        assert chunk["type"] == "AIMessageChunk"
    assert chunks[-1]["chunk_position"] == "last"
    for _, (_, metadata) in events:
        assert metadata["langgraph_node"] == "answer"
        assert metadata["langgraph_step"] == 1
        assert metadata["langgraph_path"] == ["__pregel_pull", "answer"]
        assert metadata["graph_id"] == "chat"
        assert metadata["assistant_id"] == assistant["assistant_id"]
        assert metadata["run_attempt"] == 1
        assert metadata["run_id"]
        assert metadata["thread_id"]


async def test_messages_repeat_each_message_so_far(hub_url: str) -> None:
    async with rest(hub_url) as client:
        events = await said(client, "chat", HI, "messages")
    (name, metadata), *partial = events
    assert name == "messages/metadata"
    ((id_, about),) = metadata.items()
    assert about["metadata"]["langgraph_node"] == "answer"
    assert {name for name, _ in partial} == {"messages/partial"}
    texts = [message["content"] for _, (message,) in partial]
    assert texts[-1] == "one two three"
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert {(m["id"], m["type"]) for _, (m,) in partial} == {(id_, "ai")}


async def test_several_modes_interleave_in_the_order_of_what_happened(hub_url: str) -> None:
    async with rest(hub_url) as client:
        events = await said(client, "two_steps", {"log": []}, ["values", "updates"])
        assert [name for name, _ in events] == ["values", "updates", "values", "updates", "values"]
        events = await said(client, "chat", HI, ["messages-tuple", "updates", "values"])
        order = [name for name, _ in events]
        assert order == ["values", *["messages"] * order.count("messages"), "updates", "values"]
        events = await said(client, "chat", HI, ["messages", "messages-tuple"])
        assert {name for name, _ in events} == {"messages/metadata", "messages/partial", "messages"}


async def test_events_are_what_the_callbacks_tell(hub_url: str) -> None:
    async with rest(hub_url) as client:
        events = await said(client, "chat", HI, ["events", "values"])
    told = [data for name, data in events if name == "events"]
    kinds = [one["event"] for one in told]
    assert (kinds[0], kinds[-1]) == ("on_chain_start", "on_chain_end")
    tokens = [t["data"]["chunk"]["content"] for t in told if t["event"] == "on_chat_model_stream"]
    assert "".join(tokens) == "one two three"
    # what the graph streams is told by its own mode, and once
    assert [data["messages"][-1]["content"] for name, data in events if name == "values"] == [
        "hi",
        "one two three",
    ]
    root = told[0]["run_id"]
    assert ("on_chain_stream", root) not in {(one["event"], one["run_id"]) for one in told}


async def test_tasks_checkpoints_and_debug_are_streamed_to_those_who_ask(hub_url: str) -> None:
    async with rest(hub_url) as client:
        events = await said(client, "two_steps", {"log": []}, ["tasks", "checkpoints", "debug"])
    assert {name for name, _ in events} == {"tasks", "checkpoints", "debug"}
    tasks = [data["name"] for name, data in events if name == "tasks"]
    assert tasks == ["first", "first", "second", "second"]
    steps = [data["metadata"]["step"] for name, data in events if name == "checkpoints"]
    assert steps == [-1, 0, 1, 2]


async def test_an_entrypoint_streams_its_result_as_values(hub_url: str) -> None:
    async with rest(hub_url) as client:
        assert await said(client, "count", 2, ["values", "updates"]) == [
            ("updates", {"count": 2}),
            ("values", 2),
        ]


async def test_subgraphs_are_named_in_the_event(hub_url: str) -> None:
    async with rest(hub_url) as client:
        events = await said(
            client, "nested", HI, ["values", "updates", "messages-tuple"], stream_subgraphs=True
        )
        inner = {name for name, _ in events if "|" in name}
        assert {name.split("|")[0] for name in inner} == {"values", "updates", "messages"}
        assert len({name.split("|", 1)[1] for name in inner}) == 1
        assert all(name.split("|")[1].startswith("inner:") for name in inner)
        plain = await said(client, "nested", HI, ["values", "updates", "messages-tuple"])
        assert not [name for name, _ in plain if "|" in name]
        (update,) = [data for name, data in plain if name == "updates"]
        assert update.keys() == {"inner"}
        assert "messages" in {name for name, _ in plain}, (
            "tokens of subgraphs are shown all the same"
        )
        v2 = [
            part
            async for part in client.runs.stream(
                None,
                "nested",
                input=HI,
                stream_mode="updates",
                stream_subgraphs=True,
                version="v2",
            )
        ]
    assert [bool(part["ns"]) for part in v2 if part["type"] == "updates"] == [True, False]


async def test_the_response_is_an_event_stream_that_says_where_it_is(hub_url: str) -> None:
    async with http(hub_url) as raw:
        body = {"assistant_id": "count", "input": 1, "stream_mode": ["custom", "updates"]}
        async with raw.stream("POST", "/runs/stream", json=body) as response:
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-accel-buffering"] == "no"
            where = response.headers["content-location"]
            found = [frame async for frame in frames(response.aiter_lines())]
        assert where.endswith(found[0].data["run_id"])
        location = response.headers["location"]
        assert location == f"{where}/stream?stream_mode=custom&stream_mode=updates"
        assert await joined(raw, location) == found
        # and the Agent Server's line ends
        text = (await raw.get(location)).text
    assert text.startswith("event: metadata\r\ndata: {")
    assert text.endswith("\r\n\r\n")
    assert [int(f.id or 0) for f in found] == [1, 2, 3, 5]


async def test_the_client_learns_the_run_before_its_first_event(hub_url: str) -> None:
    async with rest(hub_url) as client:
        order: list[Any] = []
        thread = await client.threads.create()
        stream = client.runs.stream(
            thread["thread_id"], "count", input=1, on_run_created=order.append
        )
        order.append(await anext(aiter(stream)))
    assert order[0] == {
        "run_id": order[1].data["run_id"],
        "thread_id": thread["thread_id"],
    }


# --- joining -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*EVERY_MODE, ["values", "custom"], EVERY_MODE])
async def test_a_join_after_the_end_replays_what_the_creator_saw(hub_url: str, mode: Any) -> None:
    async with http(hub_url) as raw:
        body = {"assistant_id": "nested", "input": HI, "stream_mode": mode}
        async with raw.stream("POST", "/runs/stream", json=body) as response:
            live = [frame async for frame in frames(response.aiter_lines())]
            where = response.headers["content-location"] + "/stream"
        for params in ({"stream_mode": mode}, {"stream_mode": str(mode).replace("'", '"')}):
            assert await joined(raw, where, params=params) == live
        after: Any = {"Last-Event-ID": "-1"}
        assert await joined(raw, where, params={"stream_mode": mode}, headers=after) == live


@pytest.mark.parametrize("mode", ["custom", "messages", EVERY_MODE])
@pytest.mark.parametrize("agent", ["nested", "fail_late", "ask"])
async def test_a_join_behind_any_event_gives_exactly_the_rest(
    hub_url: str, agent: str, mode: Any
) -> None:
    input_: Any = {"nested": HI, "fail_late": {"log": []}, "ask": 2}[agent]
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], agent, input=input_, stream_mode=mode)
        params: Any = {"stream_mode": mode}
        everything = await joined(raw, stream_of(run), params=params)
        assert len({frame.id for frame in everything}) == len(everything)
        for at, frame in enumerate(everything[:-1], 1):
            headers = {"Last-Event-ID": str(frame.id)}
            found = await joined(raw, stream_of(run), params=params, headers=headers)
            assert found == everything[at:]


async def test_a_join_behind_the_end_is_empty_at_once(dsn: str, redis_url: str) -> None:
    config = hub.settings(dsn, redis_url, stream_poll_seconds=60.0)
    async with (
        hub.hub(config, hub.FIXTURES / "rest_agents.py") as url,
        rest(url) as client,
        http(url) as raw,
    ):
        run = await ended(client, "count", 2, "custom")
        everything = await joined(raw, stream_of(run), params={"stream_mode": "custom"})
        async with asyncio.timeout(15):  # and not after a poll
            for behind in (everything[-1].id, "1000"):
                headers = {"Last-Event-ID": str(behind)}
                assert await joined(raw, stream_of(run), headers=headers) == []


async def test_a_join_that_names_no_mode_sees_all_that_was_recorded(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "chat", input=HI)
        found = await parts(client.runs.join_stream(run["thread_id"], run["run_id"]))
    assert {part.event for part in found} == {"metadata", "values", "updates", "messages", "end"}


async def test_a_join_shows_its_own_modes_and_not_the_creators(hub_url: str) -> None:
    async with rest(hub_url) as client:
        run = await ended(client, "two_steps", {"log": []}, "values")
        found = await parts(
            client.runs.join_stream(run["thread_id"], run["run_id"], stream_mode="updates")
        )
    assert [p.event for p in found] == ["metadata", "updates", "updates", "end"]


async def test_a_join_while_the_run_runs_sees_what_was_and_what_comes(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, asyncio.TaskGroup() as group:
        thread = await client.threads.create()
        run = await client.runs.create(
            thread["thread_id"], "gated", input={"n": 5, "gate": str(gate)}, stream_mode="custom"
        )
        where = run["thread_id"], run["run_id"]
        half: list[Any] = []
        async for part in client.runs.join_stream(*where, stream_mode="custom"):
            half.append(part)
            if part.data == 4:
                break
        late = [
            group.create_task(parts(client.runs.join_stream(*where, stream_mode="custom")))
            for _ in range(3)
        ]
        behind = client.runs.join_stream(*where, stream_mode="custom", last_event_id=half[2].id)
        assert [(await anext(behind)).data for _ in range(3)] == [2, 3, 4]
        gate.touch()
        assert named(await parts(behind), "custom") == list(range(5, 10))
        for joining in late:
            assert named(await joining, "custom") == list(range(10))


@pytest.mark.parametrize("wrong", ["x", "-2", "1.5", "1-", "1-x", "²", "9" * 40, "1-2-3", "1 "])
async def test_an_id_that_is_none_of_this_streams_is_refused(hub_url: str, wrong: str) -> None:
    async with rest(hub_url) as client:
        run = await ended(client, "count", 1, "custom")
        if wrong == "1 ":  # spaces around a header's value are not part of it
            wrong = "1 1"
        with refused(422, "Last-Event-ID"):
            headers: Any = {"Last-Event-ID": wrong.encode()}
            await parts(client.runs.join_stream(run["thread_id"], run["run_id"], headers=headers))


async def test_a_mode_that_is_not_streamed_is_refused(hub_url: str) -> None:
    async with rest(hub_url) as client:
        run = await ended(client, "count", 1, "custom")
        for mode in ("bogus", "tools", ["values", "bogus"]):
            wrong: Any = mode
            with refused(422, "stream mode"):
                await parts(client.runs.stream(None, "count", input=1, stream_mode=wrong))
            with refused(422, "stream mode"):
                await parts(
                    client.runs.join_stream(run["thread_id"], run["run_id"], stream_mode=wrong)
                )


# --- reconnecting --------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client reconnects at once, where it would wait for seconds."""
    monkeypatch.setattr("langgraph_sdk._async.http._reconnect_delay", lambda *_, **__: 0.0)


@pytest.mark.filterwarnings("ignore:Reconnecting")
@pytest.mark.parametrize("agent", ["count", "chat"])
@pytest.mark.usefixtures("impatient")
async def test_the_client_reconnects_without_losing_or_repeating_an_event(
    hub_url: str, agent: str
) -> None:
    mode: Any = {"count": ["custom", "updates"], "chat": ["messages", "values"]}[agent]
    input_: Any = {"count": 50, "chat": HI}[agent]
    # in the middle of the head's first event, of an event, behind one, and once more
    async with cutting_proxy(hub_url, 700, 500, 300) as proxy, rest(proxy.url) as client:
        cut = await parts(client.runs.stream(None, agent, input=input_, stream_mode=mode))
        run_id = cut[0].data["run_id"]
        thread_id = proxy.requests[-1].split("/threads/")[1].split("/")[0]
        whole = await parts(client.runs.join_stream(thread_id, run_id, stream_mode=mode))
    assert not proxy.cuts, "all cuts were made"
    assert len(proxy.requests) == 5
    assert [tuple(part) for part in cut] == [tuple(part) for part in whole]
    for again in proxy.requests[1:4]:
        # the client does not repeat its query, so the server's Location must carry it
        assert "&".join(f"stream_mode={m}" for m in mode) in again
        assert "last-event-id: " in again.lower()


@pytest.mark.usefixtures("impatient")
async def test_the_client_reconnects_to_a_run_that_goes_on(hub_url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with cutting_proxy(hub_url, 900) as proxy, rest(proxy.url) as client:
        found: list[Any] = []
        async for part in client.runs.stream(
            None, "gated", input={"n": 20, "gate": str(gate)}, stream_mode="custom"
        ):
            found.append(part)
            if part.data == 19:
                gate.touch()
    assert len(proxy.requests) == 2
    assert named(found, "custom") == list(range(40))
    assert found[-1].data["status"] == "success"


async def test_a_wait_that_is_cut_off_is_joined_again(
    hub_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenthub_rest.waiting.KEEP_ALIVE_SECONDS", 0.2)
    gate = tmp_path / "gate"
    async with rest(hub_url) as client:
        thread = await client.threads.create()
        body = {"assistant_id": "line", "input": {"log": [str(gate)]}}
        async with http(hub_url) as raw:
            path = f"/threads/{thread['thread_id']}/runs/wait"
            async with raw.stream("POST", path, json=body) as response:
                location = response.headers["location"]
        gate.touch()
        async with http(hub_url) as raw:
            assert (await raw.get(location)).json() == {"log": [str(gate), "first", "done"]}


async def test_many_followers_of_one_run_see_the_same(hub_url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    async with rest(hub_url) as client, http(hub_url) as raw:
        run = await client.runs.create(
            None, "gated", input={"n": 100, "gate": str(gate)}, stream_mode="custom"
        )

        async def follow() -> list[Frame]:
            return await joined(raw, stream_of(run), params={"stream_mode": "custom"})

        followed = await asyncio.gather(*(follow() for _ in range(20)))
    assert all(one == followed[0] for one in followed)
    assert named(followed[0], "custom") == list(range(200))


async def test_a_stream_that_nobody_reads_any_more_is_given_up(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with rest(hub_url) as client, httpx.AsyncClient(base_url=hub_url, trust_env=False) as raw:
        thread = await client.threads.create()
        body = {"assistant_id": "gated", "input": {"n": 3, "gate": str(gate)}}
        path = f"/threads/{thread['thread_id']}/runs/stream"
        async with raw.stream("POST", path, json=body) as response:
            await anext(response.aiter_bytes())
        gate.touch()
        (run,) = await client.runs.list(thread["thread_id"])
        assert await client.runs.join(thread["thread_id"], run["run_id"]) == [3, 3]


async def test_a_server_that_stops_cancels_no_run_and_another_goes_on_with_its_streams(
    dsn: str, valkey: Valkey, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    config = hub.settings(dsn, valkey.url(14), drain_seconds=0.0)
    params = {"stream_mode": "custom"}
    async with (
        hub.working(config, hub.FIXTURES / "rest_agents.py"),
        http(f"http://127.0.0.1:{config.port}") as raw,
    ):
        async with hub.serving(config) as (_, service):
            await service.agents.refresh()
            body = {"assistant_id": "gated", "input": {"n": 3, "gate": str(gate)}, **params}
            stream = raw.stream("POST", "/runs/stream", json={**body, "on_disconnect": "cancel"})
            response = await stream.__aenter__()
            seen = frames(response.aiter_lines())
            half = [await anext(seen) for _ in range(4)]
        async with hub.serving(replace(config, port=free_port())) as (url, _), http(url) as other:
            gate.touch()
            where = response.headers["content-location"] + "/stream"
            after = {"Last-Event-ID": str(half[-1].id)}
            rest_ = await joined(other, where, params=params, headers=after)
        with pytest.raises(httpx.TransportError):
            await anext(seen)
        await stream.__aexit__(None, None, None)
    assert named([*half, *rest_], "custom") == list(range(6))
    assert rest_[-1].data["status"] == "success"
