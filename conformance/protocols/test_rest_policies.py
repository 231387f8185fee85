"""How runs are looked after: tries, time limits, deadlines of questions; what assistants say of it, and
what an answer inherits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from protocols.rest_client import http, refused, rest
from testkit import hub
from testkit.servers import Postgres, Valkey
from testkit.waiting import eventually

QUICK = {"max_attempts": 3, "initial_interval": 0.001}
SOON = 0.01


@pytest.fixture(scope="module")
async def sweeping(hub_url: str, postgres: Postgres, valkey: Valkey) -> AsyncGenerator[str]:
    """The hub, and another replica that looks for deadlines all the time."""
    config = hub.settings(postgres.url("hub_rest_agents"), valkey.url(15), cron_poll_seconds=0.05)
    async with hub.serving(config):
        yield hub_url


async def run_of(url: str, agent: str, input_: Any, **policy: Any) -> Any:
    """A run as it ended, created with fields that the SDK does not know."""
    async with rest(url) as client, http(url) as raw:
        thread = await client.threads.create()
        where = f"/threads/{thread['thread_id']}/runs"
        body = {"assistant_id": agent, "input": input_, **policy}
        created = (await raw.post(where, json=body)).raise_for_status().json()
        await client.runs.join(thread["thread_id"], created["run_id"])
        return await client.runs.get(thread["thread_id"], created["run_id"])


async def task_is(url: str, run: Any, status: str) -> None:
    """Wait until the thread's last run ended so, with nothing asked any more."""
    async with rest(url) as client:

        async def settled() -> bool:
            thread: Any = await client.threads.get(run["thread_id"])
            return thread["status"] == status and not thread["interrupts"]

        await eventually(settled)


async def test_a_run_whose_agent_fails_is_tried_again_from_its_last_step(hub_url: str) -> None:
    run = await run_of(hub_url, "stumbles", {"log": []}, retry=QUICK)
    assert run["status"] == "success"
    assert run["output"] == {"log": ["first", "attempt 3"]}
    assert (run["attempts"], run["error"]) == (3, None)


async def test_the_last_failure_is_the_runs_failure(hub_url: str) -> None:
    run = await run_of(hub_url, "stumbles", {"log": []}, retry={**QUICK, "max_attempts": 2})
    assert (run["status"], run["attempts"]) == ("error", 2)
    assert run["error"]["message"] == "attempt 2 stumbles"


async def test_a_run_is_tried_once_unless_it_says_otherwise(hub_url: str) -> None:
    run = await run_of(hub_url, "stumbles", {"log": []})
    assert (run["status"], run["attempts"]) == ("error", 1)


async def test_a_stream_goes_on_over_all_attempts(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread = await client.threads.create()
        body = {
            "assistant_id": "stumbles",
            "input": {"log": []},
            "retry": QUICK,
            "stream_mode": "updates",
        }
        response = await raw.post(f"/threads/{thread['thread_id']}/runs/stream", json=body)
    assert "attempt 3" in response.text
    assert "event: error" not in response.text


async def test_an_assistant_says_how_its_runs_are_looked_after(hub_url: str) -> None:
    async with rest(hub_url) as client:
        config: Any = {"policy": {"retry": {"initial_interval": 0.001}}}
        assistant = await client.assistants.create("stumbles", config=config)
        whole = {**QUICK, "backoff_factor": 2.0, "max_interval": 128.0}
        assert assistant["config"] == {"policy": {"retry": whole}}
    run = await run_of(hub_url, assistant["assistant_id"], {"log": []})
    assert (run["status"], run["attempts"]) == ("success", 3)
    own = {"max_attempts": 1}
    run = await run_of(hub_url, assistant["assistant_id"], {"log": []}, retry=own)
    assert (run["status"], run["attempts"]) == ("error", 1)


async def test_a_question_that_nobody_answers_gets_its_default(sweeping: str) -> None:
    deadline = {"seconds": SOON, "action": "answer", "value": "default"}
    run = await run_of(sweeping, "ask", 2, interrupt_deadline=deadline)
    await task_is(sweeping, run, "idle")
    async with rest(sweeping) as client:
        runs: list[Any] = await client.runs.list(run["thread_id"])
        assert [r["task_id"] for r in runs] == [run["task_id"]] * 2
        last = await client.runs.get(run["thread_id"], runs[0]["run_id"])
    assert last["output"] == {"doubled": 4, "answer": "default"}


async def test_all_open_questions_get_the_default(sweeping: str) -> None:
    deadline = {"seconds": SOON, "action": "answer", "value": 0}
    run = await run_of(sweeping, "ask_both", {"log": []}, interrupt_deadline=deadline)
    await task_is(sweeping, run, "idle")
    async with rest(sweeping) as client:
        state: Any = await client.threads.get_state(run["thread_id"])
    assert sorted(state["values"]["log"]) == ["left 0", "right 0"]


async def test_a_task_that_nobody_answers_is_cancelled(sweeping: str) -> None:
    run = await run_of(sweeping, "ask", 2, interrupt_deadline={"seconds": SOON})
    await task_is(sweeping, run, "idle")
    async with rest(sweeping) as client:
        assert len(await client.runs.list(run["thread_id"])) == 1
        with refused(409, "nothing to resume"):
            await client.runs.wait(run["thread_id"], "ask", command={"resume": "late"})


async def test_an_answer_in_time_is_what_counts(sweeping: str) -> None:
    run = await run_of(sweeping, "ask", 2, interrupt_deadline={"seconds": 3600})
    async with rest(sweeping) as client:
        values: Any = await client.runs.wait(run["thread_id"], "ask", command={"resume": "in time"})
    assert values["answer"] == "in time"


@pytest.mark.parametrize(
    "wrong",
    [
        {"retry": {"max_attempts": 0}},
        {"retry": {"initial_interval": -1}},
        {"interrupt_deadline": {"seconds": 0}},
        {"interrupt_deadline": {"seconds": 1, "action": "guess"}},
        {"interrupt_deadline": {"seconds": 1, "value": "for a cancellation"}},
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(hub_url: str, wrong: Any) -> None:
    async with http(hub_url) as raw:
        body = {"assistant_id": "ask", "input": 1, **wrong}
        assert (await raw.post("/runs", json=body)).status_code == 422
