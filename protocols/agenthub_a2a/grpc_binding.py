"""The gRPC binding, of 1.0 (`lf.a2a.v1`) and of 0.3 (`a2a.v1`), on a port of its own.

gRPC has no path: the request's `tenant` names the agent, and without one it is the default agent, which
is all that clients of 0.3 can reach. The SDK's servicers convert; here is what they leave out: versions,
bounds, typed refusals of what cannot be read, health and reflection. Errors are those of HTTP+JSON, word
for word.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar, cast

import grpc
import grpc.aio
from a2a.compat.v0_3 import a2a_v0_3_pb2 as old_pb
from a2a.compat.v0_3 import a2a_v0_3_pb2_grpc as old_services
from a2a.compat.v0_3.grpc_handler import CompatGrpcHandler
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.grpc_handler import (
    DefaultGrpcServerCallContextBuilder,
    GrpcHandler,
)
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc as services
from a2a.utils.constants import VERSION_HEADER
from a2a.utils.errors import A2AError, InvalidRequestError
from a2a.utils.grpc_status import status_to_grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from agenthub.agents import AgentInfo
from agenthub.errors import HubError, Unavailable
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_a2a.call import Call, default_agent
from agenthub_a2a.card import Place
from agenthub_a2a.errors import Refused, described, readable
from agenthub_a2a.handler import Operations
from agenthub_a2a.receive import Version, insist

T = TypeVar("T")
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Metadata: TypeAlias = Mapping[str, str]

SERVICES: Final = tuple(
    file.services_by_name["A2AService"].full_name for file in (pb.DESCRIPTOR, old_pb.DESCRIPTOR)
)
PREFIXES: Final = tuple(f"/{name}/" for name in SERVICES)
DETAILS: Final = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest)
"""What errors carry; a type must have been imported for its JSON to be parsed."""
GRACE_SECONDS: Final = 2.0
"""Open calls are cut after this; their clients subscribe elsewhere."""
MINUTE: Final = 60_000
OPTIONS: Final = (
    # a port that is taken is a mistake: sharing it would split the callers between two hubs
    ("grpc.so_reuseport", 0),
    # one connection is one place behind a balancer: it ends now and then, its calls may finish
    ("grpc.max_connection_age_ms", 60 * MINUTE),
    ("grpc.max_connection_age_grace_ms", 10 * MINUTE),
    # a quiet stream through a proxy, and a client that is gone without a word
    ("grpc.keepalive_time_ms", MINUTE // 2),
    ("grpc.keepalive_timeout_ms", MINUTE // 3),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", MINUTE // 6),
    ("grpc.max_concurrent_streams", 1000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grpc:
    """The server. `principal` is given a call's metadata, with its keys in lower case."""

    hub: Hub
    operations: Operations
    host: str
    port: int
    default_agent: str | None
    principal: Callable[[Metadata], Principal]
    place: Callable[[AgentInfo], Place]
    max_message_bytes: int

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve for the time of the context.

        Raises:
            Unavailable: the port is taken.
        """
        server = grpc.aio.server(
            interceptors=[Unreadable()],
            options=[*OPTIONS, ("grpc.max_receive_message_length", self.max_message_bytes)],
        )
        new = Servicer(self.operations, Calls(self, "1.0"))
        old = OldServicer(self.operations, Calls(self, "0.3"))
        services.add_A2AServiceServicer_to_server(new, server)  # pyright: ignore[reportUnknownMemberType]  # generated
        old_services.add_A2AServiceServicer_to_server(old, server)  # pyright: ignore[reportUnknownMemberType]  # generated
        # the stubs do not know its asynchronous half
        healthy: Any = vars(health)["aio"].HealthServicer()
        for name in SERVICES:
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)  # pyright: ignore[reportUnknownMemberType]  # generated
        told = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(told, server)
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            server.add_insecure_port(f"{host}:{self.port}")
        except RuntimeError:
            raise Unavailable(
                f"cannot listen on {host}:{self.port} for gRPC: stop what is there, or set "
                "AGENTHUB_GRPC_PORT"
            ) from None
        await server.start()
        try:
            yield
        finally:
            await healthy.enter_graceful_shutdown()
            await server.stop(GRACE_SECONDS)


class Calls(DefaultGrpcServerCallContextBuilder):
    """Contexts of one version's calls."""

    def __init__(self, served: Grpc, version: Version) -> None:
        self.served = served
        self.version: Version = version

    def build(self, context: Context) -> ServerCallContext:
        """The context of a call to the default agent."""
        return self.called(context, "")

    def called(self, context: Context, tenant: str) -> ServerCallContext:
        """The context of a call to the agent `tenant`.

        Raises:
            A2AError: the version is another one, or the caller or the agent is not known.
        """
        built = super().build(context)  # pyright: ignore[reportUnknownMemberType]  # a bare generic
        built.tenant = tenant
        metadata = {
            key.lower(): value
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str)
        }
        insist(self.version, metadata.get(VERSION_HEADER.lower(), "").strip())
        hub = self.served.hub
        try:
            who = self.served.principal(metadata)
            default = self.served.default_agent
            info = hub.agent(tenant) if tenant else default_agent(hub.agents, default)
            call = Call(
                who=who,
                info=info,
                place=self.served.place(info),
                idempotency_key=metadata.get("idempotency-key"),
                version=self.version,
                last_event_id=metadata.get("last-event-id") or None,
            )
        except HubError as error:
            raise Refused(error) from error
        call.put(built)
        return built


