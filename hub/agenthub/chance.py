"""Chance of our own: an agent may seed the shared generator, and must not steer ours with it."""

from __future__ import annotations

from random import Random
from typing import Final

_OURS: Final = Random()  # noqa: S311  # spreads load and tells versions apart; no secret depends on it


def chance() -> float:
    """At least 0, below 1."""
    return _OURS.random()


def spread(low: float, high: float) -> float:
    """Somewhere between two bounds."""
    return _OURS.uniform(low, high)
