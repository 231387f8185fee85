"""Questions that are answered on a page of the hub: who is sent there, and what the page takes."""

from __future__ import annotations

import asyncio
import re
import time
from html import unescape
from typing import Any

import httpx
import pytest

from agenthub.errors import NotFound
from agenthub.ids import new_id
from agenthub.interrupts import Interrupt
from agenthub.principal import ANONYMOUS, Principal
from agenthub_mcp import approval
from agenthub_mcp.approval import Approvals, Asked
from agenthub_mcp.approval_form import content_of, shown
from protocols.mcp_client import http
from protocols.mcp_pair import Pair
from protocols.mcp_session import Frame, Hand, session
from protocols.mcp_wire import TASKS, Wire, wire

BOTH: dict[str, Any] = {"form": {}, "url": {}}
BY_PAGE = {"elicitation": BOTH, "extensions": {TASKS: {}}}
WITHOUT_TASKS = {"elicitation": BOTH}


async def page_of(mcp: Wire, at: str, agent: str) -> tuple[str, str]:
    """A new task of an agent that asks by page: its id, and the page's path."""
    task_id = (await mcp.call(at, agent, {"text": "x"}))["taskId"]
    waiting = await mcp.until(at, task_id, "input_required")
    (request,) = waiting["inputRequests"].values()
    assert request["params"]["mode"] == "url", request
    assert request["params"]["url"].startswith(f"{at}/approve/")
    return task_id, request["params"]["url"].removeprefix(at)


async def given(mcp: Wire, at: str, task_id: str) -> Any:
    done = await mcp.until(at, task_id, "completed")
    return done["result"]["structuredContent"]["given"]


# --- the page -----------------------------------------------------------------------------------


async def test_a_sensitive_question_is_answered_on_its_page_and_once(declared: Pair) -> None:
    async with wire(BY_PAGE) as mcp, http(declared.two) as browser:
        task_id, path = await page_of(mcp, declared.one, "ask_secret")
        # any replica serves the page
        asked = await browser.get(path)
        assert asked.status_code == 200
        assert "Which &lt;password&gt;?" in asked.text
        assert "sensitive" not in asked.text
        too_short = await browser.post(path, data={"answer": "x", "action": "accept"})
        assert too_short.status_code == 422
        assert "does not fit" in too_short.text
        assert (await mcp.until(declared.one, task_id, "input_required"))["inputRequests"]
        taken = await browser.post(path, data={"answer": "hunter2", "action": "accept"})
        assert taken.status_code == 200
        assert "has your answer" in taken.text
        assert "hunter2" not in taken.text
        assert await given(mcp, declared.one, task_id) == "hunter2"
        again = await browser.post(path, data={"answer": "other", "action": "accept"})
        assert again.status_code == 410
        assert (await browser.get(path)).status_code == 410
        assert "has finished its task" in again.text
        assert await given(mcp, declared.one, task_id) == "hunter2"


async def test_an_answer_that_no_form_can_hold_is_given_as_json(declared: Pair) -> None:
    async with wire(BY_PAGE) as mcp, http(declared.one) as browser:
        task_id, path = await page_of(mcp, declared.one, "ask_list")
        assert "<textarea" in (await browser.get(path)).text
        wrong = await browser.post(path, data={"answer": "[1, <b>", "action": "accept"})
        assert wrong.status_code == 422
        # what was filled in is there again, as text
        assert "[1, &lt;b&gt;" in wrong.text
        await browser.post(path, data={"answer": "[1, 2]", "action": "accept"})
        assert await given(mcp, declared.one, task_id) == [1, 2]


async def test_no_is_an_answer_on_the_page_too(declared: Pair) -> None:
    async with wire(BY_PAGE) as mcp, http(declared.one) as browser:
        task_id, path = await page_of(mcp, declared.one, "ask_secret")
        told = await browser.post(path, data={"answer": "", "action": "decline"})
        assert "You said no" in told.text
        assert await given(mcp, declared.one, task_id) == {"action": "decline"}


