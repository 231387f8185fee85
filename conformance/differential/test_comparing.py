"""The comparison itself: it tells what differs, and holds the table to what it explains."""

from __future__ import annotations

from typing import Any

import pytest

from agenthub_conformance.rest.probe import Exchange, Frame
from differential.comparing import Difference, Known, differences, explained

ONE_ID, OTHER_ID = "01a1fe51-bd64-765e-aa44-6f1d17b5119e", "5872f14b-9d84-439d-b55b-15f3c1d4ae40"


def answered(body: Any = None, *, status: int = 200, **headers: str) -> Exchange:
    return Exchange("GET", f"/threads/{ONE_ID}", status, headers, body)


def streamed(*frames: Frame) -> Exchange:
    return Exchange("GET", "/stream", 200, {}, None, frames)


def told(ours: Exchange, theirs: Exchange) -> list[str]:
    return [f"{d.where}: {d.ours}, {d.theirs}" for d in differences([ours], [theirs])]


def test_ids_times_and_sentences_are_no_difference() -> None:
    ours = answered({"id": ONE_ID, "at": "2026-11-21T13:35:32.251694+00:00", "detail": "a"})
    theirs = answered({"id": OTHER_ID, "at": "2025-01-01T00:00:00Z", "detail": "b"})
    assert told(ours, theirs) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (answered(status=404), answered(status=200), "status: 404, 200"),
        (answered({"a": 1}), answered({}), "body.a: 1, absent"),
        (answered({"a": 1}), answered({"a": "1"}), 'body.a: 1, "1"'),
        (answered({"a": False}), answered({"a": 0}), "body.a: false, 0"),
        (answered([{"a": 1}]), answered([{"a": 2}]), "body.#.a: 1, 2"),
        (answered([1]), answered([1, 2]), "body length: 1, 2"),
        (answered(location="/a"), answered(), 'header location: "/a", absent'),
        (
            streamed(Frame("values", {"x": 1}, "1")),
            streamed(Frame("values", {"x": 1}, None)),
            'event values id: "one", "none"',
        ),
        (
            streamed(Frame("values", 1, None), Frame("end", {}, None)),
            streamed(Frame("values", 1, None)),
            'stream end: "end", absent',
        ),
    ],
)
def test_what_differs_is_told(ours: Exchange, theirs: Exchange, found: str) -> None:
    assert told(ours, theirs) == [found]


def test_only_a_row_that_covers_all_of_a_difference_explains_it() -> None:
    found = Difference("GET /ok", "body.a", "1", "absent")
    fits = Known("why", where="body.*", theirs="absent")
    assert explained([found], [fits]) == ([], [])
    other = Known("why", where="body.*", theirs="null")
    assert explained([found], [other]) == ([found], [other])


def test_a_row_that_explains_nothing_is_told_unless_it_only_does_sometimes() -> None:
    always, sometimes = Known("why"), Known("why", sometimes=True)
    assert explained([], [always, sometimes]) == ([], [always])
