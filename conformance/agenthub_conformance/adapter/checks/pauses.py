"""Pauses: what an agent asks people, and how it goes on, in another process."""

from __future__ import annotations

import json

from agenthub.adapting import Outcome
from agenthub.json import Json
from agenthub_conformance.adapter.contract import Kit, behaviour, contents, finished, same
from agenthub_conformance.adapter.scripted import notes


async def _paused(kit: Kit, name: str = "approver") -> Outcome:
    outcome = finished(await kit.elsewhere(name, kit.says("go on")))
    same(outcome.status, "paused", "the status")
    return outcome


async def _answered(kit: Kit, outcome: Outcome, *answers: Json, name: str = "approver") -> Outcome:
    given = {ask.id: answer for ask, answer in zip(outcome.asks, answers, strict=True)}
    return finished(await kit.elsewhere(name, kit.answers(given), outcome.state))


def _ran() -> int:
    return notes().count("tool pay")


@behaviour(
    "pause:ask", "A call that needs approval pauses with a question that a person can answer."
)
async def ask(kit: Kit) -> None:
    outcome = await _paused(kit)
    (asked,) = outcome.asks
    same(asked.kind, "approval", "the kind")
    assert "pay" in asked.prompt, f"the prompt: {asked.prompt!r}"
    assert "7" in json.dumps(asked.payload), f"the payload: {asked.payload!r}"
    same(_ran(), 0, "runs of the tool before an answer")


@behaviour("pause:state", "A paused agent's state is JSON, and its messages so far are the step's.")
async def paused_state(kit: Kit) -> None:
    outcome = await _paused(kit)
    same(json.loads(json.dumps(outcome.state)), outcome.state, "the state")
    same([m["role"] for m in outcome.messages], ["assistant"], "the roles")
    same([c["name"] for c in outcome.messages[0]["tool_calls"]], ["pay"], "the calls")


@behaviour(
    "pause:approve", "What is approved runs once, in another process, and no model is asked twice."
)
async def approve(kit: Kit) -> None:
    outcome = await _answered(kit, await _paused(kit), True)
    same(outcome.status, "done", "the status")
    same(contents(outcome.messages)[-1], "it gave paid 7", "the reply")
    same((_ran(), notes().count("model")), (1, 2), "runs of the tool, and of the model")


@behaviour("pause:words", "A yes is a yes in the words of every surface.")
async def words(kit: Kit) -> None:
    yes: list[Json] = ["yes", {"approved": True}, {"action": "accept"}, {"type": "approve"}]
    for ran, answer in enumerate(yes, 1):
        paused, _ = await kit.step("approver", kit.says("go on"))
        given = kit.answers({paused.asks[0].id: answer})
        await kit.step("approver", given, paused.state)
        same(_ran(), ran, f"runs of the tool after {answer!r}")


@behaviour("pause:decline", "What is declined does not run; the model is told, and goes on.")
async def decline(kit: Kit) -> None:
    for answer in ({"action": "decline"}, {"approved": False, "response": "too much"}, "no", None):
        outcome = await _answered(kit, await _paused(kit), answer)
        same((outcome.status, _ran()), ("done", 0), f"status and runs after {answer!r}")
        assert contents(outcome.messages), "the agent says nothing"


@behaviour("pause:reason", "What is said along with a refusal reaches the model.")
async def reason(kit: Kit) -> None:
    answer = {"approved": False, "response": "the limit is five"}
    outcome = await _answered(kit, await _paused(kit), answer)
    assert "the limit is five" in contents(outcome.messages)[-1], contents(outcome.messages)


@behaviour("pause:told", "The tool that ran after the pause is told, under the id of its call.")
async def told(kit: Kit) -> None:
    paused = await _paused(kit)
    answers = kit.answers({paused.asks[0].id: True})
    after = await kit.elsewhere("approver", answers, paused.state)
    (end,) = after.io.of("tool_end")
    same(end["id"], paused.messages[0]["tool_calls"][0]["id"], "the id")
    assert "paid 7" in str(end["output"]), end


@behaviour(
    "pause:several", "Calls that wait together are asked together, each under an id of its own."
)
async def several(kit: Kit) -> None:
    outcome = await _paused(kit, "double")
    same(len({ask.id for ask in outcome.asks}), 2, "questions")


@behaviour("pause:each", "Answered differently, only what was approved runs.")
async def each(kit: Kit) -> None:
    outcome = await _answered(
        kit, await _paused(kit, "double"), {"action": "decline"}, True, name="double"
    )
    same((outcome.status, _ran()), ("done", 1), "status and runs")
    assert "paid 2" in contents(outcome.messages)[-1], contents(outcome.messages)


@behaviour(
    "pause:usage", "The usage behind a pause is its own: together they are the calls of the model."
)
async def usage(kit: Kit) -> None:
    one = kit.usage()
    paused = await _paused(kit)
    done = await _answered(kit, paused, True)
    same(dict(paused.usage or {}), dict(one), "the usage before the answer")
    same(dict(done.usage or {}), dict(one), "the usage behind it")


@behaviour(
    "pause:talk", "A message to a paused agent is heard; what was not approved does not run by it."
)
async def talk(kit: Kit) -> None:
    paused = await _paused(kit)
    outcome = finished(await kit.elsewhere("approver", kit.says("stop"), paused.state))
    same(_ran(), 0, "runs of the tool")
    assert outcome.status in ("done", "paused"), outcome.status
    if outcome.status == "paused":
        same(len(outcome.asks), 1, "questions that are open")


@behaviour("pause:after", "Behind an answered pause the thread goes on with its next turn.")
async def after(kit: Kit) -> None:
    done = await _answered(kit, await _paused(kit), True)
    again = finished(await kit.elsewhere("approver", kit.says("once more"), done.state))
    same((again.status, len(again.asks)), ("paused", 1), "the next turn")


@behaviour("pause:value", "A question for a value hands it to the agent.")
async def value(kit: Kit) -> None:
    kit.agent("asker")
    outcome = await _paused(kit, "asker")
    assert outcome.asks[0].kind != "approval", outcome.asks
    done = await _answered(kit, outcome, "Oslo", name="asker")
    assert "Oslo" in contents(done.messages)[-1], contents(done.messages)
