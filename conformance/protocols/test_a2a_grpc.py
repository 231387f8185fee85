"""The official client over gRPC: every operation of the other bindings, on the same tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import httpx
import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2 as old_pb
from a2a.compat.v0_3 import a2a_v0_3_pb2_grpc as old_services
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc as services
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.grpc_status import status_from_call
from google.protobuf.struct_pb2 import Value
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from agenthub.errors import TooManyRequests, Unauthenticated, Unavailable
from agenthub.principal import ANONYMOUS, Principal
from agenthub_a2a import A2A, OverGrpc
from agenthub_a2a.card import GENERATION
from agenthub_server.embedded import Postgres
from agenthub_server.wiring import open_hub as open_service
from protocols.a2a_client import agent, collect, data, kinds, questions, state, streamed, text
from testkit import hub
from testkit.processes import free_port

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"
GRPC = "GRPC"
METHOD = "/lf.a2a.v1.A2AService/"
Raw = services.A2AServiceStub


@pytest.fixture
async def channel(grpc_hub: tuple[str, str]) -> AsyncGenerator[grpc.aio.Channel]:
    """Bare calls."""
    async with grpc.aio.insecure_channel(grpc_hub[1]) as channel:
        yield channel


@pytest.fixture
def raw(channel: grpc.aio.Channel) -> Raw:
    """Bare calls to the service of 1.0."""
    return services.A2AServiceStub(channel)


def nested(levels: int) -> Value:
    value = Value(bool_value=True)
    for _ in range(levels):
        value = Value(struct_value={"fields": {"a": value}})  # pyright: ignore[reportArgumentType]
    return value


def hello(tenant: str = "echo", **fields: Any) -> pb.SendMessageRequest:
    said = {"message_id": str(uuid4()), "role": pb.Role.ROLE_USER, "parts": [pb.Part(text="hello")]}
    return pb.SendMessageRequest(tenant=tenant, message=pb.Message(**{**said, **fields}))


async def refusal(call: Any) -> tuple[str, str, str]:
    """The status, the reason and the sentence of an error."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    status = status_from_call(refused.value)
    assert status is not None, refused.value
    assert status.message == refused.value.details()
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return refused.value.code().name, info.reason, status.message


async def test_a_card_names_grpc_where_it_is_served(grpc_hub: tuple[str, str]) -> None:
    url, address = grpc_hub
    async with httpx.AsyncClient(base_url=f"{url}/agents/echo", trust_env=False) as http:
        new = (await http.get("/.well-known/agent-card.json")).json()
        old = (await http.get("/v0.3/.well-known/agent-card.json")).json()
        default = (await http.get(f"{url}/agents/ship/v0.3/.well-known/agent-card.json")).json()
    assert new["supportedInterfaces"][-1] == {
        "url": address, "protocolBinding": GRPC, "tenant": "echo", "protocolVersion": "1.0",
    }  # fmt: skip
    # a client of 0.3 could only reach the default agent
    assert GRPC not in [i["transport"] for i in old["additionalInterfaces"]]
    assert {"transport": GRPC, "url": address} in default["additionalInterfaces"]


async def test_a_message_becomes_the_task_that_other_bindings_read(
    grpc_hub: tuple[str, str],
) -> None:
    url, _ = grpc_hub
    async with agent(url, "echo", binding=GRPC) as echo, agent(url, "echo") as other:
        task = await echo.send("hello")
        assert (state(task), text(task, "result")) == ("COMPLETED", "hello")
        assert await echo.get(task) == await other.get(task)


async def test_a_stream_tells_what_it_tells_over_json_rpc(grpc_hub: tuple[str, str]) -> None:
    said: list[list[str]] = []
    for binding in (GRPC, "JSONRPC"):
        async with agent(grpc_hub[0], "story", streaming=True, binding=binding) as story:
            events = await collect(story.stream("tell"))
        said.append([kinds(events)[0], *kinds(events)[-2:], streamed(events, "output")])
    assert said[0] == said[1]
    assert said[0][:3] == ["task", "result", "COMPLETED"]


