"""The JSON-RPC binding: what must be settled before the SDK's dispatcher may see a request.

The body is bounded while it streams in, parsed strictly, and enum values are checked, which protobuf's
parser would drop. Version: method names differ between 0.3 and 1.0, so a request without A2A-Version
is taken by its method's name as 1.0 (the SDK would refuse it); one that names another version is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, cast

from a2a.server.context import ServerCallContext
from a2a.server.jsonrpc_models import JSONParseError, JSONRPCError
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types.a2a_pb2 import ListTasksRequest
from a2a.utils.constants import PROTOCOL_VERSION_1_0, VERSION_HEADER
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InvalidParamsError,
    VersionNotSupportedError,
)
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from agenthub.errors import HubError, TooLarge
from agenthub.json import Json, JsonObject, loads
from agenthub.principal import Principal
from agenthub_a2a.call import Call
from agenthub_a2a.enums import unknown_enum
from agenthub_a2a.errors import refusal
from agenthub_a2a.handler import Operations

SPOKEN: Final = re.compile(r"1\.0(\.\d+)?")


class Received(Request):
    """A request whose body has been read and whose caller is known."""

    def __init__(self, request: Request, body: Json, call: Call) -> None:
        super().__init__(request.scope, request.receive)
        self.content = body
        self.call = call

    async def json(self) -> Json:
        """The body; the dispatcher asks for it."""
        return self.content


class Context(DefaultServerCallContextBuilder):
    """The SDK's context, with the call and the version that the request means."""

    def build(self, request: Request) -> ServerCallContext:
        assert isinstance(request, Received)
        context = super().build(request)
        request.call.put(context)
        said = request.headers.get(VERSION_HEADER) or request.query_params.get(VERSION_HEADER) or ""
        if said and not SPOKEN.fullmatch(said.strip()):
            raise VersionNotSupportedError(
                f"A2A version {said!r} is not supported; this server speaks {PROTOCOL_VERSION_1_0}"
            )
        # the SDK compares this with its own version, by major number only
        context.state["headers"][VERSION_HEADER.lower()] = PROTOCOL_VERSION_1_0
        return context


class Dispatcher(JsonRpcDispatcher):
    """The SDK's dispatcher, without the empty fields that it prints for every message of a list."""

    async def _handle_list_tasks(
        self, request_obj: ListTasksRequest, context: ServerCallContext
    ) -> JsonObject:
        listed = await self.request_handler.on_list_tasks(request_obj, context)
        required: JsonObject = {"tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0}
        return {**required, **MessageToDict(listed)}


class JsonRpc:
    """The endpoint of all agents."""

    def __init__(
        self,
        operations: Operations,
        *,
        principal: Callable[[Request], Principal],
        max_body_bytes: int,
    ) -> None:
        self.operations = operations
        self.principal = principal
        self.max_body_bytes = max_body_bytes
        self.dispatcher = Dispatcher(operations, Context())

    async def endpoint(self, request: Request) -> Response:
        """Answer a POST."""
        try:
            call = Call(
                who=self.principal(request),
                info=self.operations.hub.agent(request.path_params["name"]),
                idempotency_key=request.headers.get("idempotency-key"),
            )
            if not _is_json(request.headers.get("content-type", "")):
                # also keeps web pages out, which may post anything else to localhost
                return _error(ContentTypeNotSupportedError("send application/json"), status=415)
            raw = await _bounded(request, self.max_body_bytes)
        except HubError as error:
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            body = loads(raw)
        except ValueError as error:
            return _error(JSONParseError(message=f"the body is not valid JSON: {error}"))
        if (problem := _misnamed(body)) is not None:
            return problem
        return await self.dispatcher.handle_requests(Received(request, body, call))


async def _bounded(request: Request, limit: int) -> bytes:
    """The body, read no further than it may be long.

    Raises:
        TooLarge: it is longer.
    """
    too_large = TooLarge(f"the body is larger than {limit} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _misnamed(body: Json) -> Response | None:
    """The refusal of an enum value that does not exist."""
    if not isinstance(body, dict):
        return None
    request = cast("JsonObject", body)
    method, params = request.get("method"), request.get("params")
    if not isinstance(method, str) or not isinstance(params, dict):
        return None
    expected = JsonRpcDispatcher.METHOD_TO_MODEL.get(method)
    if expected is None or not issubclass(expected, Message):
        return None
    wrong = unknown_enum(expected, cast("JsonObject", params))
    return None if wrong is None else _error(InvalidParamsError(wrong), id=request.get("id"))


def _is_json(content_type: str) -> bool:
    essence = content_type.split(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def _error(error: A2AError | JSONRPCError, *, id: Json = None, status: int = 200) -> JSONResponse:
    echoed = id if isinstance(id, (str, int)) and not isinstance(id, bool) else None
    return JSONResponse(build_error_response(echoed, error), status)
