"""Payloads at rest: bytes with a codec in front, compressed when that pays.

The tables store these columns externally and uncompressed: Postgres' own compression costs more time
than the write (embedding.md §5.6).
"""

from __future__ import annotations

import zstandard

COMPRESS_ABOVE = 4096
PLAIN = b"\x00"
ZSTD = b"\x01"


def pack(data: bytes) -> bytes:
    """As stored."""
    if len(data) <= COMPRESS_ABOVE:
        return PLAIN + data
    # a context of its own: compressors are not to be shared between threads, and making one is cheap
    return ZSTD + zstandard.ZstdCompressor(level=1).compress(data)


def unpack(stored: bytes) -> bytes:
    """As it was before `pack`.

    Raises:
        ValueError: a codec that this version does not know.
    """
    codec, data = stored[:1], stored[1:]
    if codec == PLAIN:
        return data
    if codec == ZSTD:
        return zstandard.ZstdDecompressor().decompress(data)
    raise ValueError(f"payload codec {codec!r} is unknown; was it written by a newer version?")
