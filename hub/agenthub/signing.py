"""Signatures of what we send, by the Standard Webhooks specification (symmetric, `v1`).

A message is signed with every secret, so that a receiver may know the old one or the new one while
secrets are rotated.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from agenthub.errors import Invalid

PREFIX: Final = "whsec_"
LEAST_BYTES: Final = 24
MOST_BYTES: Final = 64


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs messages. `now` is the wall clock, which receivers compare with theirs."""

    secrets: Sequence[bytes]
    now: Callable[[], datetime] = _now

    def headers(self, delivery_id: UUID, body: bytes) -> Mapping[str, str]:
        """The three headers. The id stays the same when a message is sent again."""
        at = str(int(self.now().timestamp()))
        content = b".".join([str(delivery_id).encode(), at.encode(), body])
        signatures = [
            "v1," + b64encode(hmac.digest(secret, content, sha256)).decode()
            for secret in self.secrets
        ]
        return {
            "webhook-id": str(delivery_id),
            "webhook-timestamp": at,
            "webhook-signature": " ".join(signatures),
        }


def read_secret(text: str) -> bytes:
    """A secret as it is written: base64, with or without its prefix.

    Raises:
        Invalid: it is not base64, or not of 24 to 64 bytes. The message does not show it.
    """
    encoded = text.removeprefix(PREFIX)
    try:
        secret = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("a webhook secret is 'whsec_' and base64; one of yours is not") from None
    if not LEAST_BYTES <= len(secret) <= MOST_BYTES:
        raise Invalid(
            f"a webhook secret has {LEAST_BYTES} to {MOST_BYTES} bytes; one of yours has {len(secret)}"
        )
    return secret


def write_secret(secret: bytes) -> str:
    """As receivers are told it."""
    return PREFIX + b64encode(secret).decode()
