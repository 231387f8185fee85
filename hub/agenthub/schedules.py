"""Schedules: a cron expression in a time zone, as a row of instants.

Five fields, or six with the seconds last, as the Agent Server reads them. An hour field that names every
hour means every hour that passes; any other names hours of the wall clock, and a clock that is put
forward or back neither loses nor repeats a slot: one in the gap fires when the gap ends, one in the
fold fires at its first passing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from agenthub.errors import Invalid

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EVERY_HOUR: Final = set(range(24))
SHORTEST: Final = timedelta(minutes=1)
"""The first stretch in which the latest slot is looked for; each next one is twice as long."""


class Schedule:
    """When something is due. Instants are aware; those that it returns are in UTC."""

    def __init__(self, expression: str, timezone: str | None = None) -> None:
        """Read an expression.

        Raises:
            Invalid: it cannot be read, it never comes true, or the time zone is unknown.
        """
        self.expression = expression
        self.zone = zone(timezone)
        fields = NICKNAMES.get(expression.strip().lower(), expression).split()
        if len(fields) == 6:
            # the library wants the seconds first
            fields = [fields[-1], *fields[:-1]]
        self._fields = " ".join(fields)
        try:
            parsed = CronSim(self._fields, datetime(2000, 1, 1, tzinfo=UTC))
        except (CronSimError, ValueError) as wrong:
            raise Invalid(
                f"schedule {expression[:100]!r} cannot be read ({wrong}): give five fields, minute hour "
                "day-of-month month day-of-week, or six with the seconds last; '0 9 * * 1-5' is nine "
                "o'clock on workdays"
            ) from None
        self._passes_hourly = parsed.hours == EVERY_HOUR
        if self.after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise Invalid(f"schedule {expression[:100]!r} never comes true: there is no such day")

    def after(self, instant: datetime) -> datetime | None:
        """The first slot after an instant; None when there is none within fifty years."""
        local = instant.astimezone(self.zone)
        slots = self._passing(local) if self._passes_hourly else self._on_the_wall(local)
        # what the wall clock shows twice lies before an instant of its second showing
        return next((slot for slot in slots if slot > instant), None)

    def latest(self, instant: datetime, *, since: datetime) -> datetime | None:
        """The last slot that is not after an instant, if there is one from `since` on."""
        stretch = SHORTEST
        while True:
            # `since` itself counts
            begin = max(instant - stretch, since - timedelta(microseconds=1))
            slot, found = self.after(begin), None
            while slot is not None and slot <= instant:
                slot, found = self.after(slot), slot
            if found is not None or begin < since:
                return found
            stretch *= 2

    def _passing(self, local: datetime) -> Iterator[datetime]:
        for slot in CronSim(self._fields, local):
            yield slot.astimezone(UTC)

    def _on_the_wall(self, local: datetime) -> Iterator[datetime]:
        for shown in CronSim(self._fields, local.replace(tzinfo=None)):
            yield self._instant(shown)

    def _instant(self, shown: datetime) -> datetime:
        """When the wall clock shows this first; for what it never shows, the end of the gap."""
        at = shown.replace(tzinfo=self.zone, fold=0)
        if _is_shown(at):
            return at.astimezone(UTC)
        at = at.replace(second=0)
        while not _is_shown(at):
            at += timedelta(minutes=1)
        return at.astimezone(UTC)


def _is_shown(at: datetime) -> bool:
    back = at.astimezone(UTC).astimezone(at.tzinfo)
    return back.replace(tzinfo=None) == at.replace(tzinfo=None)


def zone(name: str | None) -> ZoneInfo:
    """A time zone by its IANA name; UTC without one.

    Raises:
        Invalid: there is none of this name.
    """
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):  # the last two for what is no name at all
        raise Invalid(
            f"timezone {str(name)[:60]!r} is unknown: give an IANA name like 'Europe/Berlin'"
        ) from None


@lru_cache(maxsize=1024)
def schedule(expression: str, timezone: str | None) -> Schedule:
    """As `Schedule`, kept for the next slot. Raises `Invalid`."""
    return Schedule(expression, timezone)
