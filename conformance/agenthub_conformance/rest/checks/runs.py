"""Runs on threads: made, waited for, read, cancelled, resumed."""

from __future__ import annotations

from uuid import uuid4

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import REFUSED, Json, Probe

NOBODY = str(uuid4())


async def waiting(probe: Probe, agent: str = "wait_for_ever") -> tuple[str, str]:
    """A thread and its run, which is running and goes on for ever."""
    thread_id = await probe.thread()
    body = {"assistant_id": agent, "input": {"hold": True}, "stream_mode": "custom"}
    path = f"/threads/{thread_id}/runs/stream"
    frames = await probe.stream("POST", path, json=body, until="custom")
    return thread_id, str(frames[0].data["run_id"])


@requirement("runs:create")
async def create(probe: Probe) -> None:
    thread_id = await probe.thread()
    body = {"assistant_id": "plus", "input": {"x": 1}, "metadata": {"n": 1}}
    run = await probe.post(f"/threads/{thread_id}/runs", body)
    assert (run["thread_id"], run["multitask_strategy"]) == (thread_id, "enqueue")
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    assert probe.last.headers["content-location"] == path
    assert await probe.get(f"{path}/join") == {"x": 2}
    assert await probe.get(f"{path}/join") == {"x": 2}
    assert (await probe.get(path))["status"] == "success"


@requirement("runs:wait")
async def wait(probe: Probe) -> None:
    thread_id = await probe.thread()
    assert await probe.run(thread_id, "plus", {"x": 1}) == {"x": 2}
    headers = probe.last.headers
    assert headers["location"] == f"{headers['content-location']}/join"
    assert headers["content-location"].startswith(f"/threads/{thread_id}/runs/")


@requirement("runs:wait:error")
async def wait_error(probe: Probe) -> None:
    thread_id = await probe.thread()
    failed = await probe.run(thread_id, "fail", {})
    told = {"error": "ValueError", "message": "this agent always fails"}
    assert failed == {"__error__": told}
    (run,) = await probe.get(f"/threads/{thread_id}/runs")
    assert run["status"] == "error"
    assert await probe.get(f"/threads/{thread_id}/runs/{run['run_id']}/join") == {"__error__": told}


@requirement("runs:wait:interrupt")
async def wait_interrupt(probe: Probe) -> None:
    thread_id = await probe.thread()
    asked = await probe.run(thread_id, "ask", 2)
    (question,) = asked["__interrupt__"]
    assert question["value"] == {"question": "use 4?"}
    (run,) = await probe.get(f"/threads/{thread_id}/runs")
    assert run["status"] == "success"


@requirement("runs:get")
async def get(probe: Probe) -> None:
    thread_id = await probe.thread()
    run_id = await probe.started(thread_id, "plus", {"x": 1})
    path = f"/threads/{thread_id}/runs/{run_id}"
    await probe.get(f"{path}/join")
    run = await probe.get(path)
    assert (run["run_id"], run["thread_id"], run["status"]) == (run_id, thread_id, "success")
    other = await probe.thread()
    await probe.get(f"/threads/{other}/runs/{run_id}", status=404)


@requirement("runs:list")
async def list_(probe: Probe) -> None:
    thread_id = await probe.thread()
    assert await probe.get(f"/threads/{thread_id}/runs") == []
    for x in range(3):
        await probe.run(thread_id, "plus", {"x": x})
    path = f"/threads/{thread_id}/runs"
    runs = await probe.get(path)
    assert len(runs) == 3
    assert runs[0]["created_at"] > runs[2]["created_at"]
    assert [r["run_id"] for r in await probe.get(path, limit=1, offset=1)] == [runs[1]["run_id"]]
    assert await probe.call("GET", path, params={"status": "error"}) == []
    chosen = await probe.get(path, select=["run_id", "status"])
    assert chosen[0].keys() == {"run_id", "status"}
    await probe.call("GET", path, params={"status": "asleep"}, status=422)
    await probe.get(path, limit="many", status=422)


@requirement("runs:delete")
async def delete(probe: Probe) -> None:
    thread_id = await probe.thread()
    await probe.run(thread_id, "plus", {"x": 1})
    (run,) = await probe.get(f"/threads/{thread_id}/runs")
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    assert await probe.call("DELETE", path, status=204) is None
    await probe.get(path, status=404)
    await probe.call("DELETE", path, status=404)


