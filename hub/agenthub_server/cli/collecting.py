"""Garbage collection for a process that loads much and then serves small requests for days."""

from __future__ import annotations

import gc

YOUNG = 20_000
"""Objects made since the last collection that start the next: a run makes some thousands and drops them
all, most without a cycle. Python's 700 spends a tenth of a worker's time on looking for cycles."""


def collect_seldom() -> None:
    """Leave what is loaded out of every later collection, and collect less often.

    Called once, when the modules and agents are there.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
