"""Schedules and the policy of crons: fixed instants in, fixed instants out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agenthub.crons import HOLD, LATE, Cron, decide
from agenthub.errors import Invalid
from agenthub.ids import new_id
from agenthub.schedules import Schedule

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def wall(schedule: Schedule, after: datetime, count: int) -> list[str]:
    """The next slots as the wall clock shows them, with its offset."""
    shown: list[str] = []
    slot: datetime | None = after
    for _ in range(count):
        assert slot is not None
        slot = schedule.after(slot)
        assert slot is not None
        assert slot.tzinfo is UTC
        shown.append(slot.astimezone(schedule.zone).strftime("%m-%d %H:%M:%S%z"))
    return shown


def local(zone: str, *at: int, fold: int = 0) -> datetime:
    year, month, day, hour, minute = at
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone), fold=fold)


# --- schedules ----------------------------------------------------------------------------------


def test_five_fields_are_minutes_hours_days_months_and_weekdays() -> None:
    schedule = Schedule("30 9 * * 1-5")
    assert wall(schedule, datetime(2026, 11, 20, 10, tzinfo=UTC), 2) == [
        "11-23 09:30:00+0000",
        "11-24 09:30:00+0000",
    ]


def test_a_sixth_field_are_the_seconds() -> None:
    assert wall(Schedule("0 12 * * * 15,45"), NOON, 3) == [
        "06-01 12:00:15+0000",
        "06-01 12:00:45+0000",
        "06-02 12:00:15+0000",
    ]


def test_nicknames_are_understood() -> None:
    assert wall(Schedule("@daily", BERLIN), NOON, 1) == ["06-02 00:00:00+0200"]


def test_a_slot_is_never_the_instant_that_it_comes_after() -> None:
    assert wall(Schedule("0 12 * * *"), NOON, 1) == ["06-02 12:00:00+0000"]
    just_before = NOON - timedelta(microseconds=1)
    assert Schedule("0 12 * * *").after(just_before) == NOON


@pytest.mark.parametrize(
    ("zone", "eve", "expected"),
    [
        (BERLIN, (2026, 3, 28, 12, 0), ["03-29 03:00:00+0200", "03-30 02:30:00+0200"]),
        (NEW_YORK, (2026, 3, 7, 12, 0), ["03-08 03:00:00-0400", "03-09 02:30:00-0400"]),
    ],
)
@pytest.mark.parametrize("expression", ["30 2 * * *", "30 2 * * * 0"])
def test_a_slot_in_the_gap_fires_once_when_the_gap_ends(
    zone: str, eve: tuple[int, ...], expected: list[str], expression: str
) -> None:
    assert wall(Schedule(expression, zone), local(zone, *eve), 2) == expected


@pytest.mark.parametrize(
    ("zone", "expression", "eve", "expected"),
    [
        (BERLIN, "30 2 * * *", (2026, 10, 24, 12, 0), ["10-25 02:30:00+0200", "10-26 02:30:00+0100"]),
        (NEW_YORK, "30 1 * * *", (2026, 10, 31, 12, 0), ["11-01 01:30:00-0400", "11-02 01:30:00-0500"]),
        (BERLIN, "30 2 * * * 0", (2026, 10, 24, 12, 0), ["10-25 02:30:00+0200", "10-26 02:30:00+0100"]),
    ],
)  # fmt: skip
def test_a_slot_in_the_fold_fires_once_at_its_first_passing(
    zone: str, expression: str, eve: tuple[int, ...], expected: list[str]
) -> None:
    assert wall(Schedule(expression, zone), local(zone, *eve), 2) == expected


def test_who_asks_within_the_fold_gets_nothing_that_has_passed() -> None:
    schedule = Schedule("30 2 * * *", BERLIN)
    again = local(BERLIN, 2026, 10, 25, 2, 10, fold=1)
    assert wall(schedule, again, 1) == ["10-26 02:30:00+0100"]


def test_several_slots_in_one_gap_fire_once_together() -> None:
    schedule = Schedule("*/20 2 * * *", BERLIN)
    assert wall(schedule, local(BERLIN, 2026, 3, 28, 12, 0), 2) == [
        "03-29 03:00:00+0200",
        "03-30 02:00:00+0200",
    ]


def test_every_hour_means_every_hour_that_passes() -> None:
    schedule = Schedule("0 * * * *", BERLIN)
    assert wall(schedule, local(BERLIN, 2026, 10, 25, 1, 30), 4) == [
        "10-25 02:00:00+0200",
        "10-25 02:00:00+0100",
        "10-25 03:00:00+0100",
        "10-25 04:00:00+0100",
    ]
    assert wall(schedule, local(BERLIN, 2026, 3, 29, 0, 30), 3) == [
        "03-29 01:00:00+0100",
        "03-29 03:00:00+0200",
        "03-29 04:00:00+0200",
    ]


def test_a_midnight_that_does_not_exist_is_the_day_s_first_moment() -> None:
    schedule = Schedule("0 0 * * *", "Africa/Cairo")
    assert wall(schedule, local("Africa/Cairo", 2026, 4, 23, 12, 0), 2) == [
        "04-24 01:00:00+0300",
        "04-25 00:00:00+0300",
    ]


@pytest.mark.parametrize(
    "expression",
    ["", "x", "* * * *", "* * * * * * *", "61 * * * *", "0 0 31 2 *", "* * */20 * 1L", "-1 * * * *",
     "*/0 * * * *", "\0 * * * *", "@never", "0 0 30 2 *"],
)  # fmt: skip
def test_what_is_no_schedule_or_never_comes_true_is_refused(expression: str) -> None:
    with pytest.raises(Invalid, match=r"cannot be read|never comes true"):
        Schedule(expression)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe", "a\0b", "x" * 400])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="give an IANA name"):
        Schedule("* * * * *", name)


def test_the_latest_slot_is_found_however_long_ago_it_was() -> None:
    every_second = Schedule("* * * * * *")
    assert every_second.latest(NOON, since=NOON - timedelta(days=3650)) == NOON
    leap_days = Schedule("0 0 29 2 *")
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    assert leap_days.latest(NOON, since=begin) == datetime(2024, 2, 29, tzinfo=UTC)
    assert leap_days.latest(NOON, since=datetime(2024, 3, 1, tzinfo=UTC)) is None


# --- what a cron that is due does ---------------------------------------------------------------


def cron(schedule: str = "0 * * * *", since: datetime = NOON, **changes: Any) -> Cron:
    """A cron that was made just before `since`."""
    made = Cron(
        tenant="default",
        cron_id=new_id(),
        agent="a",
        assistant_id=new_id(),
        schedule=schedule,
        created_at=since,
        updated_at=since,
    )
    return replace(made, **changes).scheduled(since - timedelta(seconds=1))


def hour(n: int) -> datetime:
    return NOON + timedelta(hours=n)


def test_a_slot_that_is_due_is_fired_and_the_next_one_set() -> None:
    step = decide(cron(), NOON, False)
    assert (step.slot, step.outcome, step.missed) == (NOON, "fired", None)
    assert (step.cron.next_slot, step.cron.due_at) == (hour(1), hour(1))


@pytest.mark.parametrize("misfire", ["none", "last", "all"])
def test_a_slot_that_is_a_little_late_is_not_missed(misfire: Any) -> None:
    step = decide(cron(misfire=misfire), NOON + LATE, False)
    assert (step.slot, step.missed) == (NOON, None)


def test_with_misfire_last_one_firing_stands_for_all_that_was_missed() -> None:
    step = decide(cron(misfire="last"), hour(5) + timedelta(minutes=30), False)
    assert (step.slot, step.missed) == (hour(5), (NOON, hour(4)))
    assert step.cron.next_slot == hour(6)


def test_with_misfire_none_nothing_that_was_missed_is_fired() -> None:
    step = decide(cron(misfire="none"), hour(5) + timedelta(minutes=30), False)
    assert (step.slot, step.missed) == (None, (NOON, hour(5)))
    assert step.cron.next_slot == hour(6)


def test_with_misfire_none_the_slot_of_this_minute_still_fires() -> None:
    step = decide(cron(misfire="none"), hour(5) + timedelta(seconds=30), False)
    assert (step.slot, step.missed) == (hour(5), (NOON, hour(4)))


def test_with_misfire_all_every_slot_is_fired_in_order() -> None:
    now, fired = hour(3) + timedelta(minutes=1), list[datetime | None]()
    one = cron(misfire="all")
    while one.due_at is not None and one.due_at <= now:
        step = decide(one, now, False)
        fired.append(step.slot)
        one = step.cron
    assert fired == [NOON, hour(1), hour(2), hour(3)]
    assert one.next_slot == hour(4)


def test_with_overlap_skip_a_slot_is_passed_over_while_the_run_before_is_open() -> None:
    step = decide(cron(overlap="skip"), NOON, True)
    assert (step.slot, step.outcome, step.cron.next_slot) == (NOON, "skipped", hour(1))
    assert decide(cron(overlap="skip"), NOON, False).outcome == "fired"


def test_with_overlap_allow_the_run_before_does_not_matter() -> None:
    assert decide(cron(overlap="allow"), NOON, True).outcome == "fired"


def test_with_overlap_queue_a_slot_waits_and_is_not_missed_for_that() -> None:
    step = decide(cron(overlap="queue", misfire="none"), NOON, True)
    assert (step.slot, step.missed) == (None, None)
    assert (step.cron.next_slot, step.cron.due_at, step.cron.held) == (NOON, NOON + HOLD, True)
    much_later = NOON + timedelta(minutes=50)
    freed = decide(step.cron, much_later, False)
    assert (freed.slot, freed.outcome, freed.missed) == (NOON, "fired", None)
    assert (freed.cron.next_slot, freed.cron.held) == (hour(1), False)


def test_slots_that_pass_while_one_waits_are_missed() -> None:
    held = decide(cron(overlap="queue", misfire="last"), NOON, True).cron
    now = hour(3) + timedelta(minutes=30)
    freed = decide(held, now, False)
    assert freed.slot == NOON
    after = decide(freed.cron, now, True)
    assert (after.slot, after.missed, after.cron.next_slot) == (None, (hour(1), hour(2)), hour(3))


def test_nothing_fires_after_the_end() -> None:
    one = cron(end_time=hour(1))
    step = decide(one, NOON, False)
    assert step.cron.next_slot == hour(1)
    last = decide(step.cron, hour(1), False)
    assert (last.slot, last.cron.next_slot, last.cron.due_at) == (hour(1), None, None)


def test_slots_that_were_missed_before_the_end_are_not_made_up_for_after_it() -> None:
    step = decide(cron(end_time=hour(2), misfire="all"), hour(9), False)
    assert (step.slot, step.missed) == (None, (NOON, hour(2)))
    assert step.cron.due_at is None


def test_a_cron_that_is_not_enabled_has_no_next_slot() -> None:
    one = cron(enabled=False)
    assert (one.next_slot, one.due_at) == (None, None)


def test_jitter_delays_by_chance_within_its_bounds_and_alike_for_everyone() -> None:
    delays = {cron(jitter_seconds=30.0).delay(NOON) for _ in range(50)}
    assert len(delays) == 50
    assert all(timedelta(0) <= delay < timedelta(seconds=30) for delay in delays)
    one = cron(jitter_seconds=30.0)
    assert one.due_at == NOON + one.delay(NOON)
    assert one.delay(NOON) == one.delay(NOON.astimezone(ZoneInfo(NEW_YORK)))


def test_a_slot_counts_as_late_from_the_end_of_its_jitter() -> None:
    one = cron(jitter_seconds=600.0, misfire="none")
    assert one.due_at is not None
    assert decide(one, one.due_at + LATE, False).slot == NOON
    late = one.due_at + LATE + timedelta(seconds=1)
    assert decide(one, late, False).slot is None
