"""Errors: no surface may meet one that it has no answer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from agenthub.errors import HubError, LeaseLost
from agenthub_a2a.errors import TABLE as A2A
from agenthub_mcp.errors import CODES as MCP
from agenthub_rest.errors import STATUS as REST


def every(kind: type[HubError]) -> Iterator[type[HubError]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from every(derived)


ERRORS = sorted(set(every(HubError)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("table", [REST, MCP, A2A], ids=["REST", "MCP", "A2A"])
def test_every_protocol_has_an_answer_to_every_error(
    table: Mapping[type[HubError], Any], kind: type[HubError]
) -> None:
    assert kind in table


def test_every_error_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in ERRORS}) == len(ERRORS)


def test_an_error_is_its_sentence_and_its_details() -> None:
    error = HubError("it cannot be done", open=["a"])
    assert (str(error), error.message, error.details) == (
        *["it cannot be done"] * 2,
        {"open": ["a"]},
    )


def test_a_lost_lease_is_no_answer_to_anyone() -> None:
    assert not issubclass(LeaseLost, HubError)
