"""Request bodies of the long-term memory (agent-server.md §1.7)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, RootModel

from agenthub.json import JsonObject
from agenthub_rest.bodies import Body, Limit, Offset, plain

MOST_MINUTES = 10 * 366 * 24 * 60


def _label(text: str) -> str:
    if not text or "." in text:
        raise ValueError("a namespace label must not be empty and must not contain a period")
    return plain(text)


Label = Annotated[str, Field(max_length=255), AfterValidator(_label)]
Part = Annotated[str, Field(max_length=255), AfterValidator(plain)]
Key = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(plain)]
Namespace = Annotated[list[Label], Field(min_length=1, max_length=64)]
Prefix = Annotated[list[Part], Field(max_length=64)]


class ItemPut(Body):
    """`if_version`: write only if the item is at this version; 0 = only if there is none.

    `index`: the fields that are found by meaning, instead of the configured ones; false for none.
    """

    namespace: Namespace
    key: Key
    value: JsonObject
    index: Literal[False] | list[str] | None = None
    ttl: float | None = Field(default=None, gt=0, le=MOST_MINUTES)
    if_version: int | None = Field(default=None, ge=0)


class ItemKey(Body):
    """The query of a read; the namespace's labels are joined by periods."""

    namespace: Prefix = Field(default_factory=list[str])
    key: Key


class ItemDelete(Body):
    namespace: Prefix = Field(default_factory=list[str])
    key: Key
    if_version: int | None = Field(default=None, ge=1)


class ItemChange(Body):
    """A put, or a deletion when `value` is null."""

    namespace: Namespace
    key: Key
    value: JsonObject | None = None
    index: Literal[False] | list[str] | None = None
    ttl: float | None = Field(default=None, gt=0, le=MOST_MINUTES)


class ItemBatch(RootModel[Annotated[list[ItemChange], Field(min_length=1, max_length=1000)]]):
    """Changes that are made together or not at all."""


class ItemSearch(Body):
    namespace_prefix: Prefix = Field(default_factory=list[str])
    filter: JsonObject = Field(default_factory=dict[str, Any])
    query: str | None = None
    limit: Limit = 10
    offset: Offset = 0
    refresh_ttl: bool = True


class NamespaceSearch(Body):
    prefix: Prefix | None = None
    suffix: Prefix | None = None
    max_depth: int | None = Field(default=None, ge=1, le=64)
    limit: Limit = 100
    offset: Offset = 0
