"""The system's own routes, and what every route refuses alike."""

from __future__ import annotations

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import REFUSED, Probe

JSON = {"content-type": "application/json"}


@requirement("system:ok")
async def well(probe: Probe) -> None:
    assert (await probe.get("/ok"))["ok"] is True


@requirement("system:info")
async def info(probe: Probe) -> None:
    told = await probe.get("/info")
    assert told["version"]
    assert (told["flags"]["assistants"], told["flags"]["crons"]) == (True, True)


@requirement("system:openapi")
async def openapi(probe: Probe) -> None:
    response = await probe.client.get("/openapi.json")
    assert response.status_code == 200
    assert "/threads/{thread_id}/runs" in response.json()["paths"]


@requirement("errors:json")
async def not_json(probe: Probe) -> None:
    for path in ("/threads", "/assistants", "/runs/wait", "/store/items/search", "/runs/crons"):
        await probe.call("POST", path, content=b"{", headers=JSON, status=422)


@requirement("errors:body")
async def no_object(probe: Probe) -> None:
    for path in ("/threads", "/assistants", "/runs/wait", "/store/items/search", "/runs/crons"):
        await probe.post(path, ["a", "list"], status=422)


@requirement("errors:path")
async def no_path(probe: Probe) -> None:
    assert (await probe.get("/no-such-path", status=404))["detail"]


@requirement("errors:method")
async def no_method(probe: Probe) -> None:
    assert (await probe.call("PUT", "/threads", json={}, status=405))["detail"]
    await probe.call("DELETE", "/runs", status=405)


@requirement("errors:ids")
async def no_ids(probe: Probe) -> None:
    await probe.get("/threads/no-id", status=422)
    await probe.call("PATCH", "/threads/no-id", json={"metadata": {}}, status=422)
    await probe.call("DELETE", "/threads/no-id", status=422)
    await probe.get("/threads/no-id/state", status=422)
    await probe.post("/threads/no-id/history", {}, status=422)
    await probe.post("/threads/no-id/copy", status=REFUSED)
    await probe.get("/threads/no-id/runs", status=422)
    await probe.post("/threads/no-id/runs", {"assistant_id": "plus", "input": {}}, status=422)
    thread_id = await probe.thread()
    await probe.get(f"/threads/{thread_id}/runs/no-id", status=422)
    await probe.post(f"/threads/{thread_id}/runs/no-id/cancel", status=422)
    await probe.get("/runs/crons/no-id", status=422)
    await probe.call("DELETE", "/runs/crons/no-id", status=422)
