"""The stateless revision: headers, versions, caching, and the state that clients carry."""

from __future__ import annotations

from agenthub_conformance.marks import requirement
from agenthub_conformance.mcp.probe import MODERN, ROUNDS, Json, Probe

CALL: Json = {"name": "test_simple_text", "arguments": {}}
ASKS = "test_input_required_result_request_state"
DECLARES: Json = {"elicitation": {}}


@requirement("headers:mismatch")
async def mismatch(probe: Probe) -> None:
    for wrong in (
        {"mcp-method": "tools/list"},
        {"mcp-method": "TOOLS/CALL"},
        {"mcp-name": "another_tool"},
        {"mcp-protocol-version": "2026-01-01"},
    ):
        answer = await probe.modern("tools/call", CALL, headers={**wrong})
        assert answer.status == 400, f"{wrong} was answered with {answer.status}"
        assert answer.error in (-32020, -32022), f"{wrong} was answered with {answer.error}"
    both = await probe.modern("tools/call", CALL, headers={"mcp-name": "another_tool"})
    assert both.error == -32020


@requirement("headers:missing")
async def missing(probe: Probe) -> None:
    for name in ("mcp-method", "mcp-name"):
        answer = await probe.modern("tools/call", CALL, headers={name: None})
        assert (answer.status, answer.error) == (400, -32020), f"without {name}"


@requirement("versions:unsupported")
async def unsupported(probe: Probe) -> None:
    answer = await probe.modern("server/discover", version="2199-01-01")
    assert (answer.status, answer.error) == (400, -32022)
    data = answer.messages[-1]["error"]["data"]
    assert MODERN in data["supported"]
    assert data["requested"] == "2199-01-01"


@requirement("methods:unknown")
async def unknown(probe: Probe) -> None:
    answer = await probe.modern("no/such-method")
    assert (answer.status, answer.error) == (404, -32601)


@requirement("methods:http")
async def other_methods(probe: Probe) -> None:
    for method in ("GET", "DELETE"):
        answer = await probe.send(method, None, {"mcp-protocol-version": MODERN})
        assert answer.status == 405, f"{method} was answered with {answer.status}"


@requirement("caching:lists")
async def caching(probe: Probe) -> None:
    told = (await probe.modern("server/discover")).result
    offered = [f"{kind}/list" for kind in ("tools", "prompts", "resources")]
    methods = [m for m in offered if m.partition("/")[0] in told["capabilities"]]
    for method in ("server/discover", *methods):
        result = (await probe.modern(method)).result
        assert isinstance(result["ttlMs"], int), f"{method} has no ttlMs"
        assert result["ttlMs"] >= 0
        assert result["cacheScope"] in ("public", "private"), f"{method} has no cacheScope"


async def asked(probe: Probe) -> tuple[str, str]:
    """The key of a question, and the state to answer it with."""
    result = await probe.call(ASKS, declares=DECLARES)
    assert result["resultType"] == "input_required"
    (key,) = result["inputRequests"]
    return key, result["requestState"]


def reply(name: str, key: str, state: str) -> Json:
    """The call that answers."""
    given = {key: {"action": "accept", "content": {"ok": True}}}
    return {"name": name, "arguments": {}, "inputResponses": given, "requestState": state}


@requirement("state:sealed")
async def sealed(probe: Probe) -> None:
    key, state = await asked(probe)
    middle = len(state) // 2
    flipped = "A" if state[middle] != "A" else "B"
    for wrong in (f"{state}x", state[:-4], state[:middle] + flipped + state[middle + 1 :], "x"):
        answer = await probe.modern("tools/call", reply(ASKS, key, wrong), declares=DECLARES)
        assert answer.error is not None, "a state that was changed is taken"


@requirement("state:bound")
async def bound(probe: Probe) -> None:
    key, state = await asked(probe)
    other = reply("test_input_required_result_elicitation", key, state)
    answer = await probe.modern("tools/call", other, declares=DECLARES)
    assert answer.error is not None, "the state of one tool is taken for another"


@requirement("state:shared")
async def opened_anywhere(probe: Probe) -> None:
    for _ in range(ROUNDS):
        key, state = await asked(probe)
        answer = await probe.modern("tools/call", reply(ASKS, key, state), declares=DECLARES)
        assert answer.result["resultType"] == "complete"
