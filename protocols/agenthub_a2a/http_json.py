"""The HTTP+JSON binding, of 1.0 and, below `/v1`, of 0.3.

The SDK's dispatcher and its handler for 0.3 do the conversion; here is what they leave out: bounds,
strict JSON, enum values in bodies and queries, the first event of a stream before its headers, and
typed errors for whatever cannot be read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias, cast

from a2a.compat.v0_3 import a2a_v0_3_pb2 as v03_pb
from a2a.compat.v0_3 import types as v03
from a2a.compat.v0_3.context_builders import V03ServerCallContextBuilder
from a2a.compat.v0_3.rest_handler import REST03Handler
from a2a.server.context import ServerCallContext
from a2a.server.routes.common import create_event_source_response
from a2a.server.routes.rest_dispatcher import RestDispatcher
from a2a.types import a2a_pb2 as pb
from a2a.utils.constants import A2A_JSON_MEDIA_TYPE
from a2a.utils.error_handlers import build_rest_error_payload, rest_error_handler
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InvalidParamsError,
    InvalidRequestError,
)
from a2a.utils.proto_utils import parse_params
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agenthub.errors import HubError
from agenthub.json import JsonObject, dumps, loads
from agenthub_a2a.card import agent_path
from agenthub_a2a.enums import unknown_enum
from agenthub_a2a.errors import http_refusal, readable
from agenthub_a2a.handler import Operations
from agenthub_a2a.numbering import numbered
from agenthub_a2a.receive import Context, Intake, Received, Version, is_json

Serve: TypeAlias = Callable[[Received], Awaitable[Response]]
Unary: TypeAlias = Callable[[Request, ServerCallContext], Awaitable[JsonObject]]
Streaming: TypeAlias = Callable[[Request, ServerCallContext], AsyncIterator[JsonObject]]

TASK: Final = "/tasks/{id}"
CONFIGS: Final = "/tasks/{id}/pushNotificationConfigs"
CONFIG: Final = "/tasks/{id}/pushNotificationConfigs/{push_id}"


class Dispatcher(RestDispatcher):
    """The SDK's dispatcher, without the empty fields that it prints for every message of a list."""

    @rest_error_handler
    async def list_tasks(self, request: Request) -> Response:
        params = pb.ListTasksRequest()
        parse_params(request.query_params, params)
        listed = await self.request_handler.on_list_tasks(params, self._build_call_context(request))
        required: JsonObject = {"tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0}
        return JSONResponse({**required, **MessageToDict(listed)}, media_type=A2A_JSON_MEDIA_TYPE)


class HttpJson:
    """The endpoints of all agents."""

    def __init__(self, operations: Operations, intake: Intake) -> None:
        self.intake = intake
        self.dispatcher = Dispatcher(operations, Context())
        self.old = Old(operations)

    @property
    def routes(self) -> Sequence[Route]:
        """The routes; those of 1.0 exist below `/{tenant}`, too, which says nothing here."""
        base = agent_path("{name}")
        old = [
            self._route(f"{base}/v1{path}", method, serve, body, "0.3")
            for path, method, serve, body in self._old_operations()
        ]
        return old + [
            self._route(base + prefix + path, method, serve, body, "1.0")
            for prefix in ("", "/{tenant}")
            for path, method, serve, body in self._operations()
        ]

    def _operations(self) -> Sequence[tuple[str, str, Serve, type[Message] | None]]:
        do = self.dispatcher
        return (
            ("/message:send", "POST", do.on_message_send, pb.SendMessageRequest),
            ("/message:stream", "POST", do.on_message_send_stream, pb.SendMessageRequest),
            (f"{TASK}:cancel", "POST", do.on_cancel_task, None),
            # GET by the proto's annotations, POST by the specification's text
            (f"{TASK}:subscribe", "GET", do.on_subscribe_to_task, None),
            (f"{TASK}:subscribe", "POST", do.on_subscribe_to_task, None),
            (CONFIG, "GET", do.get_push_notification, None),
            (CONFIG, "DELETE", do.delete_push_notification, None),
            (CONFIGS, "POST", do.set_push_notification, pb.TaskPushNotificationConfig),
            (CONFIGS, "GET", do.list_push_notifications, None),
            (TASK, "GET", do.on_get_task, None),
            ("/tasks", "GET", do.list_tasks, pb.ListTasksRequest),
            ("/extendedAgentCard", "GET", do.handle_authenticated_agent_card, None),
        )

    def _old_operations(self) -> Sequence[tuple[str, str, Serve, type[Message] | None]]:
        old, handler = self.old, self.old.handler
        sent = v03_pb.SendMessageRequest
        subscribe = old.streaming(handler.on_subscribe_to_task)
        return (
            ("/message:send", "POST", old.unary(handler.on_message_send), sent),
            ("/message:stream", "POST", old.streaming(handler.on_message_send_stream), sent),
            (f"{TASK}:cancel", "POST", old.unary(handler.on_cancel_task), None),
            (f"{TASK}:subscribe", "GET", subscribe, None),
            (f"{TASK}:subscribe", "POST", subscribe, None),
            (CONFIG, "GET", old.unary(handler.get_push_notification), None),
            (CONFIG, "DELETE", old.unary(old.delete_config), None),
            (CONFIGS, "POST", old.unary(handler.set_push_notification), None),
            (CONFIGS, "GET", old.unary(handler.list_push_notifications), None),
            (TASK, "GET", old.unary(handler.on_get_task), None),
            ("/card", "GET", old.unary(handler.on_get_extended_agent_card), None),
        )

    def _route(
        self, path: str, method: str, serve: Serve, body: type[Message] | None, version: Version
    ) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                call = self.intake.call(request, version)
                raw = await self.intake.read(request)
                content = _checked(request, raw, body)
                return numbered(await serve(Received(request, raw, content, call)))
            except HubError as error:
                return http_refusal(error)
            except A2AError as error:
                return failure(error)
            except ClientDisconnect:
                return Response(status_code=400)

        return Route(path, endpoint, methods=[method])


class Old:
    """What 0.3 has below `/v1`."""

    def __init__(self, operations: Operations) -> None:
        self.handler = REST03Handler(operations)
        self.context = V03ServerCallContextBuilder(Context())

    def unary(self, operation: Unary) -> Serve:
        """An endpoint that answers once."""

        async def serve(request: Received) -> Response:
            try:
                return JSONResponse(await operation(request, self.context.build(request)))
            except Exception as error:
                return failure(readable(error))

        return serve

    def streaming(self, operation: Streaming) -> Serve:
        """An endpoint that streams. What goes wrong before the first event is still an HTTP error."""

        async def serve(request: Received) -> Response:
            try:
                stream = cast(
                    "AsyncGenerator[JsonObject]", operation(request, self.context.build(request))
                )
                first = await anext(stream)
            except Exception as error:
                return failure(readable(error))
            return create_event_source_response(_encoded(first, stream))

        return serve

    async def delete_config(self, request: Request, context: ServerCallContext) -> JsonObject:
        """Drop a push config; the SDK has no route for it."""
        params = v03.DeleteTaskPushNotificationConfigParams(
            id=request.path_params["id"], push_notification_config_id=request.path_params["push_id"]
        )
        asked = v03.DeleteTaskPushNotificationConfigRequest(id="", params=params)
        await self.handler.handler03.on_delete_task_push_notification_config(asked, context)
        return {}


def failure(error: Exception) -> JSONResponse:
    """An error as HTTP+JSON has it."""
    payload = build_rest_error_payload(error)
    return JSONResponse(payload, payload["error"]["code"])


async def _encoded(
    first: JsonObject, stream: AsyncGenerator[JsonObject]
) -> AsyncGenerator[dict[str, str]]:
    async with aclosing(stream):
        yield {"data": dumps(first).decode()}
        try:
            async for event in stream:
                yield {"data": dumps(event).decode()}
        except Exception as error:
            said = build_rest_error_payload(readable(error))
            yield {"event": "error", "data": dumps(said).decode()}


def _checked(request: Request, raw: bytes, kind: type[Message] | None) -> JsonObject:
    """The body as JSON, once it, or the query in its place, is known to be readable.

    Raises:
        A2AError: it is no JSON, no object, or an enum value does not exist.
    """
    content: JsonObject = {}
    if request.method == "POST" and (raw or kind is not None):
        if raw and not is_json(request):
            raise ContentTypeNotSupportedError(f"send {A2A_JSON_MEDIA_TYPE} or application/json")
        try:
            content = cast("JsonObject", loads(raw))
        except ValueError as error:
            raise InvalidRequestError(f"the body is not valid JSON: {error}") from None
        if not isinstance(content, dict):  # pyright: ignore[reportUnnecessaryIsInstance]  # any JSON may come
            raise InvalidRequestError("the body is not a JSON object")
    said: JsonObject = content if request.method == "POST" else dict(request.query_params)
    if kind is not None and (wrong := unknown_enum(kind, said)) is not None:
        raise InvalidParamsError(wrong)
    return content
