"""What a thread remembers, wherever its next step runs, and what it must not know."""

from __future__ import annotations

import asyncio
import json

from agenthub_conformance.adapter.contract import Kit, behaviour, contents, finished, same


@behaviour("state:json", "The state is JSON, and comes back from JSON the same.")
async def is_json(kit: Kit) -> None:
    for name in ("chat", "tool_user"):
        outcome, _ = await kit.step(name, kit.says("Oslo"))
        same(json.loads(json.dumps(outcome.state)), outcome.state, "the state")


@behaviour("state:elsewhere", "The next turn runs in another process and knows the one before.")
async def across(kit: Kit) -> None:
    first = finished(await kit.elsewhere("chat", kit.says("one")))
    second = finished(await kit.elsewhere("chat", kit.says("two"), first.state))
    same(contents(second.messages), ["turn 2: you said two"], "the second reply")


@behaviour("state:tools", "A turn with a tool is remembered in another process with its calls.")
async def tools_across(kit: Kit) -> None:
    first = finished(await kit.elsewhere("tool_user", kit.says("Oslo")))
    second = finished(await kit.elsewhere("tool_user", kit.says("Rome"), first.state))
    same(contents(second.messages)[-1], "it gave sunny in Rome", "the second reply")


@behaviour("state:new", "A new thread knows nothing of the threads before it on the same object.")
async def new_thread(kit: Kit) -> None:
    await kit.step("chat", kit.says("secret", thread="a"))
    outcome, _ = await kit.step("chat", kit.says("hello", thread="b"))
    same(contents(outcome.messages), ["turn 1: you said hello"], "the reply on the new thread")


@behaviour(
    "state:concurrent", "Threads that run at once on one object never see each other's messages."
)
async def concurrent(kit: Kit) -> None:
    async def conversation(name: str) -> list[str]:
        state, replies = None, list[str]()
        for turn in ("first", "second", "third"):
            outcome, _ = await kit.step("chat", kit.says(f"{name} {turn}", thread=name), state)
            state = outcome.state
            replies += contents(outcome.messages)
        return replies

    names = ["ann", "bob", "eve"]
    found = await asyncio.gather(*(conversation(name) for name in names))
    for name, replies in zip(names, found, strict=True):
        turns = enumerate(("first", "second", "third"), 1)
        same(
            replies, [f"turn {n}: you said {name} {turn}" for n, turn in turns], f"what {name} read"
        )


@behaviour(
    "state:tools-concurrent", "Tools of threads that run at once are told to their own thread."
)
async def tools_concurrent(kit: Kit) -> None:
    cities = ["Oslo", "Rome", "Kyiv"]
    steps = await asyncio.gather(*(kit.step("tool_user", kit.says(c, thread=c)) for c in cities))
    for city, (outcome, io) in zip(cities, steps, strict=True):
        same([t["args"] for t in io.of("tool_start")], [{"city": city}], "the calls")
        same(contents(outcome.messages)[-1], f"it gave sunny in {city}", "the reply")
