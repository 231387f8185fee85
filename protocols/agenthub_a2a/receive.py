"""Requests as the bindings take them in: who calls which agent, in which version, with which body.

The body is bounded while it streams in and parsed strictly, and its enum values are checked, which
protobuf's parser would drop. Version: methods and paths of 0.3 and 1.0 differ, so a request without
A2A-Version is taken for what its method or path says (the SDK would refuse it); one that names
another version is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, Literal, TypeAlias, cast

from a2a.server.context import ServerCallContext
from a2a.server.routes.common import DefaultServerCallContextBuilder
from a2a.utils.constants import VERSION_HEADER
from a2a.utils.errors import VersionNotSupportedError
from starlette.requests import Request

from agenthub.agents import AgentInfo
from agenthub.errors import TooLarge
from agenthub.json import Json
from agenthub.principal import Principal
from agenthub.service import Hub
from agenthub_a2a.call import Call
from agenthub_a2a.card import Place
from agenthub_a2a.leaving import disconnected

Version: TypeAlias = Literal["1.0", "0.3"]
SPOKEN: Final[dict[Version, re.Pattern[str]]] = {
    "1.0": re.compile(r"1\.0(\.\d+)?"),
    "0.3": re.compile(r"0\.3(\.\d+)?"),
}


class Received(Request):
    """A request whose body has been read and whose caller is known."""

    def __init__(self, request: Request, raw: bytes, content: Json, call: Call) -> None:
        super().__init__(request.scope, request.receive)
        self.raw = raw
        self.content = content
        self.call = call

    async def body(self) -> bytes:
        """The body as it came; dispatchers ask for it."""
        return self.raw

    async def json(self) -> Json:
        """The body, parsed; dispatchers ask for it."""
        return self.content


class Context(DefaultServerCallContextBuilder):
    """The SDK's context, with the call and the version that the request means."""

    def build(self, request: Request) -> ServerCallContext:
        assert isinstance(request, Received)
        context = super().build(request)
        request.call.put(context)
        version = cast("Version", request.call.version)
        insist(version, named_version(request))
        # the SDK compares this with its own version, by major number only
        context.state["headers"][VERSION_HEADER.lower()] = version
        return context


class Intake:
    """What all bindings know of a request before they look at it."""

    def __init__(
        self,
        hub: Hub,
        *,
        principal: Callable[[Request], Principal],
        place: Callable[[Request, AgentInfo], Place],
        max_body_bytes: int,
    ) -> None:
        self.hub = hub
        self.place = place
        self.principal = principal
        self.max_body_bytes = max_body_bytes

    def call(self, request: Request, version: Version = "1.0") -> Call:
        """Who calls which agent.

        Raises:
            HubError: the caller or the agent is not known, or the agent cannot be served now.
        """
        who = self.principal(request)
        info = self.hub.agent(request.path_params["name"])
        return Call(
            who=who,
            info=info,
            place=self.place(request, info),
            idempotency_key=request.headers.get("idempotency-key"),
            version=version,
            last_event_id=request.headers.get("last-event-id") or None,
            gone=partial(disconnected, request),
        )

    async def read(self, request: Request) -> bytes:
        """The body, read no further than it may be long.

        Raises:
            TooLarge: it is longer.
            ClientDisconnect: it never came.
        """
        too_large = TooLarge(f"the body is larger than {self.max_body_bytes} bytes")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.max_body_bytes:
            raise too_large
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.max_body_bytes:
                raise too_large
        return bytes(body)


def named_version(request: Request) -> str:
    """The version that a request names in its header or its query; empty: none."""
    said = request.headers.get(VERSION_HEADER) or request.query_params.get(VERSION_HEADER) or ""
    return said.strip()


def insist(version: Version, said: str) -> None:
    """Insist that a request of `version` names that one, or none.

    Raises:
        VersionNotSupportedError: it names another one.
    """
    if said and not SPOKEN[version].fullmatch(said):
        raise VersionNotSupportedError(
            f"A2A version {said!r} is not supported here; what was asked for is of {version}"
        )


def is_json(request: Request) -> bool:
    """Whether the body says that it is JSON. Anything else also keeps web pages out, which may post
    it to localhost."""
    essence = request.headers.get("content-type", "").split(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")
