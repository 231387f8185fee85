"""Content between two forms: what a tool takes and gives, and our messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import mcp_types as types

from agenthub.adapting import Inbound, Message
from agenthub.agents import AgentInfo, text_input
from agenthub.errors import AgentFailed, Invalid
from agenthub.json import Json, JsonObject

THREAD = "thread_id"
"""The argument by which tools that hold conversations are told which one: an Agent Hub's do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool of a server, as it was listed; `modern` says that the server has no sessions, `open` has
    what the SDK needs to speak to it again without asking."""

    listed: types.Tool
    modern: bool
    open: types.DiscoverResult | None

    @property
    def repeatable(self) -> bool:
        """Whether calling it twice is as good as once, as it says itself."""
        said = self.listed.annotations
        return said is not None and bool(said.read_only_hint or said.idempotent_hint)

    @property
    def converses(self) -> bool:
        return THREAD in (self.listed.input_schema.get("properties") or {})


def described(tool: Tool) -> AgentInfo:
    """A tool as an agent: its arguments are the agent's `data`, its structured result the `output`."""
    listed = tool.listed
    said = listed.annotations
    hints: JsonObject = {} if said is None else said.model_dump(by_alias=True, exclude_none=True)
    return AgentInfo(
        name=listed.name,
        title=listed.title or (said.title if said is not None else None) or listed.name,
        description=listed.description or "",
        input_schema=listed.input_schema,
        output_schema=listed.output_schema or {},
        annotations={k: v for k, v in hints.items() if isinstance(v, bool)},
    )


def arguments(tool: Tool, inbound: Inbound, thread: str | None) -> JsonObject:
    """The arguments that a message stands for: its data; or its text, where the tool takes one.

    Raises:
        Invalid: the tool wants more than a text.
    """
    given = inbound.data
    if given is None:
        said = "\n".join(filter(None, (_text(m.get("content")) for m in inbound.messages)))
        given = _object(said) or text_input(described(tool), said)
    if not isinstance(given, dict):
        named = list(tool.listed.input_schema.get("properties") or {})
        if len(named) != 1:
            raise Invalid(f"the tool {tool.listed.name!r} takes an object with its arguments")
        given = {named[0]: given}
    more = {THREAD: thread} if thread and tool.converses else {}
    return {**more, **cast("JsonObject", given)}


def content(result: types.CallToolResult) -> Json:
    """What a tool gave, as the content of a message: a text, or blocks where there is more."""
    blocks = [_block(block) for block in result.content if not _is_aside(block)]
    if all(block["type"] == "text" for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return cast("Json", blocks)


def message(result: types.CallToolResult, id: str, author: str) -> Message | None:
    """The message that a result is; None when it says nothing."""
    said = content(result)
    return {"id": id, "role": "assistant", "content": said, "name": author} if said else None


def thread_of(result: types.CallToolResult) -> str | None:
    """Which conversation a result belongs to, if it says so."""
    found: Json = result.structured_content
    said = cast("JsonObject", found).get(THREAD) if isinstance(found, dict) else None
    return said if isinstance(said, str) else None


def require_success(tool: Tool, result: types.CallToolResult) -> None:
    """Raises `AgentFailed` with what the tool said when it failed."""
    if result.is_error:
        said = content(result)
        why = said if isinstance(said, str) else _texts(cast("Sequence[JsonObject]", said))
        raise AgentFailed(why or f"the tool {tool.listed.name!r} failed and did not say why")


def _texts(blocks: Sequence[JsonObject]) -> str:
    return "\n".join(str(block["text"]) for block in blocks if block["type"] == "text")


def _text(said: Json) -> str:
    if isinstance(said, str):
        return said
    blocks = cast("list[Json]", said) if isinstance(said, list) else []
    texts = (b if isinstance(b, str) else cast("JsonObject", b).get("text") for b in blocks)
    return "\n".join(t for t in texts if isinstance(t, str))


def _object(said: str) -> JsonObject | None:
    """A text that is a JSON object: how chats pass arguments on."""
    if not said.lstrip().startswith("{"):
        return None
    try:
        found: Json = json.loads(said)
    except ValueError:
        return None
    return cast("JsonObject", found) if isinstance(found, dict) else None


def _is_aside(block: types.ContentBlock) -> bool:
    """What is meant for the one who calls and not for people: a link that only the server can follow, or
    the name of the conversation, which the next call repeats."""
    if isinstance(block, types.ResourceLink):
        return not str(block.uri).startswith(("http://", "https://"))
    found = _object(block.text) if isinstance(block, types.TextContent) else None
    return found is not None and set(found) == {THREAD}


def _block(block: types.ContentBlock) -> JsonObject:
    match block:
        case types.TextContent():
            return {"type": "text", "text": block.text}
        case types.ImageContent():
            return {"type": "image", "base64": block.data, "mime_type": block.mime_type}
        case types.AudioContent():
            return {"type": "audio", "base64": block.data, "mime_type": block.mime_type}
        case types.ResourceLink():
            link: JsonObject = {"type": "file", "url": str(block.uri), "name": block.name}
            return {**link, "mime_type": block.mime_type} if block.mime_type else link
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return {"type": "text", "text": resource.text}
        case types.EmbeddedResource(resource=types.BlobResourceContents() as resource):
            kind = resource.mime_type or "application/octet-stream"
            return {"type": "file", "base64": resource.blob, "mime_type": kind}
        case _:
            return {"type": "text", "text": str(block)}
