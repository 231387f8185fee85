"""The driver: one agent of any framework as a LangGraph entrypoint, by its adapter.

A turn is one superstep: tasks that run a step each, and between them one task for each question of a
pause. LangGraph facts that it rests on (frameworks.md §2): results of tasks are replayed and not repeated;
questions that are asked side by side surface together only if one `GraphInterrupt` has them all; a new
input begins at the last finished turn, so what a paused agent held comes along with it
(`driver_state.with_paused`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.func import entrypoint, task
from langgraph.pregel import Pregel
from langgraph.runtime import get_runtime
from langgraph.types import interrupt

from agenthub.adapting import Adapter, Inbound, Outcome
from agenthub.agents import AgentInfo
from agenthub.json import Json, JsonObject
from agenthub.principal import ANONYMOUS
from agenthub_langgraph.driver_io import LangGraphIo
from agenthub_langgraph.driver_state import ASK, PAUSED, STEP, Progress, tools_of
from agenthub_langgraph.messages import added, as_json, given, plain

AnyGraph = Pregel[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Adapted:
    """An agent of a foreign framework, and who speaks for it. `make` gives the agent for a step: the one
    that there is, or a fresh one of a factory; `info` is its description, without schemas of messages."""

    adapter: Adapter
    make: Callable[[], Any]
    info: AgentInfo
    name: str


@dataclass(slots=True)
class Turn:
    """How far a turn has come. `said` are its messages so far, those of the user included,
    `tools` the names of the calls that it was paused at, by their ids."""

    base: JsonObject
    state: Json
    said: list[JsonObject]
    tools: JsonObject
    n: int = 0


def to_graph(obj: Any, adapter: Adapter, *, name: str, factory: bool = False) -> AnyGraph:
    """A graph that runs a foreign agent. With `factory`, `obj` makes one for each step.

    Raises:
        Exception: what the factory or the adapter's `describe` raises.
    """
    info = adapter.describe(_made(obj) if factory else obj)
    adapted = Adapted(adapter, obj if factory else lambda: obj, info, name)
    step, ask = _step_of(adapted), _ask()

    async def run(input: Any, *, previous: Any = None, config: RunnableConfig) -> Any:
        before: JsonObject = previous or {}
        turn, inbound = _begin(input, before, config)
        while True:
            out: JsonObject = await step(turn.n, turn.state, inbound, turn.said, turn.tools)
            turn.n, turn.state, turn.said = turn.n + 1, out["state"], out["said"]
            # a turn is of whom it began with, whoever answers its questions; of old, steps did not say
            turn.base["user_id"] = out.get("user", turn.base["user_id"])
            if out["status"] == "done":
                break
            if out["status"] == "boundary":
                inbound = {"kind": "continue", **turn.base}
                continue
            turn.tools = tools_of(out["asks"])
            answers = await _answers(ask, turn.n - 1, out["asks"])
            inbound = {"kind": "answers", "answers": answers, **turn.base}
        messages = added(before.get("messages") or (), turn.said)
        return entrypoint.final(
            value={"messages": messages, **_output(info, out)},
            save={"state": turn.state, "messages": messages},
        )

    run.__name__ = name
    run.__doc__ = info.description
    graph = cast("AnyGraph", entrypoint()(run))  # pyright: ignore[reportUnknownVariableType]
    graph.name = name
    # it goes where the function goes, and graphs are copied for every run
    run.__dict__["adapted"] = adapted
    return graph


def adapted_of(graph: AnyGraph) -> Adapted | None:
    """What a graph drives; None for LangGraph's own."""
    if len(graph.nodes) != 1:
        return None
    bound = next(iter(graph.nodes.values())).bound
    found = getattr(getattr(bound, "afunc", None), "adapted", None)
    return found if isinstance(found, Adapted) else None


