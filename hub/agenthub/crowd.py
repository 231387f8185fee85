"""The crowd: how many runs a worker starts while its event loop has no time to spare.

Runs that compute take turns on the loop. Of sixty at once each ends about when the last one does, all are
written in one moment and answered in one moment, and meanwhile whoever makes new ones has nothing to do. So
a loop that is busy without a pause keeps few runs at once, and the others wait in the line, where another
worker may take them. A loop with pauses, whose runs wait for models, takes as many as there are slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agenthub.clock import Clock

FEW = 24
"""Runs that a busy loop executes at once."""
LEAST = 8
"""So many are claimed at a time then: claims and writes have their own price."""
LOOK_SECONDS = 0.002
BUSY = 0.6
"""Share of a look in which the loop's thread had a processor. Less than all of it, for a busy machine lets
every thread wait."""
PATIENCE_SECONDS = 0.1
"""After so long a few more start, however busy the loop is: nobody waits for a run that never ends."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Tells how many more may start."""

    clock: Clock

    async def room(self, executing: Callable[[], int], most: int) -> int:
        """At least one and at most `most`; waits while the loop is busy with others."""
        until = self.clock.monotonic() + PATIENCE_SECONDS
        while (few := FEW - executing()) < LEAST:
            if await self._has_pauses():
                return most
            if self.clock.monotonic() >= until:
                return min(LEAST, most)
        return min(few, most)

    async def _has_pauses(self) -> bool:
        at, had = self.clock.monotonic(), self.clock.processor()
        await self.clock.sleep(LOOK_SECONDS)
        return self.clock.processor() - had < BUSY * (self.clock.monotonic() - at)
