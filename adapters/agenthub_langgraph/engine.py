"""The engine: one run of one graph, as events and a finish.

LangGraph facts that it respects (reliability.md §5, a2a.md §4): answers go in by interrupt id only;
after a crash a run goes on with `None` as its input; an entrypoint is one superstep, so its finished
tasks are replayed from their writes; static breakpoints end a run without a question, so the engine
asks one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from uuid import uuid5

from langchain_core.messages import BaseMessageChunk
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.pregel import Pregel
from langgraph.types import Command, StateSnapshot

from agenthub import emit, events
from agenthub.emitted import REJECTED
from agenthub.errors import LeaseLost
from agenthub.ids import ASSISTANT_NAMESPACE, assistant_id
from agenthub.interrupts import Interrupt
from agenthub.json import Json, JsonObject, loads
from agenthub.ports import CheckpointStore, Claimed, Finish, LeaseWriter
from agenthub.principal import ANONYMOUS
from agenthub.recorder import Recorder
from agenthub.threads import StepView
from agenthub_langgraph import updates
from agenthub_langgraph.callbacks import EVENTS, astream_with_events
from agenthub_langgraph.driver import adapted_of
from agenthub_langgraph.driver_shown import shown
from agenthub_langgraph.driver_state import SAVER, with_paused
from agenthub_langgraph.encode import encode
from agenthub_langgraph.saver import LeasedSaver
from agenthub_langgraph.serde import serializer
from agenthub_langgraph.store import HubStore
from agenthub_langgraph.tracing import attached
from agenthub_langgraph.updates import goto_of, update_of
from agenthub_langgraph.usage import Usage
from agenthub_langgraph.voice import Speech, Spoken

log = logging.getLogger(__name__)

AnyGraph = Pregel[Any, Any, Any, Any]
INTERRUPT = "__interrupt__"
STREAMED = ["values", "updates", "messages", "custom", "checkpoints"]
# `__pregel_…` steers LangGraph itself, and who is calling is not for the caller to say
_NOT_ASKED = ("__", "langgraph_auth_")
MESSAGE_CHARACTERS = 2000
"""An error's message is cut there: it goes to clients."""


@dataclass(slots=True)
class Outcome:
    """What the stream of a run has shown so far."""

    values: Any = None
    # the last values as they were recorded, if they were: a large state is encoded once
    shown: bytes | None = None
    paused: bool = False
    usage: Usage = field(default_factory=Usage)


