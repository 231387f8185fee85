"""A worker that stands still for longer than its lease: whoever wakes up writes nothing more."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from faults import clients
from faults.cluster import TIGHT, Cluster
from testkit.processes import Process
from testkit.waiting import eventually

COUNT = 3000


@contextmanager
def paused(worker: Process) -> Generator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    worker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.signal(signal.SIGCONT)


@pytest.mark.parametrize("agent", ["ten_steps", "ten_tasks"])
async def test_an_attempt_that_wakes_up_after_its_lease_stops_and_writes_nothing(
    hub: Cluster, agent: str
) -> None:
    hub.settings |= TIGHT
    await hub.start()
    journal = hub.journal()
    run = await clients.start(hub.url, agent, journal.order(5))
    sleeper = hub.worker_of(await journal.reached(5))
    with paused(sleeper):
        await hub.recovered(run["run_id"])
        await journal.reached(5, attempt=2)
        # both attempts stand in the same step, and both may go on
        journal.open(5)
    assert (await clients.output(hub.url, run))["done"] == list(range(1, 11))
    await works_on(hub, sleeper)
    late = [step for step, pid, _ in journal.lines if pid == sleeper.pid and step > 5]
    assert late in ([], [6]), "it may notice only at its next await"
    assert await hub.value("select failures from runs where run_id = $1", run["run_id"]) == 1
    await hub.holds()


async def test_what_an_attempt_had_not_stored_before_it_slept_is_refused(hub: Cluster) -> None:
    hub.settings |= TIGHT
    await hub.start()
    journal = hub.journal()
    order = {**journal.order(1), "count": COUNT}
    run = await clients.start(hub.url, "chatty", order)
    sleeper = hub.worker_of(await journal.reached(1))
    await eventually(lambda: hub.value("select max(seq) > 100 from events"))
    with paused(sleeper):
        journal.open(1)
        assert (await clients.output(hub.url, run))["done"][0] >= COUNT
        ended = len(await hub.log(run["run_id"]))
    await works_on(hub, sleeper)
    log = await hub.log(run["run_id"])
    assert len(log) == ended
    assert {row["epoch"] for row in log} == {1, 2}
    await hub.holds()


async def test_an_agent_that_blocks_its_worker_for_longer_than_the_lease_finishes_once(
    hub: Cluster,
) -> None:
    hub.settings |= TIGHT
    await hub.start()
    journal = hub.journal()
    order = {"journal": str(journal.path), "seconds": 8.0}
    run = await clients.start(hub.url, "blocks", order)
    sleeper = hub.worker_of(await journal.reached(1))
    assert (await clients.output(hub.url, run))["done"] == [2]
    await works_on(hub, sleeper)
    await hub.holds()


async def works_on(hub: Cluster, worker: Process) -> None:
    """Assert that a worker is well: alone, it executes a run."""
    for other in hub.workers:
        if other is not worker:
            other.signal(signal.SIGKILL)
    journal = hub.journal("after")
    run = await clients.start(hub.url, "brief", journal.order())
    assert (await clients.output(hub.url, run))["done"] == [1]
    assert [pid for _, pid, _ in journal.lines] == [worker.pid]
