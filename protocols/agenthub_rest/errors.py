"""Errors on the wire: one table, and the body that `langgraph-sdk` reads."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agenthub import errors
from agenthub.errors import HubError
from agenthub.json import JsonObject, dumps

log = logging.getLogger(__name__)

STATUS: Mapping[type[HubError], int] = {
    HubError: 500,
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
    errors.NotSupported: 501,
    errors.UnsupportedVersion: 400,
}
MOST_PROBLEMS = 5


class JsonResponse(Response):
    """A response whose body is encoded already."""

    media_type = "application/json"


def problem(error: HubError) -> Response:
    """`{"detail", "code"}`, with what else a client can use."""
    body: JsonObject = {**error.details, "detail": error.message, "code": error.code}
    return JsonResponse(dumps(body), STATUS[type(error)])


async def hub_error(_: Request, error: Exception) -> Response:
    """Starlette's handler for `HubError`."""
    assert isinstance(error, HubError)
    return problem(error)


async def http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for what its router refuses: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    match error.status_code:
        case 404:
            code, detail = "not_found", f"there is nothing at {path!r}"
        case 405:
            code, detail = "method_not_allowed", f"{path!r} does not take {request.method}"
        case _:
            code, detail = "refused", str(error.detail)
    body = dumps({"detail": detail, "code": code})
    return JsonResponse(body, error.status_code, headers=error.headers)


async def unexpected(request: Request, error: Exception) -> Response:
    """Anything else: logged here, a constant outside."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(HubError("the server failed; the error was logged"))


def sentence(error: ValidationError) -> str:
    """A validation error as one line, in the words of JSON."""
    found = error.errors(include_url=False, include_input=False)
    told = list(dict.fromkeys(map(_told, found)))
    more = [f"and {len(told) - MOST_PROBLEMS} more"] if len(told) > MOST_PROBLEMS else []
    return "; ".join(told[:MOST_PROBLEMS] + more)


def _told(problem: ErrorDetails) -> str:
    # the branches of a union stand in the path as `list[str]`
    path = [str(part)[:40] for part in problem["loc"] if "[" not in str(part)]
    match problem["type"]:
        case "model_type" | "model_attributes_type" | "dict_type":
            text = "must be an object"
        case "missing":
            text = "is required"
        case "value_error":
            text = str(problem.get("ctx", {}).get("error", "is not valid"))
        case _:
            text = problem["msg"].replace("Input should be", "must be")
            text = text[0].lower() + text[1:]
    if not path:
        return text if problem["type"] == "value_error" else f"the body {text}"
    return f"{'.'.join(path)}: {text}"