class LangGraphEngine:
    """`agenthub.attempt.Engine` for the graphs of one environment."""

    def __init__(
        self,
        graphs: Mapping[str, AnyGraph],
        *,
        checkpoints: CheckpointStore,
        writer: LeaseWriter,
        store: HubStore | None = None,
        most_emitted_bytes: int = emit.MOST_BYTES,
    ) -> None:
        self.graphs = graphs
        self.most_emitted_bytes = most_emitted_bytes
        self.checkpoints = checkpoints
        self.writer = writer
        self.store = store
        self.serdes = {name: _serde(graph) for name, graph in graphs.items()}

    def admit(self, name: str, graph: AnyGraph) -> None:
        """Take in an agent that was not there when the worker began."""
        self.graphs = {**self.graphs, name: graph}
        self.serdes[name] = _serde(graph)

    async def execute(self, claimed: Claimed, recorder: Recorder) -> Finish:
        """See `agenthub.attempt.Engine`."""
        graph = self.graphs.get(claimed.agent)
        if graph is None:
            return _failure(LookupError(f"this worker does not have agent {claimed.agent!r}"))
        me = asyncio.current_task()
        lost = False

        def on_lost() -> None:
            nonlocal lost
            lost = True
            if me is not None:
                me.cancel()

        saver = LeasedSaver(
            self.checkpoints,
            self.writer,
            claimed.lease,
            serde=self.serdes[claimed.agent],
            wait=claimed.request.durability == "sync",
            has_state=claimed.has_state,
            thread_id=str(claimed.thread_id),
            on_lost=on_lost,
        )
        update: dict[str, Any] = {"checkpointer": saver}
        if graph.store is None and self.store is not None:
            update["store"] = self.store.leased(claimed.lease, on_lost)
        perform = self._update if claimed.kind == "update" else self._run
        try:
            with (
                attached(claimed.request.trace),
                Speech(claimed, recorder, self.most_emitted_bytes) as speech,
            ):
                finish = await perform(graph.copy(update=update), saver, claimed, recorder)
                return speech.settled(finish)
        except asyncio.CancelledError:
            if lost:
                raise LeaseLost(claimed.lease) from None
            raise

    async def _run(
        self, graph: AnyGraph, saver: LeasedSaver, claimed: Claimed, recorder: Recorder
    ) -> Finish:
        outcome = Outcome()
        config = _config(claimed)
        config["callbacks"] = [outcome.usage]
        if adapted_of(graph) is not None:
            config["configurable"] = {**config.get("configurable", {}), SAVER: saver}
        limit = asyncio.timeout(claimed.request.timeout_seconds)
        saver.cancelled = lambda: recorder.cancelled or limit.expired()
        try:
            async with limit:
                given = await _input(graph, saver, claimed, config)
                await self._stream(graph, given, config, saver, claimed, recorder, outcome)
        except LeaseLost:
            raise
        except Exception as error:  # user code: its failure is a result
            if isinstance(error, TimeoutError) and limit.expired():
                await self._view_failed(graph, saver, config)
                return _timed_out(claimed, outcome)
            log.info("run %s failed", claimed.lease.run_id, exc_info=error)
            await self._view_failed(graph, saver, config)
            return _failure(error, outcome.usage.total)
        interrupts: tuple[Interrupt, ...] = ()
        if outcome.paused:
            interrupts = await self._view_head(graph, saver, config, paused=True)
        return _finished(outcome, interrupts, recorder)

    async def _update(
        self, graph: AnyGraph, saver: LeasedSaver, claimed: Claimed, recorder: Recorder
    ) -> Finish:
        """Change the thread's state; the run's output is the state that this comes to."""
        config = _config(claimed)
        try:
            made = await updates.apply(graph, saver, claimed, config)
        except LeaseLost:
            raise
        except Exception as error:  # a node that is not there, or values that it cannot write
            return _failure(error)
        questions = await self._view_head(graph, saver, config, paused=False)
        head = await graph.aget_state({"configurable": _latest(config)})
        at = made.get("configurable", {})
        told = {name: at.get(name) for name in ("thread_id", "checkpoint_ns", "checkpoint_id")}
        recorder.emit(events.CHECKPOINTS, encode({"config": {"configurable": told}}))
        recorder.emit(events.VALUES, encode(head.values))
        return Finish(status="success", output=encode(head.values), interrupts=questions)

    async def _stream(
        self,
        graph: AnyGraph,
        given: Any,
        config: RunnableConfig,
        saver: LeasedSaver,
        claimed: Claimed,
        recorder: Recorder,
        outcome: Outcome,
    ) -> None:
        request = claimed.request
        recorded = events.RECORDED | set(request.modes)
        modes = [*STREAMED, *(m for m in request.modes if m not in (*STREAMED, EVENTS))]
        # the overloads follow the modes, which are only known at run time
        plain = cast("Any", graph).astream
        astream = partial(astream_with_events, graph) if EVENTS in request.modes else plain
        driven = adapted_of(graph)
        stream = astream(
            given,
            config,
            context=request.context,
            stream_mode=modes,
            subgraphs=request.subgraphs,
            durability=request.durability,
            interrupt_before=_nodes(request.interrupt_before),
            interrupt_after=_nodes(request.interrupt_after),
        )
        async with aclosing(stream) as parts:
            async for part in parts:
                ns, mode, payload = part if request.subgraphs else ((), *part)
                if mode == "custom" and isinstance(payload, Spoken):
                    payload.record("|".join(ns))
                    await recorder.room()
                    continue
                if driven is not None and (payload := shown(mode, payload, driven.name)) is None:
                    continue
                if mode == "checkpoints":
                    _view(saver, payload)
                elif mode == "values" and not ns:
                    outcome.values = payload
                elif mode == "messages":
                    outcome.usage.add(payload[0])
                elif mode == "updates" and not ns and INTERRUPT in payload:
                    outcome.paused = True
                if mode in recorded and (not ns or request.subgraphs or mode == "messages"):
                    data = encode(payload)
                    whole = mode == "messages" and not isinstance(payload[0], BaseMessageChunk)
                    at = "" if not request.subgraphs else "|".join(ns)
                    recorder.emit(mode, data, at, whole=whole)
                    if mode == "values" and not ns:
                        outcome.shown = data
                    await recorder.room()

    async def _view_head(
        self,
        graph: AnyGraph,
        saver: LeasedSaver,
        config: RunnableConfig,
        *,
        paused: bool,
    ) -> tuple[Interrupt, ...]:
        """Store what the last checkpoint waits for, with its questions; returns those."""
        await saver.settle()
        state = await graph.aget_state({"configurable": _latest(config)}, subgraphs=True)
        if not state.config.get("configurable", {}).get("checkpoint_id"):
            return ()
        questions = _questions(state, paused=paused)
        _view_all(saver, state, questions)
        return questions

    async def _view_failed(
        self, graph: AnyGraph, saver: LeasedSaver, config: RunnableConfig
    ) -> None:
        """The same, behind a failure: what a reducer has refused it refuses again when the state is put
        together."""
        try:
            await self._view_head(graph, saver, config, paused=False)
        except LeaseLost:
            raise
        except Exception:
            log.info("what the last checkpoint waits for cannot be told", exc_info=True)


