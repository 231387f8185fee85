"""What these commands print: a table, one thing with its fields, or JSON for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agenthub.json import Json, JsonObject

Column: TypeAlias = tuple[str, Callable[[JsonObject], Any]]
"""A heading, and how the cell comes from a row."""

COLOURS = {
    "success": "green", "idle": "green", "running": "cyan", "busy": "cyan", "pending": "yellow",
    "interrupted": "magenta", "error": "red", "timeout": "red",
}  # fmt: skip
MINUTE, HOUR, DAY = 60, 3600, 86400


def listing(console: Console, rows: Sequence[JsonObject], columns: Sequence[Column]) -> None:
    """A table; a sentence when there is nothing to show."""
    if not rows:
        console.print("Nothing found.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, _ in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(cell(row)) for _, cell in columns))
    console.print(table)


def details(console: Console, fields: Mapping[str, Any]) -> None:
    """One thing; empty fields are left out, structures are indented JSON."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", [], {}):
            table.add_row(name, _cell(value))
    console.print(table)


def as_json(console: Console, value: Json) -> None:
    """For other programs: no colours, no wrapping."""
    console.file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def ago(moment: str | None, *, now: datetime | None = None) -> str:
    """How long ago an ISO time was, in its largest unit."""
    if not moment:
        return ""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    if seconds < 0:
        return f"in {_span(-seconds)}"
    return f"{_span(seconds)} ago"


def took(row: JsonObject, *, now: datetime | None = None) -> str:
    """How long a run has been executing, or did."""
    if not row.get("started_at"):
        return ""
    end = (
        datetime.fromisoformat(row["ended_at"])
        if row.get("ended_at")
        else (now or datetime.now(UTC))
    )
    return _span((end - datetime.fromisoformat(row["started_at"])).total_seconds())


def _span(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    raise AssertionError(seconds)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, (dict, list)):
        return Text(json.dumps(value, indent=1, ensure_ascii=False))
    shown = str(value)
    return Text(shown, style=COLOURS.get(shown, ""))
