"""The durable core against a model of it: random histories of clients, workers and expiries.

Each example runs in a tenant of its own, so that nothing needs to be emptied. The model is what
reliability.md §3 says in words; every rule compares an answer, `agrees` compares all rows, and `quiesce`
lets everything end and looks at the logs. The rules take stale leases as readily as live ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agenthub.errors import Conflict, LeaseLost, NotFound, UnknownInterrupt
from agenthub.ids import new_id
from agenthub.json import loads
from agenthub.ports import Claimed
from agenthub.runs import Multitask, RunStatus
from testkit.core import Core

T = TypeVar("T")
MAX_FAILURES = 1
ENDS: dict[RunStatus, tuple[str, str]] = {
    "success": ("idle", "completed"),
    "error": ("error", "failed"),
    "timeout": ("error", "failed"),
    "interrupted": ("interrupted", "canceled"),
}

# all that `agrees` compares, in one round trip
STATE = """
select (select coalesce(json_object_agg(run_id, json_build_array(status, ready, epoch)), '{}')
          from runs where tenant_id = $1) as runs,
       (select coalesce(json_object_agg(thread_id, json_build_array(status, open_runs,
                 (select coalesce(json_agg(k order by k), '[]') from jsonb_object_keys(interrupts) k))), '{}')
          from threads where tenant_id = $1) as threads,
       (select coalesce(json_object_agg(task_id, status), '{}') from tasks where tenant_id = $1) as tasks
