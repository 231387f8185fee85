"""Threads: made, changed, found, copied, deleted; and their status."""

from __future__ import annotations

from uuid import uuid4

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import REFUSED, Json, Probe


async def marked(probe: Probe, **metadata: Json) -> str:
    """A thread that a search by the probe's mark finds."""
    return await probe.thread(metadata={**probe.mark, **metadata})


@requirement("threads:create")
async def create(probe: Probe) -> None:
    thread = await probe.post("/threads", {"metadata": {"colour": "red"}})
    assert thread["status"] == "idle"
    assert thread["metadata"] == {"colour": "red"}
    assert thread["values"] is None
    assert {"created_at", "updated_at", "state_updated_at", "config"} <= thread.keys()
    await probe.post("/threads", {})


@requirement("threads:create:given-id")
async def given_id(probe: Probe) -> None:
    id_ = str(uuid4())
    assert await probe.thread(thread_id=id_) == id_
    await probe.post("/threads", {"thread_id": id_}, status=409)
    again = {"thread_id": id_, "if_exists": "do_nothing", "metadata": {"x": 1}}
    assert (await probe.post("/threads", again))["metadata"] == {}


@requirement("threads:create:supersteps")
async def supersteps(probe: Probe) -> None:
    steps = [
        {"updates": [{"values": {"log": ["given"]}, "as_node": "__start__"}]},
        {"updates": [{"values": {"log": ["one"]}, "as_node": "first"}]},
    ]
    body = {"metadata": {"graph_id": "two_steps"}, "supersteps": steps}
    thread = await probe.post("/threads", body)
    state = await probe.get(f"/threads/{thread['thread_id']}/state")
    assert state["values"] == {"log": ["given", "one"]}
    assert state["next"] == ["second"]
    assert len(await probe.post(f"/threads/{thread['thread_id']}/history", {"limit": 10})) >= 2


@requirement("threads:create:ttl")
async def ttl(probe: Probe) -> None:
    id_ = await probe.thread(ttl={"strategy": "delete", "ttl": 60})
    shown = await probe.get(f"/threads/{id_}", include="ttl")
    assert (shown["ttl"]["strategy"], shown["ttl"]["ttl_minutes"]) == ("delete", 60)
    assert "ttl" not in await probe.get(f"/threads/{id_}")


@requirement("threads:create:malformed")
async def malformed(probe: Probe) -> None:
    await probe.post("/threads", {"thread_id": "no-id"}, status=422)
    await probe.post("/threads", {"metadata": 7}, status=422)
    await probe.post("/threads", {"if_exists": "maybe"}, status=422)
    await probe.post("/threads", {"ttl": {"strategy": "burn", "ttl": 1}}, status=422)
    await probe.post("/threads", {"ttl": 5}, status=422)
    await probe.post("/threads", {"supersteps": [{"updates": "all"}]}, status=422)


@requirement("threads:get")
async def get(probe: Probe) -> None:
    id_ = await probe.thread()
    await probe.run(id_, "plus", {"x": 1})
    thread = await probe.get(f"/threads/{id_}")
    assert (thread["values"], thread["status"]) == ({"x": 2}, "idle")
    assert thread["metadata"]["graph_id"] == "plus"
    assert (thread["interrupts"], thread["error"]) == ({}, None)


@requirement("threads:patch")
async def patch(probe: Probe) -> None:
    id_ = await probe.thread(metadata={"a": 1})
    path = f"/threads/{id_}"
    assert (await probe.call("PATCH", path, json={"metadata": {"b": 2}}))["metadata"] == {
        "a": 1,
        "b": 2,
    }
    minimal = {"Prefer": "return=minimal"}
    body = {"metadata": {"a": 3}}
    assert await probe.call("PATCH", path, json=body, headers=minimal, status=204) is None
    assert (await probe.get(path))["metadata"] == {"a": 3, "b": 2}
    await probe.call("PATCH", path, json={"metadata": "x"}, status=422)


@requirement("threads:search")
async def search(probe: Probe) -> None:
    ids = [await marked(probe, n=n) for n in range(3)]
    await probe.run(ids[1], "plus", {"x": 1})
    asked = {"metadata": probe.mark, "sort_by": "created_at", "sort_order": "asc"}
    page = await probe.post("/threads/search", {**asked, "limit": 2})
    assert [t["thread_id"] for t in page] == ids[:2]
    assert probe.last.headers["x-pagination-next"] == "2"
    last = await probe.post("/threads/search", {**asked, "limit": 2, "offset": 2})
    assert [t["thread_id"] for t in last] == ids[2:]
    of_values = await probe.post("/threads/search", {**asked, "values": {"x": 2}})
    assert [t["thread_id"] for t in of_values] == [ids[1]]
    of_ids = await probe.post("/threads/search", {**asked, "ids": [ids[2]]})
    assert [t["thread_id"] for t in of_ids] == [ids[2]]
    assert len(await probe.post("/threads/search", {**asked, "status": "idle"})) == 3
    assert await probe.post("/threads/search", {**asked, "status": "busy"}) == []


