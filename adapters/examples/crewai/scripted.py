"""A model of CrewAI that needs no network: it plays a refund clerk, word by word."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from crewai.llms.base_llm import BaseLLM, LLMCallType, llm_call_context


class ScriptedModel(BaseLLM):
    """Finds the order that the user names, refunds it, and says so."""

    llm_type: str = "scripted"

    def call(self, *args: Any, **how: Any) -> Any:
        return asyncio.run(self.acall(*args, **how))

    async def acall(self, messages: Any, *_: Any, **__: Any) -> Any:
        with llm_call_context():
            self._emit_call_started_event(messages=messages)
            answer = _answer(messages)
            if isinstance(answer, str):
                for word in re.findall(r"\S+\s*", answer):
                    self._emit_stream_chunk_event(word)
            usage = {"prompt_tokens": 20, "completion_tokens": 10}
            kind = LLMCallType.LLM_CALL
            self._emit_call_completed_event(answer, kind, messages=messages, usage=usage)
            return answer

    def supports_function_calling(self) -> bool:
        return True


def _answer(messages: Any) -> str | list[dict[str, Any]]:
    last = max(at for at, message in enumerate(messages) if message["role"] == "user")
    results = [m["content"] for m in messages[last:] if m["role"] == "tool"]
    order = re.search(r"[A-Z]-\d+", messages[last]["content"])
    if order is None:
        return "You are welcome. Is there anything else?"
    if not results:
        return _call("find_order", number=order[0])
    price = re.search(r"(\d+) EUR", results[0])
    if price is None:
        return "I am sorry, I cannot refund that order."
    if len(results) == 1:
        return _call("refund", number=order[0], amount=int(price[1]))
    return f"I am sorry about that. {results[-1]}."


def _call(name: str, **args: Any) -> list[dict[str, Any]]:
    function = {"name": name, "arguments": json.dumps(args)}
    return [{"id": f"call-{name}", "type": "function", "function": function}]
