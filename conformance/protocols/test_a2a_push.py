"""Push notifications with the official client: every state of a task, in order, at a receiver of ours."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from a2a.client import ClientCallContext
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    StreamResponse,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError, UnsupportedOperationError
from google.protobuf.json_format import ParseDict
from starlette.applications import Starlette

from agenthub.principal import Principal
from agenthub.pushes import MOST_CONFIGS, PushConfig
from agenthub.signing import write_secret
from agenthub_a2a import A2A
from agenthub_a2a.card import GENERATION
from agenthub_postgres.database import open_database
from agenthub_postgres.push_configs import PostgresPushConfigs
from agenthub_server.embedded import Postgres, Valkey
from agenthub_server.wiring import open_hub as open_service
from protocols.a2a_client import agent, collect, data, kinds, state, text
from testkit import hub
from testkit.receiver import Received, Receiver, receiving
from testkit.waiting import eventually

SECRET = write_secret(bytes(range(32)))
BINDINGS = ("JSONRPC", "HTTP+JSON")
UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"
BEGUN = {"SUBMITTED", "WORKING"}


@pytest.fixture(scope="module")
async def open_hub(postgres: Postgres, valkey: Valkey, template: str) -> AsyncGenerator[str]:
    """A hub that may call this machine."""
    admin = await asyncpg.connect(postgres.url("postgres"))
    # two modules have such a hub
    name = f"hub_pushes_{uuid4().hex}"
    await admin.execute(f"create database {name} template {template} strategy file_copy")
    await admin.close()
    config = hub.settings(
        postgres.url(name),
        valkey.url(14),
        drain_seconds=0.0,
        delivery_poll_seconds=0.05,
        outbound_networks=("127.0.0.0/8",),
        webhook_secrets=(SECRET,),
    )
    async with hub.hub(config, hub.FIXTURES / "a2a_agents.py") as url:
        yield url


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as one:
        yield one


def told(message: Received) -> Any:
    """The task that a message is about."""
    return ParseDict(message.json, StreamResponse()).task


def states(receiver: Receiver) -> list[str]:
    """What has been told, in the order of arrival; what a run begins with is `BEGUN`."""
    names = [TaskState.Name(told(m).status.state) for m in receiver.got]
    return [n.removeprefix("TASK_STATE_").replace("SUBMITTED", "WORKING") for n in names]


async def heard(receiver: Receiver, *expected: str) -> None:
    await eventually(lambda: len(receiver.got) >= len(expected))
    assert states(receiver) == list(expected)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_config_that_comes_with_the_message_hears_of_the_whole_task(
    open_hub: str, receiver: Receiver, binding: str
) -> None:
    push = {
        "url": receiver.url,
        "token": "tick",
        "authentication": {"scheme": "Bearer", "credentials": "secret"},
    }
    async with agent(open_hub, "echo", binding=binding) as echo:
        task = await echo.send("hello", taskPushNotificationConfig=push)
        await heard(receiver, "WORKING", "COMPLETED")
    last = receiver.got[-1]
    assert last.verified(SECRET) == last.json
    assert last.headers["content-type"] == "application/a2a+json"
    assert last.headers["x-a2a-notification-token"] == "tick"
    assert last.headers["authorization"] == "Bearer secret"
    assert (told(last).id, told(last).context_id) == (task.id, task.context_id)
    assert text(told(last), "result") == "hello"
    assert told(last).metadata[GENERATION] == task.metadata[GENERATION]


async def test_every_state_is_told_in_order_though_the_receiver_fails_for_a_while(
    open_hub: str, receiver: Receiver
) -> None:
    receiver.status = 500
    async with (
        agent(open_hub, "ship") as ship,
        httpx.AsyncClient(base_url=open_hub, trust_env=False) as raw,
    ):
        asked = await ship.send("shoes", taskPushNotificationConfig={"url": receiver.url})
        done = await ship.send("yes", task=asked)
        assert state(done) == "COMPLETED"
        waiting = await eventually(lambda: _first_waiting(raw, done.id))
        assert len(receiver.got) == 1, "what comes later must not come before it"
        receiver.status = 200
        await raw.post(f"/deliveries/{waiting['delivery_id']}/redrive")
        await heard(receiver, "WORKING", "WORKING", "INPUT_REQUIRED", "WORKING", "COMPLETED")
    question = told(receiver.got[2])
    assert question.status.message.parts[0].text == "Ship shoes?"
    assert not question.artifacts
    assert data(told(receiver.got[-1])) == {"order": "shoes", "shipped": True}
    generations = [told(m).metadata[GENERATION] for m in receiver.got if told(m).metadata]
    assert generations == sorted(generations)


async def _first_waiting(raw: httpx.AsyncClient, run_id: str) -> Any:
    found = (await raw.get("/deliveries", params={"run_id": run_id})).json()
    tried = [d for d in found if d["reason"] and d["state"] == "pending"]
    return tried[0] if tried else None


async def test_a_stream_does_not_wait_for_a_receiver_that_hangs(
    open_hub: str, receiver: Receiver
) -> None:
    receiver.hang = True
    async with agent(open_hub, "echo", streaming=True) as echo:
        stream = echo.stream("hello", taskPushNotificationConfig={"url": receiver.url})
        assert kinds(await collect(stream))[-1] == "COMPLETED"
        await eventually(lambda: receiver.got)


async def test_a_task_that_is_cancelled_while_it_works_or_waits_is_told_of(
    open_hub: str, receiver: Receiver
) -> None:
    push = {"url": receiver.url}
    async with agent(open_hub, "ship") as ship:
        asked = await ship.send("shoes", taskPushNotificationConfig=push)
        await ship.client.cancel_task(CancelTaskRequest(id=asked.id))
        await heard(receiver, "WORKING", "INPUT_REQUIRED", "CANCELED")
    receiver.got.clear()
    async with agent(open_hub, "waits", streaming=True) as waits:
        stream = aiter(waits.stream("go", taskPushNotificationConfig=push))
        task = (await anext(stream)).task
        await waits.client.cancel_task(CancelTaskRequest(id=task.id))
        await heard(receiver, "WORKING", "CANCELED")


async def test_a_failure_is_told_with_its_reason(open_hub: str, receiver: Receiver) -> None:
    async with agent(open_hub, "fails") as fails:
        await fails.send("go", taskPushNotificationConfig={"url": receiver.url})
        await heard(receiver, "WORKING", "FAILED")
    assert "planet" in told(receiver.got[-1]).status.message.parts[0].text


async def test_a_config_that_is_added_to_a_waiting_task_hears_of_what_follows(
    open_hub: str, receiver: Receiver
) -> None:
    async with agent(open_hub, "ship") as ship:
        asked = await ship.send("shoes")
        await ship.client.create_task_push_notification_config(
            TaskPushNotificationConfig(task_id=asked.id, url=receiver.url)
        )
        await ship.send("no", task=asked)
        await heard(receiver, "WORKING", "COMPLETED")


async def test_a_config_that_is_removed_hears_nothing_more(
    open_hub: str, receiver: Receiver
) -> None:
    async with agent(open_hub, "ship") as ship:
        push = {"url": receiver.url, "id": "mine"}
        asked = await ship.send("shoes", taskPushNotificationConfig=push)
        await heard(receiver, "WORKING", "INPUT_REQUIRED")
        gone = DeleteTaskPushNotificationConfigRequest(task_id=asked.id, id="mine")
        await ship.client.delete_task_push_notification_config(gone)
        async with receiving() as other:
            # what it would have been told goes out before this
            later = TaskPushNotificationConfig(task_id=asked.id, url=other.url)
            await ship.client.create_task_push_notification_config(later)
            await ship.send("no", task=asked)
            await heard(other, "WORKING", "COMPLETED")
    assert len(receiver.got) == 2


@pytest.mark.parametrize("binding", BINDINGS)
async def test_configs_are_kept_listed_replaced_and_removed(open_hub: str, binding: str) -> None:
    http = binding == "HTTP+JSON"
    async with agent(open_hub, "echo", binding=binding) as echo:
        task = await echo.send("hello")
        client = echo.client

        async def make(id: str, url: str) -> TaskPushNotificationConfig:
            config = TaskPushNotificationConfig(task_id=task.id, id=id, url=url, token="t")
            return await client.create_task_push_notification_config(config)

        async def listed() -> list[Any]:
            wanted = ListTaskPushNotificationConfigsRequest(task_id=task.id)
            return list((await client.list_task_push_notification_configs(wanted)).configs)

        assert await listed() == []
        first = await make("one", "http://127.0.0.1:9/a")
        named = await make("", "http://127.0.0.1:9/b")
        assert named.id
        assert {c.id for c in await listed()} == {"one", named.id}
        replaced = await make("one", "http://127.0.0.1:9/c")
        assert replaced != first
        wanted = GetTaskPushNotificationConfigRequest(task_id=task.id, id="one")
        assert await client.get_task_push_notification_config(wanted) == replaced
        gone = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="one")
        await client.delete_task_push_notification_config(gone)
        await client.delete_task_push_notification_config(gone)
        # such a one cannot have been there
        never = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="%00" if http else "\0")
        await client.delete_task_push_notification_config(never)
        with pytest.raises(TaskNotFoundError):
            await client.get_task_push_notification_config(wanted)
        assert [c.id for c in await listed()] == [named.id]


async def test_a_task_has_so_many_configs_and_no_more(open_hub: str) -> None:
    async with agent(open_hub, "echo") as echo:
        task = await echo.send("hello")
        for number in range(MOST_CONFIGS + 1):
            config = TaskPushNotificationConfig(
                task_id=task.id, id=str(number), url="http://127.0.0.1:9"
            )
            if number < MOST_CONFIGS:
                await echo.client.create_task_push_notification_config(config)
            else:
                with pytest.raises(UnsupportedOperationError, match=str(MOST_CONFIGS)):
                    await echo.client.create_task_push_notification_config(config)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_the_configs_of_a_foreign_task_are_those_of_an_unknown_one(
    open_hub: str, binding: str
) -> None:
    async with (
        agent(open_hub, "echo", binding=binding) as echo,
        agent(open_hub, "ship", binding=binding) as ship,
    ):
        foreign = await ship.send("shoes")
        push = {"task_id": foreign.id, "id": "c"}
        config = TaskPushNotificationConfig(**push, url="http://127.0.0.1:9")
        await ship.client.create_task_push_notification_config(config)
        for id in (foreign.id, UNKNOWN):
            push = {"task_id": id, "id": "c"}
            client = echo.client
            for call in (
                client.create_task_push_notification_config(
                    TaskPushNotificationConfig(**push, url="http://127.0.0.1:9")
                ),
                client.get_task_push_notification_config(
                    GetTaskPushNotificationConfigRequest(**push)
                ),
                client.list_task_push_notification_configs(
                    ListTaskPushNotificationConfigsRequest(task_id=id)
                ),
                client.delete_task_push_notification_config(
                    DeleteTaskPushNotificationConfigRequest(**push)
                ),
            ):
                with pytest.raises(TaskNotFoundError, match="there is no task"):
                    await call


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "", "nonsense", "ftp://example.com/x", "file:///etc/passwd",
        "http://127.0.0.1/x", "http://localhost/x", "http://0.0.0.0/x", "http://127.1/x",
        "http://2130706433/x", "http://0x7f.1/x", "http://10.0.0.1/x", "http://192.168.1.1/x",
        "http://172.16.0.1/x", "http://169.254.169.254/latest/meta-data", "http://100.64.0.1/x",
        "http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://[fd00::1]/x", "http://[fe80::1]/x",
        "http://[64:ff9b::7f00:1]/x", "http://224.0.0.1/x",
    ],
)  # fmt: skip
async def test_an_address_that_must_not_be_called_is_refused_when_it_is_given(
    hub_url: str, url: str
) -> None:
    async with agent(hub_url, "echo") as echo:
        task = await echo.send("hello")
        with pytest.raises(InvalidParamsError):
            await echo.client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id=task.id, url=url or " "),
                context=ClientCallContext(),
            )
        with pytest.raises(InvalidParamsError):
            await echo.send("hello", taskPushNotificationConfig={"url": url or " "})


async def test_an_address_that_must_not_be_called_is_not_called_though_it_was_stored(
    hub_url: str, postgres: Postgres, receiver: Receiver
) -> None:
    async with (
        open_database(postgres.url("hub_a2a_agents")) as db,
        agent(hub_url, "ship") as ship,
        httpx.AsyncClient(base_url=hub_url, trust_env=False) as raw,
    ):
        asked = await ship.send("shoes")
        config = PushConfig(
            config_id="c",
            url=receiver.url,
            host="example.com",
            notes={"version": "1.0", "token": "", "scheme": "", "credentials": ""},
        )
        await PostgresPushConfigs(db).put("default", UUID(asked.id), config)
        await ship.send("no", task=asked)

        async def refused() -> Any:
            listed = (await raw.get("/deliveries", params={"state": "pending"})).json()
            return [d for d in listed if d["url"] == receiver.url and d["reason"]]

        (first, *_) = await eventually(refused)
    assert "not a public address" in first["reason"]
    assert receiver.got == []


@pytest.mark.parametrize(
    "push",
    [
        {"token": "a\r\nx-evil: 1"},
        {"token": "ä"},
        {"id": "x" * 200},
        {"id": "a\nb"},
        {"authentication": {"scheme": "Bearer", "credentials": "a\nb"}},
    ],
)
async def test_what_no_header_can_carry_is_refused(open_hub: str, push: dict[str, Any]) -> None:
    async with agent(open_hub, "echo") as echo:
        with pytest.raises(InvalidParamsError):
            await echo.send(
                "hello", taskPushNotificationConfig={"url": "http://127.0.0.1:9", **push}
            )


# --- other callers ------------------------------------------------------------------------------


async def test_a_task_of_another_caller_is_unknown_to_every_operation(
    hub_url: str, postgres: Postgres, valkey: Valkey
) -> None:
    async with agent(hub_url, "ship") as ship:
        foreign = await ship.send("shoes")
    config = hub.settings(postgres.url("hub_a2a_agents"), valkey.url(14))
    async with open_service(config) as service:
        stranger = Principal(tenant="default", subject="stranger")
        surface = A2A(
            service,
            public_url=None,
            default_agent=None,
            principal=lambda _: stranger,
            max_body_bytes=10_000,
        )
        transport = httpx.ASGITransport(Starlette(routes=list(surface.routes)))
        async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as raw:
            answers = {
                id: [await _call(raw, operation, id) for operation in ON_A_TASK]
                for id in (foreign.id, UNKNOWN)
            }
    assert answers[foreign.id] == answers[UNKNOWN]
    assert {code for code, _ in answers[UNKNOWN]} == {-32001}


ON_A_TASK = (
    ("GetTask", "id"), ("CancelTask", "id"), ("SubscribeToTask", "id"), ("SendMessage", "message"),
    ("CreateTaskPushNotificationConfig", "taskId"), ("GetTaskPushNotificationConfig", "taskId"),
    ("ListTaskPushNotificationConfigs", "taskId"), ("DeleteTaskPushNotificationConfig", "taskId"),
)  # fmt: skip


async def _call(raw: httpx.AsyncClient, operation: tuple[str, str], id: str) -> tuple[int, str]:
    """The code and the message of a refusal, without the id."""
    method, name = operation
    params: dict[str, Any] = {name: id, "url": "https://example.com"}
    if name == "taskId":
        params["id"] = "c"
    if name == "message":
        part = {"text": "yes"}
        message = {"messageId": "1", "role": "ROLE_USER", "taskId": id, "parts": [part]}
        params = {"message": message}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    error = (await raw.post("/agents/ship/a2a", json=body)).json()["error"]
    return error["code"], error["message"].replace(id, "it")
