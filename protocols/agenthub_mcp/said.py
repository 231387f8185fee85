"""What an agent said beside its result, as the content of a tool's result.

Files become images, sounds, embedded resources and links, everything else text; a message is what the
calling model reads first. It is known from the events that passed by; the log is read only where a caller
has not heard all of them, and a run of the task says that it emitted something.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

import mcp_types as types

from agenthub.emitted import Emissions, emits
from agenthub.events import EMITTED, STARTED
from agenthub.json import Json, JsonObject, text
from agenthub.principal import Principal
from agenthub.runs import Run
from agenthub.service import Hub
from agenthub_mcp.content import message_content

PAGE: Final = 1000
MARKS: Final = frozenset({STARTED})
TOLD: Final = frozenset({EMITTED, *MARKS})
"""Kinds of events that emissions are made of, and of them those that say enough by being there."""
TEXTS: Final = ("text/", "application/json", "application/xml")


class Heard:
    """What has been heard of a task by a caller that follows it from `run` on. `before` are the runs that
    had ended by then, as stored; None: they are not known."""

    def __init__(self, run: Run, before: Sequence[Run] | None = None) -> None:
        self.emissions = Emissions()
        first = run.run_id == run.task_id
        self.whole = run.open and (first or (before is not None and not emits(before)))

    async def all(self, hub: Hub, who: Principal, run: Run) -> Emissions:
        """All that the task has emitted, when `run` is its last one and has ended."""
        if self.whole:
            return self.emissions
        first = run.run_id == run.task_id
        runs = (run,) if first else (await hub.task(who, run.task_id)).runs
        return await said_by(hub, runs)


async def said_by(hub: Hub, runs: Sequence[Run]) -> Emissions:
    """What the runs of a task, which have ended, have emitted."""
    emissions = Emissions()
    if not emits(runs):
        return emissions
    after = 0
    while True:
        page = await hub.streams.log.read(
            runs[0].tenant, runs[0].task_id, after=after, limit=PAGE, kinds=TOLD, bare=MARKS
        )
        for event in page:
            emissions.absorb(event)
        if len(page) < PAGE:
            return emissions
        after = page[-1].seq


def message_of(said: Emissions | None) -> list[types.ContentBlock]:
    """The agent's message, if it gave one."""
    return _content(said.message) if said is not None and said.message else []


def artifacts_of(said: Emissions | None) -> list[types.ContentBlock]:
    """The artifacts that the agent emitted, one after the other."""
    if said is None:
        return []
    return [block for one in said.artifacts.values() for block in _content(one.parts)]


def _content(blocks: Sequence[JsonObject]) -> list[types.ContentBlock]:
    return message_content([_readable(block) for block in blocks])


def _readable(block: JsonObject) -> Json:
    """A block in words that `message_content` knows: JSON, and files that are texts, as texts."""
    if block["type"] == "data":
        return {"type": "text", "text": text(block["data"])}
    if block["type"] == "file" and "base64" in block and block["mime_type"].startswith(TEXTS):
        try:
            content = base64.b64decode(block["base64"]).decode()
        except UnicodeDecodeError:
            return block
        rest = {key: value for key, value in block.items() if key != "base64"}
        return {**rest, "type": "text-plain", "text": content}
    return block
