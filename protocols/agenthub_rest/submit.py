"""Turning the body of a run creation into a run: a new input, an answer, or going on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

from starlette.requests import Request

from agenthub.agents import AgentInfo
from agenthub.assistants import Assistant
from agenthub.errors import Invalid, NotFound
from agenthub.ids import parse_id
from agenthub.interrupts import Interrupt
from agenthub.json import JsonObject, dumps
from agenthub.principal import Principal
from agenthub.runs import Multitask, Run, RunRequest
from agenthub.service import Hub, Start, Submission
from agenthub.tracing import trace_of
from agenthub_rest.api import Api
from agenthub_rest.bodies import Nodes, Policy, RunCreate
from agenthub_rest.webhooks import with_webhook

ORIGIN = {"protocol": "rest"}
LONGEST_KEY = 255
RESERVED = frozenset(
    {"thread_id", "run_id", "assistant_id", "graph_id", "cron_id", "task_id"}
    | {"checkpoint_id", "checkpoint_ns", "checkpoint_map"}
)
"""Keys of `configurable` that are the hub's to set; clients' values are dropped."""
POLICY = {"timeout": "timeout_seconds", "retry": "retry", "interrupt_deadline": "deadline"}
"""How a run request calls them."""


async def submit(
    api: Api, request: Request, body: RunCreate, *, follow: bool = True, nth: int | None = None
) -> Run:
    """Create the run that a request asks for, or its `nth` in a batch. `follow` as in `Start`.

    Raises:
        HubError: it is refused; see `Hub.start` and `Hub.resume`.
    """
    hub, who = api.hub, api.who(request)
    on_thread = request.path_params.get("thread_id")
    thread_id = None if on_thread is None else parse_id(on_thread, "thread id")
    info, assistant = await hub.assistants.resolve(who, body.assistant_id)
    wanted = run_request(body, info, assistant, passed=api.passed_on.of(request.headers))
    wanted = replace(wanted, trace=trace_of(request.headers))
    wanted = with_webhook(wanted, body, hub.deliveries)
    key = _key(request, who, nth)
    hashed = "" if key is None else _hash(thread_id, body)
    metadata = {**assistant.run_metadata(), **body.metadata} if assistant else body.metadata
    delay = timedelta(seconds=body.after_seconds)
    answer = body.command.resume
    if answer is not None and thread_id is None:
        raise Invalid("a resume needs the thread that waits: POST it to /threads/{thread_id}/runs")
    if answer is None and thread_id is not None and _goes_on(wanted):
        answer = await _breakpoints(hub, who, thread_id)
    fork = body.multitask_strategy == "fork"
    multitask: Multitask = (
        "enqueue" if body.multitask_strategy == "fork" else body.multitask_strategy
    )
    if answer is not None and thread_id is not None:
        return await hub.resume(
            who,
            thread_id,
            answer,
            agent=info.name,
            request=wanted,
            metadata=metadata,
            origin=origin_of(assistant),
            multitask=multitask,
            how=Submission(
                delay=delay, priority=body.priority, idempotency_key=key, request_hash=hashed
            ),
        )
    start = Start(
        agent=info.name,
        request=wanted,
        thread_id=thread_id,
        make_thread=body.if_not_exists == "create",
        ephemeral=thread_id is None and body.on_completion == "delete",
        multitask=multitask,
        metadata=metadata,
        origin=origin_of(assistant),
        delay=delay,
        priority=body.priority,
        idempotency_key=key,
        request_hash=hashed,
        fork=fork and thread_id is not None,
        any_agent=True,
        follow=follow,
    )
    return await hub.start(who, start)


def origin_of(assistant: Assistant | None) -> JsonObject:
    """What the run remembers: which configuration it got, and at which version."""
    if assistant is None:
        return ORIGIN
    return {
        **ORIGIN,
        "assistant_id": str(assistant.assistant_id),
        "assistant_version": assistant.version,
    }


def run_request(
    body: RunCreate,
    info: AgentInfo,
    assistant: Assistant | None = None,
    *,
    passed: Mapping[str, str] | None = None,
) -> RunRequest:
    """What the engine gets to see: the assistant's settings, over them the run's own, and over them the
    headers that are passed on: what stands before the hub may set them, and a client may not undo it.

    Raises:
        Invalid: `context` and `config.configurable` are two names of one thing, and both were given.
    """
    given = body.config.configurable
    own = {k: v for k, v in given.items() if k not in RESERVED and not k.startswith("__")}
    if body.context and own:
        raise Invalid("give either context or config.configurable, not both")
    settings = assistant.settings() if assistant else {}
    configurable = {**settings, **(body.context or own)}
    if body.context or (assistant and assistant.context):
        context: JsonObject | None = configurable
    else:
        context = body.context if body.context is not None else _context(configurable, info)
    shared: JsonObject = assistant.config if assistant else {}
    configurable = {**configurable, **(passed or {})}
    config: JsonObject = {"configurable": configurable} if configurable else {}
    if tags := list(dict.fromkeys([*(shared.get("tags") or ()), *body.config.tags])):
        config["tags"] = tags
    if limit := body.config.recursion_limit or shared.get("recursion_limit"):
        config["recursion_limit"] = limit
    at: Any = body.checkpoint_id or body.checkpoint.checkpoint_id or given.get("checkpoint_id")
    command = body.command.model_dump()
    return RunRequest(
        input=None if body.command.model_fields_set else body.input,
        goto=command["goto"],
        update=command["update"],
        config=config,
        context=context,
        checkpoint_id=None if at is None else str(at),
        interrupt_before=_nodes(body.interrupt_before),
        interrupt_after=_nodes(body.interrupt_after),
        modes=tuple(sorted({"messages" if m == "messages-tuple" else m for m in body.stream_mode})),
        subgraphs=body.stream_subgraphs,
        durability=body.durability,
        **_policy(body, shared),
        assistant_id=None if assistant is None else str(assistant.assistant_id),
    )


def _policy(body: RunCreate, shared: JsonObject) -> JsonObject:
    """Fields of a request: the run's own words, before its configuration's, before its assistant's."""
    said: JsonObject = {**(shared.get("policy") or {})}
    for policy in (body.config.policy, body):
        own = policy.model_dump(include=set(Policy.model_fields), exclude_none=True)
        said.update(own)
    return {field: said[name] for name, field in POLICY.items() if name in said}


