"""Content: message content blocks as MCP content.

Read are LangChain's standard blocks and the shapes of OpenAI, Anthropic and MCP itself. A block with
bytes becomes an image, a sound or an embedded resource; one with an address becomes a link. What MCP has
no word for (reasoning, tool calls, ids of a provider's files) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

import mcp_types as types
from pydantic import TypeAdapter, ValidationError

from agenthub.json import Json, JsonObject

MEDIA: Final = frozenset({"image", "audio", "video", "file", "document", "text-plain"})
_ALIASES: Final = {"image_url": "image", "input_image": "image", "input_audio": "audio"}
_DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,", re.IGNORECASE)
_BYTES: Final = ("base64", "data", "file_data", "blob")
_OF_MCP: Final = TypeAdapter[types.ContentBlock](types.ContentBlock)


def content_blocks(value: Json) -> list[types.ContentBlock] | None:
    """The MCP content of a list of content blocks; None when the value is anything else.

    Such a list is not empty, and every entry is an object that is a block of a kind known here.
    """
    if not isinstance(value, list) or not value:
        return None
    found = [_block(block) for block in cast("list[Json]", value)]
    known = [block for block in found if block is not None]
    return known if len(known) == len(found) else None


def message_content(content: Json) -> list[types.ContentBlock]:
    """The MCP content of a message: its blocks in order, texts that follow each other as one."""
    blocks = cast("list[Json]", content) if isinstance(content, list) else [content]
    joined: list[types.ContentBlock] = []
    for raw in blocks:
        block = types.TextContent(type="text", text=raw) if isinstance(raw, str) else _block(raw)
        last = joined[-1] if joined else None
        if isinstance(block, types.TextContent) and isinstance(last, types.TextContent):
            joined[-1] = types.TextContent(type="text", text=last.text + block.text)
        elif block is not None and not (isinstance(block, types.TextContent) and not block.text):
            joined.append(block)
    return joined


def without_bytes(content: Json) -> Json:
    """A list of content blocks whose bytes are empty: they stand in the content already.

    Empty rather than gone, so that the blocks still fit the schema that the agent declares.
    """
    if not isinstance(content, list):
        return content
    return [_emptied(block) for block in cast("list[Json]", content)]


def _block(raw: Json) -> types.ContentBlock | None:
    if not isinstance(raw, dict):
        return None
    block = cast("JsonObject", raw)
    kind = _kind(block)
    if kind in ("text", "output_text"):
        text: Json = block.get("text")
        return types.TextContent(type="text", text=text) if isinstance(text, str) else None
    if kind in MEDIA:
        return _medium(kind, block)
    if kind in ("resource", "resource_link"):
        try:
            return _OF_MCP.validate_python(block, by_name=False)
        except ValidationError:
            return None
    return None


def _medium(kind: str, block: JsonObject) -> types.ContentBlock | None:
    fields = {**block, **_inner(block)}
    url = _text(fields, "url", "image_url", "file_url")
    data = _text(fields, "base64", "data", "file_data")
    mime = _text(fields, "mime_type", "mimeType", "media_type", "format")
    embedded = next((m for m in map(_DATA_URL.match, (url or "", data or "")) if m), None)
    if embedded is not None:
        mime = embedded[1] or mime
        data, url = embedded.string[embedded.end() :], None
    elif kind == "audio" and mime is not None and "/" not in mime:
        mime = f"audio/{mime}"  # OpenAI names the format alone
    name = _text(fields, "filename", "name", "title", "id") or kind
    text = _text(fields, "text")
    if data:
        return _with_bytes(kind, data, mime, name)
    if url:
        return types.ResourceLink(type="resource_link", uri=url, name=name, mime_type=mime)
    if text is not None and kind in ("text-plain", "document", "file"):
        told = types.TextResourceContents(uri=_uri(name), mime_type=mime or "text/plain", text=text)
        return types.EmbeddedResource(type="resource", resource=told)
    return None


def _with_bytes(kind: str, data: str, mime: str | None, name: str) -> types.ContentBlock:
    if kind == "image":
        return types.ImageContent(type="image", data=data, mime_type=mime or "image/png")
    if kind == "audio":
        return types.AudioContent(type="audio", data=data, mime_type=mime or "audio/wav")
    blob = types.BlobResourceContents(uri=_uri(name), mime_type=mime, blob=data)
    return types.EmbeddedResource(type="resource", resource=blob)


def _kind(block: JsonObject) -> str:
    kind = str(block.get("type") or "")
    return _ALIASES.get(kind, kind)


def _inner(block: JsonObject) -> JsonObject:
    """What providers put one level deeper: `image_url`, `input_audio`, `file` and `source`."""
    inner: JsonObject = {}
    for key in ("image_url", "input_audio", "file", "source"):
        value: Json = block.get(key)
        if isinstance(value, dict):
            inner.update(cast("JsonObject", value))
    # Anthropic's `{"type": "text", "data": …}` is a text in plain words
    if inner.get("type") == "text" and isinstance(inner.get("data"), str):
        inner["text"] = inner.pop("data")
    return inner


def _emptied(raw: Json) -> Json:
    if not isinstance(raw, dict):
        return raw
    block = cast("JsonObject", raw)
    kind = _kind(block)
    if kind not in MEDIA and kind != "resource":
        return block
    return {key: _hollow(key, value) for key, value in block.items()}


def _hollow(key: str, value: Json) -> Json:
    if isinstance(value, dict):
        return {k: _hollow(k, v) for k, v in cast("JsonObject", value).items()}
    if isinstance(value, str) and (key in _BYTES or _DATA_URL.match(value)):
        return ""
    return value


def _text(fields: Mapping[str, Json], *names: str) -> str | None:
    return next((v for v in (fields.get(n) for n in names) if isinstance(v, str) and v), None)


def _uri(name: str) -> str:
    return "attachment:" + re.sub(r"[^A-Za-z0-9._-]+", "-", name)