@requirement("threads:search:select")
async def select(probe: Probe) -> None:
    id_ = await marked(probe, tier="gold")
    await probe.run(id_, "plus", {"x": 1})
    asked = {"metadata": probe.mark}
    (found,) = await probe.post("/threads/search", {**asked, "select": ["thread_id", "status"]})
    assert found.keys() == {"thread_id", "status"}
    paths = {"x": "values.x", "tier": "metadata.tier", "none": "values.nothing"}
    (found,) = await probe.post("/threads/search", {**asked, "extract": paths})
    assert found["extracted"] == {"x": 2, "tier": "gold", "none": None}
    await probe.post("/threads/search", {"select": ["secret"]}, status=422)
    await probe.post("/threads/search", {"extract": {"a": "secret.x"}}, status=422)


@requirement("threads:search:malformed")
async def malformed_search(probe: Probe) -> None:
    await probe.post("/threads/search", {"limit": 0}, status=422)
    await probe.post("/threads/search", {"limit": 1001}, status=422)
    await probe.post("/threads/search", {"offset": -1}, status=422)
    await probe.post("/threads/search", {"sort_by": "colour"}, status=422)
    await probe.post("/threads/search", {"status": "asleep"}, status=422)
    await probe.post("/threads/search", {"ids": ["no-id"]}, status=REFUSED)
    await probe.post("/threads/count", {"status": "asleep"}, status=422)


@requirement("threads:count")
async def count(probe: Probe) -> None:
    ids = [await marked(probe) for _ in range(2)]
    await probe.run(ids[0], "plus", {"x": 4})
    assert await probe.post("/threads/count", {"metadata": probe.mark}) == 2
    assert await probe.post("/threads/count", {"metadata": probe.mark, "values": {"x": 5}}) == 1
    assert await probe.post("/threads/count", {"metadata": probe.mark, "status": "error"}) == 0


@requirement("threads:copy")
async def copy(probe: Probe) -> None:
    id_ = await probe.thread(metadata={"kept": True})
    await probe.run(id_, "plus", {"x": 1})
    other = await probe.post(f"/threads/{id_}/copy")
    assert other["thread_id"] != id_
    state = await probe.get(f"/threads/{other['thread_id']}/state")
    assert state["values"] == {"x": 2}
    assert await probe.run(other["thread_id"], "plus", {"x": 5}) == {"x": 6}
    assert (await probe.get(f"/threads/{id_}/state"))["values"] == {"x": 2}


@requirement("threads:prune")
async def prune(probe: Probe) -> None:
    ids = [await probe.thread() for _ in range(2)]
    assert await probe.post("/threads/prune", {"thread_ids": ids}) == {"pruned_count": 2}
    await probe.get(f"/threads/{ids[0]}", status=404)
    await probe.post("/threads/prune", {"thread_ids": ids, "strategy": "burn"}, status=422)
    await probe.post("/threads/prune", {}, status=422)


@requirement("threads:storage")
async def storage(probe: Probe) -> None:
    id_ = await probe.thread()
    await probe.run(id_, "plus", {"x": 1})
    sizes = await probe.get(f"/threads/{id_}/storage")
    assert sizes["thread_id"] == id_
    assert sizes["total_bytes"] > 0
    assert {"checkpoints", "channel_values", "pending_writes"} <= sizes.keys()


@requirement("threads:delete")
async def delete(probe: Probe) -> None:
    id_ = await probe.thread()
    await probe.run(id_, "plus", {"x": 1})
    assert await probe.call("DELETE", f"/threads/{id_}", status=204) is None
    await probe.get(f"/threads/{id_}", status=404)
    await probe.call("DELETE", f"/threads/{id_}", status=404)


@requirement("threads:missing")
async def missing(probe: Probe) -> None:
    path = f"/threads/{uuid4()}"
    await probe.get(path, status=404)
    await probe.call("PATCH", path, json={"metadata": {}}, status=404)
    await probe.call("DELETE", path, status=404)
    for part in ("state", f"state/{uuid4()}", "history", "runs", "storage"):
        await probe.get(f"{path}/{part}", status=404)
    await probe.post(f"{path}/history", {}, status=404)
    await probe.post(f"{path}/state", {"values": {"x": 1}}, status=404)
    await probe.post(f"{path}/copy", status=404)
    await probe.post(
        f"{path}/runs/crons", {"assistant_id": "plus", "schedule": "0 0 1 1 *"}, status=404
    )


@requirement("threads:interrupted")
async def interrupted(probe: Probe) -> None:
    id_ = await marked(probe)
    await probe.run(id_, "ask_both", {"log": []})
    thread = await probe.get(f"/threads/{id_}")
    assert thread["status"] == "interrupted"
    asked = [one["value"] for each in thread["interrupts"].values() for one in each]
    assert sorted(asked) == ["left?", "right?"]
    of_status = {"metadata": probe.mark, "status": "interrupted"}
    assert len(await probe.post("/threads/search", of_status)) == 1


@requirement("threads:error")
async def error(probe: Probe) -> None:
    id_ = await probe.thread()
    await probe.run(id_, "fail_late", {"log": []})
    thread = await probe.get(f"/threads/{id_}")
    assert thread["status"] == "error"
    assert thread["error"]["error"] == "ValueError"


@requirement("threads:busy")
async def busy(probe: Probe) -> None:
    id_ = await probe.thread()
    body: Json = {"assistant_id": "wait_for_ever", "input": {}, "stream_mode": "custom"}
    await probe.stream("POST", f"/threads/{id_}/runs/stream", json=body, until="custom")
    thread = await probe.get(f"/threads/{id_}")
    assert thread["status"] == "busy"
    (run,) = await probe.get(f"/threads/{id_}/runs")
    await probe.post(f"/threads/{id_}/runs/{run['run_id']}/cancel", wait="true")
