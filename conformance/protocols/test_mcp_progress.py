"""Progress notifications: strictly rising, in few words, neither too many nor too few."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from uuid import UUID

from agenthub.events import MESSAGES, UPDATES, Event
from agenthub.json import Json, dumps
from agenthub_mcp.progress import Progress
from testkit.waiting import eventually

RUN = UUID(int=1)
PACE = 0.05


class Wire:
    """Where progress is reported to, and when."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, str | None]] = []
        self.at: list[float] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        self.sent.append((progress, message))
        self.at.append(asyncio.get_running_loop().time())


def update(data: Json, *, kind: str = UPDATES, ns: str = "") -> Event:
    return Event(1, RUN, kind, dumps(data), ns)


async def test_steps_within_the_pace_become_one_notification() -> None:
    wire = Wire()
    progress = Progress(wire, pace_seconds=PACE)
    began = asyncio.get_running_loop().time()
    sending = asyncio.create_task(progress.run())
    for n in range(100):
        progress.saw(update({f"node{n}": {}}))
        await asyncio.wait([sending], timeout=0.001)
    await eventually(lambda: wire.sent[-1][1] == "step 100: node99")
    sending.cancel()
    assert len(wire.sent) <= (wire.at[-1] - began) / PACE + 2
    # The loop's clock and its timers may differ by a tick.
    assert all(later - earlier >= PACE - 0.001 for earlier, later in pairwise(wire.at))
    assert [n for n, _ in wire.sent] == list(range(1, len(wire.sent) + 1))


async def test_a_quiet_run_has_a_heart_that_beats() -> None:
    wire = Wire()
    progress = Progress(wire, pace_seconds=0, heartbeat_seconds=0.01)
    sending = asyncio.create_task(progress.run())
    await eventually(lambda: len(wire.sent) >= 3)
    sending.cancel()
    assert wire.sent[:3] == [(1, "working"), (2, "working"), (3, "working")]


async def test_only_finished_steps_of_the_agent_itself_are_told() -> None:
    wire = Wire()
    progress = Progress(wire, pace_seconds=0)
    progress.saw(update([{"content": "secret token"}, {}], kind=MESSAGES))
    progress.saw(update({"inner": {}}, ns="sub:1"))
    progress.saw(update({"__interrupt__": []}))
    progress.saw(update({"x" * 500: {}}))
    sending = asyncio.create_task(progress.run())
    await eventually(lambda: wire.sent)
    sending.cancel()
    ((_, message),) = wire.sent
    assert message is not None
    assert message.startswith("step 1: xxx")
    assert len(message) == 200
