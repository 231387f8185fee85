"""States: what a thread's checkpoints say, as JSON, without the agent's code.

Values are decoded by a `Decoder` that imports no user type; what is next comes from the view that the
worker stored beside the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from agenthub.json import Json, JsonObject, loads
from agenthub.ports import CheckpointStore, StoredCheckpoint
from agenthub.threads import ThreadState


class Decoder(Protocol):
    """Turns a serialized channel value into JSON."""

    def decode(self, type_: str, data: bytes) -> Json: ...

    def values(self, channels: dict[str, Json]) -> Json:
        """The state as users see it, from decoded channels: internal channels left out."""
        ...


class States:
    """Reads thread states for the service."""

    def __init__(self, checkpoints: CheckpointStore, decoder: Decoder) -> None:
        self.checkpoints = checkpoints
        self.decoder = decoder

    async def get(
        self, tenant: str, thread_id: UUID, *, ns: str = "", checkpoint_id: str | None = None
    ) -> ThreadState | None:
        """The state at a checkpoint, or the latest; None when there is none."""
        stored = await self.checkpoints.get(tenant, str(thread_id), ns, checkpoint_id)
        return None if stored is None else self._state(thread_id, stored)

    async def history(
        self,
        tenant: str,
        thread_id: UUID,
        *,
        ns: str = "",
        limit: int,
        before: str | None = None,
        metadata: JsonObject | None = None,
    ) -> Sequence[ThreadState]:
        """States, newest first."""
        stored = await self.checkpoints.list(
            tenant,
            thread_id=str(thread_id),
            ns=ns,
            before=before,
            metadata=metadata,
            limit=limit,
        )
        return [self._state(thread_id, s) for s in stored]

    def _state(self, thread_id: UUID, stored: StoredCheckpoint) -> ThreadState:
        body = loads(stored.body)
        channels: JsonObject = body.get("channel_values", {})
        channels |= {b.channel: self.decoder.decode(b.type, b.data) for b in stored.blobs}
        return ThreadState(
            thread_id=thread_id,
            ns=stored.ns,
            checkpoint_id=stored.checkpoint_id,
            parent_id=stored.parent_id,
            values=self.decoder.values(channels),
            next=tuple(step.name for step in stored.steps),
            steps=stored.steps,
            metadata=loads(stored.metadata),
            created_at=body.get("ts"),
        )
