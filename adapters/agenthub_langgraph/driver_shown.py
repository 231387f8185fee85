"""What clients see of a driven graph: its agent, and neither the driver's own tasks nor framework state."""

from __future__ import annotations

from typing import Any, cast

from langgraph.func import entrypoint

from agenthub.json import JsonObject
from agenthub_langgraph.driver_io import WHOLE_MESSAGE
from agenthub_langgraph.driver_state import ASK, PAUSED, STEP

_HIDDEN = frozenset({STEP, ASK, WHOLE_MESSAGE})
_NODE = "langgraph_node"


def shown(mode: str, payload: Any, agent: str) -> Any:
    """A part of a stream as it may be seen; None when it may not."""
    match mode:
        case "updates":
            return {k: v for k, v in payload.items() if k not in _HIDDEN} or None
        case "tasks":
            return _task(payload)
        case "debug" if payload["type"] != "checkpoint":
            task = _task(payload["payload"])
            return None if task is None else {**payload, "payload": task}
        case "messages":
            message, metadata = payload
            return message, {**metadata, _NODE: agent}
        case "events":
            return _event(payload, agent)
        case _:
            return payload


def _task(task: JsonObject) -> JsonObject | None:
    if task["name"] in _HIDDEN:
        return None
    return {**task, "input": _input(task["input"])} if "input" in task else task


def _event(event: JsonObject, agent: str) -> JsonObject | None:
    if event["name"] in _HIDDEN:
        return None
    data = dict(event.get("data") or {})
    if "input" in data:
        data["input"] = _input(data["input"])
    for key in ("output", "chunk"):
        if isinstance(data.get(key), entrypoint.final):
            data[key] = cast("entrypoint.final[Any, Any]", data[key]).value
    metadata: JsonObject = event.get("metadata") or {}
    if metadata.get(_NODE) in _HIDDEN:
        metadata = {**metadata, _NODE: agent}
    return {**event, "data": data, "metadata": metadata}


def _input(given: Any) -> Any:
    """The turn's input without what the driver carries along with it."""
    if not isinstance(given, dict):
        return given
    return {k: v for k, v in cast("JsonObject", given).items() if k != PAUSED}
