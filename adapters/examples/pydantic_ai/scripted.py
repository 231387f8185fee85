"""A model of Pydantic AI that needs no network: it plays a refund clerk, word by word."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel


def scripted_model() -> FunctionModel:
    """Finds the order that the user names, refunds it, and says so."""

    async def play(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[Any]:
        answer = _answer(messages)
        if isinstance(answer, str):
            for word in re.findall(r"\S+\s*", answer):
                yield word
        else:
            name, args = answer
            call_id = f"{name}-{len(messages)}"
            yield {0: DeltaToolCall(name=name, json_args=json.dumps(args), tool_call_id=call_id)}

    return FunctionModel(stream_function=play)


def _answer(messages: list[ModelMessage]) -> str | tuple[str, dict[str, Any]]:
    said, results = "", list[Any]()
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, UserPromptPart):
            said, results = str(part.content), []
        elif isinstance(part, ToolReturnPart):
            results.append(part.content)
    order = re.search(r"[A-Z]-\d+", said)
    if order is None:
        return "You are welcome. Is there anything else?"
    if not results:
        return "find_order", {"number": order[0]}
    if "price" not in results[0]:
        return "I am sorry, I cannot refund that order."
    if len(results) == 1:
        return "refund", {"number": order[0], "amount": results[0]["price"]}
    return f"I am sorry about that. {results[-1]}."
