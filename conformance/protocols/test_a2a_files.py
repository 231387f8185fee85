"""Files in messages: an agent sees them as content blocks, as far as its card says that it takes them."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from a2a.types.a2a_pb2 import SendMessageRequest
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError
from google.protobuf.json_format import ParseDict

from protocols.a2a_client import agent, limit, state, text

BINDINGS = ("JSONRPC", "HTTP+JSON", "GRPC")
PIXEL = base64.b64encode(b"\x89PNG not really").decode()


def message(*parts: dict[str, Any]) -> SendMessageRequest:
    body = {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": list(parts)}
    return ParseDict({"message": body}, SendMessageRequest())


async def seen(hub_url: str, binding: str, *parts: dict[str, Any]) -> Any:
    """What the agent found in the message."""
    async with agent(hub_url, "eyes", binding=binding) as eyes:
        answer = await anext(eyes.client.send_message(message(*parts), context=limit({})))
    assert state(answer.task) == "COMPLETED"
    return json.loads(text(answer.task, "result"))


@pytest.mark.parametrize("binding", BINDINGS)
async def test_the_parts_of_a_message_reach_the_agent_in_their_order(
    grpc_hub: tuple[str, str], binding: str
) -> None:
    blocks = await seen(
        grpc_hub[0],
        binding,
        {"text": "What is this?"},
        {"raw": PIXEL, "mediaType": "image/png", "filename": "a.png"},
        {"url": "https://example.com/scan.PDF"},
        {"data": {"page": 2}},
    )
    assert blocks == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "mime_type": "image/png", "base64": PIXEL, "filename": "a.png"},
        {"type": "file", "mime_type": "application/pdf", "url": "https://example.com/scan.PDF"},
        {"type": "text", "text": '{"page":2}'},
    ]


async def test_a_file_is_in_the_history_as_it_was_sent(grpc_hub: tuple[str, str]) -> None:
    sent = message({"raw": PIXEL, "mediaType": "image/png"})
    async with agent(grpc_hub[0], "eyes") as eyes:
        answer = await anext(eyes.client.send_message(sent, context=limit({})))
        (first,) = (await eyes.get(answer.task)).history
    assert list(first.parts) == list(sent.message.parts)


REFUSED = [
    ({"raw": PIXEL, "mediaType": "video/mp4"}, ContentTypeNotSupportedError, "image/*"),
    ({"raw": PIXEL}, ContentTypeNotSupportedError, "application/octet-stream"),
    ({"url": "file:///etc/passwd", "mediaType": "image/png"}, InvalidParamsError, "https://"),
]


@pytest.mark.parametrize(("part", "error", "word"), REFUSED)
async def test_what_the_card_does_not_name_is_refused_with_what_it_names(
    grpc_hub: tuple[str, str], part: dict[str, Any], error: type[Exception], word: str
) -> None:
    async with agent(grpc_hub[0], "eyes") as eyes:
        with pytest.raises(error) as refused:
            await anext(eyes.client.send_message(message(part), context=limit({})))
    assert word in str(refused.value)


async def test_an_agent_that_does_not_chat_takes_no_files(grpc_hub: tuple[str, str]) -> None:
    part = {"raw": PIXEL, "mediaType": "text/plain"}
    async with agent(grpc_hub[0], "echo") as echo:
        with pytest.raises(ContentTypeNotSupportedError, match="takes no files"):
            await anext(echo.client.send_message(message(part), context=limit({})))
