"""The suite must kill these: our own statements, each with one guarantee taken out.

A mutant changes the text of SQL constants, and the state machine or an interleaving has to fail on it;
unchanged, both pass (`storage/test_state_machine.py`, `storage/test_interleavings.py`). A guard that no
test misses is either superfluous or unproven.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

import asyncpg
import pytest

from agenthub_postgres import (
    archive,
    cancellation,
    checkpoints,
    fenced,
    locks,
    plain_runs,
    queue,
    runs,
    thread_ttl,
    threads,
)
from storage import test_answers as answers
from storage import test_plain_runs as plain
from storage import test_policies as policies
from storage import test_runs as stored_runs
from storage import test_upkeep as upkeep
from testkit import interleavings as two
from testkit.core import Core
from testkit.machine import check

Interleaving: TypeAlias = Callable[[Core], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`killer` is an interleaving, or None for the state machine; `schema` takes belts off."""

    name: str
    changes: Sequence[tuple[ModuleType, str, str, str]]
    killer: Interleaving | None = None
    schema: Sequence[str] = field(default_factory=tuple[str, ...])


FENCE_EPOCH = ("and r.epoch = h.epoch", "")
FENCE_STATUS = ("and r.status = 'running'\n     offset 0 for share", "offset 0 for share")
SHARE = ("for share of r", "")
KEY_SHARE = ("for share of r", "for key share of r")
BACKWARDS = ("claims order by run_id", "claims order by run_id desc")
ASKED = "case when e.interrupts <> '{}'\n                       then now()"
OPEN = ("r.status in ('pending', 'running')", "r.status = 'running'")
FORGOTTEN = ("f.kind = 'update' and t.open_task is not null", "false")
STALE = ("s.version <> t.version as stale", "false as stale")
NO_PROMOTION = ("order by p.run_id limit 1", "order by p.run_id limit 0")


def claim(old: str, new: str) -> list[tuple[ModuleType, str, str, str]]:
    """A change of both statements that claim."""
    return [(queue, name, old, new) for name in ("CLAIM", "CLAIM_WITH_SUSPECTS")]


