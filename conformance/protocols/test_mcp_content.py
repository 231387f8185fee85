"""Message content blocks as MCP content: images, sounds, files and links of an agent's answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from agenthub.agents import AgentInfo
from agenthub.json import Json
from agenthub.runs import Run
from agenthub_mcp.content import content_blocks, message_content
from agenthub_mcp.convert import to_result
from agenthub_mcp.tools import AgentTool, agent_tool

ID = UUID(int=7)
BYTES = "aGVsbG8="
DATA_URL = f"data:image/jpeg;base64,{BYTES}"
IMAGE = {"type": "image", "data": BYTES, "mimeType": "image/jpeg"}
LINK = {
    "type": "resource_link",
    "uri": "https://example.com/a.jpg",
    "name": "image",
    "mimeType": "image/jpeg",
}


def shown(blocks: Any) -> list[Json]:
    return [b.model_dump(by_alias=True, mode="json", exclude_none=True) for b in blocks]


def chat() -> AgentTool:
    messages = {"type": "object", "properties": {"messages": {"type": "array"}}}
    return agent_tool(AgentInfo(name="agent", description="", output_schema=messages))


def ended(output: Any) -> Run:
    now = datetime.now(UTC)
    ids = {"run_id": ID, "thread_id": ID, "task_id": ID}
    fields: dict[str, Any] = {"kind": "input", "status": "success", "output": output}
    return Run(tenant="t", agent="agent", created_at=now, updated_at=now, **ids, **fields)


@pytest.mark.parametrize(
    ("block", "content"),
    [
        ({"type": "image", "base64": BYTES, "mime_type": "image/jpeg"}, IMAGE),
        (
            {
                "type": "image",
                "source_type": "base64",
                "data": BYTES,
                "mime_type": "image/jpeg",
            },
            IMAGE,
        ),
        ({"type": "image", "url": LINK["uri"], "mime_type": "image/jpeg"}, LINK),
        ({"type": "image_url", "image_url": {"url": DATA_URL}}, IMAGE),
        ({"type": "image_url", "image_url": DATA_URL}, IMAGE),
        ({"type": "input_image", "image_url": DATA_URL}, IMAGE),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": BYTES},
            },
            IMAGE,
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.com/b.png"}},
            {"type": "resource_link", "uri": "https://example.com/b.png", "name": "image"},
        ),
        (IMAGE, IMAGE),
        (
            {"type": "input_audio", "input_audio": {"data": BYTES, "format": "mp3"}},
            {"type": "audio", "data": BYTES, "mimeType": "audio/mp3"},
        ),
        (
            {"type": "audio", "base64": BYTES, "mime_type": "audio/wav"},
            {"type": "audio", "data": BYTES, "mimeType": "audio/wav"},
        ),
        (
            {
                "type": "file",
                "base64": BYTES,
                "mime_type": "application/pdf",
                "filename": "the bill.pdf",
            },
            {
                "type": "resource",
                "resource": {
                    "uri": "attachment:the-bill.pdf",
                    "mimeType": "application/pdf",
                    "blob": BYTES,
                },
            },
        ),
        (
            {
                "type": "file",
                "file": {
                    "filename": "a.pdf",
                    "file_data": f"data:application/pdf;base64,{BYTES}",
                },
            },
            {
                "type": "resource",
                "resource": {
                    "uri": "attachment:a.pdf",
                    "mimeType": "application/pdf",
                    "blob": BYTES,
                },
            },
        ),
        (
            {"type": "text-plain", "text": "words", "title": "notes"},
            {
                "type": "resource",
                "resource": {
                    "uri": "attachment:notes",
                    "mimeType": "text/plain",
                    "text": "words",
                },
            },
        ),
        (LINK, LINK),
    ],
)
def test_every_known_shape_of_a_block_becomes_content(block: Json, content: Json) -> None:
    assert shown(content_blocks([block])) == [content]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [],
        [{"type": "reasoning", "reasoning": "hm"}],
        [{"type": "text"}],
        [{"type": "text", "text": "a"}, {"name": "row"}],
        [{"type": "file", "file_id": "file-7"}],
        [{"type": "resource", "resource": {"uri": "a:b"}}],
        ["text"],
    ],
)
def test_a_value_that_is_no_list_of_blocks_is_data(value: Json) -> None:
    assert content_blocks(value) is None


def test_a_message_keeps_its_order_and_loses_what_has_no_name_here() -> None:
    content = [
        {"type": "reasoning", "reasoning": "hm"},
        "Look",
        {"type": "text", "text": " here:"},
        {"type": "image", "base64": BYTES, "mime_type": "image/jpeg"},
        {"type": "tool_call", "name": "x", "args": {}},
        {"type": "text", "text": "Nice?"},
    ]
    look, nice = ({"type": "text", "text": t} for t in ("Look here:", "Nice?"))
    assert shown(message_content(content)) == [look, IMAGE, nice]


def test_the_answer_of_a_chat_shows_its_image_and_holds_the_bytes_once() -> None:
    picture = {"type": "image", "base64": BYTES, "mime_type": "image/jpeg"}
    asked = {"type": "human", "content": [picture]}
    answer = {"type": "ai", "content": [{"type": "text", "text": "Here:"}, picture]}
    result = to_result(chat(), ended({"messages": [asked, answer], "thread": 1}))
    text, image, rest = shown(result.content)
    assert (text, image) == ({"type": "text", "text": "Here:"}, IMAGE)
    assert '"thread":1' in str(rest).replace(" ", "")
    (kept,) = result.structured_content["messages"]
    assert kept["content"] == [{"type": "text", "text": "Here:"}, {**picture, "base64": ""}]


def test_only_the_agents_own_last_message_is_shown() -> None:
    last = {"type": "tool", "content": [{"type": "image", "base64": BYTES}]}
    result = to_result(chat(), ended({"messages": [{"type": "ai", "content": "a"}, last]}))
    assert [c.type for c in result.content] == ["text"]
    assert result.structured_content["messages"][-1] == last


def test_an_output_that_is_a_list_of_blocks_is_shown_as_it_is() -> None:
    schema = {"type": "array", "items": {"type": "object"}}
    tool = agent_tool(AgentInfo(name="agent", description="", output_schema=schema))
    blocks = [{"type": "text", "text": "Hello!"}, IMAGE]
    result = to_result(tool, ended(blocks))
    assert shown(result.content) == blocks
    assert result.structured_content["result"] == [blocks[0], {**IMAGE, "data": ""}]
    assert not result.is_error


def test_an_error_is_its_message_alone() -> None:
    failed = ended([{"type": "text", "text": "half"}])
    error = {"error": "ValueError", "message": "no ink"}
    result = to_result(chat(), Run(**{**_fields(failed), "status": "error", "error": error}))
    assert (result.is_error, result.structured_content) == (True, None)
    assert shown(result.content) == [{"type": "text", "text": "no ink"}]


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__dataclass_fields__}
