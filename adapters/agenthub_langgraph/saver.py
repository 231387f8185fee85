"""The checkpointer: LangGraph's saver over `CheckpointStore`, and under a lease over `LeaseWriter`.

LangGraph does not stop when a checkpointer raises: with `durability="async"` a fenced-out worker would
run every remaining node before the error surfaces (reliability.md §5.1). So the saver calls `on_lost`,
which cancels the attempt, besides raising. Under `sync` a put returns when it is committed; otherwise it
returns when it is queued, and the run's finish, queued behind it, fails if it did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from agenthub.chance import chance
from agenthub.errors import LeaseLost
from agenthub.json import loads, without_nul
from agenthub.ports import (
    Blob,
    CheckpointRow,
    CheckpointStore,
    CheckpointView,
    Lease,
    LeaseWriter,
    StoredCheckpoint,
    Write,
    WritesRow,
)
from agenthub.threads import StepView
from agenthub_langgraph.encode import encode

PLAIN_CHARACTERS = 200
PLAIN_INTEGER = 2**53
"""What a number in JSON may be for every reader."""


class HubSaver(BaseCheckpointSaver[str]):
    """Checkpoints of a tenant, unfenced: for tools and tests. `LeasedSaver` is what runs use."""

    def __init__(
        self, store: CheckpointStore, tenant: str, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(serde=serde)
        self.store = store
        self.tenant = tenant

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Versions rise, and carry a random part: two forks may not give two values one version."""
        number = 0 if current is None else int(str(current).split(".")[0])
        return f"{number + 1:032}.{chance():016}"

    async def settle(self) -> None:
        """Wait until everything that was put can be read."""

    # --- reading --------------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        await self.settle()
        at = config.get("configurable", {})
        stored = await self.store.get(
            self.tenant,
            str(at["thread_id"]),
            at.get("checkpoint_ns", ""),
            get_checkpoint_id(config),
        )
        return None if stored is None else self._tuple(stored)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        at: dict[str, Any] = config.get("configurable", {}) if config else {}
        thread_id = at.get("thread_id")
        await self.settle()
        found = await self.store.list(
            self.tenant,
            thread_id=None if thread_id is None else str(thread_id),
            ns=at.get("checkpoint_ns"),
            checkpoint_id=at.get("checkpoint_id"),
            metadata=filter,
            before=get_checkpoint_id(before) if before else None,
            limit=limit,
        )
        for stored in found:
            yield self._tuple(stored)

    def _tuple(self, stored: StoredCheckpoint) -> CheckpointTuple:
        load = self.serde.loads_typed
        checkpoint = cast("Checkpoint", loads(stored.body))
        # a channel that has a version and no value is in neither
        plain = checkpoint.get("channel_values") or {}
        checkpoint["channel_values"] = plain | {
            b.channel: load((b.type, b.data)) for b in stored.blobs
        }
        return CheckpointTuple(
            _config(stored.thread_id, stored.ns, stored.checkpoint_id),
            checkpoint,
            cast("CheckpointMetadata", loads(stored.metadata)),
            _config(stored.thread_id, stored.ns, stored.parent_id) if stored.parent_id else None,
            [(step, channel, load((type_, data))) for step, channel, type_, data in stored.writes],
        )

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """One query instead of one read per ancestor. Writes are oldest first."""
        if not channels:
            return {}
        await self.settle()
        at = config.get("configurable", {})
        checkpoint_id = get_checkpoint_id(config)
        if checkpoint_id is None:
            head = await self.aget_tuple(config)
            if head is None:
                return {channel: {"writes": []} for channel in channels}
            checkpoint_id = head.checkpoint["id"]
        links = await self.store.delta_history(
            self.tenant, str(at["thread_id"]), at.get("checkpoint_ns", ""), checkpoint_id, channels
        )
        load = self.serde.loads_typed
        history: dict[str, DeltaChannelHistory] = {}
        for channel in channels:
            writes: list[PendingWrite] = []
            for link in reversed(links[channel]):
                writes += [(step, name, load((t, data))) for step, name, t, data in link.writes]
            entry: DeltaChannelHistory = {"writes": writes}
            if links[channel] and (blob := links[channel][-1].blob) is not None:
                entry["seed"] = load(blob)
            history[channel] = entry
        return history

    # --- writing --------------------------------------------------------------------------------

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        row = self._row(config, checkpoint, metadata, new_versions)
        await self._put(row)
        return _config(row.thread_id, row.ns, row.checkpoint_id)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        at = config.get("configurable", {})
        dump = self.serde.dumps_typed
        row = WritesRow(
            thread_id=str(at["thread_id"]),
            ns=at.get("checkpoint_ns", ""),
            checkpoint_id=at["checkpoint_id"],
            step=task_id,
            path=task_path,
            writes=tuple(
                Write(WRITES_IDX_MAP.get(channel, i), channel, *dump(value))
                for i, (channel, value) in enumerate(writes)
            ),
            replace=all(channel in WRITES_IDX_MAP for channel, _ in writes),
        )
        await self._put_writes(row)

    def _row(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> CheckpointRow:
        at = config.get("configurable", {})
        values = checkpoint["channel_values"]
        versions = dict(new_versions)
        if at.get("checkpoint_id") is None:
            # the first checkpoint of a thread may come with values that have no new version
            # (written by hand, or copied): nothing else would store them
            for channel, version in checkpoint["channel_versions"].items():
                if channel in values:
                    versions.setdefault(channel, version)
        plain = {channel: value for channel, value in values.items() if _is_plain(value)}
        dump = self.serde.dumps_typed
        blobs = tuple(
            Blob(channel, str(version), *dump(values[channel]))
            for channel, version in versions.items()
            if channel in values and channel not in plain
        )
        body = {**checkpoint, "channel_values": plain}
        about = get_serializable_checkpoint_metadata(config, metadata)
        return CheckpointRow(
            thread_id=str(at["thread_id"]),
            ns=at.get("checkpoint_ns", ""),
            checkpoint_id=checkpoint["id"],
            parent_id=at.get("checkpoint_id"),
            run_id=about.get("run_id"),
            body=without_nul(encode(body).decode()),
            metadata=without_nul(encode(about).decode()),
            blobs=blobs,
        )

    async def _put(self, row: CheckpointRow) -> None:
        await self.store.put(self.tenant, row)

    async def _put_writes(self, row: WritesRow) -> None:
        await self.store.put_writes(self.tenant, row)

    async def adelete_thread(self, thread_id: str) -> None:
        await self.settle()
        await self.store.delete_thread(self.tenant, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self.settle()
        await self.store.delete_for_runs(self.tenant, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self.settle()
        await self.store.copy_thread(self.tenant, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"prune strategy {strategy!r} is unknown: keep_latest or delete")
        await self.settle()
        await self.store.prune(self.tenant, thread_ids, keep_latest=strategy == "keep_latest")

    # --- the synchronous half -------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        raise _not_sync("aget_tuple")

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        raise _not_sync("alist")


class LeasedSaver(HubSaver):
    """The saver of one attempt: reads like the other, writes under the lease."""

    def __init__(
        self,
        store: CheckpointStore,
        writer: LeaseWriter,
        lease: Lease,
        *,
        serde: SerializerProtocol,
        wait: bool,
        has_state: bool,
        on_lost: Callable[[], None],
        thread_id: str | None = None,
    ) -> None:
        """`has_state=False` says that `thread_id` has no checkpoint yet, which spares a read."""
        super().__init__(store, lease.tenant, serde)
        self.writer = writer
        self.lease = lease
        self.wait = wait
        self.on_lost = on_lost
        self.thread_id = thread_id
        self.cancelled: Callable[[], bool] = lambda: True
        """Whether the attempt, when it is stopped, is the run's last one."""
        self._empty = None if has_state else thread_id
        self._pending: set[asyncio.Future[Sequence[str]]] = set()
        # the newest checkpoint of each namespace, and views that came before their checkpoint
        self._newest: dict[str, str] = {}
        self._early: dict[str, tuple[str, tuple[StepView, ...]]] = {}

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        at = config.get("configurable", {})
        if self._empty is not None and str(at["thread_id"]) == self._empty:
            return None
        return await super().aget_tuple(config)

    async def settle(self) -> None:
        """Wait until everything that was put is committed. Raises `LeaseLost`."""
        if self._pending:
            await asyncio.gather(*self._pending)

    def view(self, ns: str, checkpoint_id: str, steps: tuple[StepView, ...]) -> None:
        """Keep what is next at a checkpoint beside it. One that is not put (durability `exit`) keeps none."""
        if self._newest.get(ns) != checkpoint_id:
            self._early[ns] = (checkpoint_id, steps)
            return
        self.put_view(ns, checkpoint_id, steps)

    def put_view(self, ns: str, checkpoint_id: str, steps: tuple[StepView, ...]) -> None:
        """The same for a checkpoint that is stored already."""
        assert self.thread_id is not None
        view = CheckpointView(
            thread_id=self.thread_id, ns=ns, checkpoint_id=checkpoint_id, steps=steps
        )
        # its failure is the lease's, and every other write of this run will say so
        self.writer.put_view(self.lease, view).add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )

    async def _put(self, row: CheckpointRow) -> None:
        self._empty = None
        self._newest[row.ns] = row.checkpoint_id
        early = self._early.pop(row.ns, None)
        if early is not None and early[0] == row.checkpoint_id:
            row = replace(row, steps=early[1])
        await self._written(self.writer.put_checkpoint(self.lease, row, urgent=self.wait))

    async def _put_writes(self, row: WritesRow) -> None:
        await self._written(self.writer.put_writes(self.lease, row, urgent=self.wait))

    async def save_beside(self, row: WritesRow, *, wait: bool) -> None:
        """Store a pending write that is none of LangGraph's; with `wait`, until it is committed."""
        written = self.writer.put_writes(self.lease, row, urgent=wait)
        await self._written(written)
        if wait:
            await written

    async def _written(self, written: asyncio.Future[Sequence[str]]) -> None:
        self._pending.add(written)
        written.add_done_callback(self._done)
        if self.wait:
            await written

    def _done(self, written: asyncio.Future[Sequence[str]]) -> None:
        self._pending.discard(written)
        if not written.cancelled() and isinstance(written.exception(), LeaseLost):
            self.on_lost()


def _is_plain(value: Any) -> bool:
    """Whether a value stands in the checkpoint itself, which spares a row: the same in JSON as here,
    and so small that repeating it in every checkpoint costs less. No float: jsonb may give an integer
    back for it."""
    match value:
        case None | True | False:
            return True
        # no subclasses: they have types that JSON forgets
        case int() if type(value) is int:
            return -PLAIN_INTEGER < value < PLAIN_INTEGER
        case str() if type(value) is str:
            return len(value) <= PLAIN_CHARACTERS and value.isprintable()
        case _:
            return False


def _config(thread_id: str, ns: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": ns,
            "checkpoint_id": checkpoint_id,
        }
    }


def _not_sync(name: str) -> NotImplementedError:
    return NotImplementedError(
        f"the hub is asynchronous: use `{name}` (ainvoke, astream, aget_state)"
    )
