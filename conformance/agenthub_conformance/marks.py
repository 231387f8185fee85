"""Checks that name the requirement which they prove, whatever they are run against."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

MARK: Final = "requirement"
C = TypeVar("C", bound=Callable[..., Any])


def requirement(id_: str) -> Callable[[C], C]:
    """Name the requirement that a check proves."""

    def marked(check: C) -> C:
        setattr(check, MARK, id_)
        return check

    return marked


def gathered(modules: Iterable[ModuleType]) -> Mapping[str, Callable[..., Any]]:
    """The checks of these modules by requirement; one check for each."""
    found: dict[str, Callable[..., Any]] = {}
    for module in modules:
        for value in vars(module).values():
            id_ = getattr(value, MARK, None)
            if isinstance(id_, str):
                assert id_ not in found, f"{id_!r} has two checks"
                found[id_] = value
    return found


def told_by(wrong: Exception) -> str:
    """What a check that failed says: its words, or the assertion as it stands there."""
    said = str(wrong).partition("\n")[0]
    if said:
        return said
    where = traceback.extract_tb(wrong.__traceback__)[-1]
    return f"{where.line} ({Path(where.filename).stem}:{where.lineno})"