def _view_all(saver: LeasedSaver, state: StateSnapshot, questions: Sequence[Interrupt]) -> None:
    """Store what a checkpoint waits for, and what those inside its subgraphs do."""
    at = state.config.get("configurable", {})
    if not at.get("checkpoint_id"):
        return
    steps = tuple(
        StepView(
            id=t.id,
            name=t.name,
            error=_error(t.error),
            interrupts=tuple(q for q in questions if q.step == t.id),
        )
        for t in state.tasks
    )
    saver.put_view(at.get("checkpoint_ns", ""), at["checkpoint_id"], steps)
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            _view_all(saver, task.state, _questions(task.state, paused=False))


def _view(saver: LeasedSaver, payload: JsonObject) -> None:
    at = payload["config"]["configurable"]
    steps = tuple(StepView(id=t["id"], name=t["name"]) for t in payload["tasks"])
    if steps:
        saver.view(at.get("checkpoint_ns", ""), at["checkpoint_id"], steps)


def _serde(graph: AnyGraph) -> JsonPlusSerializer:
    """The types that the graph declares come back as themselves: LangGraph derives that list when it compiles
    a graph, and forgets it when the graph is copied."""
    declared: set[tuple[str, ...]] | None = getattr(graph, "_serde_allowlist", None)
    return serializer(declared)


def _config(claimed: Claimed) -> RunnableConfig:
    request = claimed.request
    run_id = str(claimed.lease.run_id)
    ours = {
        "thread_id": str(claimed.thread_id),
        "run_id": run_id,
        "graph_id": claimed.agent,
        "assistant_id": request.assistant_id or str(assistant_id(claimed.agent)),
    }
    asked: JsonObject = request.config.get("configurable") or {}
    configurable: JsonObject = {
        **{k: v for k, v in asked.items() if not k.startswith(_NOT_ASKED)},
        **ours,
        "checkpoint_ns": "",
    }
    if claimed.subject != ANONYMOUS.subject:
        configurable["langgraph_auth_user_id"] = claimed.subject
    if request.checkpoint_id is not None:
        configurable["checkpoint_id"] = request.checkpoint_id
    config: RunnableConfig = {
        "configurable": configurable,
        # what an agent can key its side effects with: the run, its task and the attempt
        "metadata": {
            **claimed.metadata,
            **ours,
            "task_id": str(claimed.task_id),
            "run_attempt": claimed.lease.epoch,
        },
        "run_id": claimed.lease.run_id,
    }
    if request.config.get("recursion_limit"):
        config["recursion_limit"] = int(request.config["recursion_limit"])
    if request.config.get("tags"):
        config["tags"] = list(request.config["tags"])
    return config


