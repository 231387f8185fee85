"""Streams of every mode, and joining them."""

from __future__ import annotations

from collections.abc import Sequence

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import Frame, Json, Probe

TWO: Json = {"assistant_id": "two_steps", "input": {"log": []}}
CHAT: Json = {"assistant_id": "chat", "input": {"messages": [{"role": "user", "content": "hello"}]}}


async def streamed(probe: Probe, body: Json, mode: Json, **more: Json) -> list[Frame]:
    """All frames of a new run on a new thread."""
    thread_id = await probe.thread()
    asked = {**body, "stream_mode": mode, **more}
    return await probe.stream("POST", f"/threads/{thread_id}/runs/stream", json=asked)


def named(frames: Sequence[Frame], event: str) -> list[Json]:
    """The data of the events of this name."""
    return [frame.data for frame in frames if frame.event == event]


@requirement("streams:values")
async def values(probe: Probe) -> None:
    frames = await streamed(probe, TWO, "values")
    assert frames[0].event == "metadata"
    assert frames[0].data["attempt"] == 1
    logs = [["first"], ["first", "second"]]
    assert [v["log"] for v in named(frames, "values")] == [[], *logs]
    headers = probe.last.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["content-location"].endswith(frames[0].data["run_id"])
    assert headers["location"].startswith(f"{headers['content-location']}/stream")


@requirement("streams:updates")
async def updates(probe: Probe) -> None:
    frames = await streamed(probe, TWO, ["updates"])
    assert named(frames, "updates") == [
        {"first": {"log": ["first"]}},
        {"second": {"log": ["second"]}},
    ]


@requirement("streams:messages")
async def messages(probe: Probe) -> None:
    frames = await streamed(probe, CHAT, "messages")
    grown = [m[0]["content"] for m in named(frames, "messages/partial")]
    assert grown[-1] == "one two three"
    assert named(frames, "messages/metadata")


@requirement("streams:messages-tuple")
async def messages_tuple(probe: Probe) -> None:
    frames = await streamed(probe, CHAT, "messages-tuple")
    pieces = named(frames, "messages")
    assert "".join(chunk["content"] for chunk, _ in pieces) == "one two three"
    assert pieces[0][1]["langgraph_node"] == "answer"


@requirement("streams:custom")
async def custom(probe: Probe) -> None:
    frames = await streamed(probe, {"assistant_id": "count", "input": 3}, "custom")
    assert named(frames, "custom") == [0, 1, 2]


@requirement("streams:tasks")
async def tasks(probe: Probe) -> None:
    frames = await streamed(probe, TWO, "tasks")
    assert [t["name"] for t in named(frames, "tasks")] == ["first", "first", "second", "second"]


@requirement("streams:checkpoints")
async def checkpoints(probe: Probe) -> None:
    frames = await streamed(probe, TWO, "checkpoints")
    steps = [c["metadata"]["step"] for c in named(frames, "checkpoints")]
    assert steps[-1] == 2


@requirement("streams:debug")
async def debug(probe: Probe) -> None:
    frames = await streamed(probe, TWO, "debug")
    kinds = {d["type"] for d in named(frames, "debug")}
    assert {"task", "task_result", "checkpoint"} <= kinds


@requirement("streams:events")
async def events(probe: Probe) -> None:
    frames = await streamed(probe, TWO, "events")
    kinds = [e["event"] for e in named(frames, "events")]
    assert kinds[0] == "on_chain_start"
    assert kinds[-1] == "on_chain_end"


@requirement("streams:several")
async def several(probe: Probe) -> None:
    frames = await streamed(probe, TWO, ["values", "updates", "custom"])
    seen = [f.event for f in frames if f.event in ("values", "updates")]
    assert seen == ["values", "updates", "values", "updates", "values"]


@requirement("streams:subgraphs")
async def subgraphs(probe: Probe) -> None:
    body = {**CHAT, "assistant_id": "nested"}
    frames = await streamed(probe, body, ["updates", "messages-tuple"], stream_subgraphs=True)
    inside = {f.event.split(":")[0] for f in frames if "|" in f.event}
    assert inside == {"updates|inner", "messages|inner"}


@requirement("streams:error")
async def error(probe: Probe) -> None:
    frames = await streamed(probe, {"assistant_id": "fail", "input": {}}, "values")
    (told,) = named(frames, "error")
    assert told == {"error": "ValueError", "message": "this agent always fails"}


@requirement("streams:interrupt")
async def interrupt(probe: Probe) -> None:
    body: Json = {"assistant_id": "ask_both", "input": {"log": []}}
    frames = await streamed(probe, body, ["updates", "values"])
    asked = [q for u in named(frames, "updates") for q in u.get("__interrupt__", [])]
    assert {q["value"] for q in asked} == {"left?", "right?"}
    assert any("__interrupt__" in v for v in named(frames, "values"))


@requirement("streams:malformed")
async def malformed(probe: Probe) -> None:
    path = f"/threads/{await probe.thread()}/runs/stream"
    for mode in ("loud", ["values", "loud"], 7):
        body = {"assistant_id": "plus", "input": {"x": 1}, "stream_mode": mode}
        await probe.stream("POST", path, json=body, status=422)


async def _ended(probe: Probe) -> tuple[list[Frame], str]:
    frames = await streamed(probe, TWO, ["values", "updates"], stream_resumable=True)
    path = probe.last.headers["content-location"]
    return frames, f"{path}/stream"


@requirement("streams:join")
async def join(probe: Probe) -> None:
    frames, path = await _ended(probe)
    again = await probe.stream("GET", path, headers={"Last-Event-ID": "-1"})
    assert [f.event for f in again if f.event != "end"] == [
        f.event for f in frames if f.event != "end"
    ]


@requirement("streams:join:after")
async def join_after(probe: Probe) -> None:
    frames, path = await _ended(probe)
    shown = [f for f in frames if f.event != "end"]
    assert all(f.id for f in shown)
    rest = await probe.stream("GET", path, headers={"Last-Event-ID": shown[-2].id or ""})
    assert [f for f in rest if f.event != "end"] == shown[-1:]


@requirement("streams:join:live")
async def join_live(probe: Probe) -> None:
    thread_id = await probe.thread()
    body: Json = {"assistant_id": "wait_for_ever", "input": {}}
    more = {"stream_mode": ["custom", "values"], "stream_resumable": True}
    path = f"/threads/{thread_id}/runs"
    await probe.stream("POST", f"{path}/stream", json={**body, **more}, until="custom")
    (run,) = await probe.get(path)
    joined = f"{path}/{run['run_id']}/stream"
    again = {"Last-Event-ID": "-1"}
    frames = await probe.stream("GET", joined, headers=again, until="custom")
    assert named(frames, "custom") == ["waiting"]
    await probe.post(f"{path}/{run['run_id']}/cancel", wait="true")


@requirement("streams:thread")
async def thread(probe: Probe) -> None:
    thread_id = await probe.thread()
    path = f"/threads/{thread_id}"
    body = {"assistant_id": "plus", "input": {"x": 1}, "stream_mode": "values", "after_seconds": 2}
    await probe.post(f"{path}/runs", body)
    # it never ends: the run begins when it is followed already
    frames = await probe.stream("GET", f"{path}/stream", until="values")
    assert named(frames, "values") == [{"x": 1}]
    assert frames[0].event == "metadata"