def _context(configurable: JsonObject, info: AgentInfo) -> JsonObject | None:
    """The part of `configurable` that the agent's context has fields for."""
    fields: JsonObject = (info.context_schema or {}).get("properties") or {}
    return {k: v for k, v in configurable.items() if k in fields} or None


def _nodes(names: Nodes) -> tuple[str, ...]:
    return ("*",) if names == "*" else tuple(names)


def _goes_on(wanted: RunRequest) -> bool:
    """Whether the request asks for nothing new: LangGraph then goes on from where it stands."""
    return (wanted.input, wanted.goto, wanted.update, wanted.checkpoint_id) == (None,) * 4


async def _breakpoints(hub: Hub, who: Principal, thread_id: UUID) -> JsonObject | None:
    """Answers to the static breakpoints that the thread waits at, if it waits for nothing else."""
    try:
        open_ = (await hub.thread(who, thread_id)).interrupts
    except NotFound:  # it may be made
        return None
    return {i.id: None for i in open_} if open_ and all(map(_is_breakpoint, open_)) else None


def _is_breakpoint(interrupt: Interrupt) -> bool:
    value = cast("JsonObject", interrupt.value)
    return isinstance(interrupt.value, dict) and "breakpoint" in value


def _key(request: Request, who: Principal, nth: int | None) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY:
        raise Invalid(f"an Idempotency-Key has 1 to {LONGEST_KEY} characters")
    return f"rest:{who.subject}:{key}" if nth is None else f"rest:{who.subject}:{key}:{nth}"


def _hash(thread_id: UUID | None, body: RunCreate) -> str:
    return sha256(dumps([str(thread_id), body.model_dump()])).hexdigest()
