"""The connection to a running hub: one request, its answer, and failures as sentences."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from agenthub.errors import Invalid, NotFound, Unavailable
from agenthub.json import Json

SECONDS = 30.0


class Api:
    """Requests to one hub."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **query: Any) -> Json:
        """Raises as `answer`."""
        return answer(await self._send("GET", path, params=_given(query)))

    async def post(self, path: str, body: Json = None, **query: Any) -> Json:
        """Raises as `answer`."""
        return answer(await self._send("POST", path, json=body, params=_given(query)))

    async def patch(self, path: str, body: Json) -> Json:
        """Raises as `answer`."""
        return answer(await self._send("PATCH", path, json=body))

    async def delete(self, path: str) -> Json:
        """Raises as `answer`."""
        return answer(await self._send("DELETE", path))

    async def _send(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            return await self.client.request(method, path, **how)
        except httpx.TransportError as failed:
            raise _unreachable(self.client, failed) from failed


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Api]:
    """A connection to the hub at `url`, for the time of the context."""
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:
        yield Api(client)


def answer(response: httpx.Response) -> Json:
    """The body of an answer.

    Raises:
        NotFound: the hub does not know what was asked for.
        Invalid: it refused the request.
        Unavailable: it failed, or is no Agent Hub.
    """
    if not response.is_error:
        return response.json() if response.content else None
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"{response.request.url} answered {response.status_code}"
    if response.status_code == int(httpx.codes.NOT_FOUND):
        raise NotFound(detail)
    if response.is_client_error:
        raise Invalid(detail)
    raise Unavailable(detail)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _unreachable(client: httpx.AsyncClient, failed: Exception) -> Unavailable:
    return Unavailable(
        f"no hub answers at {client.base_url} ({failed or type(failed).__name__}): "
        "start one with `agenthub dev`, or name it with --url"
    )
