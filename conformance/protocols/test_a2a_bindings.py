"""The official client over HTTP+JSON: every operation of JSON-RPC, on the same tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from a2a.types.a2a_pb2 import CancelTaskRequest, GetTaskRequest, ListTasksRequest
from a2a.utils.errors import (
    A2AError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from protocols.a2a_client import (
    PATIENCE_SECONDS,
    agent,
    collect,
    data,
    kinds,
    questions,
    state,
    streamed,
    text,
)

HTTP = "HTTP+JSON"
UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"
HELLO = {"message": {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}}


@pytest.fixture
async def raw(hub_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    """Bare requests to the interface of `echo`."""
    url = f"{hub_url}/agents/echo/a2a"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
        yield client


async def test_a_message_becomes_a_task_with_its_result(hub_url: str) -> None:
    async with agent(hub_url, "echo", binding=HTTP) as echo:
        task = await echo.send("hello")
        read = await echo.get(task)
    assert (state(task), text(task, "result")) == ("COMPLETED", "hello")
    assert read.artifacts == task.artifacts


async def test_a_stream_tells_what_it_tells_over_json_rpc(hub_url: str) -> None:
    said: list[list[str]] = []
    for binding in (HTTP, "JSONRPC"):
        async with agent(hub_url, "story", streaming=True, binding=binding) as story:
            events = await collect(story.stream("tell"))
        said.append([kinds(events)[0], *kinds(events)[-2:], streamed(events, "output")])
    assert said[0] == said[1]
    assert said[0][:3] == ["task", "result", "COMPLETED"]


async def test_a_question_is_answered_over_the_other_binding(hub_url: str) -> None:
    async with (
        agent(hub_url, "ship", binding=HTTP) as ship,
        agent(hub_url, "ship") as other,
    ):
        asked = await ship.send("shoes")
        assert state(asked) == "INPUT_REQUIRED"
        assert questions(asked)
        done = await other.send("yes", task=asked)
    assert data(done) == {"order": "shoes", "shipped": True}


async def test_a_subscription_begins_with_the_task_and_goes_on_to_its_end(
    hub_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with agent(hub_url, "gated", streaming=True, binding=HTTP) as gated:
        stream = aiter(gated.stream({"gate": str(gate)}))
        task = (await anext(stream)).task
        following = aiter(gated.subscribe(task))
        first = await anext(following)
        gate.touch()
        rest = await collect(following)
    assert first.task.id == task.id
    assert kinds(rest)[-2:] == ["result", "COMPLETED"]


async def test_tasks_are_listed_page_by_page(hub_url: str) -> None:
    async with agent(hub_url, "echo", binding=HTTP) as echo:
        context_id = str(uuid4())
        for word in ("one", "two", "three"):
            await echo.send(word, context_id=context_id)
        wanted = ListTasksRequest(context_id=context_id, page_size=2, include_artifacts=True)
        page = await echo.client.list_tasks(wanted)
        wanted.page_token = page.next_page_token
        last = await echo.client.list_tasks(wanted)
    assert [text(task, "result") for task in (*page.tasks, *last.tasks)] == ["three", "two", "one"]
    assert (page.total_size, last.next_page_token) == (3, "")


async def test_a_task_is_cancelled_once(hub_url: str) -> None:
    async with agent(hub_url, "waits", streaming=True, binding=HTTP) as waits:
        task = (await anext(aiter(waits.stream("go")))).task
        cancelled = await waits.client.cancel_task(CancelTaskRequest(id=task.id))
        assert state(cancelled) == "CANCELED"
        with pytest.raises(TaskNotCancelableError):
            await waits.client.cancel_task(CancelTaskRequest(id=task.id))
        with pytest.raises(UnsupportedOperationError):
            await collect(waits.subscribe(task))


async def test_an_unknown_task_and_one_of_another_agent_look_alike(hub_url: str) -> None:
    async with (
        agent(hub_url, "echo", binding=HTTP) as echo,
        agent(hub_url, "ship", binding=HTTP) as ship,
    ):
        foreign = await ship.send("shoes")
        for id in (UNKNOWN, foreign.id, "nonsense"):
            said: list[str] = []
            for call in (
                echo.client.get_task(GetTaskRequest(id=id)),
                echo.client.cancel_task(CancelTaskRequest(id=id)),
            ):
                with pytest.raises(TaskNotFoundError) as refused:
                    await call
                said.append(str(refused.value).replace(id, "it"))
            assert set(said) == {"there is no task 'it'"}


async def test_a_typed_refusal_comes_back_as_the_same_error(hub_url: str) -> None:
    async with agent(hub_url, "add", binding=HTTP) as add:
        with pytest.raises(InvalidParamsError):
            await add.send("no object")
        with pytest.raises(A2AError):
            await collect(add.stream("no object"))


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "reason"),
    [
        ("GET", f"/tasks/{UNKNOWN}", {}, 404, "TASK_NOT_FOUND"),
        ("GET", f"/tasks/{UNKNOWN}?historyLength=-1", {}, 400, "INVALID_PARAMS"),
        ("GET", f"/tasks/{UNKNOWN}?historyLength=x", {}, 400, "INVALID_REQUEST"),
        ("GET", "/tasks?status=TASK_STATE_RUNNING", {}, 400, "INVALID_PARAMS"),
        ("GET", "/tasks?pageSize=0", {}, 400, "INVALID_PARAMS"),
        ("GET", "/extendedAgentCard", {}, 400, "UNSUPPORTED_OPERATION"),
        ("POST", f"/tasks/{UNKNOWN}:cancel", {}, 404, "TASK_NOT_FOUND"),
        ("POST", f"/tasks/{UNKNOWN}:subscribe", {}, 404, "TASK_NOT_FOUND"),
        ("GET", f"/tasks/{UNKNOWN}:subscribe", {}, 404, "TASK_NOT_FOUND"),
        ("POST", "/message:send", {"content": b"{"}, 400, "INVALID_REQUEST"),
        ("POST", "/message:send", {"content": b"[" * 3000}, 400, "INVALID_REQUEST"),
        ("POST", "/message:send", {"content": b""}, 400, "INVALID_REQUEST"),
        ("POST", "/message:send", {"json": []}, 400, "INVALID_REQUEST"),
        ("POST", "/message:send", {"json": {}}, 400, "INVALID_PARAMS"),
        ("POST", "/message:send", {"json": {"message": 7}}, 400, "INVALID_REQUEST"),
        ("POST", "/message:stream", {"json": {}}, 400, "INVALID_PARAMS"),
        (
            "POST", "/message:send",
            {"json": {"message": {**HELLO["message"], "role": "ROLE_WIZARD"}}}, 400,
            "INVALID_PARAMS",
        ),
        (
            "POST", "/message:send", {"json": HELLO, "headers": {"A2A-Version": "0.3"}}, 400,
            "VERSION_NOT_SUPPORTED",
        ),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_as_google_says_it(
    raw: httpx.AsyncClient, method: str, path: str, sent: dict[str, Any], status: int, reason: str
) -> None:
    headers = {"Content-Type": "application/a2a+json", **sent.pop("headers", {})}
    response = await raw.request(method, path, headers=headers, **sent)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, status)
    assert error["status"] == {404: "NOT_FOUND"}.get(status, error["status"])
    (info, *_) = error["details"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["reason"], info["domain"]) == (reason, "a2a-protocol.org")


@pytest.mark.parametrize("path", ["/message:send", "/message:stream", ""])
@pytest.mark.parametrize(("levels", "place"), [(30, "data"), (36, "data"), (31, "metadata")])
async def test_what_is_nested_too_deep_to_be_shown_again_is_refused(
    raw: httpx.AsyncClient, path: str, levels: int, place: str
) -> None:
    value: Any = True
    for _ in range(levels):
        value = {"a": value}
    context = str(uuid4())
    part = {"text": "hello", "metadata": value} if place == "metadata" else {"data": value}
    body: Any = {"message": {**HELLO["message"], "contextId": context, "parts": [part]}}
    if not path:
        body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": body}
    refused = (await raw.post(path, json=body)).json()["error"]
    assert refused["code"] == (400 if path else -32602)
    assert "nested deeper" in refused["message"]
    listed = await raw.get("/tasks", params={"contextId": context})
    assert (listed.status_code, listed.json()["totalSize"]) == (200, 0)


async def test_what_is_not_json_is_refused_as_a_content_type(raw: httpx.AsyncClient) -> None:
    response = await raw.post(
        "/message:send", content=b"a=b", headers={"Content-Type": "text/plain"}
    )
    assert response.json()["error"]["details"][0]["reason"] == "CONTENT_TYPE_NOT_SUPPORTED"


async def test_every_path_exists_below_a_tenant_and_answers_as_a2a_json(
    raw: httpx.AsyncClient,
) -> None:
    answer = await raw.post("/anyone/message:send", json=HELLO)
    assert answer.headers["content-type"] == "application/a2a+json"
    id = answer.json()["task"]["id"]
    read = await raw.get(f"/anyone/tasks/{id}", headers={"A2A-Version": "1.0"})
    assert read.json()["id"] == id


async def test_an_unknown_agent_is_an_http_error(raw: httpx.AsyncClient, hub_url: str) -> None:
    response = await raw.post(f"{hub_url}/agents/nobody/a2a/message:send", json=HELLO)
    assert response.status_code == 404
    assert "nobody" in response.json()["error"]["message"]
