"""Paths into a thread: `values.messages[-1].content`, for searches that want little of much."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, Field

from agenthub.json import Json, JsonObject

ROOTS: Final = ("values", "metadata", "config", "interrupts")
_PATH = re.compile(r"[^.\[\]]+(\[-?\d{1,9}\])*(\.[^.\[\]]+(\[-?\d{1,9}\])*)*")
_PART = re.compile(r"\[(-?\d+)\]|([^.\[\]]+)")


def _checked(path: str) -> str:
    root = path.partition(".")[0].partition("[")[0]
    if root not in ROOTS or not _PATH.fullmatch(path):
        raise ValueError(
            f"{path[:60]!r} is no path: begin with {', '.join(ROOTS)} and go on with .name or [index]"
        )
    return path


Path = Annotated[str, Field(max_length=500), AfterValidator(_checked)]


def extracted(rendered: JsonObject, path: str) -> Json:
    """What is at the path; None when there is nothing."""
    value: Any = rendered
    for index, name in _PART.findall(path):
        if index:
            items = cast("list[Any]", value) if isinstance(value, list) else []
            at = int(index)
            value = items[at] if -len(items) <= at < len(items) else None
        else:
            value = cast("JsonObject", value).get(name) if isinstance(value, dict) else None
    return value
