"""Messages that are sent: a first input starts a task, a later one answers its open question.

Everything is checked before anything is created; the service's own refusals (a busy context, a question
that was answered meanwhile) come from the transaction that would have created the run.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final
from uuid import UUID

from a2a.types.a2a_pb2 import Message
from a2a.utils.errors import UnsupportedOperationError

from agenthub.errors import Invalid, NotFound
from agenthub.pushes import PushConfig
from agenthub.runs import Run, Task
from agenthub.service import Hub, Start, Submission
from agenthub_a2a.call import Call
from agenthub_a2a.convert import first_input, origin_of, request_of
from agenthub_a2a.follow import TERMINAL
from agenthub_a2a.questions import answers

KEY_LENGTH: Final = 255


async def submit(
    hub: Hub, call: Call, message: Message, push: PushConfig | None = None
) -> tuple[Task, Run]:
    """Start or carry on a task; returns it as it then stands, and its latest run."""
    if message.task_id:
        return await _answer(hub, call, message, push)
    start = Start(
        agent=call.info.name,
        request=replace(request_of(message), input=first_input(call.info, message)),
        thread_id=_context_id(message.context_id) if message.context_id else None,
        make_thread=True,
        # one open task per context: an input behind it could discard a question unseen
        multitask="reject",
        open_task="refuse",
        origin=origin_of(message),
        idempotency_key=_scoped_key(call),
        request_hash=_fingerprint(message),
        push=push,
    )
    run = await hub.start(call.who, start)
    if run.status == "pending" and not run.attempts:
        return _new_task(run), run
    # the idempotency key was used before: attach to what it started
    task = await hub.task(call.who, run.task_id)
    return task, task.runs[-1]


async def _answer(
    hub: Hub, call: Call, message: Message, push: PushConfig | None
) -> tuple[Task, Run]:
    task = await own_task(hub, call, message.task_id)
    if message.context_id not in ("", str(task.thread_id)):
        raise Invalid(
            f"task {message.task_id!r} belongs to context {str(task.thread_id)!r}, "
            f"not {message.context_id!r}"
        )
    if task.status in TERMINAL:
        raise UnsupportedOperationError(
            f"task {message.task_id!r} has ended ({task.status}) and takes no more messages"
        )
    if task.status != "input_required":
        raise UnsupportedOperationError(
            f"task {message.task_id!r} is busy: wait until it asks something or ends"
        )
    answer = answers(message, task.interrupts)
    origin = origin_of(message)
    run = await hub.resume(
        call.who,
        task.thread_id,
        answer,
        request=request_of(message),
        origin=origin,
        how=Submission(push=push),
    )
    return (
        replace(
            task,
            status="working",
            updated_at=run.created_at,
            last_seq=run.after_seq,
            runs=(*task.runs, run),
        ),
        run,
    )


async def own_task(hub: Hub, call: Call, id: str) -> Task:
    """The caller's task of this agent; anything else does not exist."""
    unknown = NotFound(f"there is no task {id!r}")
    try:
        task = await hub.task(call.who, UUID(id))
    except ValueError:
        raise unknown from None
    if task.agent != call.info.name or task.subject != call.who.subject:
        raise unknown
    return task


def _new_task(run: Run) -> Task:
    return Task(
        tenant=run.tenant,
        task_id=run.task_id,
        thread_id=run.thread_id,
        agent=run.agent,
        status="working",
        subject=run.subject,
        created_at=run.created_at,
        updated_at=run.created_at,
        last_seq=0,
        runs=(run,),
    )


def _context_id(text: str) -> UUID:
    refused = Invalid(
        f"contextId {text!r} is not accepted: leave it out and take the one that the server gives, "
        "or choose a UUID (in lower case)"
    )
    try:
        parsed = UUID(text)
    except ValueError:
        raise refused from None
    if str(parsed) != text:
        raise refused  # it would come back in another form, and the client must find its own
    return parsed


def _scoped_key(call: Call) -> str | None:
    """A key means something only to its caller and agent."""
    if call.idempotency_key is None:
        return None
    if len(call.idempotency_key) > KEY_LENGTH:
        raise Invalid(f"an Idempotency-Key has at most {KEY_LENGTH} characters")
    return f"a2a:{call.info.name}:{call.who.subject}:{call.idempotency_key}"


def _fingerprint(message: Message) -> str:
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()
