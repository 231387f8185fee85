"""Runs on threads of their own, which are made by a statement of their own."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from agenthub.runs import RunRequest
from testkit.core import Core

ROWS = """
select to_jsonb(t) || jsonb_build_object('run', to_jsonb(r), 'task', to_jsonb(k)) from runs r
  join threads t using (tenant_id, thread_id) join tasks k using (tenant_id, task_id) where r.run_id = $1
"""


async def test_a_run_on_a_thread_of_its_own_is_stored_like_any_other(core: Core) -> None:
    request = RunRequest(input={"n": 1}, retry={"max_attempts": 3}, modes=("values",))
    how: dict[str, Any] = {
        "request": request, "subject": "ada", "metadata": {"k": 1}, "thread_metadata": {"topic": "x"},
        "origin": {"p": "mcp"}, "multitask": "reject", "ephemeral": True, "priority": 3,
        "delay": timedelta(hours=1),
    }  # fmt: skip
    stored: list[str] = []
    for new_thread in (True, False):
        run = await core.create(new_thread=new_thread, **how)
        row = str(await core.value(ROWS, run.run_id))
        for id in (run.run_id, run.thread_id):
            row = row.replace(str(id), "an id")
        # two moments
        stored.append(re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+", "a time", row))
        assert (await core.thread(run.thread_id)).open_runs == 1
    assert stored[0] == stored[1]
