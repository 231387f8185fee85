"""What a framework adapter is: it knows its framework, and nothing of the hub's engine.

An adapter turns one agent of its framework into steps. A step runs the agent until it is done, pauses
for people, or reaches a boundary at which it can go on elsewhere. Between two steps everything that the
agent needs is the step's `state`, JSON that any worker can continue from (frameworks.md §2, §7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable
from urllib.parse import quote

from agenthub.agents import AgentInfo
from agenthub.json import Json, JsonObject
from agenthub.remotes import Remote

AskKind: TypeAlias = Literal["approval", "input", "auth", "feedback", "external"]
Message: TypeAlias = JsonObject
"""One message: `id`, `role` (user, assistant, tool, system), `content` (a text, or LangChain's standard
content blocks), and where they apply `name`, `tool_calls` (`[{"id", "name", "args"}]`), `tool_call_id`,
`status` (success, error) and `usage` (`{"input_tokens", "output_tokens", "total_tokens"}`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An open question of a paused agent. `id` is the framework's own and comes back with the answer;
    `schema` is the JSON Schema of the answer; `key` says where it came from (a tool, a node)."""

    id: str
    kind: AskKind
    prompt: str
    payload: Json = None
    schema: JsonObject | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Why a step begins.

    `input`: `messages` and `data` (structured input) are new; the agent may be paused all the same, and
    then decides what becomes of its questions (`answers` has those that were answered already).
    `answers`: for all of the asks, by their ids; what declines is `{"action": "decline" | "cancel"}`, and
    `approval` reads what approves. `continue`: an earlier attempt at this step saved
    `state` before it was lost, or the step before ended at a boundary. `user_id` is who began the turn,
    whoever answers its questions.
    """

    kind: Literal["input", "answers", "continue"]
    thread_id: str
    run_id: str
    user_id: str = "anonymous"
    messages: Sequence[Message] = ()
    data: Json = None
    answers: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a step ended. `messages` are those that it added, `usage` is its own and not cumulative
    (`{"input_tokens", "output_tokens", "total_tokens"}`), `output` is the structured result when done."""

    status: Literal["done", "paused", "boundary"]
    state: Json
    messages: Sequence[Message] = ()
    output: Json = None
    asks: Sequence[Ask] = ()
    usage: Mapping[str, int] | None = None


class Io(Protocol):
    """What a step may say while it runs. All but the awaited ones may be called from any thread."""

    def token(
        self, text: str, message_id: str, *, author: str = "", reasoning: bool = False
    ) -> None:
        """A piece of a message that is being written."""
        ...

    def message(self, message: Message) -> None:
        """A whole message; it ends the tokens of its id."""
        ...

    def tool_start(self, call_id: str, name: str, args: Json, *, author: str = "") -> None:
        """A tool begins."""
        ...

    def tool_end(self, call_id: str, output: Json = None, *, error: str | None = None) -> None:
        """A tool has ended, perhaps one that began before a pause."""
        ...

    def event(self, name: str, data: Json) -> None:
        """Anything else: clients that ask for `custom` events get it."""
        ...

    async def save(self, state: Json, messages: Sequence[Message] = ()) -> None:
        """Keep where the step stands, durably: a step that is lost is entered anew with `continue`, this
        state, and with these messages (all that it has added so far) counted as said. Raises `LeaseLost`
        if the run belongs to another."""
        ...

    def cancelled(self) -> bool:
        """Whether a step that is being cancelled is over for good: its run was cancelled, or its time is
        up. Otherwise its worker leaves, and another goes on with what was saved."""
        ...

    async def recall(self, scope: tuple[str, ...], key: str) -> Json:
        """What was kept, or None. Kept values outlive the thread: the state of a user, an artifact."""
        ...

    async def recall_all(self, scope: tuple[str, ...]) -> Mapping[str, Json]:
        """All that was kept under a scope, by key. What threads write side by side belongs under keys of its
        own: a value that is read, changed and kept may lose what another thread has kept meanwhile."""
        ...

    async def keep(self, scope: tuple[str, ...], key: str, value: Json) -> None:
        """Keep a value under a scope such as `("user", label(user_id))`; None removes it."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A framework, as the hub sees it. Found by the entry-point group `agenthub.adapters`, whose names
    are the module prefixes that adapters own."""

    name: str

    def detect(self, obj: Any) -> bool:
        """Whether this is an agent of the framework; by the names of its classes' modules."""
        ...

    def describe(self, obj: Any) -> AgentInfo:
        """Name, description, schemas and skills; from them come the MCP tool and the A2A card."""
        ...

    async def step(self, obj: Any, state: Json, inbound: Inbound, io: Io) -> Outcome:
        """Run the agent. `state` is None on a new thread. `obj` is the agent, shared by all threads, or a
        fresh one where a factory was named. Cancellation stops the framework's work; errors of the agent
        are raised."""
        ...


@runtime_checkable
class RemoteAdapter(Adapter, Protocol):
    """An adapter of agents that are elsewhere, and have to be asked what they are."""

    def declared(self, remote: Remote) -> Any:
        """The agent of a declaration."""
        ...

    async def ask(self, obj: Any) -> Sequence[tuple[str, Any]]:
        """Ask an agent what it is, so that it can be described: itself, or those that it turns out to be,
        each with what is added to its name. An error says why it is not available; it is asked again."""
        ...


def label(text: str) -> str:
    """Any text as a part of a scope, which has no periods and is not empty."""
    return quote(text, safe="@:+ ").replace(".", "%2E") or "%"


_YES = frozenset({"yes", "y", "true", "ok", "okay", "approve", "approved", "accept", "allow"})


def approval(answer: Json) -> tuple[bool, str]:
    """Whether an answer approves, and what was said along with it; only a clear yes does.

    Surfaces and clients say it in their own ways: `true`, `"yes"`, `{"approved": true, "response": …}`,
    `{"action": "accept" | "decline" | "cancel"}`, `{"type": "approve" | "reject", "message": …}`.
    """
    if isinstance(answer, str):
        said = answer.strip()
        return said.rstrip(".!").lower() in _YES, said
    if not isinstance(answer, dict):
        return answer is True, ""
    fields = cast("JsonObject", answer)
    told = (fields.get(k) for k in ("response", "reason", "message", "feedback"))
    said = next((t for t in told if isinstance(t, str)), "")
    for key in ("approved", "action", "decision", "type"):
        if key in fields:
            return approval(fields[key])[0], said
    return False, said
