"""A model of ADK that needs no network: it plays a refund clerk, word by word."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.genai import types

USAGE = types.GenerateContentResponseUsageMetadata(
    prompt_token_count=20, candidates_token_count=10, total_token_count=30
)


class ScriptedModel(BaseLlm):
    """Finds the order that the user names, refunds it, and says so."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        answer = _answer(llm_request.contents)
        if isinstance(answer, str):
            for word in re.findall(r"\S+\s*", answer):
                yield LlmResponse(content=types.ModelContent(word), partial=True)
            parts = [types.Part(text=answer)]
        else:
            name, args = answer
            parts = [types.Part(function_call=types.FunctionCall(name=name, args=args))]
        yield LlmResponse(content=types.ModelContent(parts), usage_metadata=USAGE)


def _answer(contents: list[types.Content]) -> str | tuple[str, dict[str, Any]]:
    said, results = "", list[dict[str, Any]]()
    for part in (p for c in contents if c.role == "user" for p in c.parts or ()):
        if part.text:
            said, results = part.text, []
        elif part.function_response:
            results.append(part.function_response.response or {})
    order = re.search(r"[A-Z]-\d+", said)
    if order is None:
        return "You are welcome. Is there anything else?"
    if not results:
        return "find_order", {"number": order[0]}
    if "error" in results[-1]:
        return "I am sorry, I cannot refund that order."
    if len(results) == 1:
        return "refund", {"number": order[0], "amount": results[0]["price"]}
    return f"I am sorry about that. {results[-1]['result']}."
