"""Files: what a message brings to a chat beside text and JSON.

An agent takes a file when its state has `messages` and its card names the file's media type among its
input modes; patterns such as `image/*` are meant as they look. The file becomes a content block of the
user's message, in the shape of LangChain's standard ones, and is stored with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from typing import cast

from a2a.types.a2a_pb2 import Message, Part
from a2a.utils.errors import ContentTypeNotSupportedError

from agenthub.agents import AgentInfo, resolved
from agenthub.blocks import file_block
from agenthub.errors import Invalid
from agenthub.json import Json, JsonObject, text
from agenthub_a2a.parts import MODES, from_value


def has_files(message: Message) -> bool:
    """Whether a part of the message is a file."""
    return any(part.WhichOneof("content") in ("raw", "url") for part in message.parts)


def chat_input(info: AgentInfo, message: Message) -> JsonObject:
    """The input of an agent that chats: one user message whose content blocks are the parts, in order.

    Raises:
        ContentTypeNotSupportedError: the agent takes no files, or none of this media type.
        Invalid: the address of a file is none that an agent may be sent to.
    """
    if "messages" not in (resolved(info.input_schema).get("properties") or {}):
        raise ContentTypeNotSupportedError(
            f"agent {info.name!r} takes no files; send parts of {' or '.join(MODES)}"
        )
    modes = _modes(info)
    blocks = [block for part in message.parts if (block := _block(part, modes)) is not None]
    return {"messages": [{"role": "user", "content": blocks}]}


def _modes(info: AgentInfo) -> list[str]:
    """What the agent's card says that it takes, its skills' words included."""
    card: JsonObject = info.card
    skills = cast("Iterable[JsonObject]", [*info.skills, *(card.get("skills") or ())])
    declared: list[str] = [*(card.get("input_modes") or MODES)]
    for skill in skills:
        declared += skill.get("input_modes") or ()
    return list(dict.fromkeys(mode.lower() for mode in declared))


def _block(part: Part, modes: list[str]) -> JsonObject | None:
    match part.WhichOneof("content"):
        case "text" if part.text.strip():
            return {"type": "text", "text": part.text}
        case "data":
            value: Json = from_value(part.data)
            return {"type": "text", "text": text(value)}
        case "raw" | "url":
            return _file(part, modes)
        case _:
            return None


def _file(part: Part, modes: list[str]) -> JsonObject:
    at = part.WhichOneof("content") == "url"
    if at and not part.url.startswith(("https://", "http://")):
        raise Invalid(f"a file's url begins with https:// or http://, not {part.url[:40]!r}")
    block = file_block(
        content=None if at else part.raw,
        url=part.url if at else None,
        media_type=part.media_type.lower() or None,
        filename=part.filename or None,
    )
    media: str = block["mime_type"]
    if not any(fnmatch(media, mode) for mode in modes):
        raise ContentTypeNotSupportedError(
            f"files of {media} are not accepted; this agent takes {', '.join(modes)}"
        )
    return block
