"""What Agent Hub does beyond the original."""

from __future__ import annotations

from uuid import uuid4

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.checks.runs import waiting
from agenthub_conformance.rest.checks.streams import TWO, streamed
from agenthub_conformance.rest.probe import Json, Probe

PLUS = {"assistant_id": "plus", "input": {"x": 1}}
HOLD = {"assistant_id": "hold", "input": {"x": 1}}


@requirement("ours:end")
async def end(probe: Probe) -> None:
    frames = await streamed(probe, PLUS, "values")
    assert frames[-1].event == "end"
    assert frames[-1].data == {"run_id": frames[0].data["run_id"], "status": "success"}


@requirement("ours:idempotency")
async def idempotency(probe: Probe) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    path = f"/threads/{await probe.thread()}/runs"
    one = await probe.call("POST", path, json=PLUS, headers=key)
    again = await probe.call("POST", path, json=PLUS, headers=key)
    assert one["run_id"] == again["run_id"]
    other = {**PLUS, "input": {"x": 2}}
    await probe.call("POST", path, json=other, headers=key, status=422)


@requirement("ours:search")
async def search(probe: Probe) -> None:
    thread_id = await probe.thread()
    await probe.run(thread_id, "plus", {"x": 1}, metadata=probe.mark)
    (found,) = await probe.post("/runs/search", {"metadata": probe.mark})
    assert (await probe.get(f"/runs/{found['run_id']}"))["thread_id"] == thread_id
    assert await probe.post("/runs/count", {"metadata": probe.mark}) == 1


@requirement("ours:output")
async def output(probe: Probe) -> None:
    seen: dict[str, Json] = {}
    for agent, given in (("plus", {"x": 1}), ("ask", 2), ("fail", {})):
        thread_id = await probe.thread()
        run_id = await probe.started(thread_id, agent, given)
        path = f"/threads/{thread_id}/runs/{run_id}"
        await probe.get(f"{path}/join")
        seen[agent] = await probe.get(path)
    assert seen["plus"]["output"] == {"x": 2}
    assert seen["fail"]["error"]["error"] == "ValueError"
    assert seen["ask"]["interrupts"][0]["value"] == {"question": "use 4?"}
    assert all(run["attempts"] == 1 and run["ended_at"] for run in seen.values())


@requirement("ours:strict-resume")
async def strict_resume(probe: Probe) -> None:
    thread_id = await probe.thread()
    asked = await probe.run(thread_id, "ask", 2)
    wrong = {"assistant_id": "ask", "command": {"resume": {"0" * 32: "yes"}}}
    refused = await probe.post(f"/threads/{thread_id}/runs", wrong, status=409)
    assert asked["__interrupt__"][0]["id"] in str(refused)


@requirement("ours:resume-anywhere")
async def resume_anywhere(probe: Probe) -> None:
    frames = await streamed(probe, TWO, ["values", "updates"])
    path = probe.last.headers["location"]
    for place, frame in enumerate(frames, 1):
        rest = await probe.stream("GET", path, headers={"Last-Event-ID": frame.id or ""})
        assert rest == frames[place:]


@requirement("ours:fork")
async def fork(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe, "hold")
    body = {**HOLD, "multitask_strategy": "fork"}
    forked = await probe.post(f"/threads/{thread_id}/runs", body)
    assert forked["thread_id"] != thread_id
    path = f"/threads/{forked['thread_id']}/runs/{forked['run_id']}"
    assert await probe.get(f"{path}/join") == {"x": 1}
    await probe.post(f"/threads/{thread_id}/runs/{run_id}/cancel", wait="true")


@requirement("ours:compare-and-set")
async def compare_and_set(probe: Probe) -> None:
    item = {"namespace": [probe.mark["check"]], "key": "k", "value": {"n": 1}}
    await probe.call("PUT", "/store/items", json=item, status=204)
    new = {**item, "value": {"n": 2}}
    read = await probe.get("/store/items", key="k", namespace=probe.mark["check"])
    at = {"if_version": read["version"]}
    await probe.call("PUT", "/store/items", json={**new, **at}, status=204)
    await probe.call("PUT", "/store/items", json={**new, **at}, status=409)


@requirement("ours:codes")
async def codes(probe: Probe) -> None:
    assert (await probe.get(f"/threads/{uuid4()}", status=404))["code"] == "not_found"
    assert (await probe.post("/threads", {"metadata": 7}, status=422))["code"] == "invalid"


@requirement("ours:names")
async def names(probe: Probe) -> None:
    assert (await probe.get("/assistants/plus"))["graph_id"] == "plus"
    assert (await probe.get("/assistants/plus/schemas"))["graph_id"] == "plus"
