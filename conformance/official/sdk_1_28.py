"""The Python SDK 1.28, in an environment of its own: list, call with progress, elicitation, resources."""

import asyncio
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import ElicitResult


async def answer(_, asked):
    return ElicitResult(action="accept", content={"username": "ann", "email": "ann@example.com"})


async def main(url):
    heard = []

    async def hear(progress, total, message):
        heard.append(progress)

    async with (
        streamablehttp_client(url) as (read, write, _),
        ClientSession(read, write, elicitation_callback=answer) as session,
    ):
        await session.initialize()
        assert "greet" in {tool.name for tool in (await session.list_tools()).tools}
        await session.call_tool("test_tool_with_progress", {}, progress_callback=hear)
        assert heard, "no progress"
        assert heard == sorted(set(heard)), heard
        result = await session.call_tool("test_elicitation", {"message": "Who?"})
        assert "ann@example.com" in result.content[0].text
        assert (await session.list_resources()).resources
    print("passed")


asyncio.run(main(sys.argv[1]))
