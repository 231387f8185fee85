"""The same requests to this hub and to the original: every difference is meant, and has its reason.

The requests are those of the requirements' checks. A difference that `differences.toml` does not
explain fails, and so does a row of it that explains none any more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agenthub_conformance.rest import CHECKS, REQUIREMENTS, Outcome, connection, run_all
from differential.comparing import Difference, differences, explained, known
from differential.original import graphs, langgraph_dev
from testkit.environments import Unreachable

pytestmark = pytest.mark.slow

TABLE = Path(__file__).with_name("differences.toml")
CONTRACT = {id_: check for id_, check in CHECKS.items() if not REQUIREMENTS[id_].extension}


async def outcomes(url: str, *, at_once: int) -> dict[str, Outcome]:
    async with connection(url) as client:
        found = await run_all(client, CONTRACT, lenient=True, at_once=at_once)
    return {outcome.requirement.id: outcome for outcome in found}


@pytest.fixture(scope="module")
async def recorded(
    hub_url: str, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Outcome, Outcome]]:
    """What the two answered to every check."""
    ours = await outcomes(hub_url, at_once=4)
    try:
        async with langgraph_dev(tmp_path_factory.mktemp("original")) as url:
            # its runs wait for its queue, which looks twice a second
            theirs = await outcomes(url, at_once=10)
    except Unreachable as unreachable:
        pytest.skip(f"langgraph dev cannot be installed: {unreachable}")
    return [(ours[id_], theirs[id_]) for id_ in CONTRACT]


def test_every_graph_of_the_fixture_is_served_by_both(
    recorded: list[tuple[Outcome, Outcome]],
) -> None:
    assert {"plus", "ask", "wait_for_ever"} <= set(graphs())
    assert all(o.verdict != "skipped" for both in recorded for o in both)


def test_both_answer_alike_but_for_what_is_meant_to_differ(
    recorded: list[tuple[Outcome, Outcome]],
) -> None:
    found: dict[Difference, list[str]] = {}
    for ours, theirs in recorded:
        for one in differences(ours.exchanges, theirs.exchanges):
            found.setdefault(one, []).append(ours.requirement.id)
    left, idle = explained(found, known(TABLE))
    told = [f"{one} | {', '.join(dict.fromkeys(found[one]))}" for one in sorted(left)]
    told += [f"no difference is explained by: {row}" for row in idle]
    assert not told, "\n".join(told)
