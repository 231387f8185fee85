"""Cards: fetched, verified, cut to the interfaces that may be called, and read as a description.

A signature counts only by keys that the operator named, or that are on hosts the agent may be on: a card
that names its own keys elsewhere proves nothing.
"""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from typing import Any, Final, cast

import httpx
from a2a.client import A2ACardResolver
from a2a.client.errors import AgentCardResolutionError
from a2a.types.a2a_pb2 import AgentCard
from a2a.utils.constants import PROTOCOL_VERSION_CURRENT, VERSION_HEADER, TransportProtocol
from a2a.utils.signing import SignatureVerificationError, create_signature_verifier
from google.protobuf.json_format import MessageToDict
from jwt.api_jwk import PyJWK
from jwt.exceptions import PyJWTError

from agenthub.agents import AgentInfo
from agenthub.errors import AgentFailed
from agenthub.json import JsonObject
from agenthub.remotes import Remote
from agenthub_remote import outgoing
from agenthub_remote.agents import CARD_SECONDS, RemoteAgent
from agenthub_remote.patience import Broken

ASK_SECONDS: Final = 10.0
JSON: Final = "application/json"
ALGORITHMS: Final = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "EdDSA"]
"""Asymmetric ones: a public key must never pass for a secret."""
SPOKEN: Final = (TransportProtocol.JSONRPC.value, TransportProtocol.HTTP_JSON.value)
DATA: Final[JsonObject] = {"title": "Data", "description": "Sent along as a data part."}


async def card_of(agent: RemoteAgent) -> AgentCard:
    """What an agent's card says, heard within the last minutes.

    Raises:
        AgentFailed: it cannot be had, is not signed as it must be, or names no interface that may be used.
    """
    now = asyncio.get_running_loop().time()
    if agent.heard is None or now > agent.heard_until:
        agent.heard = await _fetched(agent.remote)
        agent.heard_until = now + CARD_SECONDS
    return cast("AgentCard", agent.heard)


def described(card: AgentCard) -> AgentInfo:
    """An agent, as its card has it."""
    about: JsonObject = {"version": card.version} if card.version else {}
    if card.HasField("provider"):
        about["provider"] = {"organization": card.provider.organization, "url": card.provider.url}
    for name in ("icon_url", "documentation_url"):
        if getattr(card, name):
            about[name] = getattr(card, name)
    return AgentInfo(
        name=card.name,
        title=card.name,
        description=card.description,
        # what it takes besides words, it does not say
        input_schema=dict(DATA) if JSON in card.default_input_modes else {},
        skills=tuple(MessageToDict(skill) for skill in card.skills),
        card=about,
        code_version=card.version,
    )


async def _fetched(remote: Remote) -> AgentCard:
    headers = {**outgoing.secrets(remote), VERSION_HEADER: PROTOCOL_VERSION_CURRENT}
    try:
        async with (
            asyncio.timeout(ASK_SECONDS),
            outgoing.client(httpx, remote, headers=headers, read_seconds=ASK_SECONDS) as http,
        ):
            card = await _resolver(http, remote).get_agent_card(
                relative_card_path="/" if remote.url.endswith(".json") else None
            )
            if remote.verify or remote.keys:
                await _verify(remote, card)
    except TimeoutError:
        raise AgentFailed(f"{remote.url} did not answer within {ASK_SECONDS:g} s") from Broken()
    except AgentCardResolutionError as error:
        raise AgentFailed(f"the card of {remote.url} cannot be read: {error}") from error
    return _cut(remote, card)


def _resolver(http: httpx.AsyncClient, remote: Remote) -> A2ACardResolver:
    return A2ACardResolver(http, remote.url)


def _cut(remote: Remote, card: AgentCard) -> AgentCard:
    """The card with the interfaces alone that may be called."""
    spoken = [
        i
        for i in card.supported_interfaces
        if i.protocol_binding in ((remote.binding,) if remote.binding else SPOKEN)
    ]
    if not spoken:
        wanted = remote.binding or " or ".join(SPOKEN)
        raise AgentFailed(f"the card of {remote.url} has no interface for {wanted}")
    allowed = [i for i in spoken if outgoing.allows(remote, i.url)]
    if not allowed:
        # says which host it is, and what to do about it
        outgoing.check(remote, spoken[0].url)
    cut = AgentCard()
    cut.CopyFrom(card)
    del cut.supported_interfaces[:]
    cut.supported_interfaces.extend(allowed)
    return cut


async def _verify(remote: Remote, card: AgentCard) -> None:
    places = [remote.keys] if remote.keys else _places(remote, card)
    keys: dict[str | None, PyJWK] = {}
    for place in places:
        keys |= await _keys(remote, place)

    def key(kid: str | None, _: str | None) -> PyJWK:
        if kid not in keys:
            raise PyJWTError(f"there is no key {kid!r}")
        return keys[kid]

    try:
        create_signature_verifier(key, ALGORITHMS)(card)
    except SignatureVerificationError as error:
        raise AgentFailed(
            f"the card of {remote.url} is not signed by {remote.keys or 'a key of its own'}: {error}"
        ) from None


def _places(remote: Remote, card: AgentCard) -> list[str]:
    """Where the signatures say that their keys are, as far as the agent may be there."""
    found: list[str] = []
    for signature in card.signatures:
        try:
            padded = signature.protected + "=" * (-len(signature.protected) % 4)
            header: Any = json.loads(urlsafe_b64decode(padded))
        except ValueError:
            continue
        place = cast("JsonObject", header).get("jku") if isinstance(header, dict) else None
        if isinstance(place, str) and outgoing.allows(remote, place) and place not in found:
            found.append(place)
    return found


async def _keys(remote: Remote, place: str) -> dict[str | None, PyJWK]:
    """The keys of a JWK set by their ids. It is public: no secret goes there."""
    there = Remote(protocol="a2a", url=place, hosts=remote.hosts)
    try:
        async with outgoing.client(httpx, there, headers={}, read_seconds=ASK_SECONDS) as http:
            response = await http.get(place)
            response.raise_for_status()
            listed = cast("JsonObject", response.json())["keys"]
            return {key.get("kid"): PyJWK(key) for key in listed}
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, PyJWTError) as error:
        raise AgentFailed(f"the keys at {place} cannot be read: {error}") from None
