"""Content in two forms: our messages (texts, or LangChain's standard content blocks) and parts of A2A."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Sequence
from typing import Final, cast

from a2a.types.a2a_pb2 import Message, Part
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

from agenthub.adapting import Inbound
from agenthub.blocks import file_block
from agenthub.errors import Invalid
from agenthub.json import Json, JsonObject, integral

FILES: Final = frozenset({"image", "audio", "video", "file"})


def of_inbound(inbound: Inbound) -> list[Part]:
    """What a user says, as parts.

    Raises:
        Invalid: it is nothing, or a block that A2A has no part for.
    """
    parts = [part for message in inbound.messages for part in of_content(message.get("content"))]
    if inbound.data is not None:
        parts.append(data_part(inbound.data))
    if not parts:
        raise Invalid("the message is empty: send a text, or structured input as `data`")
    return parts


def of_content(content: Json) -> list[Part]:
    """The parts of a message's content."""
    if isinstance(content, str):
        return [text_part(content)] if content.strip() else []
    if not isinstance(content, list):
        return [] if content is None else [data_part(content)]
    return [_of_block(block) for block in cast("list[Json]", content)]


def text_part(text: str) -> Part:
    """A part of plain text."""
    return Part(text=text, media_type="text/plain")


def data_part(value: Json) -> Part:
    """A part of JSON."""
    return Part(data=ParseDict(value, Value()), media_type="application/json")


def texts(parts: Iterable[Part]) -> str:
    """What parts say in words."""
    return "".join(part.text for part in parts if part.WhichOneof("content") == "text")


def data(parts: Iterable[Part]) -> list[Json]:
    """What parts have as JSON, integers as integers: protobuf's numbers are all doubles."""
    return [integral(MessageToDict(p.data)) for p in parts if p.WhichOneof("content") == "data"]


def files(parts: Iterable[Part]) -> list[JsonObject]:
    """The files among parts, as content blocks."""
    return [_block(part) for part in parts if part.WhichOneof("content") in ("raw", "url")]


def content(parts: Sequence[Part]) -> Json:
    """What parts are as the content of a message: a text, or blocks where there are files; None when
    there is neither."""
    said, blocks = texts(parts), files(parts)
    if not blocks:
        return said or None
    return [*([{"type": "text", "text": said}] if said else []), *blocks]


def words(message: Message) -> str:
    """What a message says, in one text."""
    return "\n".join(
        part.text for part in message.parts if part.WhichOneof("content") == "text" and part.text
    )


def _of_block(block: Json) -> Part:
    if isinstance(block, str):
        return text_part(block)
    fields = cast("JsonObject", block) if isinstance(block, dict) else {}
    kind = fields.get("type")
    if kind == "text":
        return text_part(str(fields.get("text") or ""))
    if kind in FILES:
        part = Part(
            media_type=str(fields.get("mime_type") or "application/octet-stream"),
            filename=str(fields.get("filename") or fields.get("name") or ""),
        )
        encoded = fields.get("base64") or fields.get("data")
        if isinstance(fields.get("url"), str):
            part.url = fields["url"]
            return part
        if isinstance(encoded, str):
            part.raw = b64decode(encoded)
            return part
    raise Invalid(f"a content block of type {kind!r} cannot be sent to an A2A agent")


def _block(part: Part) -> JsonObject:
    at = part.WhichOneof("content") == "url"
    return file_block(
        content=None if at else part.raw,
        url=part.url if at else None,
        media_type=part.media_type or None,
        filename=part.filename or None,
    )
