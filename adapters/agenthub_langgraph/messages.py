"""Messages between the three forms that they have here: ours for adapters, LangChain's, and JSON.

What a thread keeps and gives out is LangChain's JSON shape, so that clients read a conversation with any
framework as they read one with a LangGraph agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)

from agenthub.adapting import Message
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject, dumps, loads

_ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}
_USAGE = ("input_tokens", "output_tokens", "total_tokens")


def given(messages: Json) -> list[Message]:
    """A run's `messages` in our form, each with an id; in whatever form LangChain understands.

    Raises:
        ValueError: it is no list of messages.
    """
    if not messages:
        return []
    many = cast("list[Any]", messages if isinstance(messages, list) else [messages])
    return [of_langchain(message) for message in convert_to_messages(many)]


def of_langchain(message: BaseMessage) -> Message:
    """Our form of a message of LangChain's."""
    ours: Message = {
        "id": message.id or str(new_id()),
        "role": _ROLES.get(message.type.removesuffix("MessageChunk").lower(), "user"),
        "content": cast("Json", message.content),  # pyright: ignore[reportUnknownMemberType]
    }
    if message.name:
        ours["name"] = message.name
    if isinstance(message, AIMessage):
        if message.tool_calls:
            ours["tool_calls"] = [
                {"id": call["id"], "name": call["name"], "args": call["args"]}
                for call in message.tool_calls
            ]
        if message.usage_metadata:
            ours["usage"] = usage_of(cast("JsonObject", message.usage_metadata))
    if isinstance(message, ToolMessage):
        ours["tool_call_id"], ours["status"] = message.tool_call_id, message.status
    return ours


def to_langchain(message: Message) -> BaseMessage:
    """LangChain's form of a message of ours."""
    common: dict[str, Any] = {
        "content": _content(message.get("content")),
        "id": message.get("id"),
        "name": message.get("name") or None,
    }
    match message["role"]:
        case "user":
            return HumanMessage(**common)
        case "system":
            return SystemMessage(**common)
        case "tool":
            return ToolMessage(
                **common,
                tool_call_id=str(message.get("tool_call_id") or ""),
                status=message.get("status") or "success",
            )
        case "assistant":
            return AIMessage(
                **common,
                tool_calls=[
                    {"type": "tool_call", "id": c["id"], "name": c["name"], "args": _fields(c)}
                    for c in message.get("tool_calls") or ()
                ],
                usage_metadata=usage_of(message["usage"]) if message.get("usage") else None,
            )
        case other:
            raise ValueError(f"a message has role {other!r}: user, assistant, tool or system")


def as_json(messages: Iterable[Message]) -> list[JsonObject]:
    """As a thread keeps them."""
    return [plain(to_langchain(message).model_dump()) for message in messages]


def added(to: Sequence[JsonObject], more: Iterable[JsonObject]) -> list[JsonObject]:
    """A conversation with more messages; those that it has by their id already are not said twice."""
    all_ = list(to)
    ids: set[str | int] = {message["id"] for message in all_ if message.get("id")}
    for message in more:
        if message.get("id") not in ids:
            all_.append(message)
            ids.add(message.get("id") or len(all_))
    return all_


def usage_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """The three counts, of which the total may be left out."""
    counts = {name: int(usage.get(name) or 0) for name in _USAGE}
    counts["total_tokens"] = counts["total_tokens"] or sum(counts.values())
    return counts


def plain(value: Json) -> Json:
    """The value as it is after a journey through JSON. Raises `TypeError` when it has no JSON form."""
    return loads(dumps(value))


def _content(content: Json) -> Any:
    if isinstance(content, str | list):
        return cast("Any", content)
    return "" if content is None else dumps(content).decode()


def _fields(call: JsonObject) -> JsonObject:
    """LangChain's tool calls have an object of arguments; what else there is goes by a name."""
    args = call.get("args")
    return (
        cast("JsonObject", args)
        if isinstance(args, dict)
        else {}
        if args is None
        else {"input": args}
    )
