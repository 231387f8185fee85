"""The stored form of a checkpoint's view: its next steps as compact JSON."""

from __future__ import annotations

from collections.abc import Sequence

from agenthub.interrupts import from_rows, to_rows
from agenthub.json import JsonObject, loads
from agenthub.threads import StepView


def to_json(steps: Sequence[StepView]) -> list[JsonObject]:
    """As stored; empty fields are left out."""
    return [
        {
            "id": s.id,
            "name": s.name,
            **({"path": list(s.path)} if s.path else {}),
            **({"error": s.error} if s.error else {}),
            **({"interrupts": to_rows(s.interrupts)} if s.interrupts else {}),
            **({"result": s.result} if s.result is not None else {}),
        }
        for s in steps
    ]


def from_json(stored: str | None) -> tuple[StepView, ...]:
    """Read what `to_json` wrote; None means that nothing was next."""
    if stored is None:
        return ()
    return tuple(
        StepView(
            id=s["id"],
            name=s["name"],
            path=tuple(s.get("path", ())),
            error=s.get("error"),
            interrupts=from_rows(s.get("interrupts")),
            result=s.get("result"),
        )
        for s in loads(stored)
    )