async def test_the_page_runs_nothing_and_is_shown_nowhere_else(declared: Pair) -> None:
    async with wire(BY_PAGE) as mcp, http(declared.one) as browser:
        _, path = await page_of(mcp, declared.one, "ask_secret")
        for answer in (await browser.get(path), await browser.get("/approve/made-up")):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "form-action 'self'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "same-origin"
            assert "<script" not in answer.text
            assert not re.search(r"\son\w+=", answer.text)
            assert '<html lang="en">' in answer.text


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
async def test_a_form_of_another_site_is_refused(declared: Pair, headers: dict[str, str]) -> None:
    async with wire(BY_PAGE) as mcp, http(declared.one) as browser:
        task_id, path = await page_of(mcp, declared.one, "ask_secret")
        answer = {"answer": "hunter2", "action": "accept"}
        assert (await browser.post(path, data=answer, headers=headers)).status_code == 403
        await mcp.until(declared.one, task_id, "input_required")
        own = {"Origin": declared.one, "Sec-Fetch-Site": "same-origin"}
        assert (await browser.post(path, data=answer, headers=own)).status_code == 200


async def test_a_link_that_was_changed_or_made_up_opens_nothing(declared: Pair) -> None:
    async with wire(BY_PAGE) as mcp, http(declared.one) as browser:
        _, path = await page_of(mcp, declared.one, "ask_secret")
        for wrong in (path[:-2] + ("AA" if path[-2:] != "AA" else "BB"), "/approve/x", path[:-9]):
            for answer in (
                await browser.get(wrong),
                await browser.post(wrong, data={"answer": "hunter2"}),
            ):
                assert answer.status_code == 404
                assert "not valid" in answer.text


async def test_an_answer_beyond_all_measure_is_refused(declared: Pair) -> None:
    async with wire(BY_PAGE) as mcp, http(declared.one) as browser:
        _, path = await page_of(mcp, declared.one, "ask_secret")
        answer = await browser.post(path, content=b"answer=" + b"x" * (300 << 10))
    assert answer.status_code == 413


def test_a_link_is_for_its_user_and_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    approvals = Approvals([b"k" * 32], public_url=None)
    asked = Asked(ANONYMOUS, new_id(), "a" * 32)
    token = approvals.seal(asked)
    assert approvals.read(token, ANONYMOUS) == asked
    for who in (Principal(subject="ann"), Principal(tenant="other")):
        with pytest.raises(NotFound):
            approvals.read(token, who)
    with pytest.raises(NotFound):
        Approvals([b"x" * 32], public_url=None).read(token, ANONYMOUS)
    # while keys are rotated, the old ones still open
    assert Approvals([b"x" * 32, b"k" * 32], public_url=None).read(token, ANONYMOUS) == asked
    late = time.time() + approval.LINK_SECONDS + 1
    monkeypatch.setattr(approval.time, "time", lambda: late)
    with pytest.raises(NotFound):
        approvals.read(token, ANONYMOUS)


def test_every_kind_of_field_is_shown_and_read() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "<Name>", "description": "Who?"},
            "age": {"type": "integer"},
            "size": {"type": "number"},
            "sure": {"type": "boolean", "default": True},
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "blue"},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        },
        "required": ["name"],
    }
    question = Interrupt("a" * 32, "?", schema)
    html = shown(question, {})
    assert "&lt;Name&gt; (needed)" in html
    assert html.count('for="field-') == 6
    assert '<option value="blue" selected>' in html
    assert '<option value="true" selected>' in html
    assert unescape(html).count("Who?") == 1
    filled = {
        "name": ["Ann"],
        "age": ["30"],
        "size": ["1.5"],
        "sure": ["false"],
        "colour": [""],
        "tags": ["a", "b"],
        "other": ["x"],
    }
    assert content_of(question, filled) == {
        "name": "Ann",
        "age": 30,
        "size": 1.5,
        "sure": False,
        "tags": ["a", "b"],
    }
    assert content_of(question, {"age": ["thirty"]}) == {"age": "thirty"}


# --- who is sent there --------------------------------------------------------------------------


