"""What a step tells while it runs, what it uses, and what it gives."""

from __future__ import annotations

from agenthub.json import dumps
from agenthub_conformance.adapter.contract import Kit, behaviour, contents, same


@behaviour("stream:tokens", "A reply comes in several tokens that are, together, its message.")
async def tokens(kit: Kit) -> None:
    _, io = await kit.step("chat", kit.says("hello"))
    pieces = [t["text"] for t in io.of("token") if not t["reasoning"]]
    assert len(pieces) >= 2, f"{len(pieces)} tokens"
    (message,) = [m for m in io.of("message") if m["role"] == "assistant"]
    same("".join(pieces).strip(), message["content"].strip(), "the tokens")
    same({t["id"] for t in io.of("token")}, {message["id"]}, "the id of the tokens")


@behaviour("stream:order", "The whole message is told once, behind its tokens.")
async def order(kit: Kit) -> None:
    outcome, io = await kit.step("chat", kit.says("hello"))
    names = [name for name, _ in io.told if name in ("token", "message")]
    same(names.count("message"), 1, "messages told")
    same(names[-1], "message", "what comes last")
    same([m["id"] for m in outcome.messages], [io.of("message")[0]["id"]], "the step's messages")


@behaviour("stream:messages", "A step's messages are those that it told, and only those it added.")
async def messages(kit: Kit) -> None:
    first, _ = await kit.step("tool_user", kit.says("Oslo"))
    second, io = await kit.step("tool_user", kit.says("Rome"), first.state)
    same([m["id"] for m in second.messages], [m["id"] for m in io.of("message")], "the messages")
    ids = [m["id"] for m in (*first.messages, *second.messages)]
    same(len(ids), len(set(ids)), "different ids")
    assert "Oslo" not in str(second.messages), "an earlier turn is told again"


@behaviour("stream:blocks", "A user's content may be blocks of text.")
async def blocks(kit: Kit) -> None:
    outcome, _ = await kit.step("chat", kit.says([{"type": "text", "text": "hello"}]))
    assert "hello" in contents(outcome.messages)[-1], contents(outcome.messages)


@behaviour("stream:data", "Structured input reaches the agent.")
async def data(kit: Kit) -> None:
    inbound = kit.says("see the data", data={"city": "Oslo"})
    outcome, _ = await kit.step("chat", inbound)
    assert "Oslo" in contents(outcome.messages)[-1], contents(outcome.messages)


@behaviour("tool:told", "A tool's call is told with its id, name and arguments, and then its end.")
async def tool(kit: Kit) -> None:
    _, io = await kit.step("tool_user", kit.says("Oslo"))
    (start,), (end,) = io.of("tool_start"), io.of("tool_end")
    same((start["name"], start["args"]), ("lookup", {"city": "Oslo"}), "the call")
    same(start["id"], end["id"], "the id at the end")
    assert "sunny in Oslo" in str(end["output"]), end
    names = [name for name, _ in io.told]
    assert names.index("tool_start") < names.index("tool_end"), names


@behaviour(
    "tool:messages", "Calls and outputs are messages: the model's, with the calls, and the tool's."
)
async def tool_messages(kit: Kit) -> None:
    outcome, _ = await kit.step("tool_user", kit.says("Oslo"))
    same([m["role"] for m in outcome.messages], ["assistant", "tool", "assistant"], "the roles")
    called, gave, said = outcome.messages
    (call,) = called["tool_calls"]
    same((call["name"], call["args"]), ("lookup", {"city": "Oslo"}), "the call")
    same(gave["tool_call_id"], call["id"], "the call that the tool answers")
    assert "sunny in Oslo" in gave["content"], gave
    assert "sunny in Oslo" in said["content"], said


@behaviour(
    "usage:sum", "A step's usage is that of its model calls, and what messages say is part of it."
)
async def usage(kit: Kit) -> None:
    one = kit.usage()
    for name, calls in (("chat", 1), ("tool_user", 2)):
        outcome, _ = await kit.step(name, kit.says("Oslo"))
        total = {key: value * calls for key, value in one.items()}
        same(dict(outcome.usage or {}), total, f"the usage of {calls} calls")
        told = sum(m["usage"]["total_tokens"] for m in outcome.messages if m.get("usage"))
        assert told <= total["total_tokens"], f"messages count {told}"


@behaviour("usage:next", "The usage of a later turn is its own and not the thread's.")
async def usage_next(kit: Kit) -> None:
    kit.usage()
    first, _ = await kit.step("chat", kit.says("one"))
    second, _ = await kit.step("chat", kit.says("two"), first.state)
    same(dict(second.usage or {}), dict(kit.fixtures.usage), "the usage of the second turn")


@behaviour(
    "output:typed",
    "Typed output is JSON of its type, and the conversation can be read all the same.",
)
async def typed(kit: Kit) -> None:
    outcome, _ = await kit.step("typed", kit.says("Oslo"))
    same(outcome.status, "done", "the status")
    same(set(outcome.output), {"city", "degrees"}, "the output's fields")
    assert dumps(outcome.output), "the output is not JSON"
    assert "Oslo" in contents(outcome.messages)[-1], outcome.messages


@behaviour("output:words", "An agent of words has no output besides its messages.")
async def words(kit: Kit) -> None:
    outcome, _ = await kit.step("chat", kit.says("hello"))
    same((outcome.status, outcome.output), ("done", None), "status and output")
