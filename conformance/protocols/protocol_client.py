"""The event-streaming protocol as its client sees it: events, commands, and what they must look like."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from itertools import count
from typing import Any

import httpx
from langchain_protocol import protocol as spec
from pydantic import TypeAdapter
from pydantic.warnings import PydanticDeprecatedSince20

from protocols.rest_client import frames

ALL = ["values", "updates", "messages", "tools", "lifecycle", "input"]
ALL += ["checkpoints", "tasks", "custom"]
_ids = count(1)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    DATA: dict[str, TypeAdapter[Any]] = {
        "lifecycle": TypeAdapter(spec.LifecycleData),
        "messages": TypeAdapter(spec.MessagesData),
        "tools": TypeAdapter(spec.ToolsData),
        "input.requested": TypeAdapter(spec.InputRequestedData),
        "updates": TypeAdapter(spec.UpdatesData),
        "checkpoints": TypeAdapter(spec.Checkpoint),
        "custom": TypeAdapter(spec.CustomData),
    }
    EVENT: TypeAdapter[Any] = TypeAdapter(spec.Event)
    ANSWER: TypeAdapter[Any] = TypeAdapter(spec.CommandResponse | spec.ErrorResponse)


def checked(event: Any) -> Any:
    """An event that the specification knows."""
    EVENT.validate_python(event, strict=True)
    params = event["params"]
    assert set(params) - {"node"} == {"namespace", "timestamp", "data"}
    if event["method"] in DATA:
        DATA[event["method"]].validate_python(params["data"], strict=True)
    return event


async def told(
    raw: httpx.AsyncClient, thread_id: str, *, headers: Any = None, **body: Any
) -> AsyncIterator[Any]:
    """The events of a subscription."""
    path = f"/threads/{thread_id}/stream/events"
    asked = {"channels": ALL, **body}
    async with raw.stream("POST", path, json=asked, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async for frame in frames(response.aiter_lines()):
            event = checked(frame.data)
            assert frame.event == event["method"]
            assert frame.id == event["event_id"] == str(event["seq"])
            yield event


def is_end(event: Any) -> bool:
    """Whether the root graph has come to an end or to a question."""
    return (
        event["method"] == "lifecycle"
        and event["params"]["namespace"] == []
        and event["params"]["data"]["event"] in ("completed", "failed", "interrupted")
    )


async def until(
    raw: httpx.AsyncClient,
    thread_id: str,
    done: Callable[[Any], bool] = is_end,
    *,
    times: int = 1,
    **how: Any,
) -> list[Any]:
    """The events of a subscription, up to and with the n-th that is `done`."""
    found: list[Any] = []
    stream: Any = told(raw, thread_id, **how)
    async with aclosing(stream):
        async for event in stream:
            found.append(event)
            times -= done(event)
            if not times:
                return found
    raise AssertionError("a thread's stream has no end")


async def command(raw: httpx.AsyncClient, thread_id: str, method: str, **params: Any) -> Any:
    """The answer to a command."""
    id_ = next(_ids)
    body = {"id": id_, "method": method, "params": params}
    response = await raw.post(f"/threads/{thread_id}/commands", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    ANSWER.validate_python(answer)
    assert answer["id"] == id_
    return answer


async def done(raw: httpx.AsyncClient, thread_id: str, method: str, **params: Any) -> Any:
    """The result of a command that is carried out."""
    answer = await command(raw, thread_id, method, **params)
    assert answer["type"] == "success", answer
    return answer["result"]


async def refusal(raw: httpx.AsyncClient, thread_id: str, method: str, **params: Any) -> str:
    """The code of a command that is refused."""
    answer = await command(raw, thread_id, method, **params)
    assert answer["type"] == "error", answer
    assert answer["message"]
    return answer["error"]


def data(found: list[Any], method: str) -> list[Any]:
    """The payloads of a channel's events."""
    return [event["params"]["data"] for event in found if event["method"] == method]
