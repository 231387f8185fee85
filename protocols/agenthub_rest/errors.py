"""Errors on the wire: one table, and the body that `langgraph-sdk` reads."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from agenthub import errors
from agenthub.errors import HubError
from agenthub.json import JsonObject, dumps

log = logging.getLogger(__name__)

STATUS: Mapping[type[HubError], int] = {
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.UnknownInterrupt: 409,
    errors.KeyReused: 422,
    errors.Invalid: 422,
    errors.Forbidden: 403,
    errors.Unauthenticated: 401,
    errors.TooManyRequests: 429,
    errors.TooLarge: 413,
    errors.Unavailable: 503,
    errors.AgentFailed: 500,
    errors.DeadlineExceeded: 504,
    errors.UnsupportedVersion: 400,
}


class JsonResponse(Response):
    """A response whose body is encoded already."""

    media_type = "application/json"


def problem(error: HubError) -> Response:
    """`{"detail", "code"}`, with what else a client can use."""
    body: JsonObject = {**error.details, "detail": error.message, "code": error.code}
    return JsonResponse(dumps(body), STATUS.get(type(error), 500))


async def hub_error(_: Request, error: Exception) -> Response:
    """Starlette's handler for `HubError`."""
    assert isinstance(error, HubError)
    return problem(error)


async def unexpected(request: Request, error: Exception) -> Response:
    """Anything else: logged here, a constant outside."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(HubError("the server failed; the error was logged"))


def sentence(error: ValidationError) -> str:
    """A validation error as one line."""
    parts = [
        f"{'.'.join(str(p) for p in e['loc']) or 'body'}: {e['msg'].lower()}"
        for e in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "; ".join(parts)
