"""Steps of remote agents, one at a time: what the driver does with them, and what a killed worker leaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from agenthub.adapting import Inbound, Outcome
from agenthub.json import Json, JsonObject
from agenthub_conformance.adapter.recording import Recording
from agenthub_remote.adapter import RemoteAdapter
from testkit.waiting import eventually

ADAPTER = RemoteAdapter()


@dataclass(slots=True)
class Listening(Recording):
    """A recording of a step that may be cancelled for good, or because its worker leaves."""

    for_good: bool = True

    def cancelled(self) -> bool:
        return self.for_good

    @property
    def saves(self) -> list[JsonObject]:
        """The states that were saved, oldest first."""
        return [said["state"] for said in self.of("save")]

    @property
    def tokens(self) -> str:
        """All tokens, in order."""
        return "".join(said["text"] for said in self.of("token"))


@dataclass(slots=True)
class Conversation:
    """A thread with a remote agent."""

    agent: Any
    state: Json = None
    io: Listening = field(default_factory=Listening)
    thread_id: str = field(default_factory=lambda: str(uuid4()))

    async def say(self, text: Json = None, *, data: Json = None) -> Outcome:
        """Say something, and hear how the step ends."""
        return await self.step(self.said(text, data=data))

    async def answer(self, answers: dict[str, Json]) -> Outcome:
        """Answer the questions of a pause."""
        return await self.step(self._inbound("answers", answers=answers))

    async def take_over(self, saved: JsonObject) -> Outcome:
        """Go on where an attempt that was lost has saved."""
        self.state = saved
        return await self.step(self._inbound("continue"))

    async def step(self, inbound: Inbound) -> Outcome:
        """One step; `io` is what it told."""
        self.io = Listening()
        async with asyncio.timeout(30):
            outcome = await ADAPTER.step(self.agent, self.state, inbound, self.io)
        self.state = outcome.state
        return outcome

    def begin(self, text: Json = None, *, data: Json = None) -> asyncio.Task[Outcome]:
        """A step that goes on while the test does other things."""
        return asyncio.create_task(self._begun(self.said(text, data=data)))

    async def stop(self, step: asyncio.Task[Outcome], *, for_good: bool) -> None:
        """Cancel a step: somebody does, or its worker leaves."""
        self.io.for_good = for_good
        step.cancel()
        await asyncio.wait([step], timeout=10)
        assert step.cancelled(), step

    async def saved(self, *, times: int) -> JsonObject:
        """The state of the save of this number, once it is there."""
        await eventually(lambda: len(self.io.saves) >= times, within=20)
        return self.io.saves[times - 1]

    def said(self, text: Json = None, *, data: Json = None) -> Inbound:
        """A user's message."""
        message: JsonObject = {"id": str(uuid4()), "role": "user", "content": text}
        messages = [message] if text is not None else []
        return self._inbound("input", messages=messages, data=data)

    async def _begun(self, inbound: Inbound) -> Outcome:
        self.io = Listening()
        return await ADAPTER.step(self.agent, self.state, inbound, self.io)

    def _inbound(self, kind: Any, **how: Any) -> Inbound:
        return Inbound(kind=kind, thread_id=self.thread_id, run_id=str(uuid4()), **how)


def texts(outcome: Outcome) -> list[Json]:
    """What the messages of a step say."""
    return [message["content"] for message in outcome.messages]
