"""What a push notification says: the task, as it stood when it came to the state that is told.

The whole task and not an update, so that a receiver needs nothing else, in the form of the version that
its client speaks. It is written when it is first sent, from what is stored, and kept until it arrives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from a2a.compat.v0_3.conversions import to_compat_task
from a2a.types import a2a_pb2 as pb
from a2a.utils.constants import A2A_JSON_MEDIA_TYPE
from google.protobuf.json_format import MessageToDict

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.deliveries import Delivery, Letter
from agenthub.errors import HubError
from agenthub.events import ENDED
from agenthub.json import JsonObject, dumps
from agenthub.ports import EventLog, RunStore
from agenthub.pushes import PushConfig, PushConfigs, read_order_key
from agenthub.runs import Task, task_status
from agenthub_a2a.convert import to_a2a_task
from agenthub_a2a.live import MARKS, SHOWN, Live

TOKEN: Final = "x-a2a-notification-token"  # noqa: S105  # the header's name
PAGE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLetters:
    """Makes what is sent of every kind of `agenthub.pushes.TaskNews`."""

    runs: RunStore
    log: EventLog
    agents: Agents
    pushes: PushConfigs

    async def __call__(self, delivery: Delivery) -> Letter | None:
        """None: the task or the config is gone."""
        assert delivery.order_key is not None
        task_id, config_id = read_order_key(delivery.order_key)
        configs = await self.pushes.list(delivery.tenant, task_id)
        config = next((c for c in configs if c.config_id == config_id), None)
        if config is None:
            return None
        body = delivery.payload
        if body is None:
            task = await self.runs.task(delivery.tenant, task_id)
            told = None if task is None else _as_it_stood(task, delivery)
            if told is None:
                return None
            body = _encoded(await self._shown(told, delivery), config.notes)
        return Letter(body, _headers(config, delivery))

    async def _shown(self, task: Task, delivery: Delivery) -> pb.Task:
        try:
            info = self.agents.get(task.agent)
        except HubError:
            # what its output is, nobody knows without it
            info = None
        live = Live(info or AgentInfo(name=task.agent, description=""), task)
        if delivery.kind != "task.working":
            await self._fold(live, task, delivery)
        # the history is what the receiver's own client has said and heard
        shown = to_a2a_task(
            live.info,
            task,
            output=live.text,
            emitted=live.emitted,
            artifacts=info is not None,
            generation=live.seq or task.runs[-1].after_seq,
        )
        del shown.history[:]
        return shown

    async def _fold(self, live: Live, task: Task, delivery: Delivery) -> None:
        """Read what was said, up to the end that is told."""
        while True:
            page = await self.log.read(
                task.tenant, task.task_id, after=live.seq, limit=PAGE, kinds=SHOWN, bare=MARKS
            )
            for event in page:
                live.absorb(event)
                if (
                    delivery.kind == "task.ended"
                    and event.kind == ENDED
                    and event.run_id == delivery.run_id
                ):
                    return
            if len(page) < PAGE:
                return


def _as_it_stood(task: Task, delivery: Delivery) -> Task | None:
    """The task as the delivery is to tell it; None when its run has been deleted."""
    if delivery.kind == "task.canceled":
        return replace(task, status="canceled")
    runs = tuple(run for run in task.runs if run.run_id <= delivery.run_id)
    if not runs or runs[-1].run_id != delivery.run_id:
        return None
    run = runs[-1]
    if delivery.kind == "task.working":
        return replace(task, status="working", runs=runs, updated_at=run.created_at)
    status = task_status(run.status, run.interrupts)
    return replace(task, status=status, runs=runs, updated_at=run.ended_at or task.updated_at)


def _encoded(task: pb.Task, notes: JsonObject) -> bytes:
    if notes["version"] == "0.3":
        return to_compat_task(task).model_dump_json(by_alias=True, exclude_none=True).encode()
    return dumps(MessageToDict(pb.StreamResponse(task=task)))


def _headers(config: PushConfig, delivery: Delivery) -> dict[str, str]:
    notes = config.notes
    old = notes["version"] == "0.3"
    headers = {"content-type": "application/json" if old else A2A_JSON_MEDIA_TYPE}
    if delivery.target != config.url:
        # the config was replaced this very moment: the new address's secrets are none of the old one's
        return headers
    if notes["token"]:
        headers[TOKEN] = notes["token"]
    if notes["scheme"]:
        headers["authorization"] = f"{notes['scheme']} {notes['credentials']}".strip()
    return headers
