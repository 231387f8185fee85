"""The contract's behaviours: each with an id and a sentence, checked against one adapter's fixtures."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from agenthub.adapting import Inbound, Message
from agenthub.adapting import Outcome as StepOutcome
from agenthub.json import Json
from agenthub_conformance.adapter.elsewhere import Elsewhere, Processes, processes
from agenthub_conformance.adapter.fixtures import Fixtures
from agenthub_conformance.adapter.recording import Recording
from agenthub_conformance.adapter.scripted import NOTES

Verdict: TypeAlias = Literal["holds", "fails", "skipped"]
SECONDS: Final = 120.0


class Skipped(Exception):
    """The framework does not have what a behaviour is about."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a check; `told` says why."""

    id: str
    behaviour: str
    verdict: Verdict
    told: str = ""


@dataclass(slots=True)
class Kit:
    """What a check works with: the fixtures, and steps of their agents."""

    fixtures: Fixtures
    processes: Processes
    count: int = 0

    def agent(self, name: str) -> Any:
        """A fixture agent. Raises `Skipped` when the framework has none."""
        found = getattr(self.fixtures, name)
        if found is None:
            raise Skipped(f"{self.fixtures.adapter.name} has no {name!r} agent")
        return found

    def usage(self) -> Mapping[str, int]:
        """What one call of a model reports. Raises `Skipped` when that is nothing."""
        if not self.fixtures.usage:
            raise Skipped(f"models of {self.fixtures.adapter.name} report no usage here")
        return self.fixtures.usage

    def says(self, text: Json, *, thread: str = "t", data: Json = None) -> Inbound:
        """A user's message."""
        self.count += 1
        message: Message = {"id": f"user-{self.count}", "role": "user", "content": text}
        return Inbound(
            kind="input", thread_id=thread, run_id=f"r{self.count}", messages=[message], data=data
        )

    def answers(self, answers: dict[str, Json]) -> Inbound:
        """Answers of asks by their ids."""
        return Inbound(kind="answers", thread_id="t", run_id="r", answers=answers)

    async def step(self, name: str, inbound: Inbound, state: Json = None) -> tuple[Any, Recording]:
        """A step in this process: how it ended, and what it told."""
        io = Recording()
        outcome = await self.fixtures.adapter.step(self.agent(name), state, inbound, io)
        return outcome, io

    async def elsewhere(
        self, name: str, inbound: Inbound, state: Json = None, *, kill_at_call: int | None = None
    ) -> Elsewhere:
        """A step in a process of its own."""
        self.agent(name)
        return await self.processes.step(name, state, inbound, kill_at_call=kill_at_call)


Check: TypeAlias = Callable[[Kit], Awaitable[None]]
CHECKS: dict[str, tuple[str, Check]] = {}


def behaviour(id: str, sentence: str) -> Callable[[Check], Check]:
    """Enter a check into the contract."""

    def enter(check: Check) -> Check:
        assert id not in CHECKS, id
        CHECKS[id] = (sentence, check)
        return check

    return enter


async def run_all(target: str, fixtures: Fixtures, only: str = "") -> list[Outcome]:
    """Check every behaviour whose id begins with `only`, one after the other."""
    async with processes(target) as running:
        return [
            await _run(Kit(fixtures, running), id, sentence, check)
            for id, (sentence, check) in CHECKS.items()
            if id.startswith(only)
        ]


async def _run(kit: Kit, id: str, sentence: str, check: Check) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="agenthub-contract-") as folder:
        os.environ[NOTES] = str(Path(folder) / "notes")
        try:
            async with asyncio.timeout(SECONDS):
                await check(kit)
        except Skipped as why:
            return Outcome(id, sentence, "skipped", str(why))
        except AssertionError as wrong:
            return Outcome(id, sentence, "fails", str(wrong) or "it does not")
        except Exception as error:
            return Outcome(id, sentence, "fails", f"{type(error).__name__}: {error}")
    return Outcome(id, sentence, "holds")


def same(found: Any, expected: Any, what: str) -> None:
    """They are equal, or the check fails and says what was found."""
    assert found == expected, f"{what}: {found!r}, not {expected!r}"


def contents(messages: Iterable[Message], role: str = "assistant") -> list[str]:
    """The texts of messages of a role that have one."""
    return [str(m["content"]) for m in messages if m["role"] == role and m["content"]]


def finished(step: Elsewhere) -> StepOutcome:
    """How a step in another process ended; the check fails if it did not."""
    assert step.outcome is not None, step.error or "the step did not end"
    return step.outcome