"""


@dataclass(slots=True)
class ModelRun:
    thread: int
    run_id: UUID
    task_id: UUID
    kind: str
    answers: frozenset[str]
    status: str = "pending"
    owner: int | None = None
    epoch: int = 0
    failures: int = 0
    expired: bool = False


@dataclass(slots=True)
class ModelTask:
    status: str = "working"
    seq: int = 0


@dataclass(slots=True)
class ModelThread:
    thread_id: UUID
    line: list[UUID] = field(default_factory=list)
    status: str = "idle"
    questions: set[str] = field(default_factory=set)
    open_task: UUID | None = None


class CoreMachine(RuleBasedStateMachine):
    """See the module. `core` and `loop` are set on a subclass by `check`."""

    core: Core
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop that owns the connections; this is another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    @initialize(opening=st.sampled_from(["empty", "paused", "paused", "stolen"]))
    def fresh(self, opening: str) -> None:
        base = self.core
        self.hub = Core(base.db, base.writer, base.tail, tenant=f"t-{new_id()}")
        self.threads = [ModelThread(new_id()) for _ in range(3)]
        self.runs: dict[UUID, ModelRun] = {}
        self.tasks: dict[UUID, ModelTask] = {}
        self.claims: list[Claimed] = []
        self.asked = 0
        # what takes many lucky steps to reach is where some histories begin
        if opening != "empty":
            self.enqueue(0, "enqueue")
            self.claim(1)
        if opening == "paused":
            self._pause(0, 2)
        if opening == "stolen":
            self._expire(next(iter(self.runs.values())))
            self.reap()
            self.claim(1)

    # --- clients --------------------------------------------------------------------------------

    @rule(at=st.integers(0, 2), multitask=st.sampled_from(["enqueue", "enqueue", "reject"]))
    def enqueue(self, at: int, multitask: Multitask) -> None:
        thread = self.threads[at]
        try:
            run = self.do(self.hub.create(thread.thread_id, multitask))
        except Conflict:
            assert multitask == "reject"
            assert thread.line, "an idle thread refused a run"
            return
        assert multitask == "enqueue" or not thread.line
        if thread.questions:
            assert thread.open_task is not None
            # one that has an answer in line goes on; its own end tells what becomes of it
            if all(self.runs[r].task_id != thread.open_task for r in thread.line):
                self.tasks[thread.open_task].status = "canceled"
        self.tasks[run.run_id] = ModelTask()
        thread.questions = set()
        thread.open_task = run.run_id
        self._add(at, run.run_id, run.run_id, "input", frozenset())

    @rule(at=st.integers(0, 2))
    def answer_what_nobody_asked(self, at: int) -> None:
        self._answer(at, "never-asked")

    @precondition(lambda self: any(t.questions for t in self.threads))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        open_ = [(at, q) for at, t in enumerate(self.threads) for q in sorted(t.questions)]
        self._answer(*data.draw(st.sampled_from(open_)))

    def _answer(self, at: int, question: str) -> None:
        thread = self.threads[at]
        try:
            run = self.do(self.hub.resume(thread.thread_id, question, make_thread=True))
        except (UnknownInterrupt, NotFound):
            assert question == "never-asked"
            return
        assert question in thread.questions, "a question was answered that was not open"
        assert run.task_id == thread.open_task
        thread.questions.discard(question)
        self.tasks[run.task_id].status = "working"
        self._add(at, run.run_id, run.task_id, "resume", frozenset({question}))

    def _add(
        self, at: int, run_id: UUID, task_id: UUID, kind: str, answers: frozenset[str]
    ) -> None:
        thread = self.threads[at]
        self.runs[run_id] = ModelRun(at, run_id, task_id, kind, answers)
        thread.line.append(run_id)
        thread.status = "busy"

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        model = self.runs[data.draw(st.sampled_from(sorted(self.runs)))]
        run = self.do(self.hub.runs.get(self.hub.tenant, model.run_id))
        assert run is not None
        cancelled = self.do(self.hub.cancel(run))
        if model.status == "pending":
            assert cancelled is not None
            assert cancelled.ended
            thread = self.threads[model.thread]
            if thread.line[0] == model.run_id or model.kind == "input":
                self.tasks[model.task_id].seq += 1
            self._left(model, "interrupted", "interrupted")
            thread.questions = set()
            self.tasks[model.task_id].status = "canceled"
        elif model.status == "running":
            assert cancelled is not None
            assert not cancelled.ended
        else:
            assert cancelled is None

    def _left(self, model: ModelRun, status: str, thread_status: str) -> None:
        thread = self.threads[model.thread]
        thread.line.remove(model.run_id)
        thread.status = "busy" if thread.line else thread_status
        model.status, model.owner = status, None

    # --- workers --------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        heads = {t.line[0] for t in self.threads if t.line}
        claimable = {h for h in heads if self.runs[h].status == "pending"}
        claimed = self.do(self.hub.claim(limit))
        assert len(claimed) == min(limit, len(claimable)), "a claim missed a run"
        for one in claimed:
            model = self.runs[one.lease.run_id]
            assert model.run_id in claimable, "a run was claimed out of its turn"
            assert one.lease.epoch == model.epoch + 1, "an epoch was used twice"
            assert one.last_seq == self.tasks[model.task_id].seq, (
                "events of earlier attempts missed"
            )
            assert one.failures == model.failures
            model.status, model.epoch, model.expired = "running", one.lease.epoch, False
            model.owner = len(self.claims)
            self.claims.append(one)

    def _claim(self, data: st.DataObject) -> tuple[int, Claimed, ModelRun, bool]:
        """Any lease that was ever given, and whether it is still held."""
        at = data.draw(st.sampled_from(self._live() * 2 + self._rivals() * 2 or [0]))
        if data.draw(st.booleans()) and not self._rivals():
            at = data.draw(st.integers(0, len(self.claims) - 1))
        model = self.runs[self.claims[at].lease.run_id]
        return at, self.claims[at], model, at in self._live()

    def _live(self) -> list[int]:
        return [m.owner for m in self.runs.values() if m.owner is not None]

    def _rivals(self) -> list[int]:
        """Lost leases of runs that someone else holds now."""
        return [
            at
            for at, claimed in enumerate(self.claims)
            if (m := self.runs[claimed.lease.run_id]).status == "running" and m.owner != at
        ]

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), count=st.integers(1, 3))
    def append(self, data: st.DataObject, count: int) -> None:
        at, claimed, model, live = self._claim(data)
        task = self.tasks[model.task_id]
        seqs = range(task.seq + 1, task.seq + 1 + count)
        assert self._held(self.hub.append(claimed, *seqs)) == live, f"append by lease {at}"
        if live:
            task.seq += count

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def checkpoint(self, data: st.DataObject) -> None:
        at, claimed, _, live = self._claim(data)
        id_ = str(new_id())
        assert self._held(self.hub.checkpoint(claimed, id_)) == live, f"checkpoint by lease {at}"

    def _held(self, write: Coroutine[Any, Any, Any]) -> bool:
        try:
            self.do(write)
        except LeaseLost:
            return False
        return True

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        at, claimed, model, live = self._claim(data)
        kept = self.do(self.hub.queue.renew([claimed.lease], lease=timedelta(seconds=60)))
        assert [r.lease for r in kept] == ([claimed.lease] if live else []), f"renewal of {at}"
        if live:
            model.expired = False

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        _, claimed, model, live = self._claim(data)
        self.do(self.hub.queue.release([claimed.lease]))
        if live:
            model.status, model.owner = "pending", None

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), status=st.sampled_from(["success", "success", "error", "interrupted"]),
          questions=st.integers(0, 2))  # fmt: skip
    def finish(self, data: st.DataObject, status: RunStatus, questions: int) -> None:
        at, claimed, _, live = self._claim(data)
        asks: list[str] = []
        if status == "success":
            self.asked += questions
            asks = [f"q{self.asked - i}" for i in range(questions)]
        held = self._held(self.hub.finish(claimed, status, questions=asks))
        assert held == live, f"finish by lease {at}"
        if live:
            self._finished(claimed, status, set(asks))

    @precondition(lambda self: self._live())
    @rule(data=st.data(), questions=st.integers(1, 2))
    def pause(self, data: st.DataObject, questions: int) -> None:
        self._pause(data.draw(st.sampled_from(self._live())), questions)

    def _pause(self, at: int, questions: int) -> None:
        claimed = self.claims[at]
        self.asked += questions
        asks = [f"q{self.asked - i}" for i in range(questions)]
        model = self.runs[claimed.lease.run_id]
        for behind in self.threads[model.thread].line[1:]:
            # LangGraph asks again what this run did not answer
            asks += sorted(self.runs[behind].answers)
        assert self._held(self.hub.finish(claimed, questions=asks)), "a live lease is lost"
        self._finished(claimed, "success", set(asks))

    def _finished(self, claimed: Claimed, status: RunStatus, asks: set[str]) -> None:
        model = self.runs[claimed.lease.run_id]
        thread, task = self.threads[model.thread], self.tasks[model.task_id]
        task.seq += 1
        thread_status, task.status = ENDS[status]
        if asks:
            thread_status, task.status = "interrupted", "input_required"
        self._left(model, status, thread_status)
        behind = [self.runs[r] for r in thread.line]
        superseded = any(r.kind == "input" for r in behind)
        if any(r.task_id == model.task_id for r in behind):
            task.status = "working"
        elif superseded and asks:
            task.status = "canceled"
        thread.questions = set() if superseded else asks - {a for r in behind for a in r.answers}
        if thread.questions:
            thread.open_task = model.task_id

    @precondition(lambda self: any(len(t.questions) > 1 for t in self.threads))
    @rule()
    def answer_one_by_one(self) -> None:
        at, thread = next((i, t) for i, t in enumerate(self.threads) if len(t.questions) > 1)
        for question in sorted(thread.questions):
            self._answer(at, question)

    @precondition(lambda self: self._rivals())
    @rule(data=st.data())
    def a_lost_lease_does_nothing(self, data: st.DataObject) -> None:
        claimed = self.claims[data.draw(st.sampled_from(self._rivals()))]
        seq = self.tasks[claimed.task_id].seq + 1
        assert not self._held(self.hub.append(claimed, seq)), "a lost lease appends"
        assert not self._held(self.hub.checkpoint(claimed, str(new_id()))), "a lost lease stores"
        assert not self._held(self.hub.finish(claimed, "error")), "a lost lease finishes"
        self.do(self.hub.queue.release([claimed.lease]))
        assert not self.do(self.hub.queue.renew([claimed.lease], lease=timedelta(seconds=60)))

    # --- time -----------------------------------------------------------------------------------

    @precondition(lambda self: any(m.status == "running" for m in self.runs.values()))
    @rule(data=st.data())
    def lease_expires(self, data: st.DataObject) -> None:
        running = sorted(r for r, m in self.runs.items() if m.status == "running")
        self._expire(self.runs[data.draw(st.sampled_from(running))])

    def _expire(self, model: ModelRun) -> None:
        assert model.owner is not None
        self.do(self.hub.expire(self.claims[model.owner].lease))
        model.expired = True

    @precondition(lambda self: any(m.status == "running" for m in self.runs.values()))
    @rule()
    def reap(self) -> None:
        self.do(self.hub.reap(MAX_FAILURES))
        # its backoff is not the subject here
        self.do(self.hub.value("update runs set available_at = '-infinity' where tenant_id = $1",
                               self.hub.tenant))  # fmt: skip
        for model in self.runs.values():
            if model.status != "running" or not model.expired:
                continue
            if model.failures < MAX_FAILURES:
                model.status, model.owner, model.expired = "pending", None, False
            else:
                self._left(model, "error", "error")
                self.threads[model.thread].questions = set()
                self.tasks[model.task_id].seq += 1
                self.tasks[model.task_id].status = "failed"
            model.failures += 1

    @precondition(lambda self: self._live())
    @rule(data=st.data())
    def take_over(self, data: st.DataObject) -> None:
        self.lease_expires(data)
        self.reap()
        self.claim(limit=3)

    @rule()
    def tidy(self) -> None:
        promoted = self.do(self.hub.queue.tidy(ephemeral_ttl=timedelta(hours=1)))
        assert list(promoted) == [], "a line had lost its head"

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        """Runs, threads and tasks are as the model says; each line has its first run as its head."""
        if hasattr(self, "runs"):
            self.do(self._agrees())

    async def _agrees(self) -> None:
        (found,) = await self.hub.rows(STATE, self.hub.tenant)
        heads = {t.line[0] for t in self.threads if t.line}
        assert loads(found["runs"]) == {
            str(m.run_id): [m.status, m.run_id in heads, m.epoch] for m in self.runs.values()
        }, "the runs diverged"
        used = {m.thread for m in self.runs.values()}
        assert loads(found["threads"]) == {
            str(t.thread_id): [t.status, len(t.line), sorted(t.questions)]
            for i, t in enumerate(self.threads)
            if i in used
        }, "the threads diverged"
        assert loads(found["tasks"]) == {str(id): task.status for id, task in self.tasks.items()}, (
            "the tasks diverged"
        )

    def teardown(self) -> None:
        if hasattr(self, "runs"):
            self._quiesce()
            self.do(self._logs_are_sound())

    def _quiesce(self) -> None:
        """Every run ends, in the order of its thread's line (I1, I6, I14)."""
        for _ in range(len(self.runs) + 1):
            for at, claimed in enumerate(self.claims):
                model = self.runs[claimed.lease.run_id]
                if model.status == "running" and model.owner == at:
                    assert self._held(self.hub.finish(claimed, "success")), "a live lease is lost"
                    self._finished(claimed, "success", set())
            self.claim(limit=3)
        self.agrees()
        assert not any(t.line for t in self.threads), "a run never came to its end"

    async def _logs_are_sound(self) -> None:
        """I2, I3, I4 and I14 on what is stored."""
        tenant = self.hub.tenant
        unsound = await self.hub.rows(
            """
            with numbered as (
              select *, row_number() over (partition by task_id order by seq) as place,
                     lag(epoch) over (partition by task_id, run_id order by seq) as before,
                     lead(seq) over (partition by task_id, run_id order by seq) as after
                from events where tenant_id = $1
            )
            select task_id, seq, kind, epoch from numbered
             where seq <> place or epoch < before or (kind = 'ended') <> (after is null)
            """,
            tenant,
        )
        assert not unsound, f"a log is unsound: {unsound}"
        counts = await self.hub.rows(
            "select task_id, count(*) as n from events where tenant_id = $1 group by 1", tenant
        )
        logged = {r["task_id"]: r["n"] for r in counts}
        assert logged == {id: t.seq for id, t in self.tasks.items() if t.seq}
        leftover = await self.hub.value(
            """select count(*) from runs where tenant_id = $1
                and (ready or lease_expires_at is not null or ended_at is null)""",
            tenant,
        )
        assert leftover == 0, "something is left of a run that ended"


async def check(
    core: Core, *, examples: int, steps: int = 30, shrink: bool = True, seedless: bool = True
) -> None:
    """Run the machine; raises what it finds. Without shrinking where only the verdict counts."""

    class Machine(CoreMachine):
        pass

    Machine.core = core
    Machine.loop = asyncio.get_running_loop()
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=seedless,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=profile)
