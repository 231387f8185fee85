"""Trying a run again whose agent failed: when, and how often.

LangGraph retries a node; this is for the run as a whole. The next attempt goes on from the last finished
step, on any worker, and only the end of the last one is told. Attempts that died with their worker do not
count: those are looked after without being asked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from agenthub.chance import chance
from agenthub.json import JsonObject

MOST_ATTEMPTS: Final = 100
LONGEST: Final = timedelta(days=1)


def pause_before(retry: JsonObject | None, tried: int) -> timedelta | None:
    """How long to wait before the next attempt after `tried` failed ones and the present one; None: no more.

    `retry` has `max_attempts`, and seconds in `initial_interval` (default 0.5), multiplied each time by
    `backoff_factor` (2), up to `max_interval` (128): LangGraph's words. A quarter of it is left to chance.
    """
    if retry is None or tried + 1 >= int(retry.get("max_attempts", 1)):
        return None
    longest = min(float(retry.get("max_interval", 128.0)), LONGEST.total_seconds())
    # within what a float can hold, however many attempts there were
    grown = float(retry.get("backoff_factor", 2.0)) ** min(tried, 64)
    seconds = min(float(retry.get("initial_interval", 0.5)) * grown, longest)
    return timedelta(seconds=seconds * (0.75 + chance() / 4))
