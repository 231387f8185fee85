"""An `Io` that keeps what a step says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agenthub.adapting import Message
from agenthub.json import Json, JsonObject


@dataclass(slots=True)
class Recording:
    """`agenthub.adapting.Io`: every call as `(name, arguments)`, in order; `kept` is the store."""

    told: list[tuple[str, JsonObject]] = field(default_factory=list[tuple[str, JsonObject]])
    kept: dict[str, Json] = field(default_factory=dict[str, Json])

    def token(
        self, text: str, message_id: str, *, author: str = "", reasoning: bool = False
    ) -> None:
        self._tell("token", text=text, id=message_id, author=author, reasoning=reasoning)

    def message(self, message: Message) -> None:
        self._tell("message", **message)

    def tool_start(self, call_id: str, name: str, args: Json, *, author: str = "") -> None:
        self._tell("tool_start", id=call_id, name=name, args=args)

    def tool_end(self, call_id: str, output: Json = None, *, error: str | None = None) -> None:
        self._tell("tool_end", id=call_id, output=output, error=error)

    def event(self, name: str, data: Json) -> None:
        self._tell("event", event=name, data=data)

    async def save(self, state: Json, messages: Sequence[Message] = ()) -> None:
        self._tell("save", state=state, messages=list(messages))

    def cancelled(self) -> bool:
        return True

    async def recall(self, scope: tuple[str, ...], key: str) -> Json:
        return self.kept.get("/".join((*scope, key)))

    async def recall_all(self, scope: tuple[str, ...]) -> Mapping[str, Json]:
        prefix = f"{'/'.join(scope)}/"
        found = {k.removeprefix(prefix): v for k, v in self.kept.items() if k.startswith(prefix)}
        return {key: value for key, value in found.items() if value is not None}

    async def keep(self, scope: tuple[str, ...], key: str, value: Json) -> None:
        self.kept["/".join((*scope, key))] = value

    def of(self, *names: str) -> list[JsonObject]:
        """What was told under these names, in order."""
        return [said for name, said in self.told if name in names]

    def _tell(self, name: str, /, **said: Any) -> None:
        self.told.append((name, said))
