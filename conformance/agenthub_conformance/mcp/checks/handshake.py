"""Sessions, resumption and the refusals of the handshake era."""

from __future__ import annotations

import json
from uuid import uuid4

from agenthub_conformance.marks import requirement
from agenthub_conformance.mcp.probe import ROUNDS, Json, Probe, Session, events


@requirement("sessions:shared")
async def shared(probe: Probe) -> None:
    session = await probe.session()
    for _ in range(ROUNDS):
        assert (await session.request("ping")).result == {}
        assert (await session.request("tools/list")).result["tools"]


@requirement("sessions:missing")
async def missing(probe: Probe) -> None:
    session = await probe.session()
    without = {k: v for k, v in session.headers.items() if k != "mcp-session-id"}
    assert without != session.headers, "the server has no sessions"
    assert (await probe.send("POST", session.message("ping"), without)).status == 400


@requirement("sessions:unknown")
async def unknown(probe: Probe) -> None:
    session = await probe.session()
    for id_ in (uuid4().hex, "x"):
        other = {**session.headers, "mcp-session-id": id_}
        for _ in range(2):
            assert (await probe.send("POST", session.message("ping"), other)).status == 404


@requirement("sessions:delete")
async def deleted(probe: Probe) -> None:
    session = await probe.session()
    assert (await probe.send("DELETE", None, session.headers)).status in (200, 202, 204)
    for _ in range(ROUNDS):
        assert (await session.request("ping")).status == 404


@requirement("sessions:notification")
async def notification(probe: Probe) -> None:
    answer = await (await probe.session()).notify("notifications/roots/list_changed")
    assert (answer.status, answer.messages) == (202, ())


@requirement("sessions:batch")
async def batch(probe: Probe) -> None:
    session = await probe.session()
    both = [session.message("ping"), session.message("ping")]
    assert (await probe.send("POST", both, session.headers)).status == 400


@requirement("sessions:not-json")
async def not_json(probe: Probe) -> None:
    session = await probe.session()
    answer = await probe.send("POST", b"{", session.headers)
    assert (answer.status, answer.error) == (400, -32700)


async def lost(session: Session) -> tuple[str, Json]:
    """The id of a call's first event, whose connection is then lost, and the call's request id."""
    body = session.message("tools/call", {"name": "test_reconnection", "arguments": {}})
    async with session.probe.stream("POST", body, session.headers) as response:
        async for id_, _ in events(response.aiter_lines()):
            assert id_, "the stream's first event has no id"
            return id_, body["id"]
    raise AssertionError("the stream of a call has no event")


@requirement("resume:last-event-id")
async def resumed(probe: Probe) -> None:
    session = await probe.session()
    event_id, request_id = await lost(session)
    answer = await session.after(event_id)
    assert answer.messages[-1]["id"] == request_id
    assert not answer.result.get("isError")


@requirement("resume:again")
async def resumed_again(probe: Probe) -> None:
    session = await probe.session()
    event_id, _ = await lost(session)
    first = await session.after(event_id)
    for _ in range(ROUNDS):
        again = await session.after(event_id)
        assert (again.messages, again.ids) == (first.messages, first.ids)


@requirement("resume:foreign")
async def resumed_by_others(probe: Probe) -> None:
    mine, theirs = await probe.session(), await probe.session()
    call: Json = {"name": "test_simple_text", "arguments": {}}
    answer = await theirs.request("tools/call", call)
    for event_id in (*answer.ids[:1], f"{uuid4().hex}-0"):
        refused = await mine.after(event_id)
        assert 400 <= refused.status < 500, f"answered {refused.status}"
        assert "result" not in json.dumps(refused.messages)


@requirement("origin:refused")
async def foreign_origin(probe: Probe) -> None:
    foreign = {"origin": "http://evil.example.com"}
    session = await probe.session()
    for headers in (foreign, {**session.headers, **foreign}):
        assert (await probe.send("POST", session.message("ping"), headers)).status == 403
    modern = await probe.modern("server/discover", headers={**foreign})
    assert modern.status == 403
