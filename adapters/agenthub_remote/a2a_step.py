"""A step of an A2A agent: one message is sent, and its task is followed until it ends or asks.

What is in flight is saved before it is sent, and the task's id before its stream is read on. So whoever
takes over asks the other side what it has: a task that began is followed, and a message is sent again only
when it has certainly not arrived.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import NAMESPACE_URL, uuid5

import httpx
from a2a.client import Client, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.constants import TransportProtocol
from a2a.utils.errors import A2AError, MethodNotFoundError, UnsupportedOperationError
from google.protobuf.json_format import MessageToDict, ParseDict

from agenthub.adapting import Inbound, Io, Outcome
from agenthub.chance import spread
from agenthub.errors import AgentFailed
from agenthub.json import JsonObject
from agenthub.remotes import Remote
from agenthub_remote import a2a_asks, a2a_parts, outgoing
from agenthub_remote.a2a_card import card_of
from agenthub_remote.a2a_telling import ENDED, WAITING, Telling
from agenthub_remote.agents import RemoteAgent
from agenthub_remote.patience import FIRST_SECONDS, Broken, once, patiently, transient

log = logging.getLogger(__name__)

CANCEL_SECONDS: Final = 3.0
"""How long the other side has to hear that its task is cancelled; the hub's own grace is 5 s."""
FIRST_POLL_SECONDS: Final = 0.2
LAST_POLL_SECONDS: Final = 5.0
SKEW: Final = timedelta(minutes=5)
"""How far the clocks of the two sides may be apart."""
PAGES: Final = 20


async def step(agent: RemoteAgent, state: JsonObject, inbound: Inbound, io: Io) -> Outcome:
    """Send what is new, or go on with what an earlier attempt has sent; see `adapting.Adapter`.

    Raises:
        AgentFailed: the remote task failed, or the other side is not as it must be.
    """
    card = await patiently(lambda: card_of(agent))
    async with _opened(agent.remote, card) as client:
        one = A2AStep(agent.remote, card, client, dict(state), io)
        try:
            return await one.run(inbound)
        except asyncio.CancelledError:
            if io.cancelled():
                await one.cancel()
            raise
        except A2AError as error:
            raise AgentFailed(f"{agent.remote.url}: {error}") from error