async def test_only_who_can_open_pages_is_sent_to_one(declared: Pair) -> None:
    forms = {**BY_PAGE, "elicitation": {"form": {}}}
    pages = {**BY_PAGE, "elicitation": {"url": {}}}
    for capabilities, agent, mode in (
        (BY_PAGE, "approve", None),
        (BY_PAGE, "ask_colour", None),
        (forms, "ask_secret", None),
        (forms, "ask_list", None),
        (pages, "approve", "url"),
    ):
        async with wire(capabilities) as mcp:
            task_id = (await mcp.call(declared.one, agent, {"text": "x"}))["taskId"]
            waiting = await mcp.until(declared.one, task_id, "input_required")
        (request,) = waiting["inputRequests"].values()
        assert request["params"].get("mode", "form") == (mode or "form"), agent


async def test_accepting_the_link_is_no_answer_to_a_task(declared: Pair) -> None:
    async with wire(BY_PAGE) as mcp:
        task_id, _ = await page_of(mcp, declared.one, "ask_secret")
        task = await mcp.ask(declared.one, "tasks/get", {"taskId": task_id})
        (key,) = task["inputRequests"]
        update = {"taskId": task_id, "inputResponses": {key: {"action": "accept"}}}
        await mcp.ask(declared.one, "tasks/update", update)
        still = await mcp.ask(declared.one, "tasks/get", {"taskId": task_id})
        assert still["inputRequests"].keys() == {key}
        update["inputResponses"] = {key: {"action": "decline"}}
        await mcp.ask(declared.one, "tasks/update", update)
        assert await given(mcp, declared.one, task_id) == {"action": "decline"}


async def test_a_blocking_call_waits_for_the_page_once_the_link_was_accepted(
    declared: Pair,
) -> None:
    call = {"name": "ask_secret", "arguments": {"text": "x"}}
    async with wire(WITHOUT_TASKS) as mcp, http(declared.two) as browser:
        asked = await mcp.ask(declared.one, "tools/call", call)
        assert asked["resultType"] == "input_required"
        ((key, request),) = asked["inputRequests"].items()
        path = request["params"]["url"].removeprefix(declared.one)
        retry = {
            **call,
            "requestState": asked["requestState"],
            "inputResponses": {key: {"action": "accept"}},
        }
        waiting = asyncio.create_task(mcp.ask(declared.two, "tools/call", retry))
        await browser.post(path, data={"answer": "hunter2", "action": "accept"})
        async with asyncio.timeout(20):
            done = await waiting
    assert done["structuredContent"]["given"] == "hunter2"


async def question(stream: Any) -> dict[str, Any]:
    frame: Frame
    async for frame in stream:
        if frame.message is not None and frame.message.get("method") == "elicitation/create":
            return frame.message
    raise AssertionError("no question came")


async def accept(hand: Hand, at: str, asked: dict[str, Any]) -> None:
    answer = await hand.post(at, {"id": asked["id"], "result": {"action": "accept"}})
    assert answer.status_code == 202


async def test_a_handshake_client_is_told_when_the_page_is_done(declared: Pair) -> None:
    one, two = declared.one, declared.two
    async with (
        asyncio.timeout(30),
        session(one, elicitation=BOTH) as hand,
        httpx.AsyncClient(trust_env=False) as raw,
        hand.call(one, "ask_secret", {"text": "x"}) as (_, stream),
    ):
        asked = await question(stream)
        assert asked["params"]["mode"] == "url"
        await accept(hand, two, asked)
        form = {"answer": "hunter2", "action": "accept"}
        assert (await raw.post(asked["params"]["url"], data=form)).status_code == 200
        messages = [frame.message async for frame in stream if frame.message is not None]
    complete, result = messages[-2:]
    assert complete["method"] == "notifications/elicitation/complete"
    assert complete["params"] == {"elicitationId": asked["params"]["elicitationId"]}
    assert result["result"]["structuredContent"]["given"] == "hunter2"


async def test_a_handshake_client_without_pages_gets_the_form(declared: Pair) -> None:
    async with (
        session(declared.one) as hand,
        hand.call(declared.one, "ask_secret", {"text": "x"}) as (_, stream),
    ):
        asked = await question(stream)
        assert asked["params"].get("mode", "form") == "form"
        assert asked["params"]["message"] == "Which <password>?"
        await hand.reply(declared.one, asked, answer="hunter2")
        last = [frame.message async for frame in stream][-1]
    assert last is not None
    assert last["result"]["structuredContent"]["given"] == "hunter2"
