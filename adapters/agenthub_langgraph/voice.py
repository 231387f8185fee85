"""What agents emit (`agenthub.emit`), among what their graph streams, in the order in which it was said.

It takes the way of the tokens: the queue of the run's own stream, which the handler of messages leads to
from any depth and any thread. A stream writer would not do: inside a subgraph it leads nowhere, or to
whoever streams that subgraph. What cannot go that way, or is still on it when the graph fails, is recorded
at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self

from langgraph.config import get_config
from langgraph.pregel._messages import StreamMessagesHandler
from langgraph.runtime import get_runtime

from agenthub import emit, events
from agenthub.emitted import COUNT
from agenthub.ports import Claimed, Finish
from agenthub.recorder import Recorder

SEPARATOR: Final = "|"
BEHIND: ContextVar[Callable[[Callable[[], object]], None] | None] = ContextVar(
    "agenthub_behind", default=None
)
"""What lets an emission go behind all that a foreign agent's step has said so far (`driver_io`)."""


class Spoken:
    """One emission on its way; as the payload of a part of mode `custom`."""

    __slots__ = ("data", "speech")

    def __init__(self, speech: Speech, data: bytes) -> None:
        self.speech = speech
        self.data = data

    def record(self, ns: str = "") -> None:
        """It has arrived in its turn."""
        self.speech.record(self, ns)


class Speech:
    """What one attempt emits, for the time of the context. `count` is how often it spoke."""

    def __init__(self, claimed: Claimed, recorder: Recorder, most_bytes: int) -> None:
        self.recorder = recorder
        self.count = 0
        self.voice = emit.Voice(claimed.task_id, self.deliver, _step, most_bytes)
        self._on_its_way: list[Spoken] = []
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self.voice.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.voice.close()
        # of an attempt that is stopped, too: what was said is not unsaid
        self.settle()

    def deliver(self, data: bytes) -> None:
        """Send an emission on its way; from any thread."""
        spoken = Spoken(self, data)
        self._on_its_way.append(spoken)
        put = _queue()
        if put is None:
            self._loop.call_soon_threadsafe(spoken.record)
            return
        sent = partial(put, (_namespace()[:-1], "custom", spoken))
        behind = BEHIND.get()
        if behind is None:
            sent()
        else:
            behind(sent)

    def record(self, spoken: Spoken, ns: str) -> None:
        """Put it into the log, once."""
        if spoken in self._on_its_way:
            self._on_its_way.remove(spoken)
            self.count += 1
            self.recorder.emit(events.EMITTED, spoken.data, ns)

    def settle(self) -> None:
        """Record what has not arrived: a graph that fails leaves its stream as it is."""
        for spoken in list(self._on_its_way):
            self.record(spoken, "")

    def settled(self, finish: Finish) -> Finish:
        """How the attempt ended, with a word of what it emitted, for readers who would not look else."""
        self.settle()
        if not self.count:
            return finish
        return replace(finish, usage={**(finish.usage or {}), COUNT: self.count})


def _step() -> tuple[str, int]:
    """The step that speaks: LangGraph gives it the same id when it is executed again. And its try, which
    a retry policy of the node counts."""
    namespace = _namespace()
    info = get_runtime().execution_info if namespace else None
    return SEPARATOR.join(namespace), 1 if info is None else info.node_attempt


def _namespace() -> tuple[str, ...]:
    try:
        ns = get_config().get("configurable", {}).get("checkpoint_ns", "")
    except RuntimeError:  # no step of the graph, but something that it started
        return ()
    return tuple(str(ns).split(SEPARATOR))


def _queue() -> Callable[[Any], object] | None:
    """The way into the run's stream: its own handler stands before those of streams within."""
    try:
        callbacks: Any = get_config().get("callbacks")
    except RuntimeError:
        return None
    handlers: list[object] = getattr(callbacks, "handlers", callbacks or [])
    handler = next((h for h in handlers if isinstance(h, StreamMessagesHandler)), None)
    return None if handler is None else handler.stream
