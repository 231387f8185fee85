"""An agent's spans belong to its caller's trace, where OpenTelemetry is installed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from agenthub import tracing
from agenthub.json import JsonObject


@contextmanager
def attached(trace: JsonObject | None) -> Generator[None]:
    """Run within the trace that a run was started in."""
    telemetry = _telemetry() if trace is not None else None
    with tracing.within(trace):
        if telemetry is None:
            yield
            return
        context, propagate = telemetry
        token = context.attach(propagate.extract(trace))
        try:
            yield
        finally:
            context.detach(token)


def _telemetry() -> tuple[Any, Any] | None:
    try:
        return import_module("opentelemetry.context"), import_module("opentelemetry.propagate")
    except ImportError:
        return None
