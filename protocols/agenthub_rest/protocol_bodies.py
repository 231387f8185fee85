"""Requests of the event-streaming protocol, checked; names and shapes are its specification's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, field_validator

from agenthub.json import Json, JsonObject
from agenthub.runs import Multitask
from agenthub_rest.bodies import Body, Goto, Id, RunConfig
from agenthub_rest.protocol_events import CHANNELS, Filter

MOST_NAMESPACES = 100
SEQ = (1 << 53) - 1
Namespace = Annotated[list[Id], Field(max_length=100)]


class Subscribe(Body):
    """What to be told: channels, of which graphs, and how far below them."""

    channels: list[str] = Field(min_length=1, max_length=100)
    namespaces: list[Namespace] | None = Field(default=None, max_length=MOST_NAMESPACES)
    depth: int | None = Field(default=None, ge=0)
    since: int | None = Field(default=None, ge=0, le=SEQ)

    @field_validator("channels")
    @classmethod
    def _known(cls, channels: list[str]) -> list[str]:
        for channel in channels:
            kind, colon, name = channel.partition(":")
            if kind not in CHANNELS or (colon and (kind != "custom" or not name)):
                known = ", ".join(sorted(CHANNELS))
                raise ValueError(f"channel {channel[:40]!r} is not one of {known}, custom:NAME")
        return channels

    def filter(self) -> Filter:
        prefixes = tuple(tuple(namespace) for namespace in self.namespaces or ())
        return Filter(frozenset(self.channels), prefixes, self.depth)


class Unsubscribe(Body):
    subscription_id: str


class Reconnect(Body):
    run_id: Id | None = None
    last_event_id: str | None = None
    subscriptions: list[str] = Field(default_factory=list[str], max_length=100)


class RunStart(Body):
    assistant_id: Id
    input: Json = None
    config: RunConfig = Field(default_factory=RunConfig)
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    multitask: Multitask = Field(
        default="enqueue",
        validation_alias=AliasChoices("multitaskStrategy", "multitask_strategy"),
    )


class RunCancel(Body):
    run_id: Id | None = None
    action: Literal["interrupt", "rollback"] = "interrupt"


class Reply(Body):
    interrupt_id: Id
    response: Json = None
    namespace: Namespace = Field(default_factory=list[str])


class InputRespond(Body):
    interrupt_id: Id | None = None
    response: Json = None
    namespace: Namespace = Field(default_factory=list[str])
    responses: list[Reply] = Field(default_factory=list[Reply])
    update: JsonObject | None = None
    goto: Goto | None = None
    config: RunConfig = Field(default_factory=RunConfig)
    metadata: JsonObject = Field(default_factory=dict[str, Any])

    def answers(self) -> dict[str, Json]:
        """By interrupt id; none when nothing was answered."""
        answers = {reply.interrupt_id: reply.response for reply in self.responses}
        if self.interrupt_id is not None:
            answers[self.interrupt_id] = self.response
        return answers


class Injected(Body):
    role: Literal["user", "system"]
    content: str
    name: str | None = None


class InputInject(Body):
    namespace: Namespace = Field(default_factory=list[str])
    message: Injected


class AgentGetTree(Body):
    run_id: Id | None = None


class StateGet(Body):
    namespace: Namespace = Field(default_factory=list[str])
    keys: list[str] | None = None


class ListCheckpoints(Body):
    namespace: Namespace = Field(default_factory=list[str])
    limit: int = Field(default=10, ge=1, le=1000)
    before: Id | None = None


class StateFork(Body):
    checkpoint_id: Id
    input: Json = None
    config: RunConfig = Field(default_factory=RunConfig)


class Command(Body):
    """The envelope. `id` is the client's, and comes back with the answer."""

    id: int = Field(ge=0, le=SEQ)
    method: str
    params: JsonObject = Field(default_factory=dict[str, Any])
