"""What an MCP endpoint must do beyond the official suite: behaviours by id, with a section and a sentence.

Checks carry these ids (`@requirement("sessions:delete")`); a test holds the two together. The level is the
specification's word, or `HUB` for what only a server of several replicas can promise; a server that does
without that is told so, and does not fail. Tools are the official suite's, under their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["MUST", "SHOULD", "HUB"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One behaviour. `tools` are those of the official suite that its check calls."""

    id: str
    section: str
    level: Level
    sentence: str
    tools: tuple[str, ...] = ()


_TRANSPORT: Final = "2025-11-25/basic/transports"
_MODERN: Final = "2026-07-28/basic/transports"
_TASKS: Final = "extensions/tasks"
_ROWS: Final[tuple[tuple[str, str, Level, str, str], ...]] = (
    (
        "sessions:shared",
        f"{_TRANSPORT}#session-management",
        "HUB",
        "A session that one replica opened is served by every replica.",
        "",
    ),
    (
        "sessions:missing",
        f"{_TRANSPORT}#session-management",
        "SHOULD",
        "A request without the session's id is refused with 400.",
        "",
    ),
    (
        "sessions:unknown",
        f"{_TRANSPORT}#session-management",
        "MUST",
        "A request of a session that is not there is refused with 404.",
        "",
    ),
    (
        "sessions:delete",
        f"{_TRANSPORT}#session-management",
        "MUST",
        "A session that its client deleted is not there for any replica.",
        "",
    ),
    (
        "sessions:notification",
        f"{_TRANSPORT}#sending-messages-to-the-server",
        "MUST",
        "A notification is accepted with 202 and no body.",
        "",
    ),
    (
        "sessions:batch",
        f"{_TRANSPORT}#sending-messages-to-the-server",
        "MUST",
        "A batch of messages is refused with 400.",
        "",
    ),
    (
        "sessions:not-json",
        "2025-11-25/basic#messages",
        "MUST",
        "A body that is not JSON is refused with 400 and -32700.",
        "",
    ),
    (
        "resume:last-event-id",
        f"{_TRANSPORT}#resumability-and-redelivery",
        "HUB",
        "A call whose connection was lost goes on by Last-Event-ID, at whatever replica.",
        "test_reconnection",
    ),
    (
        "resume:again",
        f"{_TRANSPORT}#resumability-and-redelivery",
        "HUB",
        "What followed an event can be had again, and is the same.",
        "test_reconnection",
    ),
    (
        "resume:foreign",
        f"{_TRANSPORT}#resumability-and-redelivery",
        "MUST",
        "An event of another session's stream is none to go on from.",
        "test_simple_text",
    ),
    (
        "questions:any-replica",
        "2025-11-25/client/elicitation",
        "HUB",
        "The answer to a question may be handed in at any replica.",
        "test_elicitation",
    ),
    (
        "questions:undeclared",
        "2025-11-25/client/elicitation#capabilities",
        "MUST",
        "A client that declares no elicitation is not asked.",
        "test_elicitation",
    ),
    (
        "progress:rising",
        "2026-07-28/basic/utilities/progress",
        "MUST",
        "Progress rises strictly, in both eras, under the request's token.",
        "test_tool_with_progress",
    ),
    (
        "progress:unasked",
        "2026-07-28/basic/utilities/progress",
        "MUST",
        "Without a token there is no progress.",
        "test_tool_with_progress",
    ),
    (
        "origin:refused",
        f"{_TRANSPORT}#security-warning",
        "MUST",
        "A foreign Origin is refused with 403, in both eras.",
        "",
    ),
    (
        "headers:mismatch",
        f"{_MODERN}#server-validation",
        "MUST",
        "A header that contradicts the body is refused with 400 and -32020.",
        "test_simple_text",
    ),
    (
        "headers:missing",
        f"{_MODERN}#server-validation",
        "MUST",
        "A header that is missing is refused with 400 and -32020.",
        "test_simple_text",
    ),
    (
        "versions:unsupported",
        "2026-07-28/basic/versioning",
        "MUST",
        "An unknown revision is refused with 400 and -32022, which lists those that are known.",
        "",
    ),
    (
        "methods:unknown",
        "2026-07-28/basic/transports",
        "MUST",
        "An unknown method is refused with 404 and -32601.",
        "",
    ),
    (
        "methods:http",
        "2026-07-28/basic/transports",
        "MUST",
        "GET and DELETE are refused with 405 in the stateless revision.",
        "",
    ),
    (
        "caching:lists",
        "2026-07-28/server/utilities/caching",
        "MUST",
        "Discovery and lists say how long and for whom they hold.",
        "",
    ),
    (
        "tools:shape",
        "2025-11-25/server/tools#tool",
        "SHOULD",
        "Every tool has a name that hosts accept, a description, and schemas whose root is an object.",
        "",
    ),
    (
        "tools:order",
        "2026-07-28/server/tools#listing-tools",
        "SHOULD",
        "The order of the tools is the same at every replica.",
        "",
    ),
    (
        "tools:unknown",
        "2025-11-25/server/tools#error-handling",
        "MUST",
        "An unknown tool is refused with -32602.",
        "",
    ),
    (
        "tools:arguments",
        "2025-11-25/server/tools#error-handling",
        "SHOULD",
        "Arguments that do not fit are a result with isError that says what is wrong.",
        "greet",
    ),
    (
        "state:sealed",
        "2026-07-28/basic/utilities/mrtr",
        "MUST",
        "A requestState that was changed is refused.",
        "test_input_required_result_request_state",
    ),
    (
        "state:bound",
        "2026-07-28/basic/utilities/mrtr",
        "SHOULD",
        "A requestState is good for its own request alone.",
        "test_input_required_result_request_state test_input_required_result_elicitation",
    ),
    (
        "state:shared",
        "2026-07-28/basic/utilities/mrtr",
        "HUB",
        "A requestState that one replica sealed is opened by every replica.",
        "test_input_required_result_request_state",
    ),
    (
        "tasks:undeclared",
        _TASKS,
        "MUST",
        "Task methods of a client that does not declare them are refused with -32021.",
        "slow_compute",
    ),
    (
        "tasks:durable",
        _TASKS,
        "MUST",
        "A task is known to every replica as soon as it has an id, and to its end.",
        "slow_compute",
    ),
    (
        "tasks:foreign",
        _TASKS,
        "MUST",
        "A task that is not there is refused with -32602.",
        "slow_compute",
    ),
    (
        "tasks:questions",
        _TASKS,
        "MUST",
        "A task waits for the answers that it asked for, and passes over all others.",
        "confirm_delete",
    ),
    (
        "tasks:cancel",
        _TASKS,
        "MUST",
        "A task can be cancelled, and cancelled again.",
        "slow_compute",
    ),
)
REQUIREMENTS: Final[Mapping[str, Requirement]] = {
    id_: Requirement(id_, section, level, sentence, tuple(tools.split()))
    for id_, section, level, sentence, tools in _ROWS
}
