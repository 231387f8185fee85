"""The JSON-RPC binding: what must be settled before an SDK's dispatcher may see a request.

Clients of 0.3 use the same address; their methods have other names, and the SDK's adapter speaks to
the same operations for them.
"""

from __future__ import annotations

from typing import Final, cast

from a2a.compat.v0_3 import conversions
from a2a.compat.v0_3 import types as v03
from a2a.compat.v0_3.jsonrpc_adapter import JSONRPC03Adapter
from a2a.server.context import ServerCallContext
from a2a.server.jsonrpc_models import JSONParseError, JSONRPCError
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.types.a2a_pb2 import ListTasksRequest
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InvalidParamsError,
    InvalidRequestError,
)
from google.protobuf.json_format import MessageToDict, ParseError
from google.protobuf.message import DecodeError, Message
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from agenthub.errors import HubError
from agenthub.json import Json, JsonObject, loads
from agenthub_a2a.enums import unknown_enum
from agenthub_a2a.errors import refusal
from agenthub_a2a.handler import Operations
from agenthub_a2a.numbering import numbered
from agenthub_a2a.receive import Context, Intake, Received, is_json

OLD_METHODS: Final = cast("dict[str, type[BaseModel]]", JSONRPC03Adapter.METHOD_TO_MODEL)


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

    def __init__(self, operations: Operations, intake: Intake) -> None:
        self.intake = intake
        self.dispatcher = Dispatcher(operations, Context())
        self.old = JSONRPC03Adapter(operations, Context())

    async def endpoint(self, request: Request) -> Response:
        """Answer a POST."""
        try:
            call = self.intake.call(request)
            if not is_json(request):
                return _error(ContentTypeNotSupportedError("send application/json"), status=415)
            raw = await self.intake.read(request)
        except HubError as error:
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            body = loads(raw)
        except ValueError as error:
            return _error(JSONParseError(message=f"the body is not valid JSON: {error}"))
        method = _method(body)
        if method in OLD_METHODS:
            call = self.intake.call(request, "0.3")
            return numbered(await self._old(Received(request, raw, body, call), method, body))
        if (problem := _misnamed(body)) is not None:
            return problem
        return numbered(await self.dispatcher.handle_requests(Received(request, raw, body, call)))

    async def _old(self, request: Received, method: str, body: JsonObject) -> Response:
        """Answer a method of 0.3, once its parameters are known to be readable: the adapter would
        take what is wrong with them for an internal failure, or for no request at all."""
        id = body.get("id")
        try:
            read = OLD_METHODS[method].model_validate(body)
            if isinstance(read, (v03.SendMessageRequest, v03.SendStreamingMessageRequest)):
                conversions.to_core_send_message_request(cast("v03.SendMessageRequest", read))
            elif isinstance(read, v03.GetTaskRequest):
                conversions.to_core_get_task_request(read)
        except ValidationError as wrong:
            first = wrong.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            kind = InvalidParamsError if place.startswith("params") else InvalidRequestError
            return _error(kind(f"{place}: {first['msg']}"), id=id)
        except DecodeError:
            # what is nested as deep as JSON may be is too deep for protobuf's binary form
            return _error(InvalidParamsError("the message is nested too deep"), id=id)
        except (ValueError, TypeError, LookupError, ParseError) as wrong:
            return _error(InvalidParamsError(f"the parameters cannot be read: {wrong}"), id=id)
        echoed = id if isinstance(id, (str, int)) else None
        return await self.old.handle_request(  # pyright: ignore[reportUnknownMemberType]  # a bare dict
            request_id=echoed, method=method, body=body, request=request
        )


def _method(body: Json) -> str:
    if not isinstance(body, dict):
        return ""
    method = cast("JsonObject", body).get("method")
    return method if isinstance(method, str) else ""


def _misnamed(body: Json) -> Response | None:
    """The refusal of an enum value that does not exist."""
    if not isinstance(body, dict):
        return None
    request = cast("JsonObject", body)
    params = request.get("params")
    if not isinstance(params, dict):
        return None
    expected = JsonRpcDispatcher.METHOD_TO_MODEL.get(_method(request))
    if expected is None or not issubclass(expected, Message):
        return None
    wrong = unknown_enum(expected, cast("JsonObject", params))
    return None if wrong is None else _error(InvalidParamsError(wrong), id=request.get("id"))


def _error(error: A2AError | JSONRPCError, *, id: Json = None, status: int = 200) -> JSONResponse:
    echoed = id if isinstance(id, (str, int)) and not isinstance(id, bool) else None
    return JSONResponse(build_error_response(echoed, error), status)