@requirement("runs:missing")
async def missing(probe: Probe) -> None:
    thread_id = await probe.thread()
    path = f"/threads/{thread_id}/runs/{NOBODY}"
    await probe.get(path, status=404)
    await probe.call("DELETE", path, status=404)
    await probe.post(f"{path}/cancel", status=404)
    await probe.get(f"{path}/join", status=404)
    await probe.stream("GET", f"{path}/stream", status=404)


@requirement("runs:missing:thread")
async def missing_thread(probe: Probe) -> None:
    thread_id = str(uuid4())
    body = {"assistant_id": "plus", "input": {"x": 1}}
    for verb in ("", "/wait"):
        await probe.post(f"/threads/{thread_id}/runs{verb}", body, status=404)
    await probe.stream("POST", f"/threads/{thread_id}/runs/stream", json=body, status=404)
    body = {**body, "if_not_exists": "create"}
    assert await probe.post(f"/threads/{thread_id}/runs/wait", body) == {"x": 2}
    assert (await probe.get(f"/threads/{thread_id}"))["values"] == {"x": 2}


@requirement("runs:missing:assistant")
async def missing_assistant(probe: Probe) -> None:
    thread_id = await probe.thread()
    for nobody in (NOBODY, "no-such-graph"):
        body: Json = {"assistant_id": nobody, "input": {}}
        await probe.post(f"/threads/{thread_id}/runs", body, status=(404, 422))
        await probe.post("/runs", body, status=(404, 422))


@requirement("runs:malformed")
async def malformed(probe: Probe) -> None:
    path = f"/threads/{await probe.thread()}/runs"
    good = {"assistant_id": "plus", "input": {"x": 1}}
    await probe.post(path, {}, status=422)
    await probe.post(path, {**good, "assistant_id": 7}, status=422)
    await probe.post(path, {**good, "stream_mode": "loud"}, status=422)
    await probe.post(path, {**good, "multitask_strategy": "fight"}, status=422)
    await probe.post(path, {**good, "if_not_exists": "maybe"}, status=422)
    await probe.post(path, {**good, "on_disconnect": "panic"}, status=422)
    await probe.post(path, {**good, "durability": "never"}, status=422)
    await probe.post(path, {**good, "config": "x"}, status=422)
    await probe.post(path, {**good, "metadata": "x"}, status=422)
    await probe.post(path, {**good, "interrupt_before": 7}, status=422)
    await probe.post(path, {**good, "after_seconds": "soon"}, status=422)
    await probe.post(path, {**good, "command": "go"}, status=422)


@requirement("runs:cancel")
async def cancel(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe)
    path = f"/threads/{thread_id}/runs/{run_id}"
    assert await probe.post(f"{path}/cancel", wait="true") == {}
    assert (await probe.get(path))["status"] == "interrupted"
    assert (await probe.get(f"/threads/{thread_id}"))["status"] == "interrupted"
    thread_id, run_id = await waiting(probe)
    path = f"/threads/{thread_id}/runs/{run_id}"
    assert await probe.post(f"{path}/cancel", status=202) is None
    await probe.get(f"{path}/join")


@requirement("runs:cancel:rollback")
async def rollback(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe, "hold")
    path = f"/threads/{thread_id}/runs/{run_id}"
    await probe.post(f"{path}/cancel", wait="true", action="rollback")
    # whether the run is still told of, servers disagree
    await probe.get(path, status=(200, 404))
    assert await probe.run(thread_id, "hold", {"x": 1}) == {"x": 1}
    assert await probe.post(f"/threads/{thread_id}/history", {"metadata": {"run_id": run_id}}) == []


@requirement("runs:cancel:ended")
async def cancel_ended(probe: Probe) -> None:
    thread_id = await probe.thread()
    await probe.run(thread_id, "plus", {"x": 1})
    (run,) = await probe.get(f"/threads/{thread_id}/runs")
    await probe.post(f"/threads/{thread_id}/runs/{run['run_id']}/cancel", status=404)


@requirement("runs:cancel:many")
async def cancel_many(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe)
    body = {"thread_id": thread_id, "run_ids": [run_id]}
    await probe.post("/runs/cancel", body, status=204)
    await probe.get(f"/threads/{thread_id}/runs/{run_id}/join")
    await probe.post("/runs/cancel", body, status=404)


@requirement("runs:cancel:malformed")
async def cancel_malformed(probe: Probe) -> None:
    thread_id = await probe.thread()
    run_id = await probe.started(thread_id, "plus", {"x": 1}, after_seconds=3600)
    path = f"/threads/{thread_id}/runs/{run_id}/cancel"
    await probe.post(path, status=422, action="explode")
    await probe.post("/runs/cancel", {}, status=422)
    await probe.post("/runs/cancel", {"status": "asleep"}, status=422)
    body = {"thread_id": thread_id, "run_ids": [run_id], "status": "all"}
    await probe.post("/runs/cancel", body, status=422)
    await probe.post(path, status=202)


