"""Clients of A2A 0.3 on the same addresses: the official one, and what it would not send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from a2a.compat.v0_3 import types as v03
from a2a.types.a2a_pb2 import GetTaskRequest

from protocols.a2a_client import PATIENCE_SECONDS, agent
from protocols.test_a2a_push import open_hub, receiver
from testkit.environments import Unreachable, environment
from testkit.receiver import Receiver
from testkit.waiting import eventually

__all__ = ["open_hub", "receiver"]
CLIENT = Path(__file__).with_name("a2a_old_client.py")
UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"

FILE = {"kind": "message", "messageId": "1", "role": "user"}


def with_bytes(encoded: str) -> dict[str, Any]:
    return {"kind": "file", "file": {"bytes": encoded, "mimeType": "a/b"}}


def with_levels(levels: int) -> dict[str, Any]:
    data: Any = True
    for _ in range(levels):
        data = {"a": data}
    return {"kind": "data", "data": data}


def deep(levels: int) -> dict[str, Any]:
    part = {"data": {"data": with_levels(levels)["data"]}}
    return {"message": {"messageId": "1", "role": "ROLE_USER", "content": [part]}}


@pytest.fixture
async def raw(hub_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """Bare requests to the interface of `ship`."""
    url = f"{hub_url}/agents/ship/a2a"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
        yield client


def said(text: str = "shoes", **more: Any) -> v03.Message:
    part = v03.Part(root=v03.TextPart(text=text))
    return v03.Message(message_id=str(uuid4()), role=v03.Role.user, parts=[part], **more)


async def rpc(
    raw: httpx.AsyncClient, method: str, params: Any, headers: dict[str, str] | None = None
) -> Any:
    """The whole answer to a method of 0.3."""
    if isinstance(params, v03.Message):
        params = {"message": params.model_dump(mode="json", by_alias=True, exclude_none=True)}
    body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}
    return (await raw.post("", json=body, headers=headers)).json()


@pytest.mark.parametrize("transport", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_the_official_client_of_0_3_finds_asks_answers_and_is_told(
    grpc_hub: tuple[str, str], receiver: Receiver, transport: str
) -> None:
    open_hub, _ = grpc_hub
    try:
        programs = await asyncio.to_thread(environment, "a2a-0.3")
    except Unreachable as away:
        pytest.skip(f"the client of 0.3 cannot be fetched: {away}")
    client = await asyncio.create_subprocess_exec(
        programs / "python", CLIENT, open_hub, transport, receiver.url,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await client.communicate()
    assert client.returncode == 0
    seen = json.loads(out)
    assert (seen["version"], seen["url"]) == ("0.3", f"{open_hub}/agents/ship/a2a")
    for how in ("send", "stream"):
        one = seen[how]
        assert (one["state"], one["question"]) == ("input-required", "Ship shoes?")
        assert one["data"] == {"order": "shoes", "shipped": True}
        assert (one["read"], one["config"], len(one["errors"])) == ("completed", "c", 2)
    assert seen["send"]["asked"] == ["task"]
    assert seen["stream"]["asked"] == ["task", "status-update", "status-update"]
    assert seen["stream"]["answered"][-2:] == ["artifact-update", "status-update"]
    await eventually(lambda: len(receiver.got) == 4)
    last = receiver.got[-1]
    task = v03.Task.model_validate(last.json)
    assert task.status.state == v03.TaskState.completed
    assert last.headers["x-a2a-notification-token"] == "t"


async def test_a_task_of_0_3_is_one_of_1_0(raw: httpx.AsyncClient, hub_url: str) -> None:
    answer = await rpc(raw, "message/send", said())
    task = v03.Task.model_validate(answer["result"])
    async with agent(hub_url, "ship") as ship:
        read = await ship.client.get_task(GetTaskRequest(id=task.id))
    assert read.context_id == task.context_id
    assert read.history[0].parts[0].text == "shoes"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("message/send", {}, -32602),
        ("message/send", {"message": {"kind": "message"}}, -32602),
        ("message/stream", {"message": 7}, -32602),
        ("message/send", {"message": {**FILE, "parts": [with_bytes("aGk=")]}}, -32005),
        ("message/send", {"message": {**FILE, "parts": [with_bytes("a")]}}, -32602),
        ("message/send", {"message": {**FILE, "parts": [with_levels(30)]}}, -32602),
        ("message/send", {"message": {**FILE, "parts": [with_levels(40)]}}, -32602),
        ("message/stream", {"message": {**FILE, "parts": [with_levels(200)]}}, -32602),
        ("tasks/get", {"id": UNKNOWN}, -32001),
        ("tasks/get", {"id": 7}, -32602),
        ("tasks/get", {"id": UNKNOWN, "historyLength": 99_999_999_999}, -32602),
        (
            "message/send",
            {
                "message": {**FILE, "parts": [{"kind": "text", "text": "hi"}]},
                "configuration": {"historyLength": 99_999_999_999},
            },
            -32602,
        ),
        ("tasks/cancel", {"id": UNKNOWN}, -32001),
        ("tasks/pushNotificationConfig/list", {"id": UNKNOWN}, -32001),
        (
            "tasks/pushNotificationConfig/get",
            {"id": UNKNOWN, "pushNotificationConfigId": "c"}, -32001,
        ),
        (
            "tasks/pushNotificationConfig/delete",
            {"id": UNKNOWN, "pushNotificationConfigId": "c"}, -32001,
        ),
        ("tasks/nonsense", {}, -32601),
    ],
)  # fmt: skip
async def test_what_is_wrong_has_the_code_that_0_3_gives_it(
    raw: httpx.AsyncClient, method: str, params: Any, code: int
) -> None:
    answer = await rpc(raw, method, params)
    assert (answer["error"]["code"], answer["id"]) == (code, "1")


async def test_a_method_of_0_3_with_another_version_is_refused(raw: httpx.AsyncClient) -> None:
    fine = await rpc(raw, "tasks/get", {"id": UNKNOWN}, {"A2A-Version": "0.3"})
    assert fine["error"]["code"] == -32001
    refused = await rpc(raw, "tasks/get", {"id": UNKNOWN}, {"A2A-Version": "1.0"})
    assert "1.0" in refused["error"]["message"]


async def test_a_foreign_task_looks_like_an_unknown_one(
    raw: httpx.AsyncClient, hub_url: str
) -> None:
    async with agent(hub_url, "book") as book:
        foreign = await book.send("a trip")
    for method in ("tasks/get", "tasks/cancel", "tasks/pushNotificationConfig/list"):
        answers = [await rpc(raw, method, {"id": id}) for id in (foreign.id, UNKNOWN)]
        assert answers[0]["error"]["code"] == answers[1]["error"]["code"] == -32001
    for path in ("", ":subscribe", "/pushNotificationConfigs"):
        for version in ("/v1", ""):
            response = await raw.get(f"{version}/tasks/{foreign.id}{path}")
            assert response.status_code == 404


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v1/message:send", {"content": b"{"}, 400),
        ("/v1/message:send", {"json": {}}, 400),
        ("/v1/message:stream", {"json": {}}, 400),
        ("/v1/message:send", {"json": {"message": {"role": "ROLE_WIZARD"}}}, 400),
        ("/v1/message:send", {"json": {}, "headers": {"A2A-Version": "1.0"}}, 400),
        ("/v1/message:send", {"json": deep(30)}, 400),
        ("/v1/message:send", {"json": deep(40)}, 400),
        (f"/v1/tasks/{UNKNOWN}:cancel", {}, 404),
        (f"/v1/tasks/{UNKNOWN}:subscribe", {}, 404),
    ],
)
async def test_what_is_wrong_over_http_is_an_http_error_even_of_a_stream(
    raw: httpx.AsyncClient, path: str, sent: dict[str, Any], status: int
) -> None:
    response = await raw.post(
        path, headers={"Content-Type": "application/json", **sent.pop("headers", {})}, **sent
    )
    assert (response.status_code, response.json()["error"]["code"]) == (status, status)
    assert response.json()["error"]["details"]


async def test_a_config_of_0_3_is_removed_over_http(open_hub: str) -> None:
    url = f"{open_hub}/agents/ship/a2a"
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as raw:
        task = (await rpc(raw, "message/send", said()))["result"]
        config = {"id": "c", "url": "http://127.0.0.1:9"}
        params = {"taskId": task["id"], "pushNotificationConfig": config}
        await rpc(raw, "tasks/pushNotificationConfig/set", params)
        asked = {"id": task["id"]}
        (listed,) = (await rpc(raw, "tasks/pushNotificationConfig/list", asked))["result"]
        # over 0.3 the id of the config may be left out
        found = (await rpc(raw, "tasks/pushNotificationConfig/get", asked))["result"]
        assert listed == found
        path = f"/v1/tasks/{task['id']}/pushNotificationConfigs/c"
        assert (await raw.get(path)).status_code == 200
        assert (await raw.delete(path)).status_code == 200
        assert (await raw.get(path)).status_code == 404