class A2AStep:
    """`kept` is the state: `context`; of an open task `task`, `asks` (ids of its questions) and `told`;
    of a message in flight `message` (as JSON) and `since`."""

    def __init__(
        self, remote: Remote, card: AgentCard, client: Client, kept: JsonObject, io: Io
    ) -> None:
        self.remote = remote
        self.card = card
        self.client = client
        self.kept: JsonObject = kept
        self.io = io
        self.telling = Telling(io, card.name, kept.get("told") or {}, stale=kept.get("question"))

    async def run(self, inbound: Inbound) -> Outcome:
        """Send, follow, and say how it ended."""
        match inbound.kind:
            case "input":
                await self._close(inbound)
                await self._say(a2a_parts.of_inbound(inbound), inbound)
            case "answers":
                await self._answer(inbound)
            case "continue":
                await self._recover()
        while not self.telling.settled:
            await self._follow()
        return self._outcome()

    async def cancel(self) -> None:
        """Cancel the task over there, within bounds: whoever cancels here does not wait for ever."""
        with suppress(A2AError, httpx.HTTPError, TimeoutError, AgentFailed):
            async with asyncio.timeout(CANCEL_SECONDS):
                if not self.kept.get("task") and self.kept.get("message"):
                    found = await self._find()
                    while found is None:
                        # it may be on its way still
                        await asyncio.sleep(FIRST_SECONDS)
                        found = await self._find()
                    self.kept["task"] = found.id
                if self.kept.get("task"):
                    await self.client.cancel_task(CancelTaskRequest(id=self.kept["task"]))

    # --- sending --------------------------------------------------------------------------------

    async def _close(self, inbound: Inbound) -> None:
        """See that a new message meets no open question but one in words, which it answers."""
        task: str = self.kept.get("task") or ""
        asks: list[str] = self.kept.get("asks") or []
        if task and not a2a_asks.is_plain(asks):
            # what was asked is not approved by talking past it
            with suppress(A2AError):
                await patiently(lambda: self.client.cancel_task(CancelTaskRequest(id=task)))
            self.kept = {"context": self.kept.get("context")}
            self.telling = Telling(self.io, self.card.name, {})

    async def _answer(self, inbound: Inbound) -> None:
        asks: list[str] = self.kept.get("asks") or []
        task = await patiently(lambda: self._get())
        if task.status.state not in WAITING:
            # it was answered over there, or has ended meanwhile
            self.telling.snapshot(task)
            return
        await self._say(a2a_asks.answer_parts(asks, inbound.answers), inbound)

    async def _say(self, parts: Sequence[Part], inbound: Inbound) -> None:
        """Send a message and hear what comes of it, for as long as the connection lasts."""
        told_of = (
            f"{inbound.run_id}/{self.kept.get('task') or ''}/{self.kept.get('question') or ''}"
        )
        message = Message(
            # the same for every attempt of the run: who deduplicates knows it again
            message_id=str(uuid5(NAMESPACE_URL, f"agenthub:{told_of}")),
            role=Role.ROLE_USER,
            parts=parts,
            task_id=self.kept.get("task") or "",
            context_id=self.kept.get("context") or "",
        )
        self.kept["message"] = MessageToDict(message)
        self.kept["since"] = datetime.now(UTC).isoformat()
        await self._save()
        await self._send(message)

    async def _send(self, message: Message) -> None:
        try:
            await once(lambda: self._sent(message))
        except A2AClientError as error:
            if not transient(error):
                raise
            log.info("%s: a connection was lost: %s", self.remote.url, error)
            await self._recover()
        if not self.telling.settled and not self.kept.get("task"):
            raise AgentFailed(f"{self.remote.url} answered a message with nothing")

    async def _sent(self, message: Message) -> None:
        request = SendMessageRequest(
            message=message,
            configuration=SendMessageConfiguration(
                return_immediately=not self.card.capabilities.streaming
            ),
        )
        await self._hear(self.client.send_message(request, context=_named(message)))

    async def _recover(self) -> None:
        """Go on with what was in flight when this attempt, or one before it, lost sight of it."""
        if not self.kept.get("task"):
            found = await self._find()
            if found is None:
                await self._send_again()
                return
            self.kept["task"], self.kept["context"] = found.id, found.context_id
            await self._save()
        # a list has no artifacts
        task = await patiently(lambda: self._get())
        if self._unheard(task):
            await self._send_again()
        else:
            self.telling.snapshot(task)

    async def _send_again(self) -> None:
        message = ParseDict(self.kept["message"], Message())
        await self._send(message)

    def _unheard(self, task: Task) -> bool:
        """Whether an answer has certainly not reached the task: it still asks what it asked."""
        sent = cast("JsonObject", self.kept.get("message") or {}).get("messageId")
        if not sent or task.status.state not in WAITING:
            return False
        heard = any(message.message_id == sent for message in task.history)
        return not heard and a2a_asks.question_id(task) == self.kept.get("question")

    async def _find(self) -> Task | None:
        """The task that began with the message in flight; None: there is certainly none.

        Raises:
            AgentFailed: the other side cannot say.
        """
        message = cast("JsonObject", self.kept["message"])
        request = ListTasksRequest(context_id=self.kept.get("context") or "", page_size=100)
        since = datetime.fromisoformat(self.kept["since"]) - SKEW
        request.status_timestamp_after.FromDatetime(since)
        try:
            for _ in range(PAGES):
                page = await patiently(lambda: self.client.list_tasks(request))
                for task in page.tasks:
                    if any(m.message_id == message["messageId"] for m in task.history):
                        return task
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    return None
        except (MethodNotFoundError, UnsupportedOperationError, NotImplementedError) as error:
            raise self._unsure() from error
        raise self._unsure()

    def _unsure(self) -> AgentFailed:
        return AgentFailed(
            f"the connection to {self.remote.url} was lost while a message was sent, and whether it "
            "arrived cannot be found out there: it was not sent a second time"
        )

    # --- following ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Follow the task until it is settled, or a stream of it ends."""
        if not self.card.capabilities.streaming:
            await self._poll()
            return

        async def follow() -> None:
            # a task that has ended takes no subscriber
            self.telling.snapshot(await self._get())
            if self.telling.settled:
                return
            request = SubscribeToTaskRequest(id=self.kept["task"])
            heard = await self._hear(self.client.subscribe(request))
            # a stream that said no more than the snapshot is not asked for again at once
            if heard < 2 and not self.telling.settled:
                raise Broken(f"{self.remote.url} ended a stream")

        try:
            await patiently(follow)
        except (UnsupportedOperationError, MethodNotFoundError):
            await self._poll()

    async def _poll(self) -> None:
        pause = FIRST_POLL_SECONDS
        while not self.telling.settled:
            await asyncio.sleep(pause * spread(0.75, 1.25))
            self.telling.snapshot(await patiently(lambda: self._get()))
            pause = min(pause * 1.5, LAST_POLL_SECONDS)

    async def _hear(self, events: Any) -> int:
        """Take in a stream, as far as it goes; returns how many events it had."""
        heard = 0
        async with aclosing(cast("AsyncGenerator[StreamResponse]", events)) as stream:
            async for event in stream:
                known = self.telling.task_id
                self.telling.hear(event)
                heard += 1
                if self.telling.task_id != known or not self.kept.get("task"):
                    await self._note()
                if self.telling.settled:
                    break
        return heard

    async def _note(self) -> None:
        """Save which task it is, before anything that it says is waited for."""
        self.kept["context"] = self.telling.context_id or self.kept.get("context")
        if self.telling.task_id and self.telling.task_id != self.kept.get("task"):
            self.kept["task"] = self.telling.task_id
            await self._save()

    async def _get(self) -> Task:
        return await self.client.get_task(GetTaskRequest(id=self.kept["task"]))

    async def _save(self) -> None:
        told = self.telling.kept(finished=False)
        await self.io.save({**self.kept, "told": told}, self.telling.messages)

    # --- ending ---------------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        state = self.telling.state
        if not self.telling.answered and state in ENDED - {TaskState.TASK_STATE_COMPLETED}:
            raise self._failure()
        self.telling.finish()
        messages = self.telling.messages
        if not self.telling.answered and state in WAITING:
            return self._paused(messages)
        self._forget()
        return Outcome(
            status="done", state=self.kept, messages=messages, output=self.telling.outcome()
        )

    def _paused(self, messages: Sequence[JsonObject]) -> Outcome:
        status = self.telling.status
        asks = a2a_asks.asks_of(self.telling.task_id, status.state, status.message)
        self._forget()
        self.kept |= {
            "task": self.telling.task_id,
            "asks": [ask.id for ask in asks],
            "question": status.message.message_id,
            "told": self.telling.kept(finished=True),
        }
        return Outcome(status="paused", state=self.kept, messages=messages, asks=asks)

    def _failure(self) -> AgentFailed:
        said = a2a_parts.words(self.telling.status.message)
        words = {
            TaskState.TASK_STATE_REJECTED: "rejected the task",
            TaskState.TASK_STATE_CANCELED: "cancelled the task",
        }
        what = words.get(self.telling.state, "failed")
        return AgentFailed(
            said or f"the remote agent {self.card.name!r} {what} and did not say why"
        )

    def _forget(self) -> None:
        """The conversation goes on without the task."""
        self.telling = (
            self.telling if self.telling.task_id else Telling(self.io, self.card.name, {})
        )
        self.kept = {"context": self.telling.context_id or self.kept.get("context")}


@asynccontextmanager
async def _opened(remote: Remote, card: AgentCard) -> AsyncGenerator[Client]:
    headers = outgoing.secrets(remote)
    read = outgoing.READ_SECONDS
    async with outgoing.client(httpx, remote, headers=headers, read_seconds=read) as http:
        config = ClientConfig(
            httpx_client=http,
            supported_protocol_bindings=[
                TransportProtocol.JSONRPC.value,
                TransportProtocol.HTTP_JSON.value,
            ],
        )
        yield ClientFactory(config).create(card)


def _named(message: Message) -> ClientCallContext:
    """A message that opens a task may be sent twice where its id is a key (an Agent Hub's is)."""
    key = {} if message.task_id else {"Idempotency-Key": message.message_id}
    return ClientCallContext(service_parameters=key)
