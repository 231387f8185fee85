"""Drives an agent with the official client of A2A 0.3, in an environment that has nothing of ours.

    python a2a_old_client.py HUB_URL TRANSPORT WEBHOOK_URL

Prints what it saw as JSON; the test says what it must be.
"""
# pyright: basic

from __future__ import annotations

import asyncio
import json
import sys
from uuid import uuid4

import grpc.aio
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import (
    Message,
    Part,
    PushNotificationConfig,
    Role,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TextPart,
)


def message(text: str, task_id: str | None = None) -> Message:
    part = Part(root=TextPart(text=text))
    return Message(message_id=str(uuid4()), role=Role.user, task_id=task_id, parts=[part])


async def talk(client, webhook: str) -> dict:
    seen: dict = {"asked": [], "answered": []}
    task, update = None, None
    async for task, update in client.send_message(message("shoes")):  # noqa: B007  # the last one counts
        seen["asked"].append(update.kind if update else "task")
    seen["state"] = task.status.state.value
    seen["question"] = task.status.message.parts[0].root.text
    config = PushNotificationConfig(id="c", url=webhook, token="t")
    made = await client.set_task_callback(
        TaskPushNotificationConfig(task_id=task.id, push_notification_config=config)
    )
    seen["config"] = made.push_notification_config.id
    async for task, update in client.send_message(message("yes", task.id)):  # noqa: B007, B020
        seen["answered"].append(update.kind if update else "task")
    seen["data"] = task.artifacts[-1].parts[0].root.data
    seen["read"] = (await client.get_task(TaskQueryParams(id=task.id))).status.state.value
    seen["errors"] = []
    for call in (
        client.cancel_task(TaskIdParams(id=task.id)),
        client.get_task(TaskQueryParams(id=str(uuid4()))),
    ):
        try:
            await call
        except Exception as error:
            seen["errors"].append(str(error))
    return seen


async def main(hub_url: str, transport: str, webhook: str) -> None:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        card = await A2ACardResolver(http, f"{hub_url}/agents/ship/v0.3").get_agent_card()
        seen: dict = {"version": card.protocol_version, "url": card.url}
        for streaming in (False, True):
            config = ClientConfig(
                streaming=streaming,
                httpx_client=http,
                grpc_channel_factory=grpc.aio.insecure_channel,
                supported_transports=[transport],
            )
            client = ClientFactory(config).create(card)
            seen["stream" if streaming else "send"] = await talk(client, webhook)
        json.dump(seen, sys.stdout)


asyncio.run(main(*sys.argv[1:]))
