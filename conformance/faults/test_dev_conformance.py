"""`agenthub dev --conformance`: what the official A2A suites need, from one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc.aio
import httpx
from a2a.types import a2a_pb2_grpc as services

from faults.test_dev import BANNER, HUB
from protocols.a2a_client import request, state
from testkit.processes import free_port, process
from testkit.receiver import receiving
from testkit.servers import suite_environment
from testkit.waiting import eventually


async def test_without_a_project_it_serves_the_suites_agent_which_may_call_this_machine(
    folder: Path,
) -> None:
    port, grpc_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [*HUB, "dev", "--conformance", "--port", str(port)]
    env = {**suite_environment(), "AGENTHUB_GRPC_PORT": str(grpc_port)}
    async with process(command, ready=BANNER, cwd=folder, env=env) as running:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            at_the_root = (await http.get(f"{url}/.well-known/agent-card.json")).json()
            the_agents = (await http.get(f"{url}/agents/tck/.well-known/agent-card.json")).json()
        at = f"127.0.0.1:{grpc_port}"
        async with receiving() as webhook, grpc.aio.insecure_channel(at) as channel:
            push = {"url": webhook.url}
            asked = request("x", message_id="tck-artifact-text-1", taskPushNotificationConfig=push)
            # as the TCK does it: without a tenant
            stub: Any = services.A2AServiceStub(channel)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # generated
            answer = await stub.SendMessage(asked, metadata=[("a2a-version", "1.0")], timeout=60)
            await eventually(lambda: len(webhook.got) >= 2)
        assert "A2A suites" in running.output()
    assert at_the_root["supportedInterfaces"] == the_agents["supportedInterfaces"]
    assert at_the_root["supportedInterfaces"][-1]["tenant"] == "tck"
    assert state(answer.task) == "COMPLETED"
    assert answer.task.artifacts[0].parts[0].text == "Generated text content"