MUTANTS = [
    Mutant("checkpoint ignores the epoch", [(fenced, "WRITE", *FENCE_EPOCH)]),
    Mutant("checkpoint ignores the status", [(fenced, "WRITE", *FENCE_STATUS)]),
    Mutant("append ignores the epoch", [(fenced, "APPEND", *FENCE_EPOCH)]),
    Mutant("append ignores the status", [(fenced, "APPEND", *FENCE_STATUS)]),
    Mutant("finish ignores the epoch", [(fenced, "FINISH", "and r.epoch = e.epoch", "")]),
    Mutant(
        "finish ignores the status",
        [(fenced, "FINISH", "and r.status = 'running'\n     offset 0 for no key", "offset 0 for no key")],
    ),
    Mutant("renew ignores the epoch", [(queue, "RENEW", *FENCE_EPOCH)]),
    Mutant("release ignores the epoch", [(queue, "RELEASE", *FENCE_EPOCH)]),
    Mutant(
        "release counts as a failure",
        [(queue, "RELEASE", "set status = 'pending',", "set failures = failures + 1, status = 'pending',")],
    ),
    Mutant("claim keeps the epoch", claim("r.epoch + 1", "greatest(r.epoch, 1)")),
    Mutant(
        "claim ignores the line",
        claim("and ready and failures = 0", "and failures = 0"),
        schema=[
            "alter table runs drop constraint runs_check",
            "drop index runs_one_ready",
        ],
    ),
    Mutant("claim forgets the log", claim("select max(e.seq)", "select min(e.seq)")),
    Mutant(
        "claim trusts an old snapshot",
        [(queue, "RELEASE", "available_at = now(),", "")],
        two.a_claim_that_lost_a_race_does_not_start_with_an_old_log,
    ),
    Mutant(
        "reap ignores the expiry",
        [(queue, "REAP", "and lease_expires_at < now()", "")],
    ),
    Mutant("reap counts no failure", [(queue, "REAP", "r.failures + 1", "r.failures")]),
    Mutant("giving up leaves the head", [(queue, "GIVE_UP", "ready = false", "ready = true")]),
    Mutant(
        "finish does not promote",
        [(fenced, "FINISH", "order by p.run_id limit 1", "limit 0")],
    ),
    Mutant(
        "finish promotes the youngest",
        [(fenced, "FINISH", "order by p.run_id limit 1", "order by p.run_id desc limit 1")],
    ),
    *(
        Mutant(f"finish trusts an old snapshot: {killer.__name__}", [(fenced, "FINISH", *STALE)], killer)
        for killer in (
            two.a_finish_waits_for_the_create_and_promotes_what_it_made,
            two.a_pause_waits_for_the_create_and_is_superseded_by_it,
            two.a_finish_that_waits_for_a_cancellation_promotes_only_what_is_left,
            two.a_finish_that_waits_for_the_last_cancellation_leaves_the_thread_idle,
            two.a_pause_that_waits_for_a_cancellation_keeps_its_questions,
        )
    ),
    *(
        Mutant(f"a cancellation decides unlocked: {killer.__name__}", [(cancellation, "ASK", *OPEN)], killer)
        for killer in (
            two.a_cancellation_that_meets_a_claim_asks_its_worker,
            two.a_cancellation_that_meets_a_release_ends_the_run,
        )
    ),
    Mutant("cancel does not promote", [(cancellation, "PROMOTE", *NO_PROMOTION)]),
    Mutant(
        "cancel forgets the thread",
        [(cancellation, "LEAVE_THREAD", "t.open_runs - 1", "t.open_runs")],
    ),
    Mutant("resume ignores what is open", [(runs, "CREATE", "old.interrupts ?& $13::text[]", "true")]),
    Mutant(
        "resume leaves its question open",
        [(runs, "CREATE", "old.interrupts - $13::text[]", "old.interrupts")],
    ),
    Mutant(
        "new input keeps the old task",
        [(runs, "CREATE", "and t.status = 'input_required'", "and false")],
    ),
    Mutant(
        "a busy thread is idle", [(plain_runs, "IDLE", "t.open_runs = 0 and ", "")],
        plain.test_who_comes_when_the_head_has_ended_stands_behind_the_next,
    ),
    Mutant("a thread that waits is idle", [(plain_runs, "IDLE", "and t.open_task is null", "")]),
    Mutant(
        "a task whose questions are gone is forgotten",
        [(fenced, "FINISH", *FORGOTTEN)],
        two.a_task_whose_questions_are_gone_is_superseded,
    ),
    Mutant(
        "an update's questions are nobody's",
        [(fenced, "FINISH", "f.kind = 'update' and t.open_task is not null", "f.kind = 'update'")],
        answers.test_a_question_that_a_state_update_leaves_is_its_own_to_answer,
    ),
    Mutant(
        "idle threads are not locked", [(plain_runs, "IDLE", "for no key update of t skip locked", "")],
        two.runs_on_one_thread_at_once_stand_in_line,
    ),
    Mutant(
        "idle threads are waited for", [(plain_runs, "IDLE", "of t skip locked", "of t")],
        two.runs_on_one_thread_at_once_stand_in_line,
    ),
    Mutant(
        "any agent goes on where nothing runs", [(plain_runs, "IDLE", "(g.flag or", "(true or g.flag or")],
        stored_runs.test_a_thread_stays_with_the_agent_of_its_first_run,
    ),
    Mutant("a queued input is no rival", [(fenced, "FINISH", "bool_or(p.kind = 'input')", "false")]),
    Mutant("a queued answer is no answer", [(fenced, "FINISH", "- coalesce(l.answered, '{}')", "")]),
    Mutant(
        "no lock in a write", [(fenced, "WRITE", *SHARE)],
        two.a_stale_write_waits_for_the_reclaim_and_is_refused,
    ),
    Mutant(
        "too weak a lock in a write", [(fenced, "WRITE", *KEY_SHARE)],
        two.giving_up_waits_for_a_write_and_ends_the_log_behind_it,
    ),
    Mutant(
        "no lock that a reaper sees", [(fenced, "WRITE", *SHARE)],
        two.an_owner_that_is_writing_is_not_reaped,
    ),
    Mutant(
        "no lock in an append", [(fenced, "APPEND", *SHARE)],
        two.stale_events_wait_for_the_reclaim_and_are_refused,
    ),
    Mutant(
        "no lock in a finish", [(fenced, "FINISH", "for no key update of r", "")],
        two.a_stale_finish_waits_for_the_reclaim_and_is_refused,
    ),
    Mutant(
        "writes lock backwards", [(fenced, "WRITE", *BACKWARDS)],
        two.writes_lock_their_runs_in_one_order,
    ),
    Mutant(
        "renewals lock backwards",
        [(queue, "RENEW", "order by h.run_id", "order by h.run_id desc")],
        two.renewals_lock_their_runs_in_one_order,
    ),
    Mutant(
        "releases lock backwards",
        [(queue, "RELEASE", "order by h.run_id", "order by h.run_id desc")],
        two.releases_lock_their_runs_in_one_order,
    ),
    Mutant(
        "a deletion does not wait", [(threads, "LOCK_RUNS", "order by run_id for update", "")],
        two.a_deletion_of_the_thread_waits_for_a_write_and_refuses,
    ),
    Mutant(
        "another try ignores the epoch", [(queue, "RETRY", *FENCE_EPOCH)],
        policies.test_a_lost_lease_gives_nothing_back,
    ),
    Mutant(
        "another try of what was cancelled waits",
        [(queue, "RETRY", "r.cancel_action is null", "true")],
        policies.test_a_run_that_is_cancelled_as_it_is_given_back_does_not_wait,
    ),
    Mutant(
        "another try counts nothing", [(queue, "RETRY", "r.retries + 1", "r.retries")],
        policies.test_a_run_is_given_back_with_the_failure_of_its_agent,
    ),
    Mutant(
        "another try does not wait", [(queue, "RETRY", "now() + $4::interval", "now() - $4::interval")],
        policies.test_a_run_that_is_tried_again_waits_for_its_time,
    ),
    Mutant(
        "an answer inherits nothing", [(runs, "CREATE", "a.run_id = place.last_run", "false")],
        policies.test_an_answer_inherits_how_its_task_is_looked_after,
    ),
    Mutant(
        "no question is due", [(fenced, "FINISH", ASKED, "case when false then now()")],
        policies.test_questions_are_due_when_their_run_says_so,
    ),
    Mutant(
        "every run is due", [(fenced, "FINISH", ASKED, "case when true then now()")],
        policies.test_a_run_that_asks_nothing_is_never_due,
    ),
    Mutant(
        "any agent goes on anywhere", [(runs, "CREATE", "($22::boolean or", "(true or $22::boolean or")],
        stored_runs.test_a_thread_stays_with_the_agent_of_its_first_run,
    ),
    Mutant(
        "a run that is deleted looks at no other",
        [(locks, "THREAD_OF_RUN", "t.open_runs", "0 as open_runs")],
        upkeep.test_a_run_whose_state_another_goes_on_from_is_not_deleted,
    ),
    Mutant(
        "a deletion of a run does not wait", [(locks, "THREAD_OF_RUN", "for no key update", "")],
        upkeep.test_a_deletion_of_a_run_waits_for_who_goes_on_from_it,
    ),
    Mutant(
        "no delta needs a deleted run",
        [(archive, "DELETE_RUNS", "n.last > c.checkpoint_id", "false")],
        upkeep.test_a_deleted_run_leaves_the_writes_that_a_later_delta_is_rebuilt_from,
    ),
    Mutant(
        "a prune looks at no run", [(checkpoints, "LOCK_THREADS", "t.open_runs > 0", "false")],
        upkeep.test_a_thread_with_a_run_in_line_is_not_pruned,
    ),
    Mutant(
        "a prune does not wait", [(checkpoints, "LOCK_THREADS", "for no key update of t", "")],
        upkeep.test_a_prune_waits_for_who_goes_on_from_the_thread,
    ),
    Mutant(
        "only tasks have a log",
        [(threads, "DELETE", "union select tenant_id, task_id from gone_runs", "")],
        upkeep.test_the_events_of_a_state_update_go_with_its_thread,
    ),
    Mutant(
        "a forgotten thread may have changed",
        [(threads, "LOCK", "updated_at < now() - $3::interval", "$3::interval is not null")],
        partial(upkeep.test_a_thread_that_changed_while_tidying_waited_stays, kind={"ephemeral": True}),
    ),
    Mutant(
        "a forgotten thread may ask", [(threads, "LOCK", "and interrupts = '{}'", "")],
        upkeep.test_a_thread_that_asked_while_tidying_waited_keeps_its_question,
    ),
    Mutant(
        "a thread is due whenever it was found",
        [(thread_ttl, "MOVE_ON", "t.updated_at + x.ttl <= now() as due", "true as due")],
        partial(upkeep.test_a_thread_that_changed_while_tidying_waited_stays, kind={}),
    ),
    Mutant(
        "a forgotten thread is not waited for",
        [(threads, "LOCK", "and thread_id = $2 for update", "and thread_id = $2")],
        partial(upkeep.test_a_thread_that_changed_while_tidying_waited_stays, kind={}),
    ),
    Mutant(
        "a renewed time to live is over", [(thread_ttl, "MOVE_ON", "and x.expires_at < now()", "")],
        upkeep.test_a_time_to_live_that_was_renewed_while_the_sweep_waited_counts,
    ),
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
async def test_the_suite_kills(core: Core, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    for statement in mutant.schema:
        await core.value(statement)
    for module, constant, old, new in mutant.changes:
        sound = getattr(module, constant)
        assert sound.count(old) == 1, f"{constant} does not have {old!r} once"
        changed = sound.replace(old, new)
        async with core.db.pool.acquire() as connection:
            await connection.prepare(changed)  # a mutant that is no SQL would die of that alone
        monkeypatch.setattr(module, constant, changed)
    # a test that saw it, or a constraint of the schema that held
    seen = (AssertionError, pytest.fail.Exception, asyncpg.IntegrityConstraintViolationError)
    with pytest.raises(seen):
        await (mutant.killer or _machine)(core)


async def _machine(core: Core) -> None:
    await check(core, examples=150, shrink=False)
