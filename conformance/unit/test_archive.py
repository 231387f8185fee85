"""Pure parts of searches: containment as Postgres has it, and paths into a thread."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from agenthub.archive import contains
from agenthub_rest.extract import Path, extracted


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2]}}, True),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"y": 2}]}, True),
        ({"a": [1, 2]}, {"a": [3]}, False),
        ({"a": [1]}, {"a": []}, True),
        ({"a": 1}, {"a": [1]}, False),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        (None, {"a": 1}, False),
        ([1], {"a": 1}, False),
    ],
)
def test_a_value_contains_what_is_asked_for(value: Any, wanted: Any, expected: bool) -> None:
    assert contains(value, wanted) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("values.messages[-1].content", "b"),
        ("values.messages[0].content", "a"),
        ("values.messages[2].content", None),
        ("values.messages.content", None),
        ("metadata", {"k": 1}),
        ("metadata.k.deeper[0]", None),
        ("values[0]", None),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(path: str, expected: Any) -> None:
    thread = {
        "values": {"messages": [{"content": "a"}, {"content": "b"}]},
        "metadata": {"k": 1},
    }
    assert TypeAdapter(Path).validate_python(path) == path
    assert extracted(thread, path) == expected


@pytest.mark.parametrize(
    "path",
    ["", "thread_id", "values.", "values..x", "values[x]", "values[0", ".values", "values[]"],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="is no path"):
        TypeAdapter(Path).validate_python(path)
