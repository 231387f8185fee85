"""Errors: one table from the hub's refusals to A2A's, and the way out for each.

Inside a request everything leaves as an `A2AError`, which each dispatcher of the SDK turns into its
binding's form with an `ErrorInfo`. What is refused before there is a request to answer (unknown agent,
unknown caller, oversized body) is an HTTP status with a JSON-RPC body.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.utils.error_handlers import build_rest_error_payload
from a2a.utils.errors import (
    A2AError,
    InternalError,
    InvalidParamsError,
    InvalidRequestError,
    TaskNotFoundError,
    UnsupportedOperationError,
    VersionNotSupportedError,
)
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError, Message
from starlette.responses import JSONResponse

from agenthub.errors import (
    AgentFailed,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    HubError,
    Invalid,
    KeyReused,
    NotFound,
    NotSupported,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnknownInterrupt,
    UnsupportedVersion,
)
from agenthub.json import JsonObject

log = logging.getLogger(__name__)

TABLE: Final[dict[type[HubError], type[A2AError]]] = {
    HubError: InternalError,
    NotFound: TaskNotFoundError,
    Conflict: UnsupportedOperationError,
    UnknownInterrupt: InvalidParamsError,
    KeyReused: InvalidParamsError,
    Invalid: InvalidParamsError,
    Forbidden: InvalidRequestError,
    Unauthenticated: InvalidRequestError,
    TooManyRequests: InvalidRequestError,
    TooLarge: InvalidRequestError,
    Unavailable: InternalError,
    NotSupported: UnsupportedOperationError,
    AgentFailed: InternalError,
    DeadlineExceeded: InternalError,
    UnsupportedVersion: VersionNotSupportedError,
}
"""A2A has no codes for who may call and how often; `ErrorInfo.metadata.code` names the reason."""

STATUS: Final[dict[type[HubError], int]] = {
    NotFound: 404,
    Forbidden: 403,
    Unauthenticated: 401,
    TooManyRequests: 429,
    TooLarge: 413,
    Unavailable: 503,
}

ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
OUR_DOMAIN: Final = "agenthub.dev"
"""Whose reasons those are that A2A has no names for."""

NAMES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
"""The statuses as google.rpc names them."""


def to_a2a(error: HubError) -> A2AError:
    """The A2A error for one of ours, with its code and details as metadata."""
    kind = next(TABLE[c] for c in type(error).__mro__ if c in TABLE)
    metadata = {name: _text(value) for name, value in error.details.items()}
    return kind(error.message, data={"code": error.code, **metadata})


@contextmanager
def translated(params: Message) -> Generator[None]:
    """Check REQUIRED fields, and let nothing but A2A errors out of the block.

    Raises:
        A2AError: whatever went wrong; unforeseen failures are logged and say nothing of the inside.
    """
    try:
        validate_proto_required_fields(params)
        yield
    except A2AError:
        raise
    except HubError as error:
        raise to_a2a(error) from error
    except Exception as error:
        log.exception("an A2A operation failed")
        raise InternalError("the hub failed to process the request") from error


def refusal(error: HubError) -> JSONResponse:
    """The answer to a request that never became one: HTTP status, JSON-RPC body."""
    status = next((STATUS[c] for c in type(error).__mro__ if c in STATUS), 400)
    # TaskNotFound would be a lie about an agent that is not there
    described = InvalidRequestError(error.message) if status == 404 else to_a2a(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(build_error_response(None, described), status, headers)


class Refused(A2AError):
    """What is refused before there is a request to answer, for bindings that take only A2A errors."""

    def __init__(self, error: HubError) -> None:
        super().__init__(error.message)  # pyright: ignore[reportUnknownMemberType]  # a bare dict
        self.error = error


def http_refusal(error: HubError) -> JSONResponse:
    """The same over HTTP+JSON: an HTTP status, and a body that has its form."""
    payload = described(Refused(error))
    status = payload["error"]["code"]
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(payload, status, headers)


def described(error: Exception) -> JsonObject:
    """An error as HTTP+JSON has it: `{"error": {"code", "status", "message", "details"}}`."""
    if not isinstance(error, Refused):
        return build_rest_error_payload(error)
    refused = error.error
    status = next((STATUS[c] for c in type(refused).__mro__ if c in STATUS), 400)
    if status == 400:
        return build_rest_error_payload(to_a2a(refused))
    info = {"@type": ERROR_INFO, "reason": refused.code.upper(), "domain": OUR_DOMAIN}
    body = {"code": status, "status": NAMES[status], "message": refused.message, "details": [info]}
    return {"error": body}


def readable(error: Exception) -> A2AError:
    """What an operation of 0.3 raised; anything but its own errors comes from converting the request."""
    if isinstance(error, A2AError):
        return error
    if isinstance(error, ParseError):
        return InvalidRequestError(str(error))
    if isinstance(error, (ValueError, TypeError, LookupError, DecodeError)):
        return InvalidParamsError("the request does not have the form that A2A 0.3 gives it")
    log.error("an A2A operation of 0.3 failed", exc_info=error)
    return InternalError("the hub failed to process the request")


def _text(value: object) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(str(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # details are only shown
    return str(value)
