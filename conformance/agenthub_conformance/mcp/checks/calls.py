"""Tools, their calls, progress and questions, in both eras."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise

from agenthub_conformance.marks import requirement
from agenthub_conformance.mcp.probe import ROUNDS, Json, Probe, events

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PROGRESS: Json = {"name": "test_tool_with_progress", "arguments": {}}
WITH_TOKEN: Json = {**PROGRESS, "_meta": {"progressToken": "token-7"}}
QUESTION: Json = {"name": "test_elicitation", "arguments": {"message": "Who are you?"}}


@requirement("tools:shape")
async def shape(probe: Probe) -> None:
    for tool in (await probe.modern("tools/list")).result["tools"]:
        assert NAME.fullmatch(tool["name"]), f"the name {tool['name']!r}"
        assert tool.get("description"), f"{tool['name']!r} has no description"
        assert tool["inputSchema"]["type"] == "object", f"the input schema of {tool['name']!r}"
        output = tool.get("outputSchema")
        assert output is None or output["type"] == "object", f"the output of {tool['name']!r}"


@requirement("tools:order")
async def order(probe: Probe) -> None:
    lists = [(await probe.modern("tools/list")).result["tools"] for _ in range(ROUNDS)]
    names = [[tool["name"] for tool in tools] for tools in lists]
    assert all(n == names[0] for n in names)
    session = await probe.session()
    listed = (await session.request("tools/list")).result["tools"]
    assert [tool["name"] for tool in listed] == names[0]


@requirement("tools:unknown")
async def unknown(probe: Probe) -> None:
    params: Json = {"name": "no_such_tool", "arguments": {}}
    assert (await probe.modern("tools/call", params)).error == -32602
    assert (await (await probe.session()).request("tools/call", params)).error == -32602


@requirement("tools:arguments")
async def arguments(probe: Probe) -> None:
    params: Json = {"name": "greet", "arguments": {"name": 7}}
    session = await probe.session()
    for answer in (
        await probe.modern("tools/call", params),
        await session.request("tools/call", params),
    ):
        assert answer.result["isError"] is True
        assert "name" in answer.result["content"][0]["text"]


@requirement("progress:rising")
async def rising(probe: Probe) -> None:
    session = await probe.session()
    for answer in (
        await probe.modern("tools/call", WITH_TOKEN),
        await session.request("tools/call", WITH_TOKEN),
    ):
        told = [m["params"] for m in answer.messages if m.get("method") == "notifications/progress"]
        numbers = [t["progress"] for t in told]
        assert len(numbers) > 1, "there is hardly any progress"
        assert all(a < b for a, b in pairwise(numbers)), f"{numbers}"
        assert {t["progressToken"] for t in told} == {"token-7"}
        assert answer.result, "there is progress without a result"


@requirement("progress:unasked")
async def unasked(probe: Probe) -> None:
    session = await probe.session()
    for answer in (
        await probe.modern("tools/call", PROGRESS),
        await session.request("tools/call", PROGRESS),
    ):
        assert [m for m in answer.messages if "method" in m] == []


@requirement("questions:any-replica")
async def answered_elsewhere(probe: Probe) -> None:
    session = await probe.session(elicitation={})
    given = {"username": "ann", "email": "ann@example.com"}
    for turn in range(2):
        body = session.message("tools/call", QUESTION)
        async with probe.stream("POST", body, session.headers) as response:
            result: Json = None
            async for _, data in events(response.aiter_lines()):
                message: Json = json.loads(data) if data else {}
                if message.get("method") == "elicitation/create":
                    reply = {"action": "accept", "content": given}
                    answer: Json = {"jsonrpc": "2.0", "id": message["id"], "result": reply}
                    for _ in range(turn):  # so that the turn of the replicas is another one
                        await session.request("ping")
                    assert (await probe.send("POST", answer, session.headers)).status == 202
                elif message.get("id") == body["id"]:
                    result = message["result"]
                    break
        assert "ann@example.com" in json.dumps(result)


@requirement("questions:undeclared")
async def undeclared(probe: Probe) -> None:
    session = await probe.session()
    async with asyncio.timeout(20):
        answer = await session.request("tools/call", QUESTION)
    assert [m for m in answer.messages if m.get("method") == "elicitation/create"] == []
    modern = await probe.modern("tools/call", QUESTION)
    assert "elicitation/create" not in json.dumps(modern.messages[-1])
