"""What a step of a foreign framework says, told to LangGraph's callbacks and streams in its order.

Steps may speak from any thread, and LangGraph listens on its loop alone; so everything passes a queue
that one task empties. A listener that fails costs its event and never the run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, cast
from uuid import UUID

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_async_callback_manager_for_config
from langgraph.store.base import BaseStore

from agenthub import emit
from agenthub.adapting import Message
from agenthub.errors import Invalid
from agenthub.ids import new_id
from agenthub.json import Json, JsonObject, dumps
from agenthub_langgraph.messages import plain, to_langchain, usage_of
from agenthub_langgraph.store import HubStore
from agenthub_langgraph.usage import Usage
from agenthub_langgraph.voice import BEHIND

log = logging.getLogger(__name__)

WHOLE_MESSAGE = "__message__"
KEPT = "agents"
"""Where the store has what agents keep: `("agents", NAME, *scope)`."""
MOST_ELSEWHERE = 1000

_Told: TypeAlias = Callable[[], Awaitable[None]]


class Saver(Protocol):
    """Where a step's progress goes."""

    async def save(self, progress: JsonObject) -> None: ...

    def cancelled(self) -> bool: ...


class LangGraphIo:
    """`agenthub.adapting.Io`, for as long as one step runs."""

    def __init__(
        self,
        config: RunnableConfig,
        writer: Callable[[Any], None],
        *,
        agent: str,
        progress: Saver,
        lost: JsonObject | None = None,
        store: BaseStore | None = None,
        tool_names: Mapping[str, str] | None = None,
    ) -> None:
        """`lost` is the progress of an attempt that was lost; `tool_names` are those of calls that
        began before a pause, by call id."""
        self.callbacks = get_async_callback_manager_for_config(config)
        self.writer = writer
        self.agent = agent
        self.progress = progress
        self.said: list[Message] = list((lost or {}).get("messages") or ())
        self.store = store
        self.tool_names = dict(tool_names or {})
        # of the attempt that was lost, and of this one, by message
        self._before: JsonObject = dict((lost or {}).get("usage") or {})
        self._counted: dict[str, dict[str, int]] = {}
        self._saves: int = (lost or {}).get("saves") or 0
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Told | None] = asyncio.Queue()
        self._pump: asyncio.Task[None] | None = None
        self._models: dict[str, Any] = {}
        self._tools: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        for key, usage in self._before.items():
            self._count(key, usage)
        self._pump = asyncio.create_task(self._tell())
        # what the step emits goes behind what it has said; what it said before it saved stays
        self._behind = BEHIND.set(self._after_all)
        if self._saves and (voice := emit.voice()) is not None:
            voice.saved(self._saves)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        assert self._pump is not None
        BEHIND.reset(self._behind)
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._pump.cancel()
        # a turn of the loop lets in what other threads have said just now
        await asyncio.sleep(0)
        self._queue.put_nowait(None)
        await asyncio.gather(self._pump, return_exceptions=True)

    # --- what adapters call ---------------------------------------------------------------------

    def token(
        self, text: str, message_id: str, *, author: str = "", reasoning: bool = False
    ) -> None:
        """See `agenthub.adapting.Io`."""
        if text:
            self._put(lambda: self._token(text, message_id, author, reasoning))

    def message(self, message: Message) -> None:
        """See `agenthub.adapting.Io`."""
        if message["role"] == "assistant" and message.get("usage"):
            self._counted[str(message["id"])] = usage_of(message["usage"])
        self._put(lambda: self._message(message))

    def tool_start(self, call_id: str, name: str, args: Json, *, author: str = "") -> None:
        """See `agenthub.adapting.Io`."""
        self._put(lambda: self._tool_start(call_id, name, args))

    def tool_end(self, call_id: str, output: Json = None, *, error: str | None = None) -> None:
        """See `agenthub.adapting.Io`."""
        self._put(lambda: self._tool_end(call_id, output, error))

    def event(self, name: str, data: Json) -> None:
        """See `agenthub.adapting.Io`."""
        self._put(lambda: self._event(name, data))

    async def save(self, state: Json, messages: Sequence[Message] = ()) -> None:
        """See `agenthub.adapting.Io`."""
        said = [*self.said, *messages]
        usage = {**self._before, **self._counted}
        progress: JsonObject = {"state": state, "messages": said, "usage": usage}
        if (voice := emit.voice()) is not None:
            self._saves += 1
            progress["saves"] = self._saves
        await self.progress.save(plain(progress))
        if voice is not None:
            voice.saved(self._saves)

    def cancelled(self) -> bool:
        """See `agenthub.adapting.Io`."""
        return self.progress.cancelled()

    async def recall(self, scope: tuple[str, ...], key: str) -> Json:
        """See `agenthub.adapting.Io`."""
        item = await self._kept().aget((KEPT, self.agent, *scope), key)
        return None if item is None else item.value.get("value")

    async def recall_all(self, scope: tuple[str, ...]) -> Mapping[str, Json]:
        """See `agenthub.adapting.Io`."""
        store, namespace = self._kept(), (KEPT, self.agent, *scope)
        found: Mapping[str, Mapping[str, Any]]
        if isinstance(store, HubStore):
            found = await store.under(namespace)
        else:  # another server's, which has nothing better
            items = await store.asearch(namespace, limit=MOST_ELSEWHERE)
            found = {one.key: one.value for one in items if one.namespace == namespace}
        return {key: item.get("value") for key, item in found.items()}

    async def keep(self, scope: tuple[str, ...], key: str, value: Json) -> None:
        """See `agenthub.adapting.Io`."""
        namespace = (KEPT, self.agent, *scope)
        if value is None:
            await self._kept().adelete(namespace, key)
        else:
            await self._kept().aput(namespace, key, {"value": value}, index=False)

    # --- usage ----------------------------------------------------------------------------------

    def count(self, usage: Mapping[str, Any] | None) -> None:
        """Count what a step says that it used, as far as its messages have not."""
        rest = usage_of(usage or {})
        for counts in self._counted.values():
            rest = {name: max(0, value - counts[name]) for name, value in rest.items()}
        if any(rest.values()):
            self._count(str(new_id()), rest)

    def _count(self, key: str, usage: JsonObject) -> None:
        for handler in self.callbacks.handlers:
            if isinstance(handler, Usage):
                handler.count(key, usage)

    # --- telling --------------------------------------------------------------------------------

    def _kept(self) -> BaseStore:
        if self.store is None:
            raise Invalid("this hub has no store, so nothing can be kept beyond the thread")
        return self.store

    def _after_all(self, do: Callable[[], object]) -> None:
        async def told() -> None:
            do()

        self._put(told)

    def _put(self, told: _Told) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._queue.put_nowait(told)
        else:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, told)

    async def _tell(self) -> None:
        while (told := await self._queue.get()) is not None:
            try:
                await told()
            except Exception:
                log.exception("an event of agent %r is lost", self.agent)

    async def _model(self, message_id: str, author: str) -> Any:
        if message_id not in self._models:
            runs = await self.callbacks.on_chat_model_start(
                {"name": author or self.agent}, [[]], run_id=_run_id()
            )
            self._models[message_id] = runs[0]
        return self._models[message_id]

    async def _token(self, text: str, message_id: str, author: str, reasoning: bool) -> None:
        content: Any = [{"type": "reasoning", "reasoning": text}] if reasoning else text
        chunk = AIMessageChunk(content=content, id=message_id, name=author or None)
        run = await self._model(message_id, author)
        await run.on_llm_new_token(
            "" if reasoning else text, chunk=ChatGenerationChunk(message=chunk)
        )

    async def _message(self, message: Message) -> None:
        if message["role"] == "assistant":
            await self._assistant(message)
        elif message["role"] == "tool":
            # LangGraph streams the messages that a node returns; a node that is only this message
            name = WHOLE_MESSAGE
            shown = self.callbacks.copy()
            shown.metadata = {**shown.metadata, "langgraph_node": name}
            shown.inheritable_metadata = {**shown.inheritable_metadata, "langgraph_node": name}
            run = await shown.on_chain_start({}, {}, name=name, run_id=_run_id())
            await run.on_chain_end(cast("Any", to_langchain(message)))

    async def _assistant(self, message: Message) -> None:
        message_id = str(message["id"])
        run = self._models.pop(message_id, None)
        if run is not None:
            # streams drop a whole message whose pieces they have seen, so the last piece has the rest
            await run.on_llm_new_token("", chunk=ChatGenerationChunk(message=_rest(message)))
        else:
            run = await self._model(message_id, message.get("name") or "")
            del self._models[message_id]
        generation = ChatGeneration(message=to_langchain(message))
        await run.on_llm_end(LLMResult(generations=[[generation]]))

    async def _tool_start(self, call_id: str, name: str, args: Json) -> None:
        if call_id in self._tools:
            return
        inputs = cast("JsonObject", args) if isinstance(args, dict) else {"input": args}
        self._tools[call_id] = await self.callbacks.on_tool_start(
            {"name": name},
            dumps(plain(inputs)).decode(),
            run_id=_run_id(),
            inputs=inputs,
            tool_call_id=call_id,
        )

    async def _tool_end(self, call_id: str, output: Json, error: str | None) -> None:
        if call_id not in self._tools:  # it began before a pause, perhaps in another process
            await self._tool_start(call_id, self.tool_names.get(call_id, "tool"), {})
        run = self._tools.pop(call_id)
        if error is None:
            await run.on_tool_end(output)
        else:
            await run.on_tool_error(RuntimeError(error))

    async def _event(self, name: str, data: Json) -> None:
        self.writer({"name": name, "payload": plain(data)})


def _rest(message: Message) -> AIMessageChunk:
    """What of a streamed message its pieces have not told: its calls and its usage."""
    return AIMessageChunk(
        content="",
        id=str(message["id"]),
        name=message.get("name") or None,
        tool_call_chunks=[
            tool_call_chunk(
                name=call["name"],
                args=dumps(call.get("args") or {}).decode(),
                id=call["id"],
                index=i,
            )
            for i, call in enumerate(message.get("tool_calls") or ())
        ],
        usage_metadata=cast("Any", usage_of(message["usage"])) if message.get("usage") else None,
        chunk_position="last",
    )


def _run_id() -> UUID:
    return new_id()
