"""The operations of A2A over the hub's service, for every binding.

Stateless: one instance serves all agents on all transports. A binding's context builder says in a
`Call` who calls and which agent; the SDK's dispatchers do the rest. Clients that leave, cancel nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from a2a.server.context import ServerCallContext
from a2a.server.events import Event as A2AEvent
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    TaskNotCancelableError,
    UnsupportedOperationError,
)
from a2a.utils.task import apply_history_length, validate_history_length

from agenthub.errors import Conflict, Invalid
from agenthub.pushes import PushConfig
from agenthub.runs import Run, Task
from agenthub.service import Hub
from agenthub_a2a import push
from agenthub_a2a.call import Call
from agenthub_a2a.card import EXTENSIONS, extended_card, require
from agenthub_a2a.convert import to_a2a_task
from agenthub_a2a.errors import translated
from agenthub_a2a.follow import (
    SETTLED,
    TERMINAL,
    Slices,
    behind,
    onwards,
    opened,
    rests,
    resumed,
    settled,
    updates,
)
from agenthub_a2a.leaving import unless_gone
from agenthub_a2a.listing import list_tasks
from agenthub_a2a.live import Live
from agenthub_a2a.numbering import position
from agenthub_a2a.parts import insist_shallow
from agenthub_a2a.signatures import CardSigner
from agenthub_a2a.submit import own_task, submit


class Operations(RequestHandler):
    """A2A's eleven operations."""

    def __init__(
        self,
        hub: Hub,
        *,
        extensions: Sequence[pb.AgentExtension] = EXTENSIONS,
        signer: CardSigner | None = None,
    ) -> None:
        self.hub = hub
        self.extensions = extensions
        self.signer = signer

    async def on_message_send(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> pb.Task | pb.Message:
        with translated(params):
            call = self._admitted(params, context)
            told = await self._told(call, params)
            task, run = await submit(self.hub, call, params.message, told)
            live = await opened(self.hub, call.info, task)
            live.takes_reply = _takes_reply(call, params)
            if not params.configuration.return_immediately and task.status not in SETTLED:
                waiting = settled(self.hub, call.who, live, run, self._events(task, run))
                # as it was for a client that has left: nobody reads the answer
                task = await unless_gone(waiting, call.gone) or task
            if live.takes_reply and live.reply is not None:
                return live.reply
            return apply_history_length(_shown(live, task), params.configuration)

    async def on_message_send_stream(
        self, params: pb.SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[A2AEvent]:
        with translated(params):
            call = self._admitted(params, context)
            told = await self._told(call, params)
            task, run = await submit(self.hub, call, params.message, told)
            live = await opened(self.hub, call.info, task)
            live.takes_reply = _takes_reply(call, params)
            if live.takes_reply and live.reply is not None:
                yield live.reply
                return
            snapshot = apply_history_length(_shown(live, task), params.configuration)
            if rests(live, SETTLED):
                yield snapshot
                return
            slices = onwards(self.hub, live, self._events(task, run))
            following = updates(self.hub, call.who, live, slices, until=SETTLED)
            async with aclosing(behind(snapshot, live, following)) as told_of:
                async for event in told_of:
                    yield event

    async def on_subscribe_to_task(
        self, params: pb.SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[A2AEvent]:
        with translated(params):
            call = Call.of(context)
            task = await own_task(self.hub, call, params.id)
            if call.last_event_id is not None:
                async with aclosing(self._rest(call, task, call.last_event_id)) as rest:
                    async for update in rest:
                        yield update
                return
            if task.status in TERMINAL:
                raise UnsupportedOperationError(
                    f"task {params.id!r} has already ended: {task.status}; read it with GetTask"
                )
            live = await opened(self.hub, call.info, task)
            yield _shown(live, task)
            slices = self.hub.follow_task(task)
            following = updates(self.hub, call.who, live, slices, until=TERMINAL)
            async with aclosing(following):
                async for update in following:
                    yield update

    async def _rest(self, call: Call, task: Task, last_event_id: str) -> AsyncGenerator[A2AEvent]:
        """What came behind an event, to the end of the task, even if that was meanwhile. The state at that
        event comes first: a stream that said nothing would have no beginning for its reader either."""
        after = position(last_event_id)
        if after >= task.last_seq and (task.status in TERMINAL or after > task.last_seq):
            raise UnsupportedOperationError(
                f"task {str(task.task_id)!r} is {task.status} and has no event behind {after}; read it "
                "with GetTask"
            )
        live = await resumed(self.hub, call.info, task, after)
        yield live.standing()
        slices = self.hub.follow_task(task, after=after)
        async with aclosing(updates(self.hub, call.who, live, slices, until=TERMINAL)) as following:
            async for update in following:
                yield update

    async def on_get_task(self, params: pb.GetTaskRequest, context: ServerCallContext) -> pb.Task:
        with translated(params):
            validate_history_length(params)
            call = Call.of(context)
            task = await own_task(self.hub, call, params.id)
            return apply_history_length(await self._shown(call, task), params)

    async def on_list_tasks(
        self, params: pb.ListTasksRequest, context: ServerCallContext
    ) -> pb.ListTasksResponse:
        with translated(params):
            call = Call.of(context)
            return await list_tasks(self.hub, call.who, call.info, params)

    async def on_cancel_task(
        self, params: pb.CancelTaskRequest, context: ServerCallContext
    ) -> pb.Task:
        with translated(params):
            call = Call.of(context)
            task = await own_task(self.hub, call, params.id)
            try:
                task = await self.hub.cancel_task(call.who, task.task_id)
            except Conflict as ended:
                raise TaskNotCancelableError(ended.message) from ended
            if task.status != "canceled":
                raise TaskNotCancelableError(f"task {params.id!r} ended meanwhile: {task.status}")
            return await self._shown(call, task)

    async def on_create_task_push_notification_config(
        self, params: pb.TaskPushNotificationConfig, context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        with translated(params):
            return await push.create(self.hub, Call.of(context), params)

    async def on_get_task_push_notification_config(
        self, params: pb.GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> pb.TaskPushNotificationConfig:
        call = Call.of(context)
        checked = params
        if call.version == "0.3" and not params.id:
            # REQUIRED in 1.0 alone: before, a task's first config could be asked for without it
            checked = pb.GetTaskPushNotificationConfigRequest(task_id=params.task_id, id="any")
        with translated(checked):
            return await push.get(self.hub, call, params)

    async def on_list_task_push_notification_configs(
        self, params: pb.ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> pb.ListTaskPushNotificationConfigsResponse:
        with translated(params):
            return await push.list_(self.hub, Call.of(context), params.task_id)

    async def on_delete_task_push_notification_config(
        self, params: pb.DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        with translated(params):
            await push.delete(self.hub, Call.of(context), params)

    async def on_get_extended_agent_card(
        self, params: pb.GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> pb.AgentCard:
        with translated(params):
            call = Call.of(context)
            card = extended_card(call.info, call.place, call.version)
            if card is None:
                raise UnsupportedOperationError("this agent has no extended card")
            if self.signer is not None and call.version != "0.3":
                self.signer.sign(card, call.place.base_url)
            return card

    def _admitted(self, params: pb.SendMessageRequest, context: ServerCallContext) -> Call:
        """Check what concerns the message as such."""
        validate_history_length(params.configuration)
        require(self.extensions, context.requested_extensions)
        if params.message.role != pb.Role.ROLE_USER:
            raise Invalid("a message to an agent has the role ROLE_USER")
        insist_shallow(params.message)
        return Call.of(context)

    async def _told(self, call: Call, params: pb.SendMessageRequest) -> PushConfig | None:
        """Who is to be told of the task, if the message says so."""
        if not params.configuration.HasField("task_push_notification_config"):
            return None
        return await push.read(self.hub, call, params.configuration.task_push_notification_config)

    async def _shown(self, call: Call, task: Task) -> pb.Task:
        return _shown(await opened(self.hub, call.info, task), task)

    def _events(self, task: Task, run: Run) -> Slices:
        """The events of a run that the task, as it stands, does not include yet."""
        new = run.status == "pending" and not run.attempts
        return self.hub.follow_run(run, after=None if new else task.last_seq)


def _shown(live: Live, task: Task) -> pb.Task:
    return to_a2a_task(
        live.info,
        task,
        output=live.text,
        emitted=live.emitted,
        generation=task.last_seq,
        # the instant that streams told, and not when it was committed
        at=live.at,
    )


def _takes_reply(call: Call, params: pb.SendMessageRequest) -> bool:
    """Whether a message may be answered by a message: its agent does so, and there is no task yet."""
    return call.info.card.get("reply") == "auto" and not (
        params.message.task_id or params.configuration.return_immediately
    )
