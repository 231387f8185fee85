"""A model of the OpenAI Agents SDK that needs no network: it plays a refund clerk, word by word."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from agents import Model
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
)


class ScriptedModel(Model):
    """Finds the order that the user names, refunds it, and says so."""

    async def get_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("the scripted model only streams")

    async def stream_response(
        self, system: Any, input: Any, *_: Any, **__: Any
    ) -> AsyncIterator[Any]:
        answer = _answer(input)
        output: Any
        if isinstance(answer, str):
            for at, word in enumerate(re.findall(r"\S+\s*", answer)):
                yield ResponseTextDeltaEvent(
                    type="response.output_text.delta",
                    content_index=0,
                    delta=word,
                    item_id="m",
                    logprobs=[],
                    output_index=0,
                    sequence_number=at,
                )
            text = ResponseOutputText(type="output_text", text=answer, annotations=[])
            output = ResponseOutputMessage(
                id="m", type="message", role="assistant", status="completed", content=[text]
            )
        else:
            name, args = answer
            output = ResponseFunctionToolCall(
                type="function_call",
                call_id=f"{name}-{len(input)}",
                name=name,
                arguments=json.dumps(args),
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


def _answer(input: Any) -> str | tuple[str, dict[str, Any]]:
    said, results = str(input), list[str]()
    for item in input if isinstance(input, list) else ():
        if item.get("role") == "user":
            said, results = str(item["content"]), []
        elif item.get("type") == "function_call_output":
            results.append(str(item["output"]))
    order = re.search(r"[A-Z]-\d+", said)
    if order is None:
        return "You are welcome. Is there anything else?"
    if not results:
        return "find_order", {"number": order[0]}
    price = re.search(r"(\d+) EUR", results[0])
    if price is None:
        return "I am sorry, I cannot refund that order."
    if len(results) == 1:
        return "refund", {"number": order[0], "amount": int(price[1])}
    return f"I am sorry about that. {results[-1]}."
