"""What can go wrong, in words that a person can act on.

One class per reason, each with a stable `code`. No HTTP, JSON-RPC or A2A number stands here: every
protocol has one table that maps these classes, and a test walks the classes so that none is missed.
`LeaseLost` is not among them: it is control flow between a worker and the storage.
"""

from __future__ import annotations

from typing import ClassVar


class HubError(Exception):
    """A refusal or failure that a caller can understand. The message is one sentence."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class NotFound(HubError):
    """It does not exist, or it is not the caller's: both look the same from outside."""

    code = "not_found"


class Conflict(HubError):
    """The present state forbids it; the message says what would be allowed."""

    code = "conflict"


class UnknownInterrupt(Conflict):
    """An answer to a question that is not open; `details["open"]` names those that are."""

    code = "unknown_interrupt"


class KeyReused(Conflict):
    """An idempotency key that was used for a different request."""

    code = "idempotency_key_reused"


class Invalid(HubError):
    """The request cannot be understood or does not fit the agent's schema."""

    code = "invalid"


class Forbidden(HubError):
    """The caller is known and may not do this."""

    code = "forbidden"


class Unauthenticated(HubError):
    """The caller is not known."""

    code = "unauthenticated"


class TooManyRequests(HubError):
    """A limit on the number of requests is reached; try again later."""

    code = "too_many_requests"


class TooLarge(HubError):
    """The request is larger than the hub accepts."""

    code = "too_large"


class Unavailable(HubError):
    """The hub or the agent cannot serve this now."""

    code = "unavailable"


class AgentFailed(HubError):
    """The agent raised; the message is safe to show."""

    code = "agent_failed"


class DeadlineExceeded(HubError):
    """It took longer than it was allowed to."""

    code = "deadline_exceeded"


class NotSupported(HubError):
    """The request is understood, and this installation cannot do it; the message says what would."""

    code = "not_supported"


class UnsupportedVersion(HubError):
    """The protocol version asked for is not spoken here."""

    code = "unsupported_version"


class LeaseLost(Exception):
    """The run belongs to another attempt now; nothing was written and nothing more may run."""
