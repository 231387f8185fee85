"""Commands of the event-streaming protocol on a thread: what a client asks, and one answer to each.

A refusal is an answer too, with a code of the specification's; only what is no command at all is a
malformed request. Subscriptions belong to a connection, so they are the WebSocket's (`protocol_socket`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from agenthub import errors
from agenthub.agents import AgentInfo
from agenthub.assistants import Assistant
from agenthub.errors import HubError, Invalid, NotFound
from agenthub.ids import parse_id
from agenthub.json import JsonObject
from agenthub.principal import Principal
from agenthub.runs import Run, RunRequest
from agenthub.service import Hub, Start
from agenthub.threads import ThreadState
from agenthub_rest import protocol_bodies as bodies
from agenthub_rest.bodies import RunConfig, RunCreate
from agenthub_rest.protocol_events import RECORDED, Namespace
from agenthub_rest.protocol_stream import graphs_of
from agenthub_rest.reading import checked
from agenthub_rest.submit import ORIGIN, origin_of, run_request

log = logging.getLogger(__name__)

CODES: Mapping[type[HubError], str] = {
    errors.UnknownInterrupt: "no_such_interrupt",
    errors.NotFound: "no_such_run",
    errors.Forbidden: "permission_denied",
    errors.Unauthenticated: "permission_denied",
    errors.NotSupported: "not_supported",
    errors.UnsupportedVersion: "not_supported",
    errors.Invalid: "invalid_argument",
    errors.Conflict: "invalid_argument",
    errors.KeyReused: "invalid_argument",
    errors.TooLarge: "invalid_argument",
}
"""The specification's codes; any other error is an `unknown_error`."""