async def test_a_question_is_asked_and_answered(grpc_hub: tuple[str, str]) -> None:
    async with agent(grpc_hub[0], "ship", streaming=True, binding=GRPC) as ship:
        asked = await collect(ship.stream("shoes"))
        assert kinds(asked)[-1] == "INPUT_REQUIRED"
        assert questions(await ship.get(asked[0].task))
        with pytest.raises(InvalidParamsError, match="fit question"):
            await collect(ship.stream("perhaps", task=asked[0].task))
        answered = await collect(ship.stream("yes", task=asked[0].task))
        assert kinds(answered) == ["task", "WORKING", "result", "COMPLETED"]
        assert data(await ship.get(asked[0].task)) == {"order": "shoes", "shipped": True}


async def test_a_subscription_begins_with_the_task_and_ends_with_it(
    grpc_hub: tuple[str, str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with agent(grpc_hub[0], "gated", streaming=True, binding=GRPC) as gated:
        task = (await anext(aiter(gated.stream({"gate": str(gate)})))).task
        following = aiter(gated.subscribe(task))
        first = await anext(following)
        gate.touch()
        rest = await collect(following)
        assert first.task.id == task.id
        assert kinds(rest)[-2:] == ["result", "COMPLETED"]
        assert rest[-1].status_update.metadata[GENERATION]
        with pytest.raises(UnsupportedOperationError):
            await collect(gated.subscribe(task))


async def test_tasks_are_listed_cancelled_and_told_of(grpc_hub: tuple[str, str]) -> None:
    async with agent(grpc_hub[0], "waits", streaming=True, binding=GRPC) as waits:
        context_id = str(uuid4())
        task = (await anext(aiter(waits.stream("go", context_id=context_id)))).task
        config = pb.TaskPushNotificationConfig(task_id=task.id, id="c", url="http://127.0.0.1:9")
        made = await waits.client.create_task_push_notification_config(config)
        assert (made.id, made.task_id) == ("c", task.id)
        asked = pb.ListTaskPushNotificationConfigsRequest(task_id=task.id)
        assert len((await waits.client.list_task_push_notification_configs(asked)).configs) == 1
        gone = pb.DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="c")
        await waits.client.delete_task_push_notification_config(gone)
        listed = await waits.client.list_tasks(pb.ListTasksRequest(context_id=context_id))
        assert [t.id for t in listed.tasks] == [task.id]
        assert state(await waits.client.cancel_task(pb.CancelTaskRequest(id=task.id))) == "CANCELED"
        with pytest.raises(TaskNotCancelableError):
            await waits.client.cancel_task(pb.CancelTaskRequest(id=task.id))


async def test_a_call_without_a_tenant_is_for_the_default_agent(raw: Raw) -> None:
    answer = await raw.SendMessage(hello(tenant=""))
    assert state(answer.task) == "INPUT_REQUIRED"
    assert answer.task.status.message.parts[0].text == "Ship hello?"


async def test_an_unknown_tenant_is_not_found_and_has_a_reason(raw: Raw) -> None:
    status, reason, said = await refusal(raw.SendMessage(hello("nobody")))
    assert (status, reason) == ("NOT_FOUND", "NOT_FOUND")
    assert "nobody" in said


async def test_a_foreign_task_looks_like_an_unknown_one(
    raw: Raw, grpc_hub: tuple[str, str]
) -> None:
    async with agent(grpc_hub[0], "ship", binding=GRPC) as ship:
        foreign = await ship.send("shoes")
        with pytest.raises(TaskNotFoundError):
            await ship.client.get_task(pb.GetTaskRequest(id=UNKNOWN))
    for id in (foreign.id, UNKNOWN, "nonsense", "\0"):
        for ask in (
            raw.GetTask(pb.GetTaskRequest(tenant="echo", id=id)),
            raw.CancelTask(pb.CancelTaskRequest(tenant="echo", id=id)),
            anext(aiter(raw.SubscribeToTask(pb.SubscribeToTaskRequest(tenant="echo", id=id)))),
        ):
            status, reason, said = await refusal(ask)
            assert (status, reason) == ("NOT_FOUND", "TASK_NOT_FOUND")
            assert said == f"there is no task {id!r}"


async def test_a_version_is_checked_where_one_is_named(raw: Raw, channel: grpc.aio.Channel) -> None:
    for said in ("1.0", "1.0.1"):
        await raw.SendMessage(hello(), metadata=(("a2a-version", said),))
    for said in ("0.3", "1.7", "2.0", "nonsense"):
        call = raw.SendMessage(hello(), metadata=(("a2a-version", said),))
        status, reason, _ = await refusal(call)
        assert (status, reason) == ("FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED")
    old = old_services.A2AServiceStub(channel)
    call = old.GetTask(old_pb.GetTaskRequest(name="tasks/1"), metadata=(("a2a-version", "1.0"),))
    assert (await refusal(call))[1] == "VERSION_NOT_SUPPORTED"


@pytest.mark.parametrize(
    ("method", "sent", "reason"),
    [
        ("SendMessage", pb.SendMessageRequest(tenant="echo"), "INVALID_PARAMS"),
        ("SendMessage", hello(role=pb.Role.ROLE_AGENT), "INVALID_PARAMS"),
        ("SendMessage", hello(context_id="nonsense"), "INVALID_PARAMS"),
        ("SendMessage", hello(parts=[pb.Part(raw=b"x")]), "CONTENT_TYPE_NOT_SUPPORTED"),
        ("SendMessage", hello(parts=[pb.Part(data=nested(30))]), "INVALID_PARAMS"),
        ("SendMessage", hello(metadata=nested(30).struct_value), "INVALID_PARAMS"),
        ("ListTasks", pb.ListTasksRequest(tenant="echo", page_size=0), "INVALID_PARAMS"),
        ("ListTasks", pb.ListTasksRequest(tenant="echo", page_token="x"), "INVALID_PARAMS"),
        ("ListTasks", pb.ListTasksRequest(tenant="echo", status=99), "INVALID_PARAMS"),  # pyright: ignore[reportArgumentType]
        ("GetTask", pb.GetTaskRequest(tenant="echo"), "INVALID_PARAMS"),
        (
            "GetTask", pb.GetTaskRequest(tenant="echo", id=UNKNOWN, history_length=-1),
            "INVALID_PARAMS",
        ),
        (
            "GetExtendedAgentCard", pb.GetExtendedAgentCardRequest(tenant="echo"),
            "UNSUPPORTED_OPERATION",
        ),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_as_over_http(
    raw: Raw, method: str, sent: Any, reason: str
) -> None:
    assert (await refusal(getattr(raw, method)(sent)))[1] == reason


@pytest.mark.parametrize("method", ["SendMessage", "SendStreamingMessage", "GetTask"])
@pytest.mark.parametrize("sent", [b"\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"{}"])
async def test_what_is_no_protobuf_is_the_callers_mistake(
    channel: grpc.aio.Channel, method: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    if "Stream" in method:
        call: Any = anext(aiter(channel.unary_stream(METHOD + method)(sent)))
    else:
        call = channel.unary_unary(METHOD + method)(sent)
    status, reason, _ = await refusal(call)
    assert (status, reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert not caplog.records


async def test_a_message_of_0_3_that_cannot_be_taken_apart_is_the_callers_mistake(
    channel: grpc.aio.Channel,
) -> None:
    old = old_services.A2AServiceStub(channel)
    empty = old_pb.SendMessageRequest()
    twisted = old_pb.SendMessageRequest(
        request=old_pb.Message(message_id="1", content=[old_pb.Part()])
    )
    deep = old_pb.SendMessageRequest(
        request=old_pb.Message(
            message_id="1",
            role=old_pb.Role.ROLE_USER,
            content=[old_pb.Part(data=old_pb.DataPart(data=nested(30).struct_value))],
        )
    )
    for call in (
        old.SendMessage(empty),
        old.SendMessage(twisted),
        old.SendMessage(deep),
        anext(aiter(old.SendStreamingMessage(twisted))),
        old.GetTask(old_pb.GetTaskRequest(name="nonsense")),
        old.CancelTask(old_pb.CancelTaskRequest(name="")),
        old.GetTaskPushNotificationConfig(old_pb.GetTaskPushNotificationConfigRequest(name="x")),
    ):
        status, reason, said = await refusal(call)
        assert (status, reason) == ("INVALID_ARGUMENT", "INVALID_PARAMS"), said
        assert "Error" not in said


async def test_a_message_that_is_too_large_is_refused_and_the_connection_goes_on(raw: Raw) -> None:
    # what would be refused for another reason, and briefly, if it were read
    large = [pb.Part(text="x" * (2 << 20))]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await raw.SendMessage(hello(parts=large, role=pb.Role.ROLE_AGENT))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert state((await raw.SendMessage(hello())).task) == "COMPLETED"


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(METHOD + "Nonsense")(b"")
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_client_that_leaves_cancels_nothing(
    grpc_hub: tuple[str, str], raw: Raw, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    said = hello("gated", parts=[pb.Part(data={"struct_value": {"gate": str(gate)}})])
    async with agent(grpc_hub[0], "gated", streaming=True, binding=GRPC) as gated:
        call = raw.SendStreamingMessage(said)
        task = (await call.read()).task
        call.cancel()
        following = aiter(gated.subscribe(task))
        assert state((await anext(following)).task) in {"SUBMITTED", "WORKING"}
        gate.touch()
        assert kinds(await collect(following))[-1] == "COMPLETED"


async def test_health_and_reflection_tell_of_both_services(channel: grpc.aio.Channel) -> None:
    check = health_pb2_grpc.HealthStub(channel).Check
    for name in ("", "lf.a2a.v1.A2AService", "a2a.v1.A2AService"):
        answer = await check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = await anext(aiter(reflect(iter([asked]))))
    names = {service.name for service in answer.list_services_response.service}
    assert {"lf.a2a.v1.A2AService", "a2a.v1.A2AService", "grpc.health.v1.Health"} <= names


async def test_who_calls_is_said_by_the_metadata(
    grpc_hub: tuple[str, str], postgres: Postgres
) -> None:
    def known(metadata: Any) -> Principal:
        if metadata.get("authorization") == "Bearer busy":
            raise TooManyRequests("later")
        if metadata.get("authorization") != "Bearer me":
            raise Unauthenticated("send a token")
        return Principal(subject="me")

    port = free_port()
    async with open_service(hub.settings(postgres.url("hub_grpc"), None)) as service:
        surface = A2A(
            service, public_url=None, default_agent="ship", principal=lambda _: ANONYMOUS,
            max_body_bytes=1024, grpc=OverGrpc(port=port, http_url="http://here", principal=known),
        )  # fmt: skip
        async with (
            surface.running(),
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            mine = services.A2AServiceStub(channel)
            listed = await mine.ListTasks(
                pb.ListTasksRequest(), metadata=(("authorization", "Bearer me"),)
            )
            assert not listed.tasks
            for token, status in (("busy", "RESOURCE_EXHAUSTED"), ("no", "UNAUTHENTICATED")):
                call = mine.ListTasks(
                    pb.ListTasksRequest(), metadata=(("authorization", f"Bearer {token}"),)
                )
                assert (await refusal(call))[:2] == (
                    status, {"busy": "TOO_MANY_REQUESTS", "no": "UNAUTHENTICATED"}[token],
                )  # fmt: skip
            with pytest.raises(Unavailable, match="AGENTHUB_GRPC_PORT"):
                async with surface.running():
                    pass
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as closed:
            with pytest.raises(grpc.aio.AioRpcError):
                async with asyncio.timeout(20):
                    await services.A2AServiceStub(closed).ListTasks(pb.ListTasksRequest())
