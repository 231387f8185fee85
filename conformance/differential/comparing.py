"""Two servers' answers to the same requests: what differs, once ids, times and free text are masked."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from agenthub_conformance.rest.probe import Exchange, Frame

HEADERS = (
    *("content-type", "location", "content-location", "cache-control", "x-accel-buffering"),
    *("x-pagination-next", "x-pagination-total"),
)
ABSENT = "absent"
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\b[0-9a-f]{32}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")
_TEXT = frozenset({"detail", "message"})
"""Sentences for people: each server has its own."""


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One place of one kind of answer; `ours` and `theirs` are JSON or `absent`."""

    request: str
    where: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.request} | {self.where} | ours {self.ours} | theirs {self.theirs}"


@dataclass(frozen=True, slots=True)
class Known:
    """A row of the table: patterns of differences that are meant, and why.

    `sometimes`: two answers of the original differ in it, so it may explain none.
    """

    reason: str
    request: str = "*"
    where: str = "*"
    ours: str = "*"
    theirs: str = "*"
    sometimes: bool = False

    def covers(self, found: Difference) -> bool:
        """Whether the row explains this difference."""
        return (
            fnmatchcase(found.request, self.request)
            and fnmatchcase(found.where, self.where)
            and fnmatchcase(found.ours, self.ours)
            and fnmatchcase(found.theirs, self.theirs)
        )


def known(table: Path) -> list[Known]:
    """The rows of the table."""
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["difference"]
    return [Known(**row) for row in rows]


def differences(ours: Sequence[Exchange], theirs: Sequence[Exchange]) -> Iterator[Difference]:
    """What differs between two recordings of one check."""
    for mine, other in zip(ours, theirs, strict=False):
        request = f"{mine.method} {masked(mine.path.partition('?')[0])}"
        assert request == f"{other.method} {masked(other.path.partition('?')[0])}"
        for where, left, right in _exchange(mine, other):
            yield Difference(request, where, _shown(left), _shown(right))


def masked(value: Any, key: str = "") -> Any:
    """A value without what differs between any two runs."""
    match value:
        case dict():
            return {_ID.sub("<id>", str(k)): masked(v, k) for k, v in value.items()}
        case list():
            return [masked(v, key) for v in value]
        case str() if key in _TEXT:
            return "<text>"
        case str() if _TIME.fullmatch(value):
            return "<time>"
        case str():
            return _ID.sub("<id>", value)
        case float():
            return "<number>"
        case _:
            return value


class _Absent:
    def __repr__(self) -> str:
        return ABSENT


_NOTHING = _Absent()
Found = tuple[str, Any, Any]


def _exchange(ours: Exchange, theirs: Exchange) -> Iterator[Found]:
    if ours.status != theirs.status:
        yield "status", ours.status, theirs.status
        return
    for name in HEADERS:
        left, right = (_header(e, name) for e in (ours, theirs))
        if left != right:
            yield f"header {name}", left, right
    if ours.frames is not None and theirs.frames is not None:
        yield from _streams(ours.frames, theirs.frames)
    else:
        yield from _values("body", masked(ours.body), masked(theirs.body))


def _header(exchange: Exchange, name: str) -> Any:
    value = exchange.headers.get(name)
    return _NOTHING if value is None else masked(value)


def _streams(ours: Sequence[Frame], theirs: Sequence[Frame]) -> Iterator[Found]:
    left, right = ([masked(f.event) for f in frames] for frames in (ours, theirs))
    ended = left[:-1] if left[-1:] == ["end"] else left
    if ended != left and right[-1:] != ["end"]:
        yield "stream end", "end", _NOTHING
    sequences = [[name for name, _ in groupby(names)] for names in (ended, right)]
    if sequences[0] != sequences[1]:
        yield "stream events", *sequences
    for name in dict.fromkeys(ended + right):
        frames = ([f for f in each if masked(f.event) == name] for each in (ours, theirs))
        for mine, other in zip_longest(*frames):
            if mine is None or other is None:
                yield f"event {name}", *(_NOTHING if f is None else "one" for f in (mine, other))
                break
            if (mine.id is None) != (other.id is None):
                yield (
                    f"event {name} id",
                    *("none" if f.id is None else "one" for f in (mine, other)),
                )
            yield from _values(f"event {name}", masked(mine.data), masked(other.data))


def _values(where: str, ours: Any, theirs: Any) -> Iterator[Found]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*ours, *theirs]):
            both = (each.get(key, _NOTHING) for each in (ours, theirs))
            yield from _values(f"{where}.{key}", *both)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{where} length", len(ours), len(theirs)
        for mine, other in zip(ours, theirs, strict=False):
            yield from _values(f"{where}.#", mine, other)
    elif type(ours) is not type(theirs) or ours != theirs:
        yield where, ours, theirs


def _shown(value: Any) -> str:
    text = ABSENT if value is _NOTHING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


def explained(
    found: Iterable[Difference], table: Sequence[Known]
) -> tuple[list[Difference], list[Known]]:
    """The differences that no row explains, and the rows that explain none."""
    used: set[Known] = set()
    left: list[Difference] = []
    for one in found:
        rows = [row for row in table if row.covers(one)]
        used.update(rows)
        if not rows:
            left.append(one)
    return left, [row for row in table if row not in used and not row.sometimes]
