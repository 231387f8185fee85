"""Runs without a thread."""

from __future__ import annotations

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import REFUSED, Probe

PLUS = {"assistant_id": "plus", "input": {"x": 1}}


@requirement("stateless:create")
async def create(probe: Probe) -> None:
    run = await probe.post("/runs", PLUS)
    assert {"run_id", "thread_id", "assistant_id", "status"} <= run.keys()
    assert run["run_id"] in probe.last.headers["content-location"]


@requirement("stateless:wait")
async def wait(probe: Probe) -> None:
    assert await probe.post("/runs/wait", PLUS) == {"x": 2}
    assert "/runs/" in probe.last.headers["content-location"]


@requirement("stateless:wait:error")
async def wait_error(probe: Probe) -> None:
    failed = await probe.post("/runs/wait", {"assistant_id": "fail", "input": {}})
    assert failed["__error__"]["error"] == "ValueError"


@requirement("stateless:stream")
async def stream(probe: Probe) -> None:
    frames = await probe.stream("POST", "/runs/stream", json=PLUS)
    assert frames[0].event == "metadata"
    assert [f.data for f in frames if f.event == "values"] == [{"x": 1}, {"x": 2}]


@requirement("stateless:keep")
async def keep(probe: Probe) -> None:
    await probe.post("/runs/wait", {**PLUS, "on_completion": "keep"})
    thread = probe.last.headers["content-location"].split("/runs/")[0]
    assert (await probe.get(thread))["values"] == {"x": 2}


@requirement("stateless:batch")
async def batch(probe: Probe) -> None:
    runs = await probe.post("/runs/batch", [PLUS, PLUS])
    assert len({run["run_id"] for run in runs}) == 2


@requirement("stateless:malformed")
async def malformed(probe: Probe) -> None:
    await probe.post("/runs/batch", [], status=422)
    await probe.post("/runs/batch", PLUS, status=422)
    await probe.post("/runs", {"input": {}}, status=422)
    await probe.post("/runs", {**PLUS, "on_completion": "burn"}, status=422)
    answer = {"assistant_id": "plus", "command": {"resume": 1}}
    await probe.post("/runs/wait", answer, status=REFUSED)
