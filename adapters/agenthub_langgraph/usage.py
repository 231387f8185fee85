"""Token usage of a run, summed over its chat messages."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from agenthub.json import JsonObject

COUNTED = ("input_tokens", "output_tokens", "total_tokens")


class Usage(BaseCallbackHandler):
    """Adds up `usage_metadata`, each message once, whether it is streamed or not.

    A model that LangChain knows reports at the end of its call, in subgraphs too, which do not stream;
    messages from elsewhere are counted as they pass by, in one piece or several.
    """

    run_inline = True
    ignore_chain = True  # pyright: ignore[reportAssignmentType,reportIncompatibleMethodOverride]  # a property
    ignore_agent = True  # pyright: ignore[reportAssignmentType,reportIncompatibleMethodOverride]
    ignore_retriever = True  # pyright: ignore[reportAssignmentType,reportIncompatibleMethodOverride]

    def __init__(self) -> None:
        self._by_message: dict[Any, JsonObject] = {}
        self._complete: set[Any] = set()

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """A model's call is over: its message stands for all of its chunks."""
        for generation in (one for some in response.generations for one in some):
            message = getattr(generation, "message", None)
            usage: JsonObject | None = getattr(message, "usage_metadata", None)
            if usage:
                key = getattr(message, "id", None) or id(message)
                self._by_message[key] = usage
                self._complete.add(key)

    def add(self, message: Any) -> None:
        """Count a message or chunk; those without usage count nothing."""
        usage: JsonObject | None = getattr(message, "usage_metadata", None)
        key = getattr(message, "id", None) or id(message)
        if usage and key not in self._complete:
            self._by_message[key] = _sum(self._by_message.get(key, {}), usage)

    def count(self, key: str, usage: JsonObject) -> None:
        """Count what no message has told, once for a key."""
        self._by_message[key] = usage
        self._complete.add(key)

    @property
    def total(self) -> JsonObject | None:
        """The sum, or None when no model reported any."""
        total: JsonObject = {}
        for usage in self._by_message.values():
            total = _sum(total, usage)
        return total or None


def _sum(one: JsonObject, other: JsonObject) -> JsonObject:
    return {name: int(one.get(name) or 0) + int(other.get(name) or 0) for name in COUNTED}
