"""The tasks extension, over replicas."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

from agenthub_conformance.marks import requirement
from agenthub_conformance.mcp.probe import ROUNDS, TASKS, Json, Probe

DECLARES: Json = {"extensions": {TASKS: {}}, "elicitation": {}}
ENDED = ("completed", "failed", "cancelled")
POLL_SECONDS = 0.2


async def started(probe: Probe, name: str, arguments: Json) -> str:
    """The id of a new task."""
    result = await probe.call(name, arguments, declares=DECLARES)
    assert result["resultType"] == "task", f"{name} answered {json.dumps(result)[:200]}"
    return result["taskId"]


async def seen(probe: Probe, task_id: str) -> Json:
    """A task as it stands."""
    return (await probe.modern("tasks/get", {"taskId": task_id}, declares=DECLARES)).result


async def reached(probe: Probe, task_id: str, *statuses: str) -> Json:
    """A task, once it has one of these statuses."""
    while (task := await seen(probe, task_id))["status"] not in statuses:
        assert task["status"] not in ENDED, f"the task is {task['status']}"
        await asyncio.sleep(POLL_SECONDS)
    return task


@requirement("tasks:undeclared")
async def undeclared(probe: Probe) -> None:
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        params: Json = {"taskId": uuid4().hex}
        if method == "tasks/update":
            params["inputResponses"] = {}
        answer = await probe.modern(method, params)
        assert answer.error == -32021, f"{method} answered {answer.error}"
        data = answer.messages[-1]["error"]["data"]
        assert TASKS in data["requiredCapabilities"]["extensions"]


@requirement("tasks:durable")
async def durable(probe: Probe) -> None:
    for _ in range(2):
        task_id = await started(probe, "slow_compute", {"seconds": 2, "label": "durable"})
        for _ in range(ROUNDS):
            assert (await seen(probe, task_id))["taskId"] == task_id
        done = await reached(probe, task_id, "completed")
        assert "durable" in json.dumps(done["result"]["content"])
        assert (await seen(probe, task_id))["result"] == done["result"]


@requirement("tasks:foreign")
async def foreign(probe: Probe) -> None:
    for task_id in (str(uuid4()), "no-id"):
        answer = await probe.modern("tasks/get", {"taskId": task_id}, declares=DECLARES)
        assert answer.error == -32602, f"answered {answer.error}"


@requirement("tasks:questions")
async def questions(probe: Probe) -> None:
    task_id = await started(probe, "confirm_delete", {"filename": "a.txt"})
    (key,) = (await reached(probe, task_id, "input_required"))["inputRequests"]
    reply = {"action": "accept", "content": {"confirm": True}}
    for given in ({"no-such-key": reply}, {key: reply}, {key: reply}):
        params = {"taskId": task_id, "inputResponses": given}
        answer = await probe.modern("tasks/update", params, declares=DECLARES)
        assert answer.result["resultType"] == "complete"
        if key not in given:
            assert (await seen(probe, task_id))["status"] == "input_required"
    assert "True" in json.dumps((await reached(probe, task_id, "completed"))["result"])


@requirement("tasks:cancel")
async def cancelled(probe: Probe) -> None:
    task_id = await started(probe, "slow_compute", {"seconds": 60, "label": "never"})
    for _ in range(2):
        answer = await probe.modern("tasks/cancel", {"taskId": task_id}, declares=DECLARES)
        assert answer.result["resultType"] == "complete"
        await reached(probe, task_id, "cancelled")
