"""Servers of others, made with the SDKs as they come: an A2A agent (streaming at `/a2a`, to be polled at
`/polled`, and one whose card leads elsewhere at `/astray`), and an MCP server at `/mcp`.

    python far.py PORT NOTES

NOTES is a file that gets a line for each execution.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PORT, NOTES = int(sys.argv[1]), Path(sys.argv[2])
HERE = f"http://127.0.0.1:{PORT}"


def note(what: str) -> None:
    with NOTES.open("a", encoding="utf-8") as notes:
        notes.write(f"{what}\n")


class Agent(AgentExecutor):
    """Does what its first word says."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        said = context.get_user_input()
        note(f"a2a {said}")
        headers = context.call_context.state["headers"]
        if "traceparent" in headers:
            note(f"trace {headers['traceparent']}")
        assert context.task_id is not None
        assert context.context_id is not None
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        if said == "message":
            parts = [pb.Part(text="only a word")]
            await event_queue.enqueue_event(updater.new_agent_message(parts))
            return
        if context.current_task is None:
            assert context.message is not None
            status = pb.TaskStatus(state=pb.TaskState.TASK_STATE_SUBMITTED)
            await event_queue.enqueue_event(
                pb.Task(
                    id=context.task_id,
                    context_id=context.context_id,
                    status=status,
                    history=[context.message],
                )
            )
        await updater.start_work()
        await self._act(said, context, updater)

    async def _act(  # noqa: C901  # a case for each word
        self, said: str, context: RequestContext, updater: TaskUpdater
    ) -> None:
        def message(text: str) -> pb.Message:
            return updater.new_agent_message([pb.Part(text=text)])

        match said.split()[0]:
            case "chunks":
                await updater.start_work(message("thinking"))
                for n, text in enumerate(("one ", "two ", "three")):
                    await updater.add_artifact([pb.Part(text=text)], "said", append=n > 0)
                await updater.start_work(message("almost"))
                data = pb.Part(data=ParseDict({"count": 3}, Value()))
                await updater.add_artifact([data, pb.Part(text="count: 3")], "data")
                await updater.complete()
            case "file":
                file = pb.Part(raw=b"\x89PNG", media_type="image/png", filename="a.png")
                await updater.add_artifact([pb.Part(text="look"), file], "file")
                await updater.complete()
            case "begin":
                await updater.add_artifact([pb.Part(text="before, ")], "said")
                await updater.requires_input(message("Go on?"))
            case "on":
                await updater.add_artifact([pb.Part(text="behind")], "said", append=True)
                await updater.complete()
            case "ask":
                await updater.requires_input(message("Which city?"))
            case "auth":
                await updater.requires_auth(message("Sign in, please."))
            case "reject":
                await updater.reject(message("not for me"))
            case "wait":
                await asyncio.Event().wait()
            case _:
                await updater.add_artifact([pb.Part(text=f"heard {said}")])
                await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        note("a2a cancelled")
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def agent(path: str, *, streaming: bool = True, at: str = HERE) -> Mount:
    card = pb.AgentCard(
        name="far", description="Of somebody else.", version="1",
        supported_interfaces=[
            pb.AgentInterface(
                url=f"{at}{path}/rpc", protocol_binding="JSONRPC", protocol_version="1.0"
            )
        ],
        capabilities=pb.AgentCapabilities(streaming=streaming),
        default_input_modes=["text/plain"], default_output_modes=["text/plain"],
        skills=[pb.AgentSkill(id="far", name="far", description="Answers.", tags=["far"])],
    )  # fmt: skip
    handler = DefaultRequestHandler(Agent(), InMemoryTaskStore(), card)
    return Mount(
        path,
        routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/rpc")],
    )


class City(BaseModel):
    """What is asked for."""

    city: str


server = MCPServer("far")


@server.tool()
async def count(to: int, ctx: Context) -> dict[str, int]:
    """Counts, and says how far it is."""
    note("mcp count")
    for n in range(1, to + 1):
        await ctx.report_progress(n, to, f"at {n}")
    return {"counted": to}


@server.tool()
async def weather(day: str, ctx: Context) -> str:
    """Asks for a city while it runs."""
    note("mcp weather")
    answer = await ctx.elicit("Which city?", City)
    if answer.action != "accept":
        return f"{answer.action}, then"
    return f"sunny in {answer.data.city} on {day}"


@server.tool()
async def forecast(day: str, ctx: Context) -> str | InputRequiredResult:
    """Asks for a city, and is called again with it."""
    note("mcp forecast")
    replies = ctx.input_responses or {}
    if "city" not in replies:
        params = ElicitRequestFormParams(
            message="Which city?", requested_schema=City.model_json_schema()
        )
        return InputRequiredResult(
            input_requests={"city": ElicitRequest(params=params)}, request_state="the state"
        )
    reply = replies["city"]
    said = reply.content["city"] if reply.action == "accept" else reply.action
    return f"sunny in {said} on {day} by {ctx.request_state}"


@server.tool()
async def sample(ctx: Context) -> str:
    """Asks for a model's answer, which is not its to ask for."""
    hello = SamplingMessage(role="user", content=TextContent(type="text", text="hi"))
    try:
        await ctx.session.create_message([hello], max_tokens=1, related_request_id=ctx.request_id)
    except MCPError as error:
        return f"refused: {error}"
    return "answered"


@server.tool()
async def once(word: str) -> str:
    """Notes a word."""
    note(f"mcp {word}")
    return word


@server.tool()
async def wait() -> str:
    """Waits until it is cancelled."""
    note("mcp waits")
    try:
        await asyncio.Event().wait()
    finally:
        note("mcp cancelled")
    raise AssertionError


@server.tool()
async def fail() -> str:
    """Fails."""
    raise ValueError("out of paper")


async def large(_: Request) -> Response:
    return PlainTextResponse("x" * (17 << 20), media_type="application/json")


async def elsewhere(_: Request) -> Response:
    return RedirectResponse("http://localhost:1/", 307)


class Cut:
    """Loses the connection of a message that says so: before its answer begins, or in the middle of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body, messages = b"", []
        while True:
            message = await receive()
            messages.append(message)
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        early, late = b"cut early" in body, b"cut late" in body

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        async def until(message: Message) -> None:
            if early or (late and message["type"] == "http.response.body"):
                raise ConnectionResetError
            await send(message)

        await self.app(scope, again, until if early or late else send)


inside = server.streamable_http_app()


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    async with server.session_manager.run():
        yield


app = Starlette(
    routes=[
        agent("/a2a"),
        agent("/polled", streaming=False),
        agent("/astray", at="http://localhost:1"),
        Route("/large/.well-known/agent-card.json", large),
        Route("/elsewhere/.well-known/agent-card.json", elsewhere),
        *inside.routes,
    ],
    lifespan=lifespan,
    middleware=[Middleware(Cut)],
)

if __name__ == "__main__":
    uvicorn.run(app, port=PORT, log_level="warning", timeout_graceful_shutdown=1)