@requirement("runs:resume")
async def resume(probe: Probe) -> None:
    thread_id = await probe.thread()
    await probe.run(thread_id, "ask", 2)
    body = {"assistant_id": "ask", "command": {"resume": "yes"}}
    path = f"/threads/{thread_id}/runs/wait"
    assert await probe.post(path, body) == {"doubled": 4, "answer": "yes"}
    thread_id = await probe.thread()
    both = await probe.run(thread_id, "ask_both", {"log": []})
    answers = {one["id"]: one["value"].upper() for one in both["__interrupt__"]}
    body = {"assistant_id": "ask_both", "command": {"resume": answers}}
    values = await probe.post(f"/threads/{thread_id}/runs/wait", body)
    assert values == {"log": ["left LEFT?", "right RIGHT?"]}
    assert (await probe.get(f"/threads/{thread_id}"))["status"] == "idle"


@requirement("runs:command:update")
async def command_update(probe: Probe) -> None:
    thread_id = await probe.thread()
    await probe.run(thread_id, "two_steps", {"log": []})
    command = {"update": {"log": ["told"]}, "goto": "second"}
    body = {"assistant_id": "two_steps", "command": command}
    values = await probe.post(f"/threads/{thread_id}/runs/wait", body)
    assert values == {"log": ["first", "second", "told", "second"]}


@requirement("runs:breakpoints")
async def breakpoints(probe: Probe) -> None:
    for how, seen in (("interrupt_before", []), ("interrupt_after", ["first"])):
        thread_id = await probe.thread()
        more: dict[str, Json] = {how: ["first"]}
        await probe.run(thread_id, "two_steps", {"log": []}, **more)
        state = await probe.get(f"/threads/{thread_id}/state")
        assert state["values"] == {"log": seen}
        assert state["next"] == ["second" if seen else "first"]
        assert (await probe.get(f"/threads/{thread_id}"))["status"] == "interrupted"
        body = {"assistant_id": "two_steps"}
        on = await probe.post(f"/threads/{thread_id}/runs/wait", body)
        assert on == {"log": ["first", "second"]}


@requirement("runs:settings")
async def settings(probe: Probe) -> None:
    thread_id = await probe.thread()
    config = {"configurable": {"colour": "red"}, "tags": ["t"], "recursion_limit": 9}
    seen = (await probe.run(thread_id, "look", {"seen": {}}, config=config))["seen"]
    assert seen["configurable"]["colour"] == "red"
    assert seen["configurable"]["thread_id"] == thread_id
    assert seen["recursion_limit"] == 9
    seen = (await probe.run(thread_id, "look", {"seen": {}}, context={"colour": "blue"}))["seen"]
    assert seen["context"] == {"colour": "blue"}


@requirement("runs:settings:both")
async def both(probe: Probe) -> None:
    body: Json = {
        "assistant_id": "look",
        "input": {"seen": {}},
        "config": {"configurable": {"colour": "red"}},
        "context": {"colour": "blue"},
    }
    await probe.post(f"/threads/{await probe.thread()}/runs", body, status=REFUSED)


@requirement("runs:metadata")
async def metadata(probe: Probe) -> None:
    thread_id = await probe.thread()
    run_id = await probe.started(thread_id, "plus", {"x": 1}, metadata={"why": "because"})
    await probe.get(f"/threads/{thread_id}/runs/{run_id}/join")
    run = await probe.get(f"/threads/{thread_id}/runs/{run_id}")
    assert run["metadata"]["why"] == "because"


@requirement("runs:later")
async def later(probe: Probe) -> None:
    thread_id = await probe.thread()
    run_id = await probe.started(thread_id, "plus", {"x": 1}, after_seconds=3600)
    path = f"/threads/{thread_id}/runs/{run_id}"
    assert (await probe.get(path))["status"] == "pending"
    await probe.post(f"{path}/cancel", wait="true")
    assert (await probe.get(path))["status"] == "interrupted"


@requirement("runs:values:last")
async def values_last(probe: Probe) -> None:
    thread_id = await probe.thread()
    await probe.run(thread_id, "two_steps", {"log": ["a"]})
    values = await probe.run(thread_id, "two_steps", {"log": ["b"]})
    assert values == {"log": ["a", "first", "second", "b", "first", "second"]}
