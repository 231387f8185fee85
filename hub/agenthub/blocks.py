"""Files as content blocks of messages, in the shapes of LangChain's standard ones."""

from __future__ import annotations

import base64
import mimetypes
from typing import Final
from urllib.parse import urlsplit

from agenthub.json import JsonObject

KINDS: Final = ("image", "audio", "video")
UNKNOWN: Final = "application/octet-stream"


def file_block(
    *,
    content: bytes | None = None,
    url: str | None = None,
    media_type: str | None = None,
    filename: str | None = None,
) -> JsonObject:
    """`{"type": "image" | "audio" | "video" | "file", "base64" | "url", "mime_type", "filename"}` of a file's
    bytes, or else of its address. The media type is guessed from the name when it is not given."""
    guessed, _ = mimetypes.guess_type(filename or urlsplit(url or "").path)
    media = media_type or guessed or UNKNOWN
    kind = media.partition("/")[0].lower()
    block: JsonObject = {"type": kind if kind in KINDS else "file"}
    if content is not None:
        block["base64"] = base64.b64encode(content).decode("ascii")
    else:
        block["url"] = url
    block["mime_type"] = media
    if filename:
        block["filename"] = filename
    return block
