"""Request bodies of assistants (agent-server.md §1.1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agenthub.assistants import SortBy
from agenthub.json import JsonObject
from agenthub_rest.bodies import Body, Id, Limit, Offset, Order, Plain, RunConfig

Name = Annotated[Plain, Field(max_length=1000)]


class Settings(Body):
    """`config.configurable` and `context` are two names of one thing."""

    config: RunConfig | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    description: Annotated[Plain, Field(max_length=10_000)] | None = None

    @model_validator(mode="after")
    def _either(self) -> Settings:
        if self.context and self.config is not None and self.config.configurable:
            raise ValueError("give either context or config.configurable, not both")
        return self


class AssistantCreate(Settings):
    graph_id: Id
    assistant_id: Id | None = None
    if_exists: Literal["raise", "do_nothing"] = "raise"
    name: Name = "Untitled"


class AssistantPatch(Settings):
    graph_id: Id | None = None
    name: Name | None = None


class AssistantCount(Body):
    graph_id: Id | None = None
    name: Plain | None = None
    metadata: JsonObject | None = None


AssistantField = Literal[
    "assistant_id", "graph_id", "name", "description", "config", "context", "created_at",
    "updated_at", "metadata", "version",
]  # fmt: skip


class AssistantSearch(AssistantCount):
    limit: Limit = 10
    offset: Offset = 0
    sort_by: SortBy = "name"
    sort_order: Order = "asc"
    select: list[AssistantField] | None = None


class AssistantVersions(Body):
    metadata: dict[str, Any] | None = None
    limit: Limit = 10
    offset: Offset = 0


class AssistantLatest(Body):
    version: int = Field(ge=1, lt=1 << 31)
