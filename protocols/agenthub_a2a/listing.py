"""Listing tasks: filters, and pages that a cursor continues.

A page token is the place of the last task in the order (latest change, id), so it stays valid when
that task changes or goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from a2a.types.a2a_pb2 import ListTasksRequest, ListTasksResponse, TaskState
from a2a.utils.constants import DEFAULT_LIST_TASKS_PAGE_SIZE
from a2a.utils.task import (
    ListTasksCursor,
    apply_history_length,
    decode_list_tasks_cursor,
    encode_list_tasks_cursor,
    validate_history_length,
    validate_page_size,
)

from agenthub.agents import AgentInfo
from agenthub.emitted import emits
from agenthub.errors import Invalid
from agenthub.principal import Principal
from agenthub.runs import Task, TaskStatus
from agenthub.service import Hub
from agenthub_a2a.convert import STATES, state_of, to_a2a_task
from agenthub_a2a.follow import opened

WHOLE_LOG: Final = 2**62
KINDS: Final[dict[TaskState, TaskStatus]] = {
    TaskState.TASK_STATE_SUBMITTED: "working",
    TaskState.TASK_STATE_AUTH_REQUIRED: "input_required",
    TaskState.TASK_STATE_REJECTED: "failed",
}
"""States that are a status of ours under some condition."""
Place = tuple[datetime, UUID]


async def list_tasks(
    hub: Hub, who: Principal, info: AgentInfo, params: ListTasksRequest
) -> ListTasksResponse:
    """A page of the caller's tasks of this agent, latest change first.

    Raises:
        Invalid: the page token was not made here, or the state does not exist.
        A2AError: a size or length is out of range.
    """
    validate_history_length(params)
    if params.status not in TaskState.values():
        # JSON's names are checked before; gRPC sends any number
        raise Invalid(f"status {params.status} is not one of {', '.join(TaskState.keys())}")
    if params.HasField("page_size"):
        validate_page_size(params.page_size)
    size = params.page_size or DEFAULT_LIST_TASKS_PAGE_SIZE
    before = _place(params.page_token) if params.page_token else None
    tasks, total = await _matching(hub, who, info, params, before=before, count=size + 1)
    response = ListTasksResponse(page_size=size, total_size=total)
    for task in tasks[:size]:
        output, emitted = "", None
        # a message that the agent gave is part of the status, and stands in the log alone
        if params.include_artifacts or (task.status == "completed" and emits(task.runs[-1:])):
            live = await opened(hub, info, task, until=WHOLE_LOG)
            output, emitted = live.text, live.emitted
        converted = to_a2a_task(
            info, task, output=output, emitted=emitted, artifacts=params.include_artifacts
        )
        response.tasks.append(apply_history_length(converted, params))
    if len(tasks) > size:
        response.next_page_token = _token(tasks[size - 1])
    return response


async def _matching(
    hub: Hub,
    who: Principal,
    info: AgentInfo,
    params: ListTasksRequest,
    *,
    before: Place | None,
    count: int,
) -> tuple[Sequence[Task], int]:
    """Up to `count` tasks, and how many there are in all."""
    wanted = _statuses(params.status)
    try:
        thread_id = UUID(params.context_id) if params.context_id else None
    except ValueError:
        wanted = None  # no context has such an id
        thread_id = None
    if wanted is None:
        return [], 0
    since = None
    if params.HasField("status_timestamp_after"):
        since = params.status_timestamp_after.ToDatetime(tzinfo=UTC)
    found: list[Task] = []
    while True:
        page, total = await hub.tasks(
            who,
            agent=info.name,
            thread_id=thread_id,
            status=wanted,
            updated_since=since,
            before=before,
            limit=count,
        )
        # a status of ours is several states
        found += [t for t in page if not params.status or state_of(t) == params.status]
        if len(found) >= count or len(page) < count:
            return found[:count], total
        before = (page[-1].updated_at, page[-1].task_id)


def _statuses(state: TaskState) -> list[TaskStatus] | None:
    """Our statuses for a filter; None when no task of ours is ever in that state."""
    if state == TaskState.TASK_STATE_UNSPECIFIED:
        return []
    if state in KINDS:
        return [KINDS[state]]
    return [status for status, shown in STATES.items() if shown == state] or None


def _token(task: Task) -> str:
    # integers only: a float of microseconds would round
    since = task.updated_at - datetime.fromtimestamp(0, UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return encode_list_tasks_cursor(
        ListTasksCursor(timestamp_ns=microseconds * 1000, task_id=str(task.task_id))
    )


def _place(token: str) -> Place:
    try:
        cursor = decode_list_tasks_cursor(token)
        if cursor is not None and cursor.timestamp_ns is not None:
            seconds, nanoseconds = divmod(cursor.timestamp_ns, 1_000_000_000)
            at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
            return at, UUID(cursor.task_id)
    except (ValueError, OverflowError, OSError):
        pass
    raise Invalid("the page token was not given by this server")
