"""Push configs as A2A has them: where a client wants to hear of a task, and what to say there.

An address is checked when it is given and again when it is called. A config of another caller's task is
that of an unknown task.
"""

from __future__ import annotations

from typing import Final

from a2a.types import a2a_pb2 as pb

from agenthub.errors import Invalid, NotFound
from agenthub.ids import new_id
from agenthub.json import JsonObject
from agenthub.pushes import LONGEST_ID, PushConfig
from agenthub.service import Hub
from agenthub_a2a.call import Call
from agenthub_a2a.submit import own_task

LONGEST_SECRET: Final = 4096


async def read(hub: Hub, call: Call, params: pb.TaskPushNotificationConfig) -> PushConfig:
    """A config, once its address is known to be one that may be called.

    Raises:
        Invalid: it may not, or a header cannot carry what is to be sent along.
    """
    if not _can_be(params.id):
        raise Invalid(f"the id of a push config has at most {LONGEST_ID} printable characters")
    scheme, credentials = params.authentication.scheme, params.authentication.credentials
    for name, value in (("token", params.token), ("scheme", scheme), ("credentials", credentials)):
        if len(value) > LONGEST_SECRET or not (value.isascii() and value.isprintable()):
            raise Invalid(f"the {name} of a push config is sent in a header: use printable ASCII")
    host = await hub.deliveries.push_host(params.url)
    notes: JsonObject = {
        "version": call.version,
        "token": params.token,
        "scheme": scheme,
        "credentials": credentials,
    }
    return PushConfig(config_id=params.id or str(new_id()), url=params.url, host=host, notes=notes)


async def create(
    hub: Hub, call: Call, params: pb.TaskPushNotificationConfig
) -> pb.TaskPushNotificationConfig:
    """Add a config to a task, or replace the one with its id; a task that has ended takes one, too."""
    task = await own_task(hub, call, params.task_id)
    config = await read(hub, call, params)
    if not await hub.pushes.put(call.who.tenant, task.task_id, config):
        raise NotFound(f"there is no task {params.task_id!r}")
    return _shown(params.task_id, config)


async def get(
    hub: Hub, call: Call, params: pb.GetTaskPushNotificationConfigRequest
) -> pb.TaskPushNotificationConfig:
    """One config of a task."""
    for config in (await list_(hub, call, params.task_id)).configs:
        # over 0.3 the id may be left out
        if config.id == params.id or not params.id:
            return config
    raise NotFound(f"task {params.task_id!r} has no push config {params.id!r}")


async def list_(hub: Hub, call: Call, task_id: str) -> pb.ListTaskPushNotificationConfigsResponse:
    """All configs of a task; they are few, so one page holds them."""
    task = await own_task(hub, call, task_id)
    configs = await hub.pushes.list(call.who.tenant, task.task_id)
    return pb.ListTaskPushNotificationConfigsResponse(
        configs=[_shown(task_id, config) for config in configs]
    )


async def delete(hub: Hub, call: Call, params: pb.DeleteTaskPushNotificationConfigRequest) -> None:
    """Remove a config, with what it has not been told yet; one that is not there is removed."""
    task = await own_task(hub, call, params.task_id)
    if _can_be(params.id):
        await hub.pushes.delete(call.who.tenant, task.task_id, params.id)


def _can_be(id: str) -> bool:
    """Whether a config may have this id; others the database would not even look for."""
    return len(id) <= LONGEST_ID and id.isprintable()


def _shown(task_id: str, config: PushConfig) -> pb.TaskPushNotificationConfig:
    notes = config.notes
    shown = pb.TaskPushNotificationConfig(
        task_id=task_id, id=config.config_id, url=config.url, token=notes["token"]
    )
    if notes["scheme"]:
        shown.authentication.scheme = notes["scheme"]
        shown.authentication.credentials = notes["credentials"]
    return shown