def _latest(config: RunnableConfig) -> JsonObject:
    """Where the thread's last checkpoint is, whichever one the run began at."""
    return {k: v for k, v in config.get("configurable", {}).items() if k != "checkpoint_id"}


async def _input(
    graph: AnyGraph, saver: LeasedSaver, claimed: Claimed, config: RunnableConfig
) -> Any:
    """The graph's input: None when an earlier attempt of this run has already begun."""
    if claimed.lease.epoch > 1 and claimed.has_state:
        head = await saver.aget_tuple({"configurable": _latest(config)})
        if head is not None and head.metadata.get("run_id") == str(claimed.lease.run_id):
            config.get("configurable", {}).pop("checkpoint_id", None)
            return None
    request = claimed.request
    if request.answers is not None:
        answers = {k: v for k, v in request.answers.items() if not _is_breakpoint(k)}
        if not answers and request.goto is None and request.update is None:
            return None
        command: dict[str, Any] = {"resume": answers} if answers else {}
    elif request.goto is None and request.update is None:
        if claimed.has_state and request.input is not None and adapted_of(graph) is not None:
            return await with_paused(saver, request.input, config)
        return request.input
    else:
        command = {}
    if request.goto is not None:
        command["goto"] = goto_of(request.goto)
    if request.update is not None:
        command["update"] = update_of(request.update)
    return Command(**command)


def _finished(outcome: Outcome, interrupts: tuple[Interrupt, ...], recorder: Recorder) -> Finish:
    values: Any = outcome.values
    output = outcome.shown
    if output is None:
        output = encode(values)
        recorder.emit(events.VALUES, output)
    if isinstance(values, dict) and INTERRUPT in values:
        state = cast("dict[str, Any]", values)
        output = encode({k: v for k, v in state.items() if k != INTERRUPT})
    return Finish(
        status="success",
        output=output,
        interrupts=interrupts,
        usage=outcome.usage.total,
    )


def _timed_out(claimed: Claimed, outcome: Outcome) -> Finish:
    """The values of the last step that was finished in time are the run's output."""
    message = f"the run took longer than the {claimed.request.timeout_seconds:g} s that it had"
    return Finish(
        status="timeout",
        output=None if outcome.values is None else encode(outcome.values),
        error={"error": "TimeoutError", "message": message},
        usage=outcome.usage.total,
    )


def _failure(error: Exception, usage: JsonObject | None = None) -> Finish:
    message = str(error)[:MESSAGE_CHARACTERS] or type(error).__name__
    told: JsonObject = {"error": type(error).__name__, "message": message}
    if isinstance(error, emit.Rejected):
        told[REJECTED] = True
    return Finish(status="error", error=told, usage=usage)


# A static breakpoint stops a run with nothing to answer. So that every surface can go on from it, it
# becomes a question whose id says what it is.
_BREAKPOINT = "b" * 8


def _questions(state: StateSnapshot, *, paused: bool) -> tuple[Interrupt, ...]:
    asked = tuple(
        Interrupt(
            i.id,
            _json(i.value),
            i.response_schema if isinstance(i.response_schema, dict) else None,
            task.id,
        )
        for task in state.tasks
        for i in task.interrupts
    )
    if asked or not (paused and state.next):
        return asked
    at = str(state.config.get("configurable", {}).get("checkpoint_id"))
    id_ = _BREAKPOINT + uuid5(ASSISTANT_NAMESPACE, at).hex[8:]
    first = state.tasks[0].id if state.tasks else ""
    return (Interrupt(id_, {"question": "Continue?", "breakpoint": list(state.next)}, None, first),)


def _is_breakpoint(interrupt_id: str) -> bool:
    return interrupt_id.startswith(_BREAKPOINT)


def _json(value: Any) -> Json:
    return loads(encode(value))


def _nodes(names: tuple[str, ...]) -> Any:
    if not names:
        return None
    return "*" if names == ("*",) else list(names)


def _error(error: object) -> str | None:
    # read back from a checkpoint, it is a text already
    return error if error is None or isinstance(error, str) else repr(error)
