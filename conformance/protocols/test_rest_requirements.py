"""Every requirement of the REST manifest, against this hub; and the manifest against its checks."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from agenthub_conformance.rest import CHECKS, REQUIREMENTS, connection, run_all


@pytest.fixture(scope="module")
async def client(hub_url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with connection(hub_url) as client:
        yield client


def test_every_requirement_has_a_check_and_every_check_a_requirement() -> None:
    assert CHECKS.keys() == REQUIREMENTS.keys()


def test_a_requirement_is_a_sentence_with_a_source() -> None:
    for one in REQUIREMENTS.values():
        assert one.behaviour[0].isupper()
        assert one.behaviour.endswith(".")
        assert one.source


@pytest.mark.parametrize("id_", REQUIREMENTS)
async def test_the_hub_does_what_is_required(client: httpx.AsyncClient, id_: str) -> None:
    (outcome,) = await run_all(client, {id_: CHECKS[id_]})
    assert outcome.verdict == "holds", outcome.told
