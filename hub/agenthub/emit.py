"""What an agent says beside its result: artifacts, a direct message, a refusal, a request to sign in.

For agents of any framework: `from agenthub import emit`. It may be called from the agent's code while the
hub runs it, from any of its threads, and returns at once; every surface shows it in its own words, once it
is durable. What a step said is said again when the step is executed again, after a crash or behind a
question, and then takes the place of what it said before (`emitted.Emissions`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast
from uuid import UUID, uuid5

from agenthub.blocks import file_block
from agenthub.errors import Invalid
from agenthub.interrupts import AUTH
from agenthub.json import Json, JsonObject, dumps

__all__ = ["Data", "File", "Part", "Rejected", "artifact", "authorization", "message"]

MOST_ARTIFACTS: Final = 100
"""Artifacts that one run may emit."""
MOST_BYTES: Final = 4 << 20
"""How large one artifact may be, as JSON, where no other measure is given."""
MOST_IN_ALL: Final = 16
"""How many times the size of the largest artifact one attempt may emit, replacements included."""
OURS: Final = frozenset({"output", "result"})
"""Artifacts that the hub makes itself: what the agent streams, and what it returns."""


@dataclass(frozen=True, slots=True)
class Data:
    """A part of JSON: anything that `json.dumps` takes. A dict needs no `Data` around it."""

    value: Json


@dataclass(frozen=True, slots=True)
class File:
    """A part that is a file: its bytes, or the `url` where it is. The media type is guessed from the name
    when it is not given."""

    content: bytes | None = None
    url: str | None = None
    media_type: str | None = None
    filename: str | None = None

    def __post_init__(self) -> None:
        if (self.content is None) == (self.url is None):
            raise Invalid("a file has either content (bytes) or a url")
        for said, kind in ((self.content, bytes), (self.url, str)):
            if said is not None and not isinstance(said, kind):  # pyright: ignore[reportUnnecessaryIsInstance]  # agents pass anything
                raise Invalid("a file's content is bytes, and its url a text")


Part: TypeAlias = str | Mapping[str, Any] | Data | File
"""A text, JSON, or a file."""


class Rejected(RuntimeError):
    """Raised by an agent that will not do what it is asked to. The message is one sentence for the caller;
    the run ends with it, and is not tried again."""


def artifact(
    parts: Part | Sequence[Part],
    *,
    name: str | None = None,
    id: str | None = None,
    description: str | None = None,
    append: bool = False,
    last: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Show a result, or a part of one, beside what the agent returns. Returns the artifact's id.

    An artifact with the `id` of an earlier one of the same task replaces it; with `append` its parts are
    added to those. Without an `id` the name stands for it: the same name in the same task is the same
    artifact. `last=False` says that more of it is to come.

    Raises:
        RuntimeError: the hub runs no agent here.
        Invalid: it is too large, the run has emitted too much, the id is one of the hub's own, or a part is
            none.
    """
    speaker = _voice("artifact")
    for what, said in (("name", name), ("id", id), ("description", description)):
        if said is not None and not isinstance(said, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # agents pass anything
            raise Invalid(f"an artifact's {what} is a text, not {said!r:.40}")
    id_ = id or speaker.id_of(name or None)
    if id_ in OURS:
        raise Invalid(f"artifact id {id_!r} is the hub's own: choose another one")
    told: JsonObject = {
        "id": id_,
        "name": name,
        "description": description,
        "parts": _blocks(parts),
        "metadata": dict(metadata) if metadata else None,
        "append": append,
        "last": last,
    }
    speaker.say("artifact", {key: value for key, value in told.items() if value is not None})
    return id_


def message(parts: Part | Sequence[Part], *, direct: bool = True) -> None:
    """Answer with a message: what the agent has to say instead of a result. A second one in the same run
    takes the place of the first. With `direct=False` it never stands for the whole answer to an A2A client:
    it is what the task says when it is completed.

    Raises:
        RuntimeError: the hub runs no agent here.
        Invalid: it is too large, or a part is none.
    """
    _voice("message").say("message", {"parts": _blocks(parts), "direct": direct})


def authorization(
    *,
    url: str,
    prompt: str,
    scopes: Sequence[str] = (),
    details: Mapping[str, Any] | None = None,
) -> JsonObject:
    """A question that asks its user to sign in or to consent at `url` (http or https), for LangGraph's
    `interrupt`. Foreign agents ask the same with `Ask(kind="auth")`.

    Raises:
        Invalid: `url` is no address of a page.
    """
    if not url.startswith(("https://", "http://")):
        raise Invalid(f"an authorization's url begins with https://, not {url[:40]!r}")
    payload: JsonObject = {**(details or {}), "url": url}
    if scopes:
        payload["scopes"] = list(scopes)
    return {"kind": AUTH, "prompt": prompt, "payload": payload}


# --- for engines --------------------------------------------------------------------------------


@dataclass(slots=True)
class Voice:
    """The way from the code of one attempt to its log. `deliver` takes encoded events of kind `emitted`, in
    their order and from any thread; `step` names the step that speaks, the same each time it is executed, and
    says which try of it this is within the attempt, from 1 on."""

    task_id: UUID
    deliver: Callable[[bytes], None]
    step: Callable[[], tuple[str, int]]
    most_bytes: int = MOST_BYTES
    closed: bool = False
    _token: Token[Voice | None] | None = None
    _sizes: dict[str, int] = field(default_factory=dict[str, int])
    _nameless: dict[str, int] = field(default_factory=dict[str, int])
    _saves: dict[str, int] = field(default_factory=dict[str, int])
    _total: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> None:
        """From here on, this code and what it starts emit through it."""
        self._token = _speaking.set(self)

    def close(self) -> None:
        """The attempt is over; in the context that opened it."""
        self.closed = True
        if self._token is not None:
            _speaking.reset(self._token)

    def id_of(self, name: str | None) -> str:
        """The id of an artifact by its name, or, without one, by its place in the step."""
        if name is not None:
            return str(uuid5(self.task_id, name))
        step, _ = self.step()
        with self._lock:
            place = self._nameless[step] = self._nameless.get(step, 0) + 1
        return str(uuid5(self.task_id, f"{step}#{place}"))

    def saved(self, times: int) -> None:
        """The running step has kept how far it is, so many times: when it is executed again, it goes on from
        there, and does not say again what it said before."""
        step, _ = self.step()
        self._saves[step] = times

    def say(self, name: str, payload: JsonObject) -> None:
        """Encode, measure and deliver. Raises `Invalid`."""
        step, again = self.step()
        if saves := self._saves.get(step):
            step = f"{step}#{saves}"
        said = {**payload, "step": step, **({"try": again} if again > 1 else {})}
        try:
            data = dumps({"name": name, "payload": said})
        except TypeError as error:
            raise Invalid(f"what is emitted must be JSON, text or bytes: {error}") from None
        with self._lock:
            self._count(name, payload, len(data))
            self.deliver(data)

    def _count(self, name: str, payload: JsonObject, size: int) -> None:
        id_: str | None = payload.get("id")
        whole = size + (self._sizes.get(id_, 0) if id_ and payload.get("append") else 0)
        if whole > self.most_bytes:
            raise Invalid(
                f"this {name} is larger than {self.most_bytes} bytes as JSON: keep it elsewhere and emit "
                "its url"
            )
        if self._total + size > self.most_bytes * MOST_IN_ALL:
            raise Invalid(f"this run has emitted more than {self.most_bytes * MOST_IN_ALL} bytes")
        if id_ is not None:
            if id_ not in self._sizes and len(self._sizes) >= MOST_ARTIFACTS:
                raise Invalid(f"a run may emit {MOST_ARTIFACTS} artifacts, and this one has")
            self._sizes[id_] = whole
        self._total += size


_speaking: ContextVar[Voice | None] = ContextVar("agenthub_voice", default=None)


@contextmanager
def speaking(through: Voice) -> Generator[None]:
    """Let the code within, and what it starts, emit through a voice."""
    through.open()
    try:
        yield
    finally:
        through.close()


def voice() -> Voice | None:
    """That of the attempt whose code this is."""
    return _speaking.get()


def _voice(what: str) -> Voice:
    found = _speaking.get()
    if found is None:
        raise RuntimeError(
            f"emit.{what} is for an agent's own code while the hub runs it: there is no run here. A "
            "thread that the agent starts itself needs its context (contextvars.copy_context)"
        )
    if found.closed:
        raise RuntimeError(f"emit.{what} came too late: the run's attempt is over")
    return found


def _blocks(parts: Part | Sequence[Part]) -> list[JsonObject]:
    """The parts as content blocks, in the shapes of LangChain's standard ones; `data` is ours."""
    if isinstance(parts, (str, Mapping, Data, File)):
        return [_block(parts)]
    blocks = [_block(p) for p in (parts if isinstance(parts, Sequence) else [parts])]  # pyright: ignore[reportUnnecessaryIsInstance]  # agents pass anything
    if not blocks:
        raise Invalid("there is nothing to emit: give a text, JSON or a File")
    return blocks


def _block(part: object) -> JsonObject:
    match part:
        case str():
            return {"type": "text", "text": part}
        case Data():
            return {"type": "data", "data": part.value}
        case Mapping():
            return {"type": "data", "data": dict(cast("Mapping[str, Any]", part))}
        case File():
            return file_block(
                content=part.content,
                url=part.url,
                media_type=part.media_type,
                filename=part.filename,
            )
        case _:
            raise Invalid(
                f"{type(part).__name__} is no part: emit a text, a dict, emit.Data or emit.File"
            )
