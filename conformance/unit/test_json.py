"""JSON text as Postgres takes it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenthub.json import dumps, loads, text, without_nul

PIECES = st.lists(
    st.sampled_from(["\x00", "\\", "u0000", "\\u0000", '"', "a", "\n", "é"]), max_size=8
).map("".join)
VALUES = st.recursive(
    PIECES | st.integers(-(2**53), 2**53) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES, inner, max_size=3),
    max_leaves=8,
)


def replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [replaced(one) for one in value]
    if isinstance(value, dict):
        return {replaced(k): replaced(v) for k, v in value.items()}
    return value


@given(VALUES)
def test_only_nul_is_replaced_wherever_it_stands(value: Any) -> None:
    assert loads(text(value)) == replaced(value)


@given(PIECES)
def test_a_string_loses_its_nuls_and_nothing_else(value: str) -> None:
    assert loads(text(value)) == value.replace("\x00", "\ufffd")


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (r'"\u0000"', r'"\ufffd"'),
        (r'"\u0000\u0000"', r'"\ufffd\ufffd"'),
        (r'"\\u0000"', r'"\\u0000"'),
        (r'"\\\u0000"', r'"\\\ufffd"'),
        (r'{"\u0000":1}', r'{"\ufffd":1}'),
        ('"u0000"', '"u0000"'),
    ],
)
def test_an_escaped_backslash_is_left_alone(encoded: str, expected: str) -> None:
    assert without_nul(encoded) == expected


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        dumps(value)


def test_malformed_text_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected"):
        loads("{")


def test_keys_may_be_numbers() -> None:
    assert dumps({1: "a"}) == b'{"1":"a"}'
