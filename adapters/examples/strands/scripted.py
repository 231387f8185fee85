"""A model of Strands that needs no network: it plays a refund clerk, word by word."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from strands.models import Model


class ScriptedModel(Model):
    """Finds the order that the user names, refunds it, and says so."""

    def update_config(self, **_: Any) -> None:
        pass

    def get_config(self) -> dict[str, Any]:
        return {"model_id": "scripted"}

    def structured_output(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("the scripted model has no typed output")

    async def stream(self, messages: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        yield {"messageStart": {"role": "assistant"}}
        answer = _answer(messages)
        if isinstance(answer, str):
            yield {"contentBlockStart": {"start": {}}}
            for word in re.findall(r"\S+\s*", answer):
                yield {"contentBlockDelta": {"delta": {"text": word}}}
            reason = "end_turn"
        else:
            name, args = answer
            use = {"toolUseId": f"{name}-{len(messages)}", "name": name}
            yield {"contentBlockStart": {"start": {"toolUse": use}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(args)}}}}
            reason = "tool_use"
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": reason}}
        usage = {"inputTokens": 20, "outputTokens": 10, "totalTokens": 30}
        yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 0}}}


def _answer(messages: Any) -> str | tuple[str, dict[str, Any]]:
    said, results = "", list[Any]()
    for block in (b for m in messages if m["role"] == "user" for b in m["content"]):
        if "text" in block:
            said, results = block["text"], []
        elif "toolResult" in block:
            results.append(block["toolResult"])
    order = re.search(r"[A-Z]-\d+", said)
    if order is None:
        return "You are welcome. Is there anything else?"
    if not results:
        return "find_order", {"number": order[0]}
    if results[-1]["status"] == "error":
        return "I am sorry, I cannot refund that order."
    if len(results) == 1:
        price = results[0]["content"][0]["json"]["price"]
        return "refund", {"number": order[0], "amount": price}
    return f"I am sorry about that. {results[-1]['content'][0]['text']}."
