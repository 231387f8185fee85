"""Handshake sessions over two replicas, none of which remembers anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from starlette.requests import Request

from agenthub.agents import AgentInfo
from agenthub.ports import Deployed
from agenthub.principal import Principal
from agenthub_mcp.wire import read_event_id
from agenthub_server.embedded import Postgres, Valkey
from protocols.mcp_client import ERAS, LEGACY, Heard, client
from protocols.mcp_pair import Pair, pair_of
from protocols.mcp_session import ACCEPT, VERSION, Frame, Hand, session
from protocols.mcp_stub import StubHub, serving
from testkit import hub
from testkit.round_robin import round_robin
from testkit.waiting import eventually

AGENTS = hub.FIXTURES / "mcp_agents.py"
CANCELLED = -32800


@pytest.fixture(scope="module")
async def pair(postgres: Postgres, valkey: Valkey, template: str) -> AsyncGenerator[Pair]:
    servers = (postgres, valkey)
    async with pair_of(AGENTS, servers, template, name="mcp_pair", number=12) as pair:
        yield pair


async def until_question(stream: AsyncGenerator[Frame]) -> Frame:
    """The first question of a stream."""
    async for frame in stream:
        if frame.message is not None and frame.message.get("method") == "elicitation/create":
            return frame
    raise AssertionError("the stream ended without a question")


async def rest_of(stream: AsyncGenerator[Frame]) -> list[Frame]:
    return [frame async for frame in stream]


def given(frame: Frame) -> Any:
    """What the agent was given, from the response of its call."""
    assert frame.message is not None
    assert not frame.message["result"].get("isError"), frame.message
    return frame.message["result"]["structuredContent"]["given"]


async def new_thread(at: str) -> str:
    async with httpx.AsyncClient(base_url=at, trust_env=False) as rest:
        return (await rest.post("/threads", json={})).json()["thread_id"]


async def runs_of(at: str, thread_id: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=at, trust_env=False) as rest:
        return (await rest.get(f"/threads/{thread_id}/runs")).json()


# --- the official client ------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_the_official_client_does_not_notice_that_its_requests_alternate(
    pair: Pair, era: str
) -> None:
    heard = Heard()
    replies: Any = {"city": {"answer": "Ghent"}, "street in Ghent": {"answer": "Quay"}}
    async with (
        round_robin([pair.one, pair.two]) as balancer,
        client(balancer.url, era, dict(reversed(replies.items()))) as mcp,
    ):
        names = {tool.name for tool in (await mcp.list_tools()).tools}
        assert {"echo", "ask_twice", "run_status"} <= names
        for n in range(4):
            said = await mcp.call_tool("echo", {"text": str(n)})
            assert said.structured_content["heard"] == str(n)
        asked = await mcp.call_tool("ask_twice", {"text": "x"}, progress_callback=heard)
        assert asked.structured_content["given"] == "Quay, Ghent"
        assert heard.numbers == sorted(set(heard.numbers))
        posts = [to for method, to in balancer.went if method == "POST"]
        assert {pair.one, pair.two} <= set(posts)
        assert any(one != other for one, other in pairwise(posts))


async def test_the_official_client_takes_a_call_back_at_the_other_replica(pair: Pair) -> None:
    begun = asyncio.Event()
    async with (
        round_robin([pair.one, pair.two]) as balancer,
        client(balancer.url, LEGACY) as mcp,
    ):
        thread_id = await new_thread(pair.one)
        call = asyncio.create_task(
            mcp.call_tool(
                "wait_for_ever",
                {"text": "x", "thread_id": thread_id},
                progress_callback=Heard(on=lambda _: begun.set()),
            )
        )
        async with asyncio.timeout(20):
            await begun.wait()
        call.cancel()
        await asyncio.wait([call])

        async def interrupted() -> bool:
            return (await runs_of(pair.one, thread_id))[0]["status"] == "interrupted"

        await eventually(interrupted, within=20)


# --- from replica to replica --------------------------------------------------------------------


async def test_a_session_that_one_replica_opened_is_known_to_the_other(pair: Pair) -> None:
    async with session(pair.one) as hand:
        tools = await hand.ask(pair.two, "tools/list")
        assert "echo" in {tool["name"] for tool in tools["result"]["tools"]}
        async with hand.call(pair.two, "echo", {"text": "x"}) as (request_id, stream):
            *_, last = await rest_of(stream)
    assert last.message is not None
    assert last.message["id"] == request_id
    assert last.message["result"]["structuredContent"]["heard"] == "x"


async def test_a_session_outlives_the_replica_that_opened_it(pair: Pair) -> None:
    config = hub.settings(pair.dsn, pair.redis_url)
    async with hub.serving(config) as (gone, _), session(gone) as hand:
        headers = hand.headers
    async with httpx.AsyncClient(trust_env=False) as raw:
        tools = await Hand(raw, headers).ask(pair.two, "tools/list")
    assert tools["result"]["tools"]


async def test_a_question_of_one_replica_is_answered_at_the_other(pair: Pair) -> None:
    async with (
        session(pair.one) as hand,
        hand.call(pair.one, "approve", {"text": "now"}) as (_, stream),
    ):
        question = await until_question(stream)
        assert question.message is not None
        assert "Do it? now" in question.message["params"]["message"]
        await hand.reply(pair.two, question.message, approved=True)
        (last,) = await rest_of(stream)
    assert given(last) is True


async def test_a_stream_that_was_cut_goes_on_at_the_other_replica_and_ends_once(
    pair: Pair,
) -> None:
    thread_id = await new_thread(pair.one)
    async with session(pair.one) as hand:
        arguments = {"text": "now", "thread_id": thread_id}
        async with hand.call(pair.one, "approve", arguments) as (request_id, stream):
            first = await anext(stream)
            assert first.message is None, "the stream begins with an id to go on from"
            question = await until_question(stream)
        assert question.message is not None
        async with hand.listen(pair.two, first.id) as stream:
            # what came behind the id that the client gives is sent again, as it was
            assert await until_question(stream) == question
            await hand.reply(pair.one, question.message, approved=True)
            (last,) = await rest_of(stream)
        assert given(last) is True
        assert last.message is not None
        assert last.message["id"] == request_id
        for replica in (pair.one, pair.two):
            async with hand.listen(replica, question.id) as stream:
                assert await rest_of(stream) == [last]
            async with hand.listen(replica, last.id) as stream:
                assert await rest_of(stream) == []
    assert len(await runs_of(pair.one, thread_id)) == 2, "the question, and its answer"


async def test_an_answer_that_was_given_before_the_cut_is_not_asked_for_again(pair: Pair) -> None:
    async with session(pair.one) as hand:
        async with hand.call(pair.one, "ask_twice", {"text": "x"}) as (_, stream):
            city = await until_question(stream)
            assert city.message is not None
            await hand.reply(pair.two, city.message, answer="Ghent")
            street = await until_question(stream)
        async with hand.listen(pair.two, city.id) as stream:
            assert await until_question(stream) == street
            assert street.message is not None
            assert "Ghent" in street.message["params"]["message"]
            await hand.reply(pair.one, street.message, answer="Quay")
            *between, last = await rest_of(stream)
    assert not between
    assert given(last) == "Quay, Ghent"


async def test_a_resumed_answer_is_handed_in_once_whoever_serves_it(pair: Pair) -> None:
    async with session(pair.one) as hand:
        async with client(pair.one, LEGACY) as mcp:
            asked = await mcp.call_tool("ask_twice", {"text": "x"})
            assert asked.meta is not None
            task_id = asked.meta["agenthub/task_id"]
            status = await mcp.call_tool("run_status", {"task_id": task_id})
            (city,) = status.structured_content["questions"]
        # by its id: the question is not open any more when the call is served again
        arguments = {"task_id": task_id, "answers": {city["id"]: "Ghent"}}
        async with hand.call(pair.one, "resume_run", arguments) as (_, stream):
            street = await until_question(stream)
        async with hand.listen(pair.two, f"{street.id.partition('-')[0]}-0") as stream:
            assert await until_question(stream) == street
            assert street.message is not None
            await hand.reply(pair.two, street.message, answer="Quay")
            (last,) = await rest_of(stream)
    assert given(last) == "Quay, Ghent"


async def test_progress_rises_also_after_another_replica_has_taken_over(pair: Pair) -> None:
    async with session(pair.one) as hand:
        arguments = {"text": "now"}
        async with hand.call(pair.one, "approve", arguments, progressToken="p") as (_, stream):
            before = []
            async for frame in stream:
                before.append(frame)
                if frame.message is not None and frame.message["method"] == "elicitation/create":
                    break
        async with hand.listen(pair.two, before[0].id) as stream:
            question = await until_question(stream)
            assert question.message is not None
            await hand.reply(pair.two, question.message, approved=True)
            after = await rest_of(stream)
    numbers = [
        frame.message["params"]["progress"]
        for frame in [*before, *after]
        if frame.message is not None and frame.message.get("method") == "notifications/progress"
    ]
    assert numbers
    assert numbers == sorted(set(numbers))


async def test_a_call_is_taken_back_at_the_other_replica(pair: Pair) -> None:
    thread_id = await new_thread(pair.one)
    arguments = {"text": "x", "thread_id": thread_id}
    async with (
        session(pair.one) as hand,
        hand.call(pair.one, "wait_for_ever", arguments) as (request_id, stream),
    ):

        async def begun() -> bool:
            return bool(await runs_of(pair.one, thread_id))

        await eventually(begun)
        taken_back = {
            "method": "notifications/cancelled",
            "params": {"requestId": request_id},
        }
        assert (await hand.post(pair.two, taken_back)).status_code == 202
        *_, last = await rest_of(stream)
        assert last.message is not None
        assert last.message["error"]["code"] == CANCELLED

        async def interrupted() -> bool:
            return (await runs_of(pair.one, thread_id))[0]["status"] == "interrupted"

        await eventually(interrupted)


# --- ids that are not ours ----------------------------------------------------------------------


@pytest.mark.parametrize("id", ["0" * 32, "nobody", "' or true --", str(uuid4())])
async def test_a_session_that_nobody_opened_is_not_found(pair: Pair, id: str) -> None:
    async with session(pair.one) as hand:
        hand.headers["Mcp-Session-Id"] = id
        for message in (
            {"id": 1, "method": "ping"},
            {"id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}},
            {"method": "notifications/initialized"},
        ):
            assert (await hand.post(pair.two, message)).status_code == 404
        for method in ("GET", "DELETE"):
            answer = await hand.raw.request(method, f"{pair.two}/mcp", headers=hand.headers)
            assert answer.status_code == 404


async def test_a_session_of_someone_else_is_not_found() -> None:
    def caller(request: Request) -> Principal:
        return Principal(subject=request.headers.get("x-caller", "ann"))

    async with serving(StubHub(outcome=1), principal=caller) as url, session(url) as hand:
        ping = {"id": 1, "method": "ping"}
        call = {"id": 1, "method": "tools/call", "params": {"name": "agent", "arguments": {}}}
        assert (await hand.post(url, ping)).status_code == 200
        for message in (ping, call):
            assert (await hand.post(url, message, **{"x-caller": "bob"})).status_code == 404


async def test_a_closed_session_is_gone_everywhere_and_so_are_its_streams(pair: Pair) -> None:
    async with (
        session(pair.one) as hand,
        hand.listen(pair.one) as news,
        hand.call(pair.one, "approve", {"text": "now"}) as (_, stream),
    ):
        await anext(news)
        await until_question(stream)
        closed = await hand.raw.delete(f"{pair.two}/mcp", headers=hand.headers)
        assert closed.status_code == 200
        answer = await hand.post(pair.one, {"id": 1, "method": "ping"})
        assert answer.status_code == 404
        assert await rest_of(news) == []
        assert await rest_of(stream) == []


async def test_a_session_that_was_idle_for_long_is_not_found(pair: Pair) -> None:
    async with session(pair.one) as hand:
        db = await asyncpg.connect(pair.dsn)
        await db.execute(
            "update mcp_sessions set seen_at = now() - interval '8 days' where session_id = $1",
            hand.headers["Mcp-Session-Id"],
        )
        await db.close()
        answer = await hand.post(pair.two, {"id": 1, "method": "ping"})
    assert answer.status_code == 404


@pytest.mark.parametrize("last", ["7", f"{'0' * 32}-1", "nothing-1", f"{'0' * 32}-", "x" * 500])
async def test_an_event_that_is_none_of_the_session_is_refused(pair: Pair, last: str) -> None:
    async with session(pair.one) as hand:
        headers = {**hand.headers, "Last-Event-ID": last}
        answer = await hand.raw.get(f"{pair.two}/mcp", headers=headers)
    assert answer.status_code == 400
    assert "no event" in answer.json()["error"]["message"]


async def test_a_stream_of_another_session_cannot_be_read(pair: Pair) -> None:
    async with session(pair.one) as ann, session(pair.one) as bob:
        async with ann.call(pair.one, "echo", {"text": "secret"}) as (_, stream):
            *_, last = await rest_of(stream)
        place = read_event_id(last.id)
        assert place is not None
        headers = {**bob.headers, "Last-Event-ID": f"{place[0].hex}-0"}
        answer = await bob.raw.get(f"{pair.two}/mcp", headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("id", ["x", 7, f"{'0' * 32}:1", "\x00", f"{'0' * 32}:\x00"])
async def test_an_answer_to_no_question_is_passed_over(pair: Pair, id: Any) -> None:
    async with session(pair.one) as hand:
        answer = await hand.post(pair.two, {"id": id, "result": {}})
    assert answer.status_code == 202


@pytest.mark.parametrize("token", [2**64, -(2**63) - 1])
async def test_a_progress_token_that_cannot_be_given_back_is_refused_before_anything_is_done(
    pair: Pair, token: int
) -> None:
    thread_id = await new_thread(pair.one)
    async with session(pair.one) as hand:
        arguments = {"text": "x", "thread_id": thread_id}
        meta = {"progressToken": token}
        params = {"name": "echo", "arguments": arguments, "_meta": meta}
        body = {"id": 7, "method": "tools/call", "params": params}
        answer = await hand.post(pair.two, body)
    assert answer.status_code == 400
    assert "progressToken" in answer.json()["error"]["message"]
    assert await runs_of(pair.one, thread_id) == []


# --- headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "2025-06-18", VERSION])
async def test_the_session_knows_its_version_whatever_older_clients_say(
    pair: Pair, version: str | None
) -> None:
    async with session(pair.one) as hand:
        del hand.headers["MCP-Protocol-Version"]
        if version is not None:
            hand.headers["MCP-Protocol-Version"] = version
        assert (await hand.ask(pair.two, "ping"))["result"] == {}


@pytest.mark.parametrize("version", ["1999-01-01", "latest", "2026-13-01"])
async def test_a_version_that_nobody_speaks_is_a_bad_request(pair: Pair, version: str) -> None:
    async with session(pair.one) as hand:
        hand.headers["MCP-Protocol-Version"] = version
        answer = await hand.post(pair.two, {"id": 1, "method": "ping"})
    assert answer.status_code == 400


async def test_a_request_without_a_session_is_told_to_begin_with_one(pair: Pair) -> None:
    async with httpx.AsyncClient(trust_env=False) as raw:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        answer = await raw.post(f"{pair.one}/mcp", json=ping, headers=ACCEPT)
    assert answer.status_code == 400
    assert "initialize" in answer.json()["error"]["message"]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "text/html"])
async def test_a_client_that_cannot_take_both_kinds_of_answer_is_refused(
    pair: Pair, accept: str
) -> None:
    async with session(pair.one) as hand:
        answer = await hand.post(pair.two, {"id": 1, "method": "ping"}, Accept=accept)
    assert answer.status_code == 406


@pytest.mark.parametrize("version", ["2025-06-18", "2025-03-26"])
async def test_older_clients_get_no_event_without_a_message(pair: Pair, version: str) -> None:
    async with (
        session(pair.one, version=version) as hand,
        hand.call(pair.two, "echo", {"text": "x"}) as (_, stream),
    ):
        (only,) = await rest_of(stream)
    assert only.message is not None
    assert only.message["result"]["structuredContent"]["heard"] == "x"


# --- news ---------------------------------------------------------------------------------------


async def test_a_standing_stream_tells_when_an_agent_comes_or_goes() -> None:
    stub = StubHub()
    more = Deployed(info=AgentInfo(name="other", description="Another agent."))
    async with serving(stub) as url, session(url) as hand:
        async with hand.listen(url) as news:
            first = await anext(news)
            assert first.message is None
            stub.deployed_now = [*stub.deployed_now, more]
            await stub.agents.refresh()
            changed = await anext(news)
        assert changed.message == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        # who comes back hears of what changed meanwhile, and of nothing else
        async with hand.listen(url, first.id) as news:
            assert [await anext(news), await anext(news)] == [Frame(first.id, None), changed]
        async with hand.listen(url, changed.id) as news:
            assert await anext(news) == Frame(changed.id, None)
            stub.deployed_now = stub.deployed_now[:1]
            await stub.agents.refresh()
            again = await anext(news)
    assert again.message == changed.message
    assert again.id == first.id


async def test_the_handshake_says_that_lists_may_change(pair: Pair) -> None:
    async with client(pair.one, LEGACY) as mcp:
        capabilities = mcp.session.server_capabilities
        assert capabilities is not None
        assert capabilities.tools is not None
        assert capabilities.tools.list_changed


# --- without Redis ------------------------------------------------------------------------------


async def test_a_session_needs_no_redis(dsn: str) -> None:
    config = hub.settings(dsn, None, drain_seconds=0.0)
    async with (
        hub.hub(config, AGENTS) as one,
        hub.serving(hub.settings(dsn, None)) as (two, service),
    ):
        await service.agents.refresh()
        async with session(one) as hand:
            async with hand.call(one, "approve", {"text": "now"}) as (_, stream):
                question = await until_question(stream)
            assert question.message is not None
            async with hand.listen(two, question.id) as stream:
                await hand.reply(one, question.message, approved=True)
                (last,) = await rest_of(stream)
    assert given(last) is True
