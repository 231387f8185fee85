"""Resources, prompts, completion and what declarations say, in both eras and on any replica."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceLink, ResourceTemplateReference

from agenthub.agents import AgentInfo
from agenthub.ports import Deployed
from agenthub.principal import Principal
from agenthub_mcp import resources
from agenthub_mcp.resources import Resources, read_uri
from protocols.mcp_client import ERAS, LEGACY, MODERN, client, http
from protocols.mcp_pair import Pair
from protocols.mcp_session import session
from protocols.mcp_stub import StubHub, serving
from protocols.mcp_wire import wire
from testkit import hub
from testkit.waiting import eventually

META = ("agenthub/run_id", "agenthub/thread_id")


async def read(mcp: Any, uri: str) -> Any:
    """What a resource says."""
    (contents,) = (await mcp.read_resource(uri)).contents
    assert contents.uri == uri
    assert contents.mime_type == "application/json"
    return json.loads(contents.text)


async def chatted(mcp: Any, **arguments: str) -> tuple[str, str]:
    """The run and the thread of a finished call."""
    result = await mcp.call_tool("chat", {"message": "hello", **arguments})
    run_id, thread_id = (result.meta[key] for key in META)
    return run_id, thread_id


# --- resources ----------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_run_its_events_and_its_thread_can_be_read(declared: Pair, era: str) -> None:
    async with client(declared.one, era) as mcp, client(declared.two, era) as other:
        run_id, thread_id = await chatted(mcp)
        run = await read(other, f"run://{run_id}")
        assert run["status"] == "success"
        assert (run["run_id"], run["thread_id"], run["agent"]) == (run_id, thread_id, "chat")
        events = await read(other, f"run://{run_id}/events")
        assert [e["seq"] for e in events["events"]] == list(range(1, len(events["events"]) + 1))
        assert events["events"][-1]["kind"] == "ended"
        assert events["next"] is None
        rest = await read(other, f"run://{run_id}/events?after=1")
        assert rest["events"] == events["events"][1:]
        state = await read(other, f"thread://{thread_id}/state")
        assert [m["content"] for m in state["values"]["messages"]] == ["hello", "1: hello"]
        history = await read(other, f"thread://{thread_id}/history")
        assert history["states"][0] == state
        assert len(history["states"]) > 1


async def test_a_long_run_is_read_in_pages(declared: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with client(declared.one, MODERN) as mcp:
        run_id, _ = await chatted(mcp)
        whole = await read(mcp, f"run://{run_id}/events")
        monkeypatch.setattr(resources, "MOST_EVENTS", 2)
        events: list[Any] = []
        uri = f"run://{run_id}/events"
        while uri is not None:
            page = await read(mcp, uri)
            assert len(page["events"]) <= 2
            events += page["events"]
            uri = page["next"]
    assert events == whole["events"]


async def test_a_run_shows_its_own_events_and_not_those_of_the_next_one(declared: Pair) -> None:
    async with client(declared.one, MODERN) as mcp:
        asked = await mcp.call_tool("approve", {"text": "x"})
        first = asked.meta["agenthub/run_id"]
        done = await mcp.call_tool("resume_run", {"task_id": first, "answer": True})
        second = done.meta["agenthub/run_id"]
        before = await read(mcp, f"run://{first}/events")
        after = await read(mcp, f"run://{second}/events")
    assert before["next"] is None
    assert before["events"][-1]["kind"] == "ended"
    assert after["events"][0]["seq"] == before["events"][-1]["seq"] + 1


async def test_what_is_too_large_says_so(declared: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async with client(declared.one, MODERN) as mcp:
        run_id, thread_id = await chatted(mcp)
        monkeypatch.setattr(resources, "MOST_BYTES", 200)
        for uri in (f"run://{run_id}", f"thread://{thread_id}/state"):
            with pytest.raises(MCPError, match="more than 200") as refused:
                await mcp.read_resource(uri)
            assert refused.value.code == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_a_result_links_to_its_run(declared: Pair, era: str) -> None:
    async with client(declared.one, era) as mcp:
        result = await mcp.call_tool("chat", {"message": "hello"})
        (link,) = (c for c in result.content if isinstance(c, ResourceLink))
        run = await read(mcp, link.uri)
        assert run["run_id"] == result.meta["agenthub/run_id"]
    async with (
        session(declared.one, version="2025-03-26") as hand,
        hand.call(declared.one, "chat", {"message": "hello"}) as (_, stream),
    ):
        last = [frame.message async for frame in stream][-1]
    assert last is not None
    # a revision that knows no links
    assert {block["type"] for block in last["result"]["content"]} == {"text"}


@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_can_be_read(declared: Pair, era: str) -> None:
    async with client(declared.one, era) as mcp:
        agent = await read(mcp, "agent://steps")
    assert agent["name"] == "steps"
    assert agent["task"] == "required"
    assert "done" in agent["input_schema"]["properties"]


@pytest.mark.parametrize("era", ERAS)
async def test_agents_come_first_in_the_list_and_then_the_latest_runs(
    declared: Pair, era: str
) -> None:
    async with client(declared.one, era) as mcp:
        run_id, _ = await chatted(mcp)
        listed = (await mcp.list_resources()).resources
        templates = (await mcp.list_resource_templates()).resource_templates
    uris = [r.uri for r in listed]
    agents = [uri for uri in uris if uri.startswith("agent://")]
    assert uris[: len(agents)] == sorted(agents)
    assert "agent://chat" in agents
    assert uris[len(agents)] == f"run://{run_id}"
    (chat,) = (r for r in listed if r.uri == "agent://chat")
    assert chat.icons is not None
    assert chat.icons[0].src == "https://hub.example/chat.png"
    assert {t.uri_template for t in templates} == {
        "agent://{name}",
        "run://{run_id}",
        "run://{run_id}/events",
        "thread://{thread_id}/state",
        "thread://{thread_id}/history",
    }


@pytest.mark.parametrize(("era", "code"), [(MODERN, -32602), (LEGACY, -32002)])
async def test_a_resource_that_is_not_there_is_told_in_the_words_of_the_revision(
    declared: Pair, era: str, code: int
) -> None:
    uris = [
        "agent://nobody",
        f"run://{uuid4()}",
        f"run://{uuid4()}/events",
        f"thread://{uuid4()}/state",
        f"thread://{uuid4()}/history",
        "run://" + "-" * 36,
        "file:///etc/passwd",
        "run://../../x",
    ]
    async with client(declared.one, era) as mcp:
        for uri in uris:
            with pytest.raises(MCPError) as missing:
                await mcp.read_resource(uri)
            assert missing.value.code == code
            assert missing.value.data == {"uri": uri}


async def test_an_endpoint_of_one_agent_knows_nothing_of_the_others(declared: Pair) -> None:
    async with client(declared.one, MODERN) as mcp:
        run_id, thread_id = await chatted(mcp)
    async with client(declared.one, MODERN, path="/mcp/echo") as mcp:
        listed = (await mcp.list_resources()).resources
        assert {r.uri for r in listed if r.uri.startswith("agent")} == {"agent://echo"}
        assert f"run://{run_id}" not in {r.uri for r in listed}
        for uri in (f"run://{run_id}", f"thread://{thread_id}/state", "agent://chat"):
            with pytest.raises(MCPError):
                await mcp.read_resource(uri)
        assert (await mcp.list_prompts()).prompts == []


async def test_what_belongs_to_another_tenant_is_not_there(declared: Pair) -> None:
    async with client(declared.one, MODERN) as mcp:
        run_id, thread_id = await chatted(mcp)
    config = hub.settings(declared.dsn, declared.redis_url)
    async with hub.serving(config) as (_, service):
        reading = Resources(service)
        mine, other = Principal(), Principal(tenant="other")
        for uri in (f"run://{run_id}", f"run://{run_id}/events", f"thread://{thread_id}/state"):
            assert await reading.is_there(mine, None, uri)
            assert not await reading.is_there(other, None, uri)
        assert run_id in {str(r.run_id) for r in await reading.recent(mine, None)}
        assert await reading.recent(Principal(subject="ann"), None) == []


async def test_what_must_be_cached_says_for_how_long(declared: Pair) -> None:
    async with wire() as mcp:
        for method, params in (
            ("server/discover", {}),
            ("tools/list", {}),
            ("prompts/list", {}),
            ("resources/list", {}),
            ("resources/templates/list", {}),
            ("resources/read", {"uri": "agent://chat"}),
        ):
            result = await mcp.ask(declared.one, method, params)
            assert isinstance(result["ttlMs"], int), method
            assert result["cacheScope"] in ("public", "private")


async def test_long_lists_come_in_pages() -> None:
    names = [f"a{n:03}" for n in range(150)]
    many = [Deployed(info=AgentInfo(name=name, description="")) for name in names]
    stub = StubHub(deployed_now=many)
    async with serving(stub) as url, client(url, MODERN) as mcp:
        first = await mcp.list_tools()
        assert [t.name for t in first.tools] == names[:100]
        # one that comes meanwhile moves nothing
        early = Deployed(info=AgentInfo(name="a", description=""))
        stub.deployed_now = [early, *many]
        await stub.agents.refresh()
        second = await mcp.list_tools(cursor=first.next_cursor, cache_mode="bypass")
        assert [t.name for t in second.tools][:50] == names[100:]
        assert second.next_cursor is None
        shown = await mcp.list_resources()
        assert len(shown.resources) == 100
        assert shown.next_cursor is not None
        for listing in (mcp.list_tools, mcp.list_resources, mcp.list_prompts):
            with pytest.raises(MCPError) as refused:
                await listing(cursor="%%%")
            assert refused.value.code == -32602


@pytest.mark.parametrize(
    "uri",
    [
        "agent://",
        "agent://a/b",
        "run://" + "0" * 36 + "/x",
        "thread://" + "0" * 36,
        "run://" + "0" * 36 + "/events?after=x",
        "RUN://" + "0" * 36,
    ],
)
def test_a_uri_of_another_form_is_none_of_ours(uri: str) -> None:
    assert read_uri(uri) is None


# --- completion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_names_and_ids_of_the_callers_own_are_completed(declared: Pair, era: str) -> None:
    async with client(declared.one, era) as mcp:
        run_id, thread_id = await chatted(mcp)
        for template, argument, value, wanted in (
            ("agent://{name}", "name", "ch", "chat"),
            ("run://{run_id}", "run_id", run_id[:20], run_id),
            ("thread://{thread_id}/state", "thread_id", thread_id[:30], thread_id),
        ):
            ref = ResourceTemplateReference(uri=template)
            done = await mcp.complete(ref, {"name": argument, "value": value})
            assert wanted in done.completion.values
            assert all(v.startswith(value) for v in done.completion.values)
        ref = ResourceTemplateReference(uri="agent://{name}")
        for argument, value in (("name", "zzz"), ("run_id", ""), ("other", "")):
            done = await mcp.complete(ref, {"name": argument, "value": value})
            assert done.completion.values == []


# --- subscriptions ------------------------------------------------------------------------------


async def test_a_listener_hears_of_resources_that_change(declared: Pair) -> None:
    async with wire({}) as mcp, client(declared.one, MODERN) as other:
        handle = await other.call_tool("approve", {"text": "x"})
        run_id = handle.meta["agenthub/run_id"]
        uris = [f"run://{run_id}", f"run://{uuid4()}"]
        async with (
            asyncio.timeout(30),
            mcp.listen(declared.two, resourceSubscriptions=uris) as messages,
        ):
            first = await anext(messages)
            honored = first["params"]["notifications"]
            assert honored == {"resourceSubscriptions": uris[:1]}
            await other.call_tool("resume_run", {"task_id": run_id, "answer": True})
            news = await anext(messages)
            assert news["method"] == "notifications/resources/updated"
            assert news["params"]["uri"] == uris[0]


async def test_a_subscription_of_a_session_is_served_by_whichever_replica_it_listens_to(
    declared: Pair,
) -> None:
    one, two = declared.one, declared.two
    async with session(one) as hand, client(one, MODERN) as other:
        handle = await other.call_tool("approve", {"text": "x"})
        run_id, thread_id = (handle.meta[key] for key in META)
        uri, gone = f"thread://{thread_id}/state", f"run://{run_id}"
        for subscribed in (uri, gone):
            answer = await hand.ask(one, "resources/subscribe", uri=subscribed)
            assert answer["result"] == {}
        await hand.ask(two, "resources/unsubscribe", uri=gone)
        async with asyncio.timeout(30), hand.listen(two) as stream:
            primer = await anext(stream)
            assert primer.message is None
            await other.call_tool("resume_run", {"task_id": run_id, "answer": True})
            message = (await anext(stream)).message
            assert message is not None
            assert message["method"] == "notifications/resources/updated"
            assert message["params"] == {"uri": uri}


async def test_a_subscription_reaches_a_stream_that_is_open_already(declared: Pair) -> None:
    async with session(declared.one) as hand, client(declared.one, MODERN) as other:
        handle = await other.call_tool("approve", {"text": "x"})
        run_id = handle.meta["agenthub/run_id"]
        async with asyncio.timeout(30), hand.listen(declared.two) as stream:
            await anext(stream)
            heard = asyncio.ensure_future(anext(stream))
            # through the replica that has not got the stream
            await hand.ask(declared.one, "resources/subscribe", uri=f"run://{run_id}")

            async def answered() -> bool:
                await other.call_tool("resume_run", {"task_id": run_id, "answer": True})
                return heard.done()

            await eventually(answered, within=20)
            message = heard.result().message
            assert message is not None
            assert message["params"] == {"uri": f"run://{run_id}"}


async def test_only_what_is_there_can_be_subscribed_to_and_not_without_end(
    declared: Pair,
) -> None:
    async with session(declared.one) as hand:
        uri = f"run://{uuid4()}"
        missing = await hand.ask(declared.one, "resources/subscribe", uri=uri)
        assert missing["error"]["code"] == -32002
        await hand.ask(declared.one, "resources/unsubscribe", uri=uri)


# --- prompts and other declarations -------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_declared_prompts_are_listed_and_filled_in(declared: Pair, era: str) -> None:
    async with client(declared.one, era) as mcp:
        prompts = {p.name: p for p in (await mcp.list_prompts()).prompts}
        # two agents have one of this name
        assert list(prompts) == ["chat.sum-up", "fail.sum-up", "greet"]
        greet = prompts["greet"]
        assert (greet.title, greet.description) == ("Greet", "Says hello to somebody.")
        assert greet.arguments is not None
        assert [(a.name, a.required) for a in greet.arguments] == [
            ("who", True),
            ("language", False),
        ]
        filled = await mcp.get_prompt("greet", {"who": "{language}", "language": "Dutch"})
        (message,) = filled.messages
        assert message.role == "user"
        assert message.content.text == "Say hello to {language} in Dutch, and keep {this}."
        assert (await mcp.get_prompt("fail.sum-up")).messages[0].content.text == "Fail."


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("nothing", {}, "no prompt 'nothing'"),
        ("sum-up", {}, "no prompt 'sum-up'"),
        ("greet", {}, "needs who"),
        ("greet", {"who": "a", "whom": "b"}, "has no whom"),
    ],
)
async def test_a_prompt_that_cannot_be_given_says_why(
    declared: Pair, era: str, name: str, arguments: dict[str, str], reason: str
) -> None:
    async with client(declared.one, era) as mcp:
        with pytest.raises(MCPError, match=reason) as refused:
            await mcp.get_prompt(name, arguments)
    assert refused.value.code == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_shows_the_icon_and_the_hints_that_are_declared(
    declared: Pair, era: str
) -> None:
    async with client(declared.one, era) as mcp:
        tools = {t.name: t for t in (await mcp.list_tools()).tools}
    chat = tools["chat"]
    assert chat.annotations is not None
    assert (chat.annotations.read_only_hint, chat.annotations.open_world_hint) == (True, False)
    assert chat.annotations.destructive_hint is None
    assert chat.icons is not None
    assert chat.icons[0].src == "https://hub.example/chat.png"
    assert tools["steps"].annotations is None
    assert tools["steps"].icons is None


async def test_news_of_prompts_and_resources_reach_listeners_and_standing_streams() -> None:
    prompt = {"name": "hello", "text": "Hello."}
    changed = AgentInfo(name="agent", description="An agent.", prompts=(prompt,))
    stub = StubHub()
    async with (
        serving(stub) as url,
        wire({}) as mcp,
        session(url) as hand,
        asyncio.timeout(30),
        mcp.listen(url, promptsListChanged=True) as listened,
        hand.listen(url) as standing,
    ):
        await anext(listened)
        await anext(standing)
        stub.deployed_now = [Deployed(info=changed)]
        await stub.agents.refresh()
        news = await anext(listened)
        assert news["method"] == "notifications/prompts/list_changed"
        message = (await anext(standing)).message
        assert message is not None
        assert message["method"] == "notifications/prompts/list_changed"


async def test_the_standing_stream_tells_what_changed_while_nobody_listened() -> None:
    stub = StubHub()
    async with serving(stub) as url, session(url) as hand, http(url):
        async with hand.listen(url) as standing:
            last = (await anext(standing)).id
        stub.deployed_now = [*stub.deployed_now, Deployed(info=AgentInfo(name="b", description=""))]
        await stub.agents.refresh()
        async with asyncio.timeout(30), hand.listen(url, last) as standing:
            await anext(standing)
            kinds = [(await anext(standing)).message for _ in range(2)]
    methods = [message["method"] for message in kinds if message is not None]
    assert methods == [
        "notifications/tools/list_changed",
        "notifications/resources/list_changed",
    ]
