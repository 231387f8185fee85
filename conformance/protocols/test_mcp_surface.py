"""The MCP surface where the hub misbehaves, is slow, or changes: on a stub."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

import agenthub_mcp
from agenthub import errors
from agenthub.agents import AgentInfo
from agenthub.errors import HubError
from agenthub.ids import new_id
from agenthub.interrupts import Interrupt
from agenthub.ports import Deployed
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub_mcp.errors import CODES, told
from agenthub_mcp.surface import Endpoint
from protocols.mcp_client import (
    ERAS,
    LEGACY,
    MODERN,
    client,
    http,
    modern_call,
    modern_headers,
    said,
    task_of,
)
from protocols.mcp_stub import StubHub, serving
from testkit.waiting import eventually

ASKS = (Interrupt("a" * 32, "Which?", {"type": "string"}),)


def every_error(of: type[HubError] = HubError) -> list[type[HubError]]:
    return [of, *(e for sub in of.__subclasses__() for e in every_error(sub))]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_the_hub_has_its_place_in_the_table(kind: type[HubError]) -> None:
    code = CODES[kind]
    if code is None:
        assert told(kind("why")).is_error
    else:
        reserved = (types.INTERNAL_ERROR, types.UNSUPPORTED_PROTOCOL_VERSION)
        assert code in reserved or not -32768 <= code <= -32000
        with pytest.raises(MCPError, match="why"):
            told(kind("why"))


@pytest.mark.parametrize("era", ERAS)
async def test_an_unexpected_exception_is_logged_and_not_told(
    era: str, caplog: pytest.LogCaptureFixture
) -> None:
    stub = StubHub(error=RuntimeError("password is hunter2"))
    with caplog.at_level(logging.ERROR):
        async with serving(stub) as url, client(url, era) as mcp:
            with pytest.raises(MCPError, match="Internal error") as refused:
                await mcp.call_tool("agent", {"input": 1})
    assert refused.value.code == types.INTERNAL_ERROR
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("era", ERAS)
async def test_an_unexpected_exception_of_a_reader_is_not_told_either(
    era: str, caplog: pytest.LogCaptureFixture
) -> None:
    stub = StubHub()

    async def broken(*_: Any) -> Any:
        raise RuntimeError("password is hunter2")

    stub.run = broken
    with caplog.at_level(logging.ERROR):
        async with serving(stub) as url, client(url, era) as mcp:
            with pytest.raises(MCPError, match="Internal error") as refused:
                await mcp.read_resource(f"run://{new_id()}")
    assert refused.value.code == types.INTERNAL_ERROR
    assert "hunter2" not in str(refused.value.data)
    assert "hunter2" in caplog.text


async def test_the_version_header_alone_tells_the_eras_apart() -> None:
    async with serving(StubHub()) as url, http(url) as raw:
        headers = modern_headers("tools/call", "agent")
        body = modern_call("agent", {"input": 1})
        assert (await raw.post("/mcp", json=body, headers=headers)).status_code == 200
        del headers["MCP-Protocol-Version"]
        answer = await raw.post("/mcp", json=body, headers=headers)
    assert answer.status_code == 400
    assert "Missing session ID" in answer.json()["error"]["message"]


def test_the_private_attribute_of_the_sdk_is_read_in_one_place() -> None:
    package = Path(agenthub_mcp.__file__).parent
    used = [f.name for f in package.glob("*.py") if "reportPrivateUsage" in f.read_text("utf-8")]
    assert used == ["caller.py"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_caller_who_is_not_known_sees_no_tools(era: str) -> None:
    def nobody(_: object) -> Principal:
        raise errors.Unauthenticated("who are you?")

    async with serving(StubHub(), principal=nobody) as url, client(url, era) as mcp:
        for call in (
            mcp.list_tools(),
            mcp.call_tool("agent", {"input": 1}),
            mcp.list_resources(),
            mcp.read_resource("agent://agent"),
            mcp.list_prompts(),
        ):
            with pytest.raises(MCPError, match="who are you") as refused:
                await call
            assert refused.value.code == 401


@pytest.mark.parametrize("era", ERAS)
async def test_a_refusal_that_no_model_can_act_on_is_a_protocol_error(era: str) -> None:
    stub = StubHub(error=errors.Forbidden("not for you"))
    async with serving(stub) as url, client(url, era) as mcp:
        with pytest.raises(MCPError, match="not for you") as refused:
            await mcp.call_tool("agent", {"input": 1})
    assert (refused.value.code, refused.value.data) == (403, {"code": "forbidden"})


@pytest.mark.parametrize("era", ERAS)
async def test_a_long_call_ends_in_a_handle_and_the_run_goes_on(era: str) -> None:
    stub = StubHub(outcome=42)
    stub.finish.clear()
    async with serving(stub, soft_deadline_seconds=0.05) as url, client(url, era) as mcp:
        handle = await mcp.call_tool("agent", {"input": 1})
        assert handle.is_error
        assert "run_status" in said(handle)
        status = await mcp.call_tool("run_status", {"task_id": task_of(handle)})
        assert status.structured_content["status"] == "working"
        stub.finish.set()
        [_ async for _ in stub.follow_run(stub.runs[-1])]
        status = await mcp.call_tool("run_status", {"task_id": task_of(handle)})
    assert status.structured_content["result"]["result"] == 42
    assert not stub.cancelled.is_set()


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_that_comes_too_late_shows_what_the_other_one_did(era: str) -> None:
    stub = StubHub(asks=ASKS)

    async def answered_elsewhere() -> Run:
        stub.asks = ()
        stub.outcome = "done by another"
        stub.new_run()
        raise errors.UnknownInterrupt("not open any more")

    stub.on_resume = answered_elsewhere
    async with serving(stub) as url, client(url, era, {"Which?": {"answer": "x"}}) as mcp:
        result = await mcp.call_tool("agent", {"input": 1})
    assert result.structured_content["result"] == "done by another"


async def test_a_handshake_client_that_keeps_answering_wrongly_is_shown_the_tool() -> None:
    stub = StubHub(asks=ASKS)
    async with serving(stub) as url, client(url, LEGACY, {"Which?": {"wrong": "x"}}) as mcp:
        result = await mcp.call_tool("agent", {"input": 1})
    assert result.is_error
    assert "resume_run" in said(result)


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_is_taken_back_while_its_run_is_created_cancels_it(era: str) -> None:
    stub = StubHub()
    stub.finish.clear()
    stub.creating.clear()
    async with serving(stub) as url, client(url, era) as mcp:
        call = asyncio.create_task(mcp.call_tool("agent", {"input": 1}))
        await mcp.list_tools()
        call.cancel()
        await asyncio.wait([call])
        await mcp.list_tools()
        stub.creating.set()
        async with asyncio.timeout(10):
            await stub.cancelled.wait()


async def test_a_connection_lost_in_resume_run_leaves_the_task_alone() -> None:
    stub = StubHub(asks=ASKS)
    async with serving(stub) as url, client(url, MODERN) as mcp:
        task_id = task_of(await mcp.call_tool("agent", {"input": 1}))
        stub.finish.clear()
        arguments = {"task_id": task_id, "answer": "x"}
        call = asyncio.create_task(mcp.call_tool("resume_run", arguments))
        await eventually(lambda: len(stub.runs) == 2)
        call.cancel()
        await asyncio.wait([call])
        # The server has handled the end of the connection before it answers these.
        await mcp.list_tools(cache_mode="bypass")
        await mcp.list_tools(cache_mode="bypass")
    assert not stub.cancelled.is_set()


async def test_a_request_state_is_of_use_to_its_owner_alone() -> None:
    def who(request: Any) -> Principal:
        return Principal(subject=request.headers["x-who"])

    async def call(raw: httpx.AsyncClient, subject: str, **params: Any) -> Any:
        headers = {**modern_headers("tools/call", "agent"), "X-Who": subject}
        answer = await raw.post("/mcp", json=modern_call("agent", {}, **params), headers=headers)
        return answer.json()

    untyped = AgentInfo(name="agent", description="", input_schema={"type": "object"})
    stub = StubHub(deployed_now=[Deployed(info=untyped)], asks=ASKS)
    async with serving(stub, principal=who) as url, http(url) as raw:
        state = (await call(raw, "ann"))["result"]["requestState"]
        assert (await call(raw, "bob", requestState=state))["error"]["code"] == -32602
        mine = await call(raw, "ann", requestState=state)
    assert mine["result"]["resultType"] == "input_required"


@pytest.mark.parametrize("era", ERAS)
async def test_a_server_that_stops_cancels_nothing(era: str) -> None:
    stub = StubHub()
    stub.finish.clear()
    async with AsyncExitStack() as server:
        url = await server.enter_async_context(serving(stub))
        async with client(url, era) as mcp:
            call = asyncio.create_task(mcp.call_tool("agent", {"input": 1}))
            await eventually(lambda: stub.runs)
            await server.aclose()
            await asyncio.wait([call])
    assert call.exception() is not None
    assert not stub.cancelled.is_set()


@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_that_cannot_be_served_says_why(era: str) -> None:
    broken = Deployed(info=AgentInfo(name="broken", description=""), reason="no module named 'x'")
    async with serving(StubHub(deployed_now=[broken])) as url, client(url, era) as mcp:
        assert "broken" not in [t.name for t in (await mcp.list_tools()).tools]
        result = await mcp.call_tool("broken", {"input": 1})
    assert result.is_error
    assert "no module named 'x'" in said(result)


@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_with_a_hopeless_schema_does_not_hide_the_others(era: str) -> None:
    hopeless = AgentInfo(name="hopeless", description="", input_schema={"properties": 7})
    well = AgentInfo(name="well", description="")
    stub = StubHub(deployed_now=[Deployed(info=hopeless), Deployed(info=well)])
    async with serving(stub) as url, client(url, era) as mcp:
        names = [t.name for t in (await mcp.list_tools()).tools]
    assert names[0] == "well"


async def test_listeners_are_told_when_an_agent_is_deployed() -> None:
    stub = StubHub()
    async with serving(stub) as url, client(url, MODERN) as mcp:
        async with mcp.listen(tools_list_changed=True) as changes:
            stub.deployed_now = [
                *stub.deployed_now,
                Deployed(info=AgentInfo(name="new", description="")),
            ]
            await stub.agents.refresh()
            async with asyncio.timeout(10):
                await anext(aiter(changes))
        names = [t.name for t in (await mcp.list_tools()).tools]
    assert names[:2] == ["agent", "new"]


async def test_the_body_limit_is_the_servers() -> None:
    async with serving(StubHub(), max_body_bytes=1_000) as url, http(url) as raw:
        for headers in ({}, {"MCP-Protocol-Version": MODERN}):
            answer = await raw.post("/mcp", content=b"x" * 1_001, headers=headers)
            assert answer.status_code == 413


async def test_hosts_and_origins_are_localhost_and_those_that_were_allowed() -> None:
    allowed = {"allowed_hosts": ["hub.example"], "allowed_origins": ["https://app.example"]}
    good = {"Host": "hub.example", "Origin": "https://app.example"}
    async with serving(StubHub(), **allowed) as url, http(url) as raw:
        for headers, status in (
            (good, 406),
            ({"Host": "localhost:2024", "Origin": "http://localhost:5173"}, 406),
            ({**good, "Host": "hub.example.evil"}, 421),
            ({**good, "Origin": "https://hub.example"}, 403),
        ):
            answer = await raw.post("/mcp", json={}, headers={**headers, "Accept": "text/plain"})
            assert answer.status_code == status


async def test_blanks_around_a_header_are_not_part_of_it() -> None:
    seen: list[Any] = []

    async def modern(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))

    async def handshake(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def nothing(*_: Any) -> Any: ...

    headers = [(b"mcp-protocol-version", f" {MODERN} ".encode()), (b"mcp-name", b"echo \t")]
    endpoint = Endpoint(StubHub().agents, modern=modern, handshake=handshake)
    await endpoint({"type": "http", "path_params": {}, "headers": headers}, nothing, nothing)
    assert seen == [{b"mcp-protocol-version": MODERN.encode(), b"mcp-name": b"echo"}]
