"""What agents have emitted, read from a task's events: its artifacts as they stand, and its message.

Pure. A step that is executed again says again what it said: from its first word on an artifact in a new
attempt, or in the run that answers its question, what it had said on that one before is void. So a retry
replaces and doubles nothing, and what other steps added stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from agenthub.events import EMITTED, STARTED, Event
from agenthub.json import JsonObject
from agenthub.runs import Run

COUNT: Final = "emitted"
"""In a run's `usage`: how often its last attempt emitted something; not there when it did not."""
REJECTED: Final = "rejected"
"""In a run's `error`: the agent rejected what it was asked to do (`emit.Rejected`)."""


class Piece(NamedTuple):
    """Parts that one step gave to an artifact: in which attempt at the task, and which try of the step."""

    step: str
    time: tuple[int, int]
    parts: list[JsonObject]


@dataclass(slots=True)
class Artifact:
    """An artifact as it stands. Parts are content blocks: `{"type": "text", "text"}`, `{"type": "data",
    "data"}`, or `{"type": "image" | "audio" | "video" | "file", "base64" | "url", "mime_type",
    "filename"}`."""

    id: str
    name: str | None = None
    description: str | None = None
    metadata: JsonObject = field(default_factory=dict[str, object])
    last: bool = True
    pieces: list[Piece] = field(default_factory=list[Piece])

    @property
    def parts(self) -> list[JsonObject]:
        """All of it, in order."""
        return [part for piece in self.pieces for part in piece.parts]


class Change(NamedTuple):
    """What became of an artifact: `parts` were added to it, or are all that it is now."""

    artifact: Artifact
    parts: list[JsonObject]
    append: bool


class Emissions:
    """What the events read so far make. `message` is that of the latest run, if it gave one, and `direct`
    whether it may stand for the whole answer."""

    def __init__(self) -> None:
        self.artifacts: dict[str, Artifact] = {}
        self.message: list[JsonObject] | None = None
        self.direct = False
        self._attempt = 0
        self._run_id: UUID | None = None

    def __bool__(self) -> bool:
        return bool(self.artifacts) or self.message is not None

    def absorb(self, event: Event) -> Change | None:
        """Take an event in; what it changed, if that is an artifact."""
        if event.kind == STARTED:
            self._attempt += 1
            if event.run_id != self._run_id:
                self._run_id, self.message = event.run_id, None
            return None
        if event.kind != EMITTED:
            return None
        said: JsonObject = event.json()
        payload: JsonObject = said["payload"]
        if said["name"] == "message":
            self.message, self.direct = payload["parts"], payload.get("direct") is True
            return None
        return self._artifact(payload)

    def _artifact(self, payload: JsonObject) -> Change:
        known = payload["id"] in self.artifacts
        artifact = self.artifacts.setdefault(payload["id"], Artifact(payload["id"]))
        time = (self._attempt, int(payload.get("try") or 1))
        piece = Piece(str(payload.get("step") or ""), time, payload["parts"])
        append = bool(payload.get("append"))
        kept = [p for p in artifact.pieces if append and not _void(p, piece)]
        added = append and known and len(kept) == len(artifact.pieces)
        artifact.pieces = [*kept, piece]
        # an addition may leave out what was said of the whole
        artifact.name = payload.get("name") or (artifact.name if append else None)
        artifact.description = payload.get("description") or (
            artifact.description if append else None
        )
        before = artifact.metadata if append else {}
        artifact.metadata = {**before, **(payload.get("metadata") or {})}
        artifact.last = bool(payload.get("last", True))
        return Change(artifact, piece.parts if added else artifact.parts, added)


def folded(events: Iterable[Event]) -> Emissions:
    """What a whole log makes."""
    emissions = Emissions()
    for event in events:
        emissions.absorb(event)
    return emissions


def emits(runs: Iterable[Run]) -> bool:
    """Whether any of these runs, which have ended, may have emitted something: only then is it worth to
    read their events. Of what an earlier attempt said, the last one's count knows nothing."""
    return any(run.attempts > 1 or COUNT in (run.usage or {}) for run in runs)


def is_rejection(error: JsonObject | None) -> bool:
    """Whether a run's error is the agent's own refusal."""
    return error is not None and error.get(REJECTED) is True


def _void(said: Piece, by: Piece) -> bool:
    return said.step == by.step and said.time < by.time
