"""The SDK's own server as it is made by default, with the agent of the conformance suite: what the
manifest must find wanting. A process of its own, because it leaves its tasks behind.

    python a2a_sdk_server.py PORT GRPC_PORT
"""

from __future__ import annotations

import asyncio
import sys

import grpc.aio
import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import (
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from a2a.types import a2a_pb2_grpc as services
from starlette.applications import Starlette

EXTENSION = "urn:example:required"


class Tck(AgentExecutor):
    """Answers to the prefixes of the suite."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        said = context.get_user_input()
        assert context.task_id is not None
        assert context.context_id is not None
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if context.current_task is None:
            status = pb.TaskStatus(state=pb.TaskState.TASK_STATE_SUBMITTED)
            assert context.message is not None
            first = pb.Task(
                id=context.task_id,
                context_id=context.context_id,
                status=status,
                history=[context.message],
            )
            await event_queue.enqueue_event(first)
        await updater.start_work()
        if said.startswith(("tck-input-required", "tck-multi-turn", "again")):
            await updater.requires_input()
            return
        if said.startswith("tck-cancel"):
            await asyncio.Event().wait()
        if said.startswith("tck-task-failure"):
            await updater.failed()
            return
        await updater.add_artifact([pb.Part(text=said)])
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


async def main(port: int, grpc_port: int) -> None:
    """Serve all three bindings, for clients that declare an extension."""
    url = f"http://127.0.0.1:{port}"
    extension = pb.AgentExtension(uri=EXTENSION, required=True)
    card = pb.AgentCard(
        name="tck", description="The suite's agent.", version="1",
        supported_interfaces=[
            pb.AgentInterface(url=at, protocol_binding=binding, protocol_version="1.0")
            for at, binding in (
                (f"{url}/rpc", "JSONRPC"), (f"{url}/rest", "HTTP+JSON"),
                (f"127.0.0.1:{grpc_port}", "GRPC"),
            )
        ],
        capabilities=pb.AgentCapabilities(
            streaming=True, push_notifications=True, extended_agent_card=False,
            extensions=[extension],
        ),
        default_input_modes=["text/plain"], default_output_modes=["text/plain"],
        skills=[pb.AgentSkill(id="tck", name="tck", description="Answers.", tags=["tck"])],
    )  # fmt: skip
    handler = DefaultRequestHandler(
        Tck(), InMemoryTaskStore(), card, push_config_store=InMemoryPushNotificationConfigStore()
    )
    app = Starlette(
        routes=[
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, "/rpc"),
            *create_rest_routes(handler, path_prefix="/rest"),
        ]
    )
    server = grpc.aio.server()
    services.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    await uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical")).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
