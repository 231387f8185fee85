"""Request bodies as `langgraph-sdk` sends them, checked once at the edge (agent-server.md §1.3).

Unknown fields are ignored and a null is an absent field, as in the Agent Server. What the Agent Server
would act on and this hub does not yet is refused: a webhook that is never called is worse than none.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from agenthub.events import MODES
from agenthub.json import Json, JsonObject
from agenthub.runs import Durability, Multitask

ACCEPTED_MODES = (MODES - {"events", "tools"}) | {"messages-tuple"}


def plain(text: str) -> str:
    """An identifier as the database can hold it.

    Raises:
        ValueError: it holds a NUL.
    """
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


Id = Annotated[str, Field(max_length=255), AfterValidator(plain)]
Nodes = list[str] | Literal["*"]
Offset = Annotated[int, Field(ge=0, le=1 << 31)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Order = Literal["asc", "desc"]


class Body(BaseModel):
    """What all bodies share. `unsupported` fields are refused when they ask for something."""

    model_config = ConfigDict(extra="ignore")
    unsupported: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields = cast("JsonObject", value)
        for name in cls.unsupported:
            if fields.get(name):
                raise ValueError(f"{name} is not supported by this hub")
        return {k: v for k, v in fields.items() if v is not None}


class Packet(Body):
    """LangGraph's `Send`."""

    node: str
    input: Json = None


class Command(Body):
    resume: Json = None
    goto: str | Packet | list[str | Packet] | None = None
    update: JsonObject | list[tuple[str, Json]] | None = None


class Checkpoint(Body):
    checkpoint_id: Id | None = None
    checkpoint_ns: Id = ""


class RunConfig(Body):
    tags: list[str] = Field(default_factory=list[str])
    recursion_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    configurable: JsonObject = Field(default_factory=dict[str, Any])


class RunCreate(Body):
    """The fields of every run creation; the thread's own ones are ignored without a thread."""

    unsupported = ("webhook",)

    assistant_id: Id
    input: Json = None
    command: Command = Field(default_factory=Command)
    config: RunConfig = Field(default_factory=RunConfig)
    context: JsonObject | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)
    checkpoint_id: Id | None = None
    interrupt_before: Nodes = Field(default_factory=list[str])
    interrupt_after: Nodes = Field(default_factory=list[str])
    stream_mode: list[str] = Field(default_factory=lambda: ["values"])
    stream_subgraphs: bool = False
    multitask_strategy: Multitask = "enqueue"
    if_not_exists: Literal["reject", "create"] = "reject"
    after_seconds: float = Field(default=0, ge=0, le=366 * 86400)
    durability: Durability = "async"
    on_disconnect: Literal["continue", "cancel"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"

    @model_validator(mode="before")
    @classmethod
    def _alias(cls, value: Any) -> Any:
        # what `durability` was called before there were three
        if not isinstance(value, dict):
            return value
        fields = cast("JsonObject", value)
        before = fields.get("checkpoint_during")
        if isinstance(before, bool) and fields.get("durability") is None:
            return {**fields, "durability": "async" if before else "exit"}
        return fields

    @field_validator("stream_mode", mode="before")
    @classmethod
    def _modes(cls, value: Any) -> list[str]:
        return stream_modes(value)


class ThreadCreate(Body):
    unsupported = ("supersteps", "ttl")

    thread_id: Id | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    if_exists: Literal["raise", "do_nothing"] = "raise"


class ThreadPatch(Body):
    unsupported = ("ttl",)

    metadata: JsonObject = Field(default_factory=dict[str, Any])


class ThreadSearch(Body):
    """Newest first: the only order so far."""

    unsupported = ("ids", "values", "extract")

    metadata: JsonObject | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["created_at"] = "created_at"
    sort_order: Literal["desc"] = "desc"
    select: list[str] | None = None


class AssistantSearch(Body):
    graph_id: str | None = None
    name: str | None = None
    metadata: JsonObject | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"] = "name"
    sort_order: Order = "asc"
    select: list[str] | None = None


class StateAt(Body):
    checkpoint: Checkpoint


class History(Body):
    limit: Limit = 10
    before: Id | None = None
    metadata: JsonObject | None = None
    checkpoint: Checkpoint = Field(default_factory=Checkpoint)

    @field_validator("before", mode="before")
    @classmethod
    def _inside(cls, value: Any) -> Any:
        """A checkpoint id, or the config or checkpoint that holds one."""
        if not isinstance(value, dict):
            return value
        config = cast("JsonObject", value)
        inner = config.get("configurable", config)
        return cast("JsonObject", inner).get("checkpoint_id") if isinstance(inner, dict) else inner


def stream_modes(value: Any) -> list[str]:
    """One mode or a list, checked.

    Raises:
        ValueError: an unknown mode.
    """
    modes = cast("list[Any]", value) if isinstance(value, list) else [value]
    for mode in modes:
        if not isinstance(mode, str) or mode not in ACCEPTED_MODES:
            raise ValueError(
                f"stream mode {repr(mode)[:40]} is not one of {', '.join(sorted(ACCEPTED_MODES))}"
            )
    return modes