class Servicer(GrpcHandler):
    """The service of 1.0."""

    def __init__(self, operations: Operations, calls: Calls) -> None:
        super().__init__(operations, calls)
        self.calls = calls

    async def abort_context(self, error: A2AError, context: Context) -> None:
        await abort(error, context)

    def _build_call_context(self, context: Context, request: Message) -> ServerCallContext:
        return self.calls.called(context, cast("pb.GetTaskRequest", request).tenant)


class OldServicer(CompatGrpcHandler):
    """The service of 0.3; what its conversion cannot take apart is the client's mistake."""

    async def abort_context(self, error: A2AError, context: Context) -> None:
        await abort(error, context)

    async def _handle_unary(
        self,
        context: Context,
        handler_func: Callable[[ServerCallContext], Awaitable[T]],
        default_response: T,
    ) -> T:
        async def typed(called: ServerCallContext) -> T:
            try:
                return await handler_func(called)
            except Exception as error:
                raise readable(error) from error

        return await super()._handle_unary(context, typed, default_response)  # pyright: ignore[reportUnknownMemberType]  # as above

    async def _handle_stream(
        self, context: Context, handler_func: Callable[[ServerCallContext], AsyncIterable[T]]
    ) -> AsyncIterable[T]:
        async def typed(called: ServerCallContext) -> AsyncIterable[T]:
            try:
                async for item in handler_func(called):
                    yield item
            except Exception as error:
                raise readable(error) from error

        async for item in super()._handle_stream(context, typed):  # pyright: ignore[reportUnknownMemberType]  # as above
            yield item


class Unreadable(grpc.aio.ServerInterceptor):
    """Refuses messages that are no protobuf as such; gRPC would call them an internal failure and log
    a traceback for each."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(PREFIXES):
            return handler
        return _checked(handler)


async def abort(error: A2AError, context: Context) -> None:
    """End a call with the error of HTTP+JSON: its status, sentence and details."""
    body: JsonObject = described(error)["error"]
    code = grpc.StatusCode[body["status"]]
    details = [_strings(detail) for detail in body["details"]]
    told = {"code": code.value[0], "message": body["message"], "details": details}
    rich = status_to_grpc(ParseDict(told, status_pb2.Status()))
    trailing = cast("grpc.aio.Metadata", rich.trailing_metadata)  # pyright: ignore[reportUnknownMemberType]  # a bare tuple
    context.set_trailing_metadata(trailing)
    await context.abort(code, body["message"])


def _strings(detail: JsonObject) -> JsonObject:
    """A detail whose metadata are strings, as its type wants them; the SDK puts lists there, too, and
    says what is in them once more in a detail of its own."""
    if "metadata" not in detail:
        return detail
    said: JsonObject = detail["metadata"]
    return {**detail, "metadata": {k: v for k, v in said.items() if isinstance(v, str)}}


def _checked(handler: Handler) -> Handler:
    deserialize = handler.request_deserializer
    assert deserialize is not None
    refusal = InvalidRequestError("the message is not the protobuf message that this method takes")

    def parsed(raw: bytes) -> Message | None:
        try:
            return deserialize(raw)
        except DecodeError:
            return None

    if handler.response_streaming:
        streams: Any = handler.unary_stream

        async def stream(request: Message | None, context: Context) -> AsyncIterable[Message]:
            if request is None:
                await abort(refusal, context)
            async for message in streams(request, context):
                yield message

        return grpc.unary_stream_rpc_method_handler(
            cast("Any", stream), parsed, handler.response_serializer
        )
    answers: Any = handler.unary_unary

    async def answer(request: Message | None, context: Context) -> Message:
        if request is None:
            await abort(refusal, context)
        return await answers(request, context)

    return grpc.unary_unary_rpc_method_handler(
        cast("Any", answer), parsed, handler.response_serializer
    )
