"""How providers of models are asked and how they stream: OpenAI's chat completions and responses, and
Gemini's `streamGenerateContent`. Events are server-sent ones, whole, as they go over the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Answer: TypeAlias = str | tuple[str, dict[str, Any]]
"""A text, or the call of a tool: its name and its arguments."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The last words of the user, and what tools have given since."""

    said: str
    outputs: list[str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`heard` reads a request; `told` gives an answer's events, of the request's body, its number and the
    usage that it reports."""

    heard: Callable[[Any], Heard]
    told: Callable[[Answer, Any, int, Mapping[str, int]], Iterator[str]]


def _event(data: Any) -> str:
    return f"data: {json.dumps(data)}\r\n\r\n"


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _parts(args: dict[str, Any]) -> list[str]:
    return re.findall(r".{1,7}", json.dumps(args))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or ())


# --- chat completions ---------------------------------------------------------------------------


def _chat_heard(body: Any) -> Heard:
    messages: Sequence[dict[str, Any]] = body["messages"]
    at = max(n for n, message in enumerate(messages) if message["role"] == "user")
    outputs = [_text(m["content"]) for m in messages[at:] if m["role"] == "tool"]
    return Heard(_text(messages[at]["content"]), outputs)


def _chat_told(answer: Answer, body: Any, number: int, used: Mapping[str, int]) -> Iterator[str]:
    if isinstance(answer, str):
        deltas: list[Any] = [{"content": word} for word in _words(answer)]
        reason = "stop"
    else:
        name, args = answer
        call = {"index": 0, "id": f"call_{number}_{name}", "type": "function"}
        deltas = [{"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}]
        for part in _parts(args):
            deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        reason = "tool_calls"
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    for delta in [{"role": "assistant"}, *deltas]:
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = {
            "prompt_tokens": used["input_tokens"],
            "completion_tokens": used["output_tokens"],
            "total_tokens": used["total_tokens"],
        }
        yield _event({**head, "choices": [], "usage": usage})
    yield "data: [DONE]\r\n\r\n"


# --- responses ----------------------------------------------------------------------------------


def _responses_heard(body: Any) -> Heard:
    given = body["input"]
    if isinstance(given, str):
        return Heard(given, [])
    items: Sequence[dict[str, Any]] = given
    at = max(n for n, item in enumerate(items) if item.get("role") == "user")
    outputs = [_text(i["output"]) for i in items[at:] if i.get("type") == "function_call_output"]
    return Heard(_text(items[at]["content"]), outputs)


def _responses_told(
    answer: Answer, body: Any, number: int, used: Mapping[str, int]
) -> Iterator[str]:
    at = 0

    def event(kind: str, **fields: Any) -> str:
        nonlocal at
        at += 1
        return f"event: {kind}\r\n{_event({'type': kind, 'sequence_number': at, **fields})}"

    response: dict[str, Any] = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "model": body["model"],
        "status": "in_progress",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    yield event("response.created", response=response)
    if isinstance(answer, str):
        item: dict[str, Any] = {"id": f"msg_{number}", "type": "message", "role": "assistant"}
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
        started = {**item, "status": "in_progress", "content": []}
        yield event("response.output_item.added", output_index=0, item=started)
        yield event("response.content_part.added", **place, part=part)
        for word in _words(answer):
            yield event("response.output_text.delta", **place, delta=word, logprobs=[])
        part = {**part, "text": answer}
        yield event("response.output_text.done", **place, text=answer, logprobs=[])
        yield event("response.content_part.done", **place, part=part)
        item |= {"status": "completed", "content": [part]}
    else:
        name, args = answer
        item = {"id": f"fc_{number}", "type": "function_call", "name": name, "arguments": ""}
        item |= {"call_id": f"call_{number}_{name}", "status": "in_progress"}
        place = {"item_id": item["id"], "output_index": 0}
        yield event("response.output_item.added", output_index=0, item=item)
        for piece in _parts(args):
            yield event("response.function_call_arguments.delta", **place, delta=piece)
        item = {**item, "arguments": json.dumps(args), "status": "completed"}
        whole = item["arguments"]
        yield event("response.function_call_arguments.done", **place, arguments=whole, name=name)
    yield event("response.output_item.done", output_index=0, item=item)
    usage = {
        **used,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    ended = {**response, "status": "completed", "output": [item], "usage": usage}
    yield event("response.completed", response=ended)


# --- Gemini -------------------------------------------------------------------------------------


def _gemini_heard(body: Any) -> Heard:
    contents: Sequence[dict[str, Any]] = body["contents"]
    spoken = [n for n, one in enumerate(contents) for part in one["parts"] if "text" in part]
    at = max(n for n in spoken if contents[n]["role"] == "user")
    parts = [part for one in contents[at:] for part in one["parts"]]
    given = [p["functionResponse"]["response"] for p in parts if "functionResponse" in p]
    outputs = [str(one.get("result", one)) for one in given]
    return Heard(_text(contents[at]["parts"]), outputs)


def _gemini_told(answer: Answer, body: Any, number: int, used: Mapping[str, int]) -> Iterator[str]:
    if isinstance(answer, str):
        told: list[Any] = [{"text": word} for word in _words(answer)]
    else:
        told = [{"functionCall": {"name": answer[0], "args": answer[1]}}]
    for n, part in enumerate(told, 1):
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
        event: dict[str, Any] = {"candidates": [candidate]}
        if n == len(told):
            candidate["finishReason"] = "STOP"
            event["usageMetadata"] = {
                "promptTokenCount": used["input_tokens"],
                "candidatesTokenCount": used["output_tokens"],
                "totalTokenCount": used["total_tokens"],
            }
        yield _event(event)


DIALECTS = {
    "/chat/completions": Dialect(_chat_heard, _chat_told),
    "/responses": Dialect(_responses_heard, _responses_told),
    ":streamGenerateContent": Dialect(_gemini_heard, _gemini_told),
}
"""Dialects, by what the paths of their requests have."""
