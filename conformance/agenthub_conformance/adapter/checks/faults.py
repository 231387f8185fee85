"""Crashes, cancellations and errors."""

from __future__ import annotations

import asyncio
from typing import Any

from agenthub.adapting import Inbound
from agenthub_conformance.adapter.contract import Kit, behaviour, contents, finished, same
from agenthub_conformance.adapter.scripted import notes

GRACE_SECONDS = 15
"""Three times what the hub gives an agent to clean up before it leaves it behind: the machine may be busy."""
PATIENCE_SECONDS = 30


@behaviour(
    "crash:repeats", "SIGKILL in a model call repeats that call, and nothing that was finished."
)
async def crash(kit: Kit) -> None:
    lost = await kit.elsewhere("tool_user", kit.says("Oslo"), kill_at_call=2)
    saves = lost.io.of("save")
    assert saves, "nothing was saved before the second call of the model"
    again = Inbound(kind="continue", thread_id="t", run_id="r")
    outcome = finished(await kit.elsewhere("tool_user", again, saves[-1]["state"]))
    same(
        (outcome.status, contents(outcome.messages)[-1]),
        ("done", "it gave sunny in Oslo"),
        "the end",
    )
    same((notes().count("model"), notes().count("tool lookup")), (3, 1), "calls of model and tool")


@behaviour(
    "crash:messages", "What was saved and what came after are the whole turn, each message once."
)
async def crash_messages(kit: Kit) -> None:
    lost = await kit.elsewhere("tool_user", kit.says("Oslo"), kill_at_call=2)
    saved = lost.io.of("save")[-1]
    again = Inbound(kind="continue", thread_id="t", run_id="r")
    outcome = finished(await kit.elsewhere("tool_user", again, saved["state"]))
    turn = [*saved["messages"], *outcome.messages]
    roles = [m["role"] for m in {m["id"]: m for m in turn}.values()]
    same(roles, ["assistant", "tool", "assistant"], "the roles")


@behaviour("crash:answer", "SIGKILL behind an answer does not run what was approved a second time.")
async def crash_answer(kit: Kit) -> None:
    paused = finished(await kit.elsewhere("approver", kit.says("go on")))
    answers = kit.answers({ask.id: True for ask in paused.asks})
    lost = await kit.elsewhere("approver", answers, paused.state, kill_at_call=2)
    saves = lost.io.of("save")
    assert saves, "nothing was saved behind the tool"
    again = Inbound(kind="continue", thread_id="t", run_id="r")
    outcome = finished(await kit.elsewhere("approver", again, saves[-1]["state"]))
    same((outcome.status, notes().count("tool pay")), ("done", 1), "status and runs of the tool")


@behaviour("cancel:stops", "Cancellation ends the step soon, and the model's call with it.")
async def cancel(kit: Kit) -> None:
    step = asyncio.ensure_future(kit.step("slow", kit.says("hello")))
    await _noted("hangs", step, within=PATIENCE_SECONDS)
    step.cancel()
    done, _ = await asyncio.wait([step], timeout=GRACE_SECONDS)
    assert done, f"the step goes on {GRACE_SECONDS} s after it was cancelled"
    assert step.cancelled(), f"the step does not end as cancelled: {step}"
    await _noted("stopped", step, within=PATIENCE_SECONDS)


async def _noted(what: str, step: asyncio.Future[Any], *, within: float) -> None:
    """Wait for a note, which a model may write from anywhere."""
    end = asyncio.get_running_loop().time() + within
    while what not in notes():
        assert what == "stopped" or not step.done(), f"the step ended: {step}"
        assert asyncio.get_running_loop().time() < end, f"{what!r} was not noted in {within} s"
        # a thread or another process writes it: there is nothing to wait for
        await asyncio.sleep(0.01)


@behaviour("error:raised", "An error of the agent is raised with the words that it came with.")
async def error(kit: Kit) -> None:
    step = await kit.elsewhere("failing", kit.says("hello"))
    assert step.error is not None, f"the step ended {step.outcome}"
    assert "the model is on fire" in step.error, step.error


@behaviour(
    "error:after",
    "An error leaves nothing behind on the object: the next turn is as if it was not.",
)
async def after_error(kit: Kit) -> None:
    for _ in range(2):
        (raised,) = await asyncio.gather(
            kit.step("failing", kit.says("hello")), return_exceptions=True
        )
        assert "the model is on fire" in str(raised), f"the step ended {raised!r}"
    outcome, _ = await kit.step("chat", kit.says("hello"))
    same(contents(outcome.messages), ["turn 1: you said hello"], "the reply")
