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
    RootModel,
    field_validator,
    model_validator,
)

from agenthub.deliveries import RUN_EVENTS, RunEvent
from agenthub.events import MODES
from agenthub.json import Json, JsonObject
from agenthub.retries import MOST_ATTEMPTS
from agenthub.runs import Durability, Multitask, RunStatus

ACCEPTED_MODES = (MODES - {"tools"}) | {"messages-tuple"}


def plain(text: str) -> str:
    """An identifier as the database can hold it.

    Raises:
        ValueError: it holds a NUL.
    """
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


Plain = Annotated[str, AfterValidator(plain)]
Id = Annotated[Plain, Field(max_length=255)]
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

    node: Plain
    input: Json = None


Goto = Plain | Packet | list[Plain | Packet]


class Command(Body):
    resume: Json = None
    goto: Goto | None = None
    update: JsonObject | list[tuple[str, Json]] | None = None


class Checkpoint(Body):
    checkpoint_id: Id | None = None
    checkpoint_ns: Id = ""


class Retry(Body):
    """Trying a run again whose agent failed, in the words of LangGraph's retry policy for nodes."""

    max_attempts: int = Field(default=3, ge=1, le=MOST_ATTEMPTS)
    initial_interval: float = Field(default=0.5, ge=0, le=86400)
    backoff_factor: float = Field(default=2.0, ge=1, le=100)
    max_interval: float = Field(default=128.0, ge=0, le=86400)


class Deadline(Body):
    """How long questions wait for answers, and what happens then: each gets `value`, or the task ends."""

    seconds: float = Field(gt=0, le=366 * 86400)
    action: Literal["answer", "cancel"] = "cancel"
    value: Json = None

    @model_validator(mode="after")
    def _meant(self) -> Deadline:
        if self.action == "cancel" and self.value is not None:
            raise ValueError("a value is for action 'answer'")
        return self


class Policy(Body):
    """How a run is looked after: seconds that an attempt may take, tries, and deadlines of questions."""

    timeout: float | None = Field(default=None, gt=0, le=7 * 86400)
    retry: Retry | None = None
    interrupt_deadline: Deadline | None = None


class RunConfig(Body):
    """LangGraph's configuration, and beside it the hub's policy: an assistant's holds for its runs."""

    tags: list[str] = Field(default_factory=list[str])
    recursion_limit: int | None = Field(default=None, ge=1, le=1_000_000)
    configurable: JsonObject = Field(default_factory=dict[str, Any])
    policy: Policy = Field(default_factory=Policy)

    @field_validator("configurable")
    @classmethod
    def _checkpoint(cls, value: JsonObject) -> JsonObject:
        # the one of its keys that the database is asked for
        plain(str(value.get("checkpoint_id")))
        return value


class Webhook(Body):
    """Where the end of a run is told, and which ends are: a bare URL hears of all."""

    url: str = Field(min_length=1, max_length=65536)
    events: list[RunEvent] = Field(default_factory=lambda: list(RUN_EVENTS), min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class RunCreate(Policy):
    """The fields of every run creation; the thread's own ones are ignored without a thread."""

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
    webhook: Webhook | None = None
    multitask_strategy: Multitask | Literal["fork"] = "enqueue"
    if_not_exists: Literal["reject", "create"] = "reject"
    after_seconds: float = Field(default=0, ge=0, le=366 * 86400)
    durability: Durability = "async"
    on_disconnect: Literal["continue", "cancel"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"
    priority: int = Field(default=0, ge=-5, le=5)
    """Higher ones are claimed first, across threads."""

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


class RunBatch(RootModel[Annotated[list[RunCreate], Field(min_length=1, max_length=1000)]]):
    """Stateless runs, created in this order."""


class RunsCancel(Body):
    """Either all runs of a status, or some of a thread."""

    status: Literal["pending", "running", "all"] | None = None
    thread_id: Id | None = None
    run_ids: list[Id] = Field(default_factory=list[str], max_length=1000)

    @model_validator(mode="after")
    def _one_of(self) -> RunsCancel:
        if (self.status is None) == (self.thread_id is None or not self.run_ids):
            raise ValueError("give either status, or thread_id and run_ids")
        return self


class RunSearch(Body):
    """Across threads, newest first."""

    assistant_id: Id | None = None
    thread_id: Id | None = None
    status: RunStatus | list[RunStatus] | None = None
    metadata: JsonObject | None = None
    limit: Limit = 10
    offset: Offset = 0
    select: list[str] | None = None


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
