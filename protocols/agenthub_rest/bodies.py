"""Request bodies as `langgraph-sdk` sends them, checked once at the edge (agent-server.md §1.3)."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from starlette.requests import Request

from agenthub.errors import Invalid, TooLarge
from agenthub.events import MODES
from agenthub.json import Json, JsonObject, loads
from agenthub.runs import Durability, Multitask, RunRequest
from agenthub_rest.errors import sentence

ACCEPTED_MODES = (MODES - {"events", "tools"}) | {"messages-tuple"}
Model = TypeVar("Model", bound=BaseModel)


class Body(BaseModel):
    """Unknown fields are ignored, as the Agent Server does."""

    model_config = ConfigDict(extra="ignore")


class Command(Body):
    resume: Json = None
    goto: Json = None
    update: Json = None


class Checkpoint(Body):
    checkpoint_id: str | None = None
    checkpoint_ns: str = ""


class RunCreate(Body):
    """The fields of every run creation; the thread's own ones are ignored without a thread."""

    assistant_id: str
    input: Json = None
    command: Command | None = None
    config: JsonObject = Field(default_factory=dict[str, Any])
    context: JsonObject | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    checkpoint: Checkpoint | None = None
    checkpoint_id: str | None = None
    interrupt_before: list[str] | Literal["*"] | None = None
    interrupt_after: list[str] | Literal["*"] | None = None
    stream_mode: list[str] = Field(default_factory=lambda: ["values"])
    stream_subgraphs: bool = False
    multitask_strategy: Multitask = "enqueue"
    if_not_exists: Literal["reject", "create"] = "reject"
    after_seconds: float = Field(default=0, ge=0, le=366 * 86400)
    durability: Durability = "async"
    on_disconnect: Literal["continue", "cancel"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"

    @field_validator("metadata", "config", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("stream_mode", mode="before")
    @classmethod
    def _modes(cls, value: Any) -> list[str]:
        return stream_modes(value)

    @field_validator(
        "durability",
        "multitask_strategy",
        "if_not_exists",
        "on_disconnect",
        "on_completion",
        mode="before",
    )
    @classmethod
    def _default(cls, value: Any, info: ValidationInfo) -> Any:
        return cls.model_fields[str(info.field_name)].default if value is None else value

    def request(self) -> RunRequest:
        """What the engine gets to see."""
        command = self.command or Command()
        recorded = {"messages" if m == "messages-tuple" else m for m in self.stream_mode}
        at = self.checkpoint_id or (self.checkpoint.checkpoint_id if self.checkpoint else None)
        return RunRequest(
            input=self.input,
            goto=command.goto,
            update=command.update,
            config=self.config,
            context=self.context,
            checkpoint_id=at,
            interrupt_before=_nodes(self.interrupt_before),
            interrupt_after=_nodes(self.interrupt_after),
            modes=tuple(sorted(recorded)),
            subgraphs=self.stream_subgraphs,
            durability=self.durability,
        )


class ThreadCreate(Body):
    thread_id: str | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    if_exists: Literal["raise", "do_nothing"] = "raise"

    @field_validator("metadata", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("if_exists", mode="before")
    @classmethod
    def _default(cls, value: Any) -> Any:
        return "raise" if value is None else value


class ThreadPatch(Body):
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class Search(Body):
    metadata: JsonObject | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    offset: int = Field(default=0, ge=0)


class AssistantSearch(Body):
    graph_id: str | None = None
    name: str | None = None
    metadata: JsonObject | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    offset: int = Field(default=0, ge=0)


class History(Body):
    limit: int = Field(default=10, ge=1, le=1000)
    before: Json = None
    metadata: JsonObject | None = None
    checkpoint: Checkpoint | None = None


def stream_modes(value: Any) -> list[str]:
    """One mode or a list, checked.

    Raises:
        ValueError: an unknown mode.
    """
    if value is None:
        return ["values"]
    modes = cast("list[Any]", value) if isinstance(value, list) else [value]
    wrong = [m for m in modes if m not in ACCEPTED_MODES]
    if wrong:
        raise ValueError(
            f"stream mode {wrong[0]!r} is not one of {', '.join(sorted(ACCEPTED_MODES))}"
        )
    return modes


async def read(request: Request, model: type[Model], limit: int) -> Model:
    """Read and check a body.

    Raises:
        TooLarge: more than `limit` bytes, noticed while they arrive.
        Invalid: not JSON, or not of this shape.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the request body is larger than {limit} bytes")
    try:
        value: Json = loads(bytes(body)) if body else {}
    except ValueError as error:
        raise Invalid(f"the body is not valid JSON: {error}") from None
    return checked(model, value)


def checked(model: type[Model], value: Json) -> Model:
    """Check a decoded body. Raises `Invalid`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid(sentence(error)) from None


def _nodes(names: list[str] | Literal["*"] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    return ("*",) if names == "*" else tuple(names)
