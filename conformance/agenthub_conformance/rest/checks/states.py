"""States: read, written, and gone back to."""

from __future__ import annotations

from uuid import uuid4

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import REFUSED, Json, Probe


async def ran(probe: Probe, agent: str = "two_steps", **more: Json) -> str:
    """The path of a thread on which an agent ran."""
    id_ = await probe.thread()
    await probe.run(id_, agent, {"log": []}, **more)
    return f"/threads/{id_}"


@requirement("states:get")
async def get(probe: Probe) -> None:
    state = await probe.get(f"{await ran(probe)}/state")
    assert state["values"] == {"log": ["first", "second"]}
    assert (state["next"], state["tasks"], state["interrupts"]) == ([], [], [])
    assert state["checkpoint"]["checkpoint_id"] == state["checkpoint_id"]
    assert state["parent_checkpoint"]["checkpoint_id"] == state["parent_checkpoint_id"]
    assert state["metadata"]["step"] == 2


@requirement("states:get:empty")
async def empty(probe: Probe) -> None:
    state = await probe.get(f"/threads/{await probe.thread()}/state")
    assert not state["values"]
    assert (state["next"], state["tasks"]) == ([], [])


@requirement("states:get:interrupted")
async def interrupted(probe: Probe) -> None:
    state = await probe.get(f"{await ran(probe, 'ask_both')}/state")
    assert sorted(state["next"]) == ["left", "right"]
    assert sorted(t["interrupts"][0]["value"] for t in state["tasks"]) == ["left?", "right?"]


@requirement("states:get:subgraphs")
async def subgraphs(probe: Probe) -> None:
    path = await ran(probe, "questions_inside")
    state = await probe.get(f"{path}/state", subgraphs="true")
    inner = state["tasks"][0]["state"]
    assert inner["values"]["log"] == ["first"]
    assert inner["next"] == ["left"]
    shallow = await probe.get(f"{path}/state")
    assert shallow["tasks"][0]["state"] is None
    below = {"checkpoint": inner["checkpoint"]}
    assert (await probe.post(f"{path}/state/checkpoint", below))["values"]["log"] == ["first"]


@requirement("states:get:failed")
async def failed(probe: Probe) -> None:
    state = await probe.get(f"{await ran(probe, 'fail_late')}/state")
    assert state["next"] == ["broken"]
    assert "the second step fails" in state["tasks"][0]["error"]


@requirement("states:get:at")
async def at(probe: Probe) -> None:
    path = await ran(probe)
    past = await probe.post(f"{path}/history", {"limit": 10})
    wanted = past[1]
    found = await probe.get(f"{path}/state/{wanted['checkpoint_id']}")
    assert found["values"] == {"log": ["first"]}
    assert found["next"] == ["second"]
    body = {"checkpoint": wanted["checkpoint"]}
    assert (await probe.post(f"{path}/state/checkpoint", body))["values"] == {"log": ["first"]}
    await probe.post(f"{path}/state/checkpoint", {}, status=422)


@requirement("states:get:unknown")
async def unknown(probe: Probe) -> None:
    path = await ran(probe)
    await probe.get(f"{path}/state/{uuid4()}", status=(200, 404))


@requirement("states:update")
async def update(probe: Probe) -> None:
    path = await ran(probe)
    made = await probe.post(f"{path}/state", {"values": {"log": ["more"]}})
    assert {"checkpoint", "configurable", "checkpoint_id"} <= made.keys()
    state = await probe.get(f"{path}/state")
    assert state["values"] == {"log": ["first", "second", "more"]}
    assert state["checkpoint_id"] == made["checkpoint_id"]
    await probe.post(f"{path}/state", {"values": {"log": ["x"]}, "as_node": "first"})
    state = await probe.get(f"{path}/state")
    assert state["next"] == ["second"]
    assert state["metadata"]["source"] == "update"


@requirement("states:update:at")
async def update_at(probe: Probe) -> None:
    path = await ran(probe)
    past = await probe.post(f"{path}/history", {"limit": 10})
    body = {
        "values": {"log": ["forked"]},
        "as_node": "first",
        "checkpoint_id": past[1]["checkpoint_id"],
    }
    await probe.post(f"{path}/state", body)
    state = await probe.get(f"{path}/state")
    assert state["values"] == {"log": ["first", "forked"]}
    assert state["parent_checkpoint_id"] == past[1]["checkpoint_id"]


@requirement("states:update:bare")
async def update_bare(probe: Probe) -> None:
    path = f"/threads/{await probe.thread()}"
    await probe.post(f"{path}/state", {"values": {"log": ["x"]}}, status=(*REFUSED, 409))


@requirement("states:update:busy")
async def update_busy(probe: Probe) -> None:
    id_ = await probe.thread()
    body: Json = {"assistant_id": "wait_for_ever", "input": {}, "stream_mode": "custom"}
    await probe.stream("POST", f"/threads/{id_}/runs/stream", json=body, until="custom")
    await probe.post(f"/threads/{id_}/state", {"values": {}}, status=409)
    (run,) = await probe.get(f"/threads/{id_}/runs")
    await probe.post(f"/threads/{id_}/runs/{run['run_id']}/cancel", wait="true")


@requirement("states:update:malformed")
async def update_malformed(probe: Probe) -> None:
    path = await ran(probe)
    await probe.post(f"{path}/state", {"values": {}, "as_node": 7}, status=422)
    await probe.post(f"{path}/state", {"values": "text"}, status=422)
    body = {"values": {"log": ["x"]}, "as_node": "no-such-node"}
    await probe.post(f"{path}/state", body, status=REFUSED)


@requirement("states:history")
async def history(probe: Probe) -> None:
    path = await ran(probe)
    past = await probe.post(f"{path}/history", {"limit": 10})
    assert [s["metadata"]["step"] for s in past] == [2, 1, 0, -1]
    before = {"configurable": {"checkpoint_id": past[1]["checkpoint_id"]}}
    older = await probe.post(f"{path}/history", {"limit": 1, "before": before})
    assert [s["checkpoint_id"] for s in older] == [past[2]["checkpoint_id"]]
    inputs = await probe.post(f"{path}/history", {"limit": 10, "metadata": {"source": "input"}})
    assert [s["metadata"]["step"] for s in inputs] == [-1]
    await probe.post(f"{path}/history", {"limit": 0}, status=422)
    await probe.post(f"{path}/history", {"limit": 1001}, status=422)


@requirement("states:history:get")
async def history_get(probe: Probe) -> None:
    path = await ran(probe)
    past = await probe.get(f"{path}/history", limit=2)
    assert [s["metadata"]["step"] for s in past] == [2, 1]
    older = await probe.get(f"{path}/history", limit=1, before=past[1]["checkpoint_id"])
    assert [s["metadata"]["step"] for s in older] == [0]


@requirement("states:history:empty")
async def history_empty(probe: Probe) -> None:
    path = f"/threads/{await probe.thread()}"
    assert await probe.post(f"{path}/history", {"limit": 10}) == []


@requirement("states:travel")
async def travel(probe: Probe) -> None:
    path = await ran(probe)
    past = await probe.post(f"{path}/history", {"limit": 10})
    body = {"assistant_id": "two_steps", "checkpoint_id": past[1]["checkpoint_id"]}
    assert await probe.post(f"{path}/runs/wait", body) == {"log": ["first", "second"]}
    by_checkpoint = {"assistant_id": "two_steps", "checkpoint": past[2]["checkpoint"]}
    assert await probe.post(f"{path}/runs/wait", by_checkpoint) == {"log": ["first", "second"]}
    assert len(await probe.post(f"{path}/history", {"limit": 20})) > len(past)
