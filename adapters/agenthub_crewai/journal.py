"""The journal of a turn. A crew in mid-turn has no state that could be kept, so what its models answered, its
tools returned and people said is kept instead: a turn that goes on elsewhere runs its code anew, and meets
these instead of models, tools and people. What is the same by its content is the same entry, in the order
of its occurrences, so that what runs side by side is found again in any order."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Generator
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from agenthub.adapting import Ask, AskKind, Io, Message
from agenthub.json import Json, JsonObject
from agenthub_crewai import messages as m

RUN: Final[ContextVar[Run | None]] = ContextVar("agenthub_crewai_run", default=None)
CALL: Final[ContextVar[JsonObject | None]] = ContextVar("agenthub_crewai_call", default=None)
"""The call of a tool that is under way: `id`, `name`, `args`, and whether a message has it (`listed`)."""


class Paused(BaseException):
    """A question is open. No `Exception`, because CrewAI catches those of hooks, tools and `Flow.ask`."""


class Stopped(BaseException):
    """The step has ended, and a thread of its crew goes no further."""


class Run:
    """One step: the journal of its turn, and what is being said."""

    def __init__(self, io: Io, base: JsonObject, kept: JsonObject) -> None:
        """`base` is the rest of the state, `kept` a journal from before."""
        self.io = io
        self.base = base
        # the one that the step runs, if it is a flow
        self.flow: Any = None
        self.models: dict[str, list[JsonObject]] = {k: [*v] for k, v in _of(kept, "models").items()}
        self.tools: dict[str, list[JsonObject]] = {k: [*v] for k, v in _of(kept, "tools").items()}
        self.answers: JsonObject = dict(_of(kept, "answers"))
        self.told: list[str] = list(kept.get("told") or ())
        self.said: list[JsonObject] = list(kept.get("said") or ())
        self.calls: list[JsonObject] = []
        self.asks: dict[str, Ask] = {}
        self.messages: list[Message] = []
        self.last = ""
        self.usage: Counter[str] = Counter()
        self.loop = asyncio.get_running_loop()
        self.lock = threading.RLock()
        self._seen: Counter[str] = Counter()
        self._saving = asyncio.Lock()
        self._dirty = False
        self._saves: set[asyncio.Task[None]] = set()
        self._running: set[Future[Any]] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def journal(self) -> JsonObject:
        """As JSON."""
        with self.lock:
            return {
                "models": {k: [*v] for k, v in self.models.items()},
                "tools": {k: [*v] for k, v in self.tools.items()},
                "answers": dict(self.answers),
                "told": [*self.told],
                "said": [*self.said],
            }

    # --- entries --------------------------------------------------------------------------------

    def take(self, entries: dict[str, list[JsonObject]], key: str) -> JsonObject | None:
        """The entry of this occurrence of a key, if it is one from before."""
        with self.lock:
            n = self._seen[key]
            self._seen[key] += 1
            kept = entries.get(key, [])
            return kept[n] if n < len(kept) else None

    def put(self, entries: dict[str, list[JsonObject]], key: str, entry: JsonObject) -> None:
        """Add an entry."""
        with self.lock:
            entries.setdefault(key, []).append(entry)
            self._dirty = True

    def say(self, message: Message) -> None:
        """Tell a message of this step."""
        with self.lock:
            self.messages.append(message)
            self.said.append(m.to_model(message))
            self._dirty = True
        self.io.message(message)

    # --- people ---------------------------------------------------------------------------------

    def ask(self, kind: AskKind, prompt: str, payload: Json, key: str | None) -> Json:
        """What people answered. A question is known by the call that it is about, or by its words.

        Raises:
            Paused: they have not yet.
        """
        call = CALL.get()
        about = call["id"] if call else f"{kind}-{m.digest(kind, prompt, payload, key)}"
        with self.lock:
            self._check()
            n = self._seen[f"ask {about}"]
            self._seen[f"ask {about}"] += 1
            id = f"{about}-{n + 1}" if n else str(about)
            if id in self.answers:
                return self.answers[id]
            schema: JsonObject | None = None if kind == "approval" else {"type": "string"}
            self.asks[id] = Ask(
                id=id, kind=kind, prompt=prompt, payload=payload, schema=schema, key=key
            )
        raise Paused

    # --- work -----------------------------------------------------------------------------------

    @contextmanager
    def working(self) -> Generator[None]:
        """A model or a tool is under way, and a pause elsewhere waits for it.

        Raises:
            Stopped: the step has ended.
        """
        with self.lock:
            self._check()
            self._busy += 1
            self._tell_idle()
        try:
            yield
        finally:
            with self.lock:
                self._busy -= 1
                self._tell_idle()

    def on_loop(self, work: Any) -> Any:
        """What a coroutine gives that the step's loop runs, for one of its threads; so it can be cancelled.

        Raises:
            Stopped: it was.
        """
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        with self.lock:
            self._running.add(future)
        try:
            return future.result()
        except FutureCancelled:
            raise Stopped from None
        finally:
            self._running.discard(future)

    def here(self) -> bool:
        """Whether this is the loop's own thread, which must not wait for the loop."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    def save(self) -> None:
        """Keep the journal before going on; on the loop itself that happens as soon as it can."""
        if not self._dirty:
            return
        if self.here():
            task = asyncio.ensure_future(self.asave())
            self._saves.add(task)
            task.add_done_callback(self._saves.discard)
        else:
            self.on_loop(self.asave())

    async def asave(self) -> None:
        """Keep the journal before going on, if there is something new."""
        async with self._saving:
            with self.lock:
                if not self._dirty:
                    return
                self._dirty = False
                state, messages = {**self.base, "run": self.journal()}, [*self.messages]
            await self.io.save(state, messages)

    async def settle(self) -> None:
        """Wait for what is under way beside a pause: its results are not to be lost."""
        await self._idle.wait()
        await asyncio.gather(*self._saves)

    def close(self) -> None:
        """End the step: no thread of it calls a model or a tool any more."""
        with self.lock:
            self._closed = True
            running = [*self._running]
        for future in running:
            future.cancel()
        for task in self._saves:
            task.cancel()

    def _check(self) -> None:
        if self._closed:
            raise Stopped

    def _tell_idle(self) -> None:
        change = self._idle.clear if self._busy else self._idle.set
        if self.here():
            change()
        else:
            self.loop.call_soon_threadsafe(change)


def _of(kept: JsonObject, name: str) -> JsonObject:
    return kept.get(name) or {}
