"""Signed cards: ES256 over the canonical card, and the keys to verify it with.

Keys are 32 bytes each, the private number of a P-256 key. The first signs; all are published, so that a
new key can be known before it signs and an old one after it did.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from a2a.types.a2a_pb2 import AgentCard, AgentCardSignature
from a2a.utils.signing import ProtectedHeader, create_agent_card_signer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agenthub.errors import Invalid
from agenthub.json import JsonObject

ALGORITHM: Final = "ES256"
JWKS_PATH: Final = "/.well-known/jwks.json"
KEY_BYTES: Final = 32
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256: private numbers are below it, and not 0."""
CACHED: Final = 256
"""Signatures that are kept; without a public URL there is one for each name of the server."""


class CardSigner:
    """Signs cards. A card is signed once: signatures are random, and cost more than the card."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [_private(key) for key in keys]
        self._signature = lru_cache(CACHED)(self._signed)

    @property
    def kid(self) -> str:
        """The id of the key that signs."""
        return _kid(_jwk(self._keys[0]))

    def sign(self, card: AgentCard, base_url: str) -> None:
        """Add the signature; verifiers find its key below `base_url`."""
        del card.signatures[:]
        content = card.SerializeToString(deterministic=True)
        card.signatures.add().ParseFromString(self._signature(content, base_url + JWKS_PATH))

    def jwks(self) -> JsonObject:
        """The public keys."""
        listed = [_jwk(key) for key in self._keys]
        said = {"use": "sig", "alg": ALGORITHM}
        return {"keys": [{**jwk, **said, "kid": _kid(jwk)} for jwk in listed]}

    def _signed(self, content: bytes, jku: str) -> bytes:
        protected = ProtectedHeader(kid=self.kid, alg=ALGORITHM, jku=jku, typ="JOSE")
        pem = self._keys[0].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        signed = create_agent_card_signer(pem, protected)(AgentCard.FromString(content))
        (signature,) = signed.signatures
        return AgentCardSignature.SerializeToString(signature)


def read_key(text: str) -> bytes:
    """A key as it is written: the `d` of its JWK.

    Raises:
        Invalid: it is none. The message does not show it.
    """
    try:
        key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or not 0 < int.from_bytes(key) < ORDER:
        raise Invalid(
            "AGENTHUB_CARD_KEYS: a key is the `d` of a P-256 JWK, 32 bytes in base64url"
        ) from None
    return key


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    # any 32 random bytes make a key, which a secret from the database must
    number = int.from_bytes(key)
    return ec.derive_private_key(
        number if 0 < number < ORDER else 1 + number % (ORDER - 1), ec.SECP256R1()
    )


def _jwk(key: ec.EllipticCurvePrivateKey) -> JsonObject:
    numbers = key.public_key().public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _encoded(numbers.x), "y": _encoded(numbers.y)}


def _kid(jwk: JsonObject) -> str:
    """The thumbprint of a key (RFC 7638)."""
    required = json.dumps(jwk, sort_keys=True, separators=(",", ":"))
    return _text(sha256(required.encode()).digest())


def _encoded(number: int) -> str:
    return _text(number.to_bytes(KEY_BYTES))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
