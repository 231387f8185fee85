"""Agents on the real core, one attempt at a time: what a worker does, without its loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agenthub.attempt import Attempt
from agenthub.clock import SystemClock
from agenthub.events import Event
from agenthub.ports import Claimed
from agenthub.runs import Run, RunRequest
from agenthub.states import States
from agenthub.threads import ThreadState
from agenthub_langgraph.decode import StateDecoder
from agenthub_langgraph.engine import LangGraphEngine
from testkit.core import AGENT, Core
from testkit.waiting import eventually


@dataclass
class Stage:
    """One agent, its core, and the verbs of its tests."""

    core: Core
    agent: Any
    name: str = AGENT
    slice_seconds: float = 0.001
    claims: list[Claimed] = field(default_factory=list)

    async def run(self, input: Any = None, *, thread_id: UUID | None = None, **how: Any) -> Run:
        """Create a run, execute it to its end, and read it as stored."""
        await self.core.create(thread_id, request=RunRequest(input=input, **how))
        return await self.attempt()

    async def answer(self, run: Run, *answers: Any, **how: Any) -> Run:
        """Answer the questions of a run in order, as another run."""
        pairs = zip(run.interrupts, answers, strict=True)
        return await self.answer_by_id(run, {asked.id: given for asked, given in pairs}, **how)

    async def answer_by_id(self, run: Run, answers: dict[str, Any], **how: Any) -> Run:
        request = RunRequest(answers=answers, **how)
        await self.core.create(run.thread_id, kind="resume", request=request)
        return await self.attempt()

    async def begin(self) -> tuple[Attempt, asyncio.Task[list[str]]]:
        """Claim the next run and start its attempt."""
        claimed = await self.core.claim_one()
        self.claims.append(claimed)
        attempt = Attempt(
            claimed,
            engine=LangGraphEngine(
                {self.name: self.agent}, checkpoints=self.core.checkpoints, writer=self.core.writer
            ),
            writer=self.core.writer,
            queue=self.core.queue,
            clock=SystemClock(),
            slice_seconds=self.slice_seconds,
            cancel_grace_seconds=5,
        )
        return attempt, asyncio.create_task(attempt.run())

    async def attempt(self) -> Run:
        _, running = await self.begin()
        async with asyncio.timeout(20):
            await running
        return await self.core.run(self.claims[-1])

    async def crash(self, running: asyncio.Task[list[str]]) -> None:
        """The worker dies, and its run is back in line."""
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self.core.expire(self.claims[-1].lease)
        # a write of the dead that is still under way holds the run, and a reaper waits for nobody
        await eventually(self.core.reap)

    async def events(self, run: Run, *kinds: str) -> list[Event]:
        found = await self.core.events(run.task_id)
        assert [e.seq for e in found] == list(range(1, len(found) + 1))
        return [e for e in found if e.run_id == run.run_id and (not kinds or e.kind in kinds)]

    async def values(self, run: Run) -> list[Any]:
        return [event.json() for event in await self.events(run, "values")]

    async def history(self, run: Run, ns: str = "") -> Sequence[ThreadState]:
        """Oldest first."""
        states = States(self.core.checkpoints, StateDecoder())
        found = await states.history(self.core.tenant, run.thread_id, ns=ns, limit=100)
        return list(reversed(found))


class ScriptedChat(BaseChatModel):
    """A model that gives its replies one after the other, in one chunk per word."""

    replies: list[AIMessage]
    said: list[list[BaseMessage]] = []  # noqa: RUF012  # pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        return self

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        self.said.append(messages)
        return self.replies[len(self.said) - 1].model_copy()

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        reply = self._next(messages)
        for word in str(reply.content).split():
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))
        calls = [
            tool_call_chunk(
                name=c["name"], args=str(c["args"]).replace("'", '"'), id=c["id"], index=i
            )
            for i, c in enumerate(reply.tool_calls)
        ]
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="", tool_call_chunks=calls, usage_metadata=reply.usage_metadata
            )
        )


def usage(input: int, output: int) -> Any:
    """What a model reports."""
    return {"input_tokens": input, "output_tokens": output, "total_tokens": input + output}