def _begin(input: Any, before: JsonObject, config: RunnableConfig) -> tuple[Turn, JsonObject]:
    """A new turn, which may take over from one that was paused."""
    at = config.get("configurable", {})
    base: JsonObject = {
        "thread_id": str(at.get("thread_id", "")),
        "run_id": str(at.get("run_id") or config.get("run_id") or ""),
        "user_id": str(at.get("langgraph_auth_user_id") or ANONYMOUS.subject),
    }
    fields = cast("JsonObject", input) if isinstance(input, dict) else {"messages": input}
    paused: JsonObject = fields.get(PAUSED) or {}
    messages = given(fields.get("messages"))
    inbound: JsonObject = {
        "kind": "input",
        "messages": messages,
        "data": fields.get("data"),
        **base,
    }
    if paused:
        inbound["answers"] = paused["answers"]
    said = added(paused.get("said") or (), as_json(messages))
    return Turn(base, (paused or before).get("state"), said, paused.get("tools") or {}), inbound


def _step_of(adapted: Adapted) -> Callable[..., Any]:
    @task(name=STEP)
    async def step(
        n: int, state: Json, inbound: JsonObject, said: list[JsonObject], tools: JsonObject
    ) -> JsonObject:
        config = get_config()
        runtime = get_runtime()
        progress = Progress(config)
        lost: JsonObject = {}
        if config.get("metadata", {}).get("run_attempt", 1) > 1:
            lost = await progress.load() or {}
        if lost:
            base = {k: inbound[k] for k in ("thread_id", "run_id", "user_id")}
            state, inbound = lost["state"], {"kind": "continue", **base}
        async with LangGraphIo(
            config,
            runtime.stream_writer,
            agent=adapted.name,
            progress=progress,
            lost=lost,
            store=runtime.store,
            tool_names=tools,
        ) as io:
            out = await adapted.adapter.step(adapted.make(), state, Inbound(**inbound), io)
            io.count(out.usage)
        await progress.forget()
        whole = added(said, as_json([*io.said, *out.messages]))
        return _result(adapted, n, out, whole, user=inbound["user_id"])

    return step


def _ask() -> Callable[..., Any]:
    @task(name=ASK)
    async def ask(n: int, question: JsonObject) -> JsonObject:
        shown = {k: v for k, v in question.items() if k != "schema" and v is not None}
        answer = interrupt(shown, response_schema=question.get("schema"))
        return {"kind": ASK, "n": n, "ask": question["id"], "answer": answer}

    return ask


async def _answers(ask: Any, n: int, asks: Sequence[JsonObject]) -> dict[str, Json]:
    """Put all questions at once; raises `GraphInterrupt` with those that are open."""
    results = await asyncio.gather(*(ask(n, question) for question in asks), return_exceptions=True)
    waiting = [i for r in results if isinstance(r, GraphInterrupt) for i in r.args[0]]
    if waiting:
        raise GraphInterrupt(waiting)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return {r["ask"]: r["answer"] for r in cast("list[JsonObject]", results)}


def _result(
    adapted: Adapted, n: int, out: Outcome, said: list[JsonObject], *, user: str
) -> JsonObject:
    """A step's result as JSON, which is what the checkpoint keeps."""
    result: JsonObject = {
        "kind": STEP,
        "n": n,
        "status": out.status,
        "state": out.state,
        "asks": [asdict(ask) for ask in out.asks],
        "said": said,
        "user": user,
        "output": out.output,
    }
    try:
        return plain(result)
    except TypeError as error:
        what = f"adapter {adapted.adapter.name!r} gave a state or an output that is not JSON"
        raise TypeError(f"{what}: {error}") from None


def _output(info: AgentInfo, out: JsonObject) -> JsonObject:
    if info.output_schema or out["output"] is not None:
        return {"output": out["output"]}
    return {}


def _made(factory: Callable[[], Any]) -> Any:
    made = factory()
    if inspect.isawaitable(made):
        raise TypeError("a factory of agents is a plain function, not an async one")
    return made
