"""What a check talks to: one agent over one binding, with requests and answers as ProtoJSON.

An error is a `Refused` whose reason is that of the ErrorInfo, or what the binding's code stands for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import uuid4

import grpc.aio
import httpx
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc as services
from a2a.utils.grpc_status import status_from_call
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2

from agenthub_conformance.a2a.webhook import Webhook

Json: TypeAlias = Any
PATIENCE_SECONDS: Final = 15.0
EXTENSIONS: Final = "A2A-Extensions"
VERSION: Final = "A2A-Version"
REASONS: Final = {
    -32700: "PARSE_ERROR", -32600: "INVALID_REQUEST", -32601: "METHOD_NOT_FOUND",
    -32602: "INVALID_PARAMS", -32603: "INTERNAL_ERROR", -32001: "TASK_NOT_FOUND",
    -32002: "TASK_NOT_CANCELABLE", -32003: "PUSH_NOTIFICATION_NOT_SUPPORTED",
    -32004: "UNSUPPORTED_OPERATION", -32005: "CONTENT_TYPE_NOT_SUPPORTED",
    -32007: "EXTENDED_AGENT_CARD_NOT_CONFIGURED", -32008: "EXTENSION_SUPPORT_REQUIRED",
    -32009: "VERSION_NOT_SUPPORTED",
}  # fmt: skip
CONFIGS: Final = "/tasks/{taskId}/pushNotificationConfigs"
PATHS: Final = {
    "SendMessage": ("POST", "/message:send"),
    "SendStreamingMessage": ("POST", "/message:stream"),
    "GetTask": ("GET", "/tasks/{id}"),
    "ListTasks": ("GET", "/tasks"),
    "CancelTask": ("POST", "/tasks/{id}:cancel"),
    "SubscribeToTask": ("GET", "/tasks/{id}:subscribe"),
    "CreateTaskPushNotificationConfig": ("POST", CONFIGS),
    "ListTaskPushNotificationConfigs": ("GET", CONFIGS),
    "GetTaskPushNotificationConfig": ("GET", CONFIGS + "/{id}"),
    "DeleteTaskPushNotificationConfig": ("DELETE", CONFIGS + "/{id}"),
    "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
}
REQUESTS: Final[Mapping[str, Any]] = {
    **{name: getattr(pb, f"{name}Request", None) for name in PATHS},
    "SendStreamingMessage": pb.SendMessageRequest,
    "CreateTaskPushNotificationConfig": pb.TaskPushNotificationConfig,
}


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, reason: str, told: str) -> None:
        super().__init__(f"{reason}: {told}")
        self.reason = reason


@dataclass(slots=True)
class Probe:
    """One agent by one of its interfaces. `headers` go with every call; `webhook` is ours, if it may be
    called."""

    http: httpx.AsyncClient
    base: str
    card: Json
    interface: Json
    headers: dict[str, str] = field(default_factory=dict[str, str])
    webhook: Webhook | None = None

    @property
    def binding(self) -> str:
        return str(self.interface["protocolBinding"])

    @property
    def url(self) -> str:
        return str(self.interface["url"]).rstrip("/")

    async def call(
        self, method: str, params: Json = None, headers: dict[str, str] | None = None
    ) -> Json:
        """The answer to a call.

        Raises:
            Refused: it is an error.
        """
        async for answer in self.stream(method, params, headers):
            return answer
        raise AssertionError(f"{method} was not answered")

    async def send(self, text: str, *, task: Json = None, **more: Json) -> Json:
        """The task that a message makes, or goes on with."""
        return (await self.call("SendMessage", message(text, task=task, **more)))["task"]

    async def told(self, text: str, *, task: Json = None) -> list[Json]:
        """Everything that the stream of a message says."""
        return [
            event async for event in self.stream("SendStreamingMessage", message(text, task=task))
        ]

    async def reason(self, method: str, params: Json, headers: dict[str, str] | None = None) -> str:
        """Why a call is refused; empty when it is not."""
        try:
            await self.call(method, params, headers)
        except Refused as refused:
            return refused.reason
        return ""

    async def stream(
        self, method: str, params: Json = None, headers: dict[str, str] | None = None
    ) -> AsyncGenerator[Json]:
        """The answers to a call, one or many."""
        given = {**self.headers, **(headers or {})}
        body = {**({"tenant": self.interface["tenant"]} if self.interface.get("tenant") else {})}
        body |= params or {}
        binding = {"JSONRPC": self._json_rpc, "HTTP+JSON": self._http_json, "GRPC": self._grpc}
        async for answer in binding[self.binding](method, body, given):
            yield answer

    async def _json_rpc(
        self, method: str, params: Json, headers: dict[str, str]
    ) -> AsyncGenerator[Json]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.stream("POST", self.url, json=body, headers=headers) as response:
            async for said in _answers(response):
                if "error" in said:
                    error = said["error"]
                    raise Refused(REASONS.get(error["code"], str(error["code"])), error["message"])
                yield said["result"]

    async def _http_json(
        self, method: str, params: Json, headers: dict[str, str]
    ) -> AsyncGenerator[Json]:
        verb, path = PATHS[method]
        url = self.url + path.format_map(params)
        rest = {k: v for k, v in params.items() if "{" + k + "}" not in path}
        how: Json = (
            {"json": rest}
            if verb == "POST"
            else {"params": {k: _query(v) for k, v in rest.items()}}
        )
        async with self.http.stream(verb, url, headers=headers, **how) as response:
            async for said in _answers(response):
                if "error" in said:
                    error = said["error"]
                    reason = next(
                        (d["reason"] for d in error.get("details") or () if "reason" in d), ""
                    )
                    raise Refused(reason or error["status"], error["message"])
                yield said

    async def _grpc(
        self, method: str, params: Json, headers: dict[str, str]
    ) -> AsyncGenerator[Json]:
        try:
            request = ParseDict(params, REQUESTS[method]())
        except Exception as wrong:
            raise Unsendable(str(wrong)) from None
        metadata = [(name.lower(), value) for name, value in headers.items()]
        async with grpc.aio.insecure_channel(self.url) as channel:
            stub: Any = services.A2AServiceStub(channel)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # generated
            call = getattr(stub, method)(request, metadata=metadata, timeout=PATIENCE_SECONDS)
            try:
                if method in ("SendStreamingMessage", "SubscribeToTask"):
                    async for event in call:
                        yield MessageToDict(event)
                else:
                    yield MessageToDict(await call)
            except grpc.aio.AioRpcError as error:
                raise Refused(_reason(error), str(error.details())) from None


class Unsendable(Exception):
    """The binding's own types cannot say this."""


def message(text: str, *, task: Json = None, **more: Json) -> Json:
    """The parameters that send a text; to `task` by nothing but its id."""
    said: Json = {
        "messageId": f"{text}-{uuid4()}",
        "role": "ROLE_USER",
        "parts": [{"text": text}],
        **({"taskId": task["id"]} if task else {}),
        **more.pop("said", {}),
    }
    return {"message": said, **({"configuration": more} if more else {})}


def _query(value: Json) -> Json:
    return json.dumps(value) if isinstance(value, bool) else value


async def _answers(response: httpx.Response) -> AsyncGenerator[Json]:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                yield json.loads(line[5:])
    else:
        content = await response.aread()
        yield json.loads(content) if content.strip() else {}


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = status_from_call(error)  # pyright: ignore[reportArgumentType]  # as good as a call
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return error.code().name
