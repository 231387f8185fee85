"""Signed cards and extended cards: verified by the official SDK, and by hand."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import httpx
import pytest
from a2a.types.a2a_pb2 import AgentCard, GetExtendedAgentCardRequest
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from google.protobuf.json_format import ParseDict
from jwt import PyJWK, PyJWS
from starlette.applications import Starlette

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.errors import Invalid
from agenthub.ports import Deployed
from agenthub.principal import ANONYMOUS
from agenthub_a2a import A2A, read_key
from agenthub_postgres.secrets import shared_secret
from protocols.a2a_client import agent
from protocols.test_a2a_http import Shelf, hub_of

OLD, NEW = bytes(range(1, 33)), bytes(range(32, 64))
BASE = "http://hub.test"
CARD = "/agents/echo/.well-known/agent-card.json"
EXTENDED = {"description": "Says more.", "skills": [{"id": "whisper", "name": "Whisper"}]}


async def serving(
    *keys: bytes, card: dict[str, Any] | None = None, public_url: str | None = BASE
) -> httpx.AsyncClient:
    """A surface without a hub behind it, whose cards these keys sign."""
    info = AgentInfo(name="echo", description="Says what it hears, élan.", card=card or {})
    agents = Agents(cast("Any", Shelf([Deployed(info=info)])), cast("Any", None), tenant="default")
    await agents.refresh()
    surface = A2A(
        hub_of(agents), public_url=public_url, default_agent=None, principal=lambda _: ANONYMOUS,
        max_body_bytes=1024, card_keys=keys,
    )  # fmt: skip
    app = Starlette(routes=list(surface.routes))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with await serving(OLD) as client:
        yield client


async def keys_of(client: httpx.AsyncClient) -> dict[str, PyJWK]:
    found = (await client.get("/.well-known/jwks.json")).json()["keys"]
    return {key["kid"]: PyJWK(key) for key in found}


def verify(card: dict[str, Any], keys: dict[str, PyJWK]) -> None:
    """As the official SDK does it."""
    verifier = create_signature_verifier(lambda kid, _: keys[str(kid)], ["ES256"])
    verifier(ParseDict(card, AgentCard()))


async def test_a_card_is_signed_as_the_official_sdk_verifies_it(client: httpx.AsyncClient) -> None:
    card = (await client.get(CARD)).json()
    keys = await keys_of(client)
    verify(card, keys)
    with pytest.raises(InvalidSignaturesError):
        verify({**card, "description": "Forged."}, keys)


async def test_a_card_is_signed_exactly_as_it_is_served(client: httpx.AsyncClient) -> None:
    card = (await client.get(CARD)).json()
    (signature,) = card.pop("signatures")
    header = json.loads(urlsafe_b64decode(signature["protected"] + "=="))
    assert (header["alg"], header["typ"]) == ("ES256", "JOSE")
    # RFC 8785, where there are no numbers and no keys beyond ASCII
    canonical = json.dumps(card, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    payload = urlsafe_b64encode(canonical.encode()).rstrip(b"=").decode()
    token = f"{signature['protected']}.{payload}.{signature['signature']}"
    assert header["jku"] == f"{BASE}/.well-known/jwks.json"
    (key,) = (await client.get(header["jku"])).json()["keys"]
    assert key["kid"] == header["kid"]
    assert "d" not in key
    PyJWS().decode(token, PyJWK(key), algorithms=["ES256"])


async def test_a_card_is_signed_once_and_confirmed_by_what_was_signed() -> None:
    async with await serving(OLD) as one, await serving(OLD) as other:
        first, again, elsewhere = [await c.get(CARD) for c in (one, one, other)]
        tag = first.headers["etag"]
        assert first.content == again.content
        assert first.json()["signatures"] != elsewhere.json()["signatures"]
        assert elsewhere.headers["etag"] == tag
        confirmed = await other.get(CARD, headers={"If-None-Match": tag})
        assert (confirmed.status_code, confirmed.content) == (304, b"")


async def test_keys_are_rotated_without_a_card_that_cannot_be_verified() -> None:
    before: Sequence[bytes] = (OLD, NEW)
    async with await serving(*before) as old, await serving(NEW, OLD) as new:
        cards = [await c.get(CARD) for c in (old, new)]
        assert (await keys_of(old)).keys() == (await keys_of(new)).keys()
        for card in cards:
            verify(card.json(), await keys_of(old))
        kids = [json.loads(urlsafe_b64decode(c.json()["signatures"][0]["protected"] + "=="))["kid"]
                for c in cards]  # fmt: skip
        assert kids[0] != kids[1]
        assert cards[0].headers["etag"] != cards[1].headers["etag"]


async def test_a_card_names_the_keys_where_its_reader_found_the_hub() -> None:
    async with await serving(OLD, public_url=None) as client:
        for host in ("one.test", "two.test"):
            card = (await client.get(CARD, headers={"Host": host})).json()
            protected = card["signatures"][0]["protected"]
            jku = json.loads(urlsafe_b64decode(protected + "=="))["jku"]
            assert jku == f"http://{host}/.well-known/jwks.json"
            verify(card, await keys_of(client))


async def test_without_a_key_nothing_is_signed() -> None:
    async with await serving() as client:
        assert "signatures" not in (await client.get(CARD)).json()
        assert (await client.get("/.well-known/jwks.json")).status_code == 404


async def test_an_old_card_has_no_signature(client: httpx.AsyncClient) -> None:
    for card in (
        await client.get(CARD, headers={"A2A-Version": "0.3"}),
        await client.get("/agents/echo/v0.3/.well-known/agent-card.json"),
    ):
        assert "signatures" not in card.json()


async def test_the_secret_of_the_database_is_a_key(dsn: str) -> None:
    secret = await shared_secret(dsn, "card_key")
    assert secret == await shared_secret(dsn, "card_key")
    async with await serving(secret) as one, await serving(b"\xff" * 32) as other:
        for client in (one, other):
            verify((await client.get(CARD)).json(), await keys_of(client))


@pytest.mark.parametrize("text", ["", "short", "é", "A" * 43, "_" * 43, "A" * 44])
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_key(text)
    assert "base64url" in refused.value.message
    assert not text or text not in refused.value.message


def test_a_key_is_read_as_a_jwk_has_it() -> None:
    assert read_key(urlsafe_b64encode(OLD).rstrip(b"=").decode()) == OLD


async def test_an_extended_card_says_more_over_http_in_both_versions() -> None:
    async with await serving(OLD, card={"extended": EXTENDED}) as client:
        public = (await client.get(CARD)).json()
        assert public["capabilities"]["extendedAgentCard"] is True
        extended = (await client.get("/agents/echo/a2a/extendedAgentCard")).json()
        verify(extended, await keys_of(client))
        assert extended["description"] == "Says more."
        assert [s["id"] for s in extended["skills"]] == ["echo", "whisper"]
        assert extended["supportedInterfaces"] == public["supportedInterfaces"]
        called = await client.post(
            "/agents/echo/a2a",
            json={"jsonrpc": "2.0", "id": 1, "method": "GetExtendedAgentCard", "params": {}},
        )
        assert called.json()["result"] == extended
        old = (await client.get("/agents/echo/v0.3/.well-known/agent-card.json")).json()
        assert old["supportsAuthenticatedExtendedCard"] is True
        answer = await client.post(
            "/agents/echo/a2a",
            json={"jsonrpc": "2.0", "id": 1, "method": "agent/getAuthenticatedExtendedCard"},
        )
        card = answer.json()["result"]
        assert (card["description"], card["protocolVersion"]) == ("Says more.", "0.3")
        over_http = (await client.get("/agents/echo/a2a/v1/card")).json()
        assert [s["id"] for s in over_http["skills"]] == ["echo", "whisper"]


async def test_an_agent_without_an_extended_card_says_so(client: httpx.AsyncClient) -> None:
    assert (await client.get(CARD)).json()["capabilities"]["extendedAgentCard"] is False
    answer = await client.get("/agents/echo/a2a/extendedAgentCard")
    reason = answer.json()["error"]["details"][0]["reason"]
    assert (answer.status_code, reason) == (400, "UNSUPPORTED_OPERATION")


async def test_an_extended_card_comes_over_grpc(grpc_hub: tuple[str, str]) -> None:
    async with agent(grpc_hub[0], "whispers", binding="GRPC") as whispers:
        card = await whispers.client.get_extended_agent_card(GetExtendedAgentCardRequest())
        assert card.description == "Says more."
        assert card.supported_interfaces[0].url.startswith(grpc_hub[0])
        async with httpx.AsyncClient(base_url=grpc_hub[0], trust_env=False) as http:
            keys = await keys_of(http)
        create_signature_verifier(lambda kid, _: keys[str(kid)], ["ES256"])(card)