class Refused(Exception):
    """A command that is refused with a code of the specification."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Commands:
    """One caller's commands on one thread."""

    def __init__(self, hub: Hub, who: Principal, thread_id: UUID) -> None:
        self.hub = hub
        self.who = who
        self.thread_id = thread_id
        self._methods: Mapping[str, Callable[[JsonObject], Awaitable[JsonObject]]] = {
            "run.start": self.run_start,
            "run.cancel": self.run_cancel,
            "input.respond": self.input_respond,
            "input.inject": self.input_inject,
            "agent.getTree": self.agent_get_tree,
            "state.get": self.state_get,
            "state.listCheckpoints": self.state_list_checkpoints,
            "state.fork": self.state_fork,
        }

    async def answer(self, command: bodies.Command) -> JsonObject:
        """The success or the error that answers a command."""
        method = self._methods.get(command.method)
        if method is None:
            message = f"there is no command {command.method[:60]!r}"
            return failure(command.id, Refused("unknown_command", message))
        try:
            return success(command.id, await method(command.params))
        except (Refused, HubError) as error:
            return failure(command.id, error)
        except Exception:
            log.exception("%s failed", command.method)
            return failure(command.id, HubError("the server failed; the error was logged"))

    # --- runs -----------------------------------------------------------------------------------

    async def run_start(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.RunStart, params)
        info, assistant = await self._resolve(body.assistant_id)
        metadata = {**assistant.run_metadata(), **body.metadata} if assistant else body.metadata
        run = await self.hub.start(
            self.who,
            Start(
                agent=info.name,
                request=_request(info, assistant, body.input, body.config),
                thread_id=self.thread_id,
                make_thread=True,
                multitask=body.multitask,
                metadata=metadata,
                origin=origin_of(assistant),
            ),
        )
        return {"run_id": str(run.run_id), "thread_id": str(run.thread_id)}

    async def run_cancel(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.RunCancel, params)
        run = await self._run(body.run_id)
        await self.hub.cancel_run(self.who, run.run_id, action=body.action)
        return {"run_id": str(run.run_id)}

    # --- input ----------------------------------------------------------------------------------

    async def input_respond(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.InputRespond, params)
        answers = body.answers()
        if not answers:
            raise Invalid("input.respond needs an interrupt_id with a response, or responses")
        info = await self._agent()
        request = _request(info, None, None, body.config)
        goto = body.model_dump()["goto"]
        run = await self.hub.resume(
            self.who,
            self.thread_id,
            answers,
            request=replace(request, update=body.update, goto=goto),
            metadata=body.metadata,
            origin=ORIGIN,
        )
        return {"run_id": str(run.run_id)}

    async def input_inject(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.InputInject, params)
        if body.namespace:
            raise Refused("not_supported", "messages are injected into the root graph only")
        info = await self._agent()
        message = body.message.model_dump(exclude_none=True)
        run = await self.hub.start(
            self.who,
            Start(
                agent=info.name,
                request=_request(info, None, {"messages": [message]}, RunConfig()),
                thread_id=self.thread_id,
                # a question that waits is answered or cancelled, but not talked over
                open_task="refuse",
                origin=ORIGIN,
            ),
        )
        return {"run_id": str(run.run_id)}

    # --- the agent and its state ----------------------------------------------------------------

    async def agent_get_tree(self, params: JsonObject) -> JsonObject:
        run = await self._run(checked(bodies.AgentGetTree, params).run_id, ended=True)
        return {"tree": _tree(run, await graphs_of(self.hub, self.who, run))}

    async def state_get(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.StateGet, params)
        state = await self._state(body.namespace)
        values = state.values
        if body.keys is not None and isinstance(values, dict):
            known = cast("JsonObject", values)
            values = {key: known[key] for key in body.keys if key in known}
        result: JsonObject = {"values": values}
        if state.checkpoint_id is not None:
            result["checkpoint"] = {"id": state.checkpoint_id, "ns": state.ns}
        return result

    async def state_list_checkpoints(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.ListCheckpoints, params)
        found = await self.hub.history(
            self.who,
            self.thread_id,
            limit=body.limit,
            before=body.before,
            ns="|".join(body.namespace),
        )
        return {"checkpoints": [_summary(state) for state in found]}

    async def state_fork(self, params: JsonObject) -> JsonObject:
        body = checked(bodies.StateFork, params)
        try:
            await self.hub.state(self.who, self.thread_id, body.checkpoint_id)
        except NotFound as missing:
            raise Refused("no_such_checkpoint", missing.message) from None
        info = await self._agent()
        request = _request(info, None, body.input, body.config)
        run = await self.hub.start(
            self.who,
            Start(
                agent=info.name,
                request=replace(request, checkpoint_id=body.checkpoint_id),
                thread_id=self.thread_id,
                origin=ORIGIN,
            ),
        )
        return {"run_id": str(run.run_id), "thread_id": str(run.thread_id)}

    # --- what they share ------------------------------------------------------------------------

    async def _resolve(self, name: str) -> tuple[AgentInfo, Assistant | None]:
        try:
            return await self.hub.assistants.resolve(self.who, name)
        except NotFound as missing:
            raise Invalid(missing.message) from None

    async def _agent(self) -> AgentInfo:
        thread = await self.hub.thread(self.who, self.thread_id)
        if thread.agent is None:
            raise Invalid(f"thread {str(self.thread_id)!r} has not run any agent yet")
        return self.hub.agent(thread.agent)

    async def _run(self, run_id: str | None, *, ended: bool = False) -> Run:
        """The run that is named, or else the open one; with `ended` the last one will do."""
        if run_id is not None:
            run = await self.hub.run(self.who, parse_id(run_id, "run id"))
            if run.thread_id == self.thread_id:
                return run
            raise NotFound(f"there is no run {run_id!r} on this thread")
        run = await self.hub.streams.log.current_run(self.who.tenant, self.thread_id)
        if run is None or not (run.open or ended):
            raise NotFound(f"no run is open on thread {str(self.thread_id)!r}")
        return run

    async def _state(self, namespace: Sequence[str]) -> ThreadState:
        state = await self.hub.state(self.who, self.thread_id, ns="|".join(namespace))
        if namespace and state.checkpoint_id is None:
            raise Refused("no_such_namespace", f"no graph has a state at {'/'.join(namespace)!r}")
        return state


def _request(
    info: AgentInfo, assistant: Assistant | None, input_: Any, config: RunConfig
) -> RunRequest:
    """A request whose run records what all channels need."""
    body = RunCreate(assistant_id=info.name, input=input_, config=config)
    return replace(run_request(body, info, assistant), modes=RECORDED, subgraphs=True)


def success(id_: int, result: JsonObject) -> JsonObject:
    """The answer to a command that was carried out."""
    return {"type": "success", "id": id_, "result": result}


def failure(id_: int | None, error: Refused | HubError) -> JsonObject:
    """The answer to a command that was not."""
    code = error.code if isinstance(error, Refused) else _code(error)
    return {"type": "error", "id": id_, "error": code, "message": error.message}


def _code(error: HubError) -> str:
    return CODES.get(type(error), "unknown_error")


def _tree(run: Run, graphs: Mapping[Namespace, str]) -> JsonObject:
    def node(namespace: Namespace) -> JsonObject:
        name = namespace[-1].partition(":")[0] if namespace else run.agent
        inner = [n for n in graphs if len(n) == len(namespace) + 1 and n[:-1] == namespace]
        found: JsonObject = {
            "namespace": list(namespace),
            "status": graphs.get(namespace, "started"),
            "graph_name": name,
        }
        return {**found, "children": [node(n) for n in inner]} if inner else found

    return node(())


def _summary(state: ThreadState) -> JsonObject:
    return {
        "id": state.checkpoint_id,
        "timestamp": state.created_at,
        "step": state.metadata.get("step", -1),
        "metadata": state.metadata,
    }
