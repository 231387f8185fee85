"""The official A2A client, with the few lines around it that every test would repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import grpc.aio
import httpx
from a2a.client import Client, ClientCallContext, ClientConfig, create_client
from a2a.types.a2a_pb2 import (
    GetTaskRequest,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from google.protobuf.json_format import MessageToDict, ParseDict

PATIENCE_SECONDS = 90


class Agent:
    """One agent behind the official client; every call ends within `PATIENCE_SECONDS`."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def send(self, *content: Any, **how: Any) -> Task:
        """Send a message and return the task of the answer."""
        async for answer in self.client.send_message(request(*content, **how), context=limit(how)):
            return answer.task
        raise AssertionError("there was no answer")

    def stream(self, *content: Any, **how: Any) -> AsyncIterator[StreamResponse]:
        """Send a message and yield what comes back."""
        return self.client.send_message(request(*content, **how), context=limit(how))

    def subscribe(self, task: Task) -> AsyncIterator[StreamResponse]:
        """Follow a task."""
        return self.client.subscribe(SubscribeToTaskRequest(id=task.id), context=limit({}))

    async def get(self, task: Task, **how: Any) -> Task:
        """Read a task."""
        return await self.client.get_task(GetTaskRequest(id=task.id, **how))


@asynccontextmanager
async def agent(
    hub_url: str, name: str, *, streaming: bool = False, binding: str = "JSONRPC"
) -> AsyncGenerator[Agent]:
    """An agent, found by its card."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as http:
        config = ClientConfig(
            streaming=streaming,
            httpx_client=http,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=[binding],
        )
        async with await create_client(f"{hub_url}/agents/{name}", config) as client:
            yield Agent(client)


def request(
    *content: Any,
    task: Task | None = None,
    context_id: str = "",
    headers: dict[str, str] | None = None,
    message_id: str = "",
    **configuration: Any,
) -> SendMessageRequest:
    """A message of text (a string) and data (anything else) parts."""
    body = {
        "messageId": message_id or str(uuid4()),
        "role": "ROLE_USER",
        "parts": [{"text": c} if isinstance(c, str) else {"data": c} for c in content],
        "contextId": context_id,
        "taskId": task.id if task is not None else "",
    }
    return ParseDict({"message": body, "configuration": configuration}, SendMessageRequest())


def limit(how: dict[str, Any]) -> ClientCallContext:
    """The headers of a call, if any, and its time limit."""
    return ClientCallContext(
        service_parameters=how.get("headers") or {}, timeout=float(PATIENCE_SECONDS)
    )


async def collect(stream: AsyncIterator[StreamResponse]) -> list[StreamResponse]:
    """Everything that a stream says until the server closes it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [event async for event in stream]


def kinds(events: list[StreamResponse]) -> list[str]:
    """What sort of event each is: `task`, the state of a status, or the artifact."""
    return [
        TaskState.Name(event.status_update.status.state).removeprefix("TASK_STATE_")
        if event.HasField("status_update")
        else event.artifact_update.artifact.artifact_id or "task"
        for event in events
    ]


def state(task: Task) -> str:
    """The name of a task's state."""
    return TaskState.Name(task.status.state).removeprefix("TASK_STATE_")


def data(task: Task) -> Any:
    """The data of a task's result."""
    (result,) = [a for a in task.artifacts if a.artifact_id == "result"]
    return MessageToDict(result.parts[0].data)


def text(task: Task, artifact_id: str) -> str:
    """The text of an artifact of a task."""
    (artifact,) = [a for a in task.artifacts if a.artifact_id == artifact_id]
    return "".join(part.text for part in artifact.parts)


def streamed(events: list[StreamResponse], artifact_id: str, before: str = "") -> str:
    """The text of an artifact as the updates of a stream make it."""
    for event in events:
        update = event.artifact_update
        if event.HasField("artifact_update") and update.artifact.artifact_id == artifact_id:
            said = "".join(part.text for part in update.artifact.parts)
            before = before + said if update.append else said
    return before


def questions(task: Task) -> list[dict[str, Any]]:
    """The open questions of a task."""
    return MessageToDict(task.status.message.parts[1].data)["interrupts"]
