"""Token usage of a run, summed from its chat messages."""

from __future__ import annotations

from typing import Any

from agenthub.json import JsonObject

COUNTED = ("input_tokens", "output_tokens", "total_tokens")


class Usage:
    """Adds up `usage_metadata`, which a model reports once per message, on one chunk or several."""

    def __init__(self) -> None:
        self._total: JsonObject = {}

    def add(self, message: Any) -> None:
        """Count a message or chunk; those without usage count nothing."""
        usage: JsonObject | None = getattr(message, "usage_metadata", None)
        if usage:
            for name in COUNTED:
                self._total[name] = self._total.get(name, 0) + int(usage.get(name) or 0)

    @property
    def total(self) -> JsonObject | None:
        """The sum, or None when no model reported any."""
        return self._total or None
