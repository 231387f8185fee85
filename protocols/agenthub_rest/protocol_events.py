"""A run's events in the words of the event-streaming protocol (agent-server.md §2.6).

What is rendered depends on the log alone, never on the connection: the n-th event of a run is the same for
every reader at any time. Its `seq` counts on from the microsecond in which the run was begun, so it grows
along the thread (no run makes an event per microsecond), names its place without a table, and fits into
the integers of JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

from agenthub import events
from agenthub.events import Event
from agenthub.json import Json, JsonObject
from agenthub.runs import Run
from agenthub_rest.protocol_messages import Transcript

INTERRUPT = "__interrupt__"
CHANNELS = frozenset(
    {"values", "updates", "messages", "tools", "lifecycle", "input"}
    | {"checkpoints", "tasks", "custom"}
)
RECORDED = ("values", "tasks", "checkpoints", "tools")
"""What a run must record beside the usual for all channels to speak."""
RESTARTED = "the worker was lost; the answer begins anew"

Namespace = tuple[str, ...]
_GREGORIAN = 0x01B21DD213814000
"""1970 in the time of UUIDs: units of 100 ns since 1582."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """Since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(seq: int) -> datetime:
    """When the run of this `seq` had begun."""
    return min(_EPOCH + timedelta(microseconds=seq), datetime(9000, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class ProtocolEvent:
    """One event; `name` is a custom event's own channel."""

    seq: int
    method: str
    namespace: Namespace
    data: Json
    timestamp: int
    node: str | None = None

    @property
    def channel(self) -> str:
        if self.method == "input.requested":
            return "input"
        if self.method == "custom" and isinstance(self.data.get("name"), str):
            return f"custom:{self.data['name']}"
        return self.method

    def to_json(self) -> JsonObject:
        params: JsonObject = {"namespace": list(self.namespace), "timestamp": self.timestamp}
        if self.node is not None:
            params["node"] = self.node
        params["data"] = self.data
        return {
            "type": "event",
            "event_id": str(self.seq),
            "seq": self.seq,
            "method": self.method,
            "params": params,
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """What a subscription asked for. No namespaces: all of them."""

    channels: frozenset[str]
    namespaces: tuple[Namespace, ...] = ()
    depth: int | None = None

    def matches(self, event: ProtocolEvent) -> bool:
        channel = event.channel
        if channel not in self.channels and channel.partition(":")[0] not in self.channels:
            return False
        if not self.namespaces:
            return True
        return any(self._below(event.namespace, prefix) for prefix in self.namespaces)

    def _below(self, namespace: Namespace, prefix: Namespace) -> bool:
        if len(prefix) > len(namespace):
            return False
        if not all(_same(*pair) for pair in zip(prefix, namespace, strict=False)):
            return False
        return self.depth is None or len(namespace) - len(prefix) <= self.depth


def _same(wanted: str, part: str) -> bool:
    # a subgraph's part is `node:id`, and a client may know the node alone
    return wanted == part or (":" not in wanted and part.partition(":")[0] == wanted)


@dataclass(slots=True)
class Rendering:
    """One run's events, from its first to its last."""

    run: Run
    begun: int
    graphs: dict[Namespace, str] = field(default_factory=dict[Namespace, str])
    """How each graph of the run stands, by namespace."""
    _count: int = 0
    _timestamp: int = 0
    _transcript: Transcript = field(default_factory=Transcript)
    _asked: dict[str, Namespace] = field(default_factory=dict[str, Namespace])

    def render(self, slice_: Sequence[Event]) -> Iterator[ProtocolEvent]:
        """The next events."""
        for event in slice_:
            known = _RENDERERS.get(event.kind)
            if known is None:
                continue
            namespace = tuple(event.ns.split("|")) if event.ns else ()
            for depth in range(1, len(namespace) + 1):
                if namespace[:depth] not in self.graphs:
                    yield self._lifecycle(namespace[:depth], "started")
            yield from known(self, event, namespace)

    def _event(
        self, method: str, namespace: Namespace, data: Json, node: str | None = None
    ) -> ProtocolEvent:
        self._count += 1
        seq = self.begun + self._count
        return ProtocolEvent(seq, method, namespace, data, self._timestamp, node)

    def _lifecycle(self, namespace: Namespace, status: str, **more: Json) -> ProtocolEvent:
        self.graphs[namespace] = status
        name = namespace[-1].partition(":")[0] if namespace else self.run.agent
        return self._event("lifecycle", namespace, {"event": status, "graph_name": name, **more})

    def _told_at(self, text: Json) -> None:
        """Events are as old as the latest that tells its time."""
        if isinstance(text, str):
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            self._timestamp = max(self._timestamp, microseconds(at) // 1000)

    def _said(self, said: Iterator[tuple[str, str | None, JsonObject]]) -> Iterator[ProtocolEvent]:
        for ns, node, data in said:
            yield self._event("messages", tuple(ns.split("|")) if ns else (), data, node)

    # --- by kind --------------------------------------------------------------------------------

    def started(self, event: Event, _: Namespace) -> Iterator[ProtocolEvent]:
        self._told_at(event.json().get("at"))
        yield from self._said(self._transcript.drop(RESTARTED))
        self.graphs.clear()
        yield self._lifecycle((), "running")

    def values(self, event: Event, namespace: Namespace) -> Iterator[ProtocolEvent]:
        values = event.json()
        if isinstance(values, dict):
            # questions are the `input` channel's
            values = {k: v for k, v in cast("JsonObject", values).items() if k != INTERRUPT}
        yield self._event("values", namespace, values)

    def updates(self, event: Event, namespace: Namespace) -> Iterator[ProtocolEvent]:
        found = event.json()
        if not isinstance(found, dict):
            return
        for node, delta in cast("JsonObject", found).items():
            if node == INTERRUPT:
                # they can be answered once the run has ended, and are told then
                self._asked |= {i["id"]: namespace for i in delta if i["id"] not in self._asked}
                continue
            yield from self._said(self._transcript.finish(event.ns, node))
            data = {"node": node, "values": _as_fields(delta)}
            yield self._event("updates", namespace, data, node)

    def messages(self, event: Event, _: Namespace) -> Iterator[ProtocolEvent]:
        yield from self._said(self._transcript.add(event.ns, event.json()))

    def custom(self, event: Event, namespace: Namespace) -> Iterator[ProtocolEvent]:
        payload = event.json()
        data: JsonObject = {"payload": payload}
        if isinstance(payload, dict):
            fields = cast("JsonObject", payload)
            if isinstance(fields.get("name"), str) and "payload" in fields:
                data = {"name": fields["name"], "payload": fields["payload"]}
        yield self._event("custom", namespace, data)

    def checkpoints(self, event: Event, namespace: Namespace) -> Iterator[ProtocolEvent]:
        checkpoint = checkpoint_of(event.json())
        self._timestamp = max(self._timestamp, _made_at(checkpoint["id"]))
        yield self._event("checkpoints", namespace, checkpoint)

    def tasks(self, event: Event, namespace: Namespace) -> Iterator[ProtocolEvent]:
        task = event.json()
        node = task.get("name")
        if "result" in task:
            yield from self._said(self._transcript.finish(event.ns, node))
            inner = (*namespace, f"{node}:{task['id']}")
            if inner in self.graphs:
                status, more = _ended_as(task)
                yield self._lifecycle(inner, status, **more)
        yield self._event("tasks", namespace, task, node)

    def tools(self, event: Event, namespace: Namespace) -> Iterator[ProtocolEvent]:
        yield self._event("tools", namespace, event.json())

    def ended(self, event: Event, _: Namespace) -> Iterator[ProtocolEvent]:
        body = event.json()
        self._told_at(body.get("at"))
        status = body["status"]
        error: JsonObject = body.get("error") or {}
        failed = status in ("error", "timeout")
        if failed:
            yield from self._said(self._transcript.drop(str(error.get("message", status))))
        else:
            yield from self._said(self._transcript.finish())
        asked = body.get("interrupts") or ()
        for interrupt in asked:
            namespace = self._asked.get(interrupt["id"], ())
            yield self._event("input.requested", namespace, requested(interrupt))
        paused = bool(asked) or status == "interrupted"
        outcome = "failed" if failed else "interrupted" if paused else "completed"
        more = {"error": str(error.get("message", status))} if error else {}
        for namespace, state in sorted(self.graphs.items(), reverse=True):
            if namespace and state == "started":
                yield self._lifecycle(namespace, outcome)
        yield self._lifecycle((), outcome, **more)


def requested(interrupt: JsonObject) -> JsonObject:
    """A question. The specification says `payload`, and the SDKs read `value`: both are there."""
    value = interrupt.get("value")
    body: JsonObject = {"interrupt_id": interrupt["id"], "payload": value, "value": value}
    if interrupt.get("response_schema") is not None:
        body["response_schema"] = interrupt["response_schema"]
    return body


def checkpoint_of(found: JsonObject) -> JsonObject:
    """A checkpoint as a place to go back to; its values are another channel's."""
    metadata: JsonObject = found.get("metadata") or {}
    before: JsonObject = found.get("parent_config") or {}
    parent = before.get("configurable", {}).get("checkpoint_id")
    body: JsonObject = {
        "id": found["config"]["configurable"]["checkpoint_id"],
        "step": metadata.get("step", -1),
        "source": metadata.get("source", "loop"),
    }
    return body if parent is None else {**body, "parent_id": parent}


def _made_at(checkpoint_id: str) -> int:
    """Milliseconds since 1970: LangGraph's checkpoint ids are UUIDs of version 6, which tell."""
    digits = checkpoint_id.replace("-", "")
    if len(digits) != 32 or digits[12] != "6":
        return 0
    return (int(digits[:12] + digits[13:16], 16) - _GREGORIAN) // 10_000


def _ended_as(task: JsonObject) -> tuple[str, JsonObject]:
    if task.get("interrupts"):
        return "interrupted", {}
    if task.get("error"):
        error = task["error"]
        told = cast("JsonObject", error).get("message") if isinstance(error, dict) else error
        return "failed", {"error": str(told)}
    return "completed", {}


def _as_fields(delta: Json) -> JsonObject:
    if isinstance(delta, dict):
        return cast("JsonObject", delta)
    # an entrypoint may return anything; LangGraph calls such a state its root
    return {} if delta is None else {"__root__": delta}


_RENDERERS: Mapping[str, Callable[[Rendering, Event, Namespace], Iterator[ProtocolEvent]]] = {
    events.STARTED: Rendering.started,
    events.VALUES: Rendering.values,
    events.UPDATES: Rendering.updates,
    events.MESSAGES: Rendering.messages,
    events.CUSTOM: Rendering.custom,
    events.EMITTED: Rendering.custom,
    "checkpoints": Rendering.checkpoints,
    "tasks": Rendering.tasks,
    "tools": Rendering.tools,
    events.ENDED: Rendering.ended,
}
