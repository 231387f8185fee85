"""Identifiers. All are UUIDv7: ordered by time, so that indexes stay warm and lists need no sort key."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

from agenthub.errors import Invalid

# The namespace that LangGraph's clients use for the assistant of a graph (agent-server.md §0.3).
ASSISTANT_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7()


@lru_cache
def assistant_id(agent: str) -> UUID:
    """The id of an agent's system assistant, as `langgraph-sdk` users compute it."""
    return uuid5(ASSISTANT_NAMESPACE, agent)


def parse_id(text: str, what: str) -> UUID:
    """Read an id that came from outside.

    Raises:
        Invalid: `text` is not a UUID.
    """
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise Invalid(f"{what} {str(text)[:60]!r} is not a UUID") from None
