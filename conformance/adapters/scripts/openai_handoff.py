"""A handoff in the OpenAI Agents SDK: two turns of a triage agent, in lines of JSON. Run by a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, handoff, set_tracing_disabled
from agents.models.interface import Model
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from agenthub.adapting import Inbound
from agenthub_conformance.adapter.recording import Recording
from agenthub_openai_agents.adapter import OpenAIAgentsAdapter

set_tracing_disabled(True)


class Says(Model):
    """Hands over when it can, and otherwise says who it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def get_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream_response(
        self, system: Any, input: Any, settings: Any, tools: Any, schema: Any, handoffs: Any, *_: Any,
        **__: Any,
    ) -> AsyncIterator[Any]:  # fmt: skip
        if handoffs:
            output: Any = ResponseFunctionToolCall(
                type="function_call", call_id="h1", name=handoffs[0].tool_name, arguments="{}"
            )
        else:
            text = ResponseOutputText(type="output_text", text=f"I am {self.name}", annotations=[])
            output = ResponseOutputMessage(
                id="m", type="message", role="assistant", status="completed", content=[text]
            )
        response = Response(
            id="r",
            created_at=0,
            model="scripted",
            object="response",
            output=[output],
            parallel_tool_calls=True,
            tool_choice="auto",
            tools=[],
        )
        yield ResponseCompletedEvent(
            type="response.completed", sequence_number=1, response=response
        )


async def main() -> None:
    """Two turns: the second goes on with the agent that was handed over to."""
    billing = Agent(name="billing", model=Says("billing"))
    triage = Agent(name="triage", model=Says("triage"), handoffs=[handoff(billing)])
    adapter, state = OpenAIAgentsAdapter(), None
    for text in ("one", "two"):
        io = Recording()
        said = {"id": text, "role": "user", "content": text}
        inbound = Inbound(kind="input", thread_id="t", run_id="r", messages=[said])
        outcome = await adapter.step(triage, state, inbound, io)
        state = json.loads(json.dumps(outcome.state))
        print(json.dumps({"messages": list(outcome.messages), "events": io.of("event")}))


if __name__ == "__main__":
    asyncio.run(main())
