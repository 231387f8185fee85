"""Crons: made, read, changed, found."""

from __future__ import annotations

from uuid import uuid4

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import Json, Probe

YEARLY = "0 0 1 1 *"


def yearly(probe: Probe, **more: Json) -> Json:
    """The body of a cron that does not fire while it is checked."""
    body = {"assistant_id": "plus", "schedule": YEARLY, "input": {"x": 1}}
    return {**body, "metadata": probe.mark, **more}


async def deleted(probe: Probe, *ids: str) -> None:
    """None of them is left."""
    for id_ in ids:
        await probe.call("DELETE", f"/runs/crons/{id_}", status=204)


@requirement("crons:create")
async def create(probe: Probe) -> None:
    body = yearly(probe, timezone="Europe/Berlin", end_time="2099-01-01T00:00:00Z")
    cron = await probe.post("/runs/crons", body)
    assert (cron["schedule"], cron["timezone"], cron["enabled"]) == (YEARLY, "Europe/Berlin", True)
    assert cron["next_run_date"]
    assert cron["on_run_completed"] == "delete"
    await deleted(probe, cron["cron_id"])


@requirement("crons:create:thread")
async def on_thread(probe: Probe) -> None:
    thread_id = await probe.thread()
    cron = await probe.post(f"/threads/{thread_id}/runs/crons", yearly(probe))
    assert cron["thread_id"] == thread_id
    await deleted(probe, cron["cron_id"])


@requirement("crons:get")
async def get(probe: Probe) -> None:
    cron = await probe.post("/runs/crons", yearly(probe, enabled=False))
    path = f"/runs/crons/{cron['cron_id']}"
    assert (await probe.get(path))["enabled"] is False
    changed = await probe.call("PATCH", path, json={"schedule": "0 0 2 1 *", "enabled": True})
    assert (changed["schedule"], changed["enabled"]) == ("0 0 2 1 *", True)
    await deleted(probe, cron["cron_id"])
    await probe.get(path, status=404)


@requirement("crons:search")
async def search(probe: Probe) -> None:
    thread_id = await probe.thread()
    made = [
        await probe.post(f"/threads/{thread_id}/runs/crons", yearly(probe, enabled=on))
        for on in (True, False)
    ]
    asked = {"thread_id": thread_id}
    found = await probe.post("/runs/crons/search", {**asked, "limit": 1})
    assert len(found) == 1
    assert await probe.post("/runs/crons/count", asked) == 2
    (off,) = await probe.post("/runs/crons/search", {**asked, "enabled": False})
    assert off["cron_id"] == made[1]["cron_id"]
    chosen = await probe.post("/runs/crons/search", {**asked, "select": ["cron_id"]})
    assert chosen[0].keys() == {"cron_id"}
    await probe.post("/runs/crons/search", {"limit": 0}, status=422)
    await deleted(probe, *(cron["cron_id"] for cron in made))


@requirement("crons:malformed")
async def malformed(probe: Probe) -> None:
    await probe.post("/runs/crons", yearly(probe, schedule="never"), status=422)
    await probe.post("/runs/crons", yearly(probe, timezone="Mars/Olympus"), status=422)
    await probe.post("/runs/crons", {"assistant_id": "plus"}, status=422)
    await probe.post("/runs/crons", yearly(probe, end_time="late"), status=422)
    await probe.post("/runs/crons", yearly(probe, on_run_completed="burn"), status=422)


@requirement("crons:missing")
async def missing(probe: Probe) -> None:
    path = f"/runs/crons/{uuid4()}"
    await probe.get(path, status=404)
    await probe.call("PATCH", path, json={"enabled": False}, status=404)
    await probe.call("DELETE", path, status=404)
    await probe.post("/runs/crons", yearly(probe, assistant_id=str(uuid4())), status=404)
