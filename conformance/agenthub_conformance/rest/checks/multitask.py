"""Double texting: what a second run on a busy thread does."""

from __future__ import annotations

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.checks.runs import waiting
from agenthub_conformance.rest.probe import Json, Probe


def second(strategy: str) -> Json:
    """The body of the second run."""
    return {"assistant_id": "hold", "input": {"x": 1}, "multitask_strategy": strategy}


@requirement("multitask:reject")
async def reject(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe, "hold")
    await probe.post(f"/threads/{thread_id}/runs", second("reject"), status=409)
    await probe.post(f"/threads/{thread_id}/runs/wait", second("reject"), status=409)
    await probe.post(f"/threads/{thread_id}/runs/{run_id}/cancel", wait="true")


@requirement("multitask:enqueue")
async def enqueue(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe, "hold")
    run = await probe.post(f"/threads/{thread_id}/runs", second("enqueue"))
    path = f"/threads/{thread_id}/runs"
    assert (await probe.get(f"{path}/{run['run_id']}"))["status"] == "pending"
    await probe.post(f"{path}/{run_id}/cancel", wait="true")
    await probe.get(f"{path}/{run['run_id']}/join")
    assert (await probe.get(f"{path}/{run['run_id']}"))["status"] == "success"


@requirement("multitask:interrupt")
async def interrupt(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe, "hold")
    path = f"/threads/{thread_id}/runs"
    values = await probe.post(f"{path}/wait", second("interrupt"))
    assert values == {"x": 1}
    assert (await probe.get(f"{path}/{run_id}"))["status"] == "interrupted"


@requirement("multitask:rollback")
async def rollback(probe: Probe) -> None:
    thread_id, run_id = await waiting(probe, "hold")
    path = f"/threads/{thread_id}/runs"
    assert await probe.post(f"{path}/wait", second("rollback")) == {"x": 1}
    # whether the run is still told of, servers disagree
    await probe.get(f"{path}/{run_id}", status=(200, 404))
    assert (await probe.get(f"/threads/{thread_id}"))["values"] == {"x": 1}
