"""`agenthub mcp --stdio`: the official client over a launched command, in both eras."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from agenthub_mcp.stdio import Patient
from protocols.mcp_client import ERAS, LEGACY, Heard, http
from protocols.test_mcp_cancel import new_thread, run_of, status_of
from testkit.waiting import eventually

AGENT = '''
from langgraph.func import entrypoint

@entrypoint()
async def shout(text: str) -> str:
    """Says it louder."""
    print("this is not for the client")
    return text.upper()
'''


def bridged(*arguments: str, era: str, answer: Any = None) -> Client:
    """The official client of `agenthub mcp --stdio` with these arguments."""
    command = ["-m", "agenthub_server", "mcp", "--stdio", *arguments]
    program = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    return Client(stdio_client(program), mode=era, elicitation_callback=answer)


@pytest.mark.parametrize("era", ERAS)
async def test_a_launched_command_serves_calls_progress_and_questions(
    hub_url: str, era: str
) -> None:
    async def answer(_: Any, asked: types.ElicitRequestFormParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": f"asked {asked.message}"})

    heard = Heard()
    async with bridged("--url", hub_url, era=era, answer=answer) as mcp:
        assert "echo" in {tool.name for tool in (await mcp.list_tools()).tools}
        steps = await mcp.call_tool("steps", {"done": []}, progress_callback=heard)
        assert not steps.is_error
        result = await mcp.call_tool("ask_person", {"text": "x"})
    assert result.structured_content is not None
    assert result.structured_content["given"] == {"name": "asked Who are you?"}
    assert heard.numbers == sorted(set(heard.numbers))
    assert heard.numbers


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_is_taken_back_over_stdio_cancels_its_run(hub_url: str, era: str) -> None:
    begun = asyncio.Event()
    heard = Heard(on=lambda _: begun.set())
    async with http(hub_url) as rest, bridged("--url", f"{hub_url}/mcp", era=era) as mcp:
        thread_id = await new_thread(rest)
        arguments = {"text": "x", "thread_id": thread_id}
        waiting = mcp.call_tool("wait_for_ever", arguments, progress_callback=heard)
        call = asyncio.create_task(waiting)
        async with asyncio.timeout(20):
            await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        status = status_of(mcp, await run_of(rest, thread_id))

        async def cancelled() -> bool:
            return await status() == "cancelled"

        await eventually(cancelled, within=20)


async def test_a_call_goes_on_after_its_connection_was_lost(hub_url: str) -> None:
    async with cuttable(hub_url) as (url, cut):

        async def answer(_: Any, asked: types.ElicitRequestFormParams) -> types.ElicitResult:
            assert cut() > 0  # the stream of this very call among them
            return types.ElicitResult(action="accept", content={"name": "Ann"})

        async with bridged("--url", url, era=LEGACY, answer=answer) as mcp:
            result = await mcp.call_tool("ask_person", {"text": "x"})
    assert result.structured_content is not None
    assert result.structured_content["given"] == {"name": "Ann"}


async def test_a_line_that_is_no_message_is_answered_and_the_command_ends_with_its_input() -> None:
    async with launched("--url", "http://127.0.0.1:1") as (say, hear):
        say(b"no json")
        assert (await hear())["error"]["code"] == types.PARSE_ERROR


async def test_a_hub_that_is_not_there_is_an_answer_and_not_the_end() -> None:
    transport = Patient(pauses=(0.0, 0.01))
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as raw:
        for method in ("GET", "POST"):
            answer = await raw.request(method, "http://127.0.0.1:1/mcp")
            assert answer.status_code == 503
            assert "could not be reached" in answer.json()["error"]["message"]


async def test_a_hub_that_restarts_is_waited_for_but_no_call_is_made_twice() -> None:
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readline()).decode().split()[0])
        first = seen.count(seen[-1]) == 1
        status = b"502 Bad Gateway" if first else b"200 OK"
        writer.write(b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    transport = Patient(pauses=(0.0, 0.01))
    async with server, httpx2.AsyncClient(transport=transport, trust_env=False) as raw:
        assert (await raw.get(url)).status_code == 200
        assert (await raw.post(url)).status_code == 502
    assert seen == ["GET", "GET", "POST"]


@pytest.mark.slow
async def test_a_file_is_served_by_a_hub_that_ends_with_its_client(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "loud.py").write_text(AGENT, "utf-8")
    told = tmp_path / "stderr"
    with told.open("w") as errors:
        program = StdioServerParameters(
            command=sys.executable,
            args=["-m", "agenthub_server", "mcp", "--stdio", str(folder / "loud.py")],
            env=dict(os.environ),
            cwd=tmp_path,
        )
        client = Client(stdio_client(program, errlog=errors), mode=LEGACY, read_timeout_seconds=90)
        async with client as mcp:
            result = await mcp.call_tool("shout", {"input": "hi"})
            assert result.structured_content is not None
            assert result.structured_content["result"] == "HI"
    banner = told.read_text("utf-8")
    port = int(banner.partition("Agent Hub on http://127.0.0.1:")[2].split()[0])
    await eventually(lambda: _free(port), within=30)
    # the data stays beside the project, wherever the command was launched
    assert (folder / ".agenthub").is_dir()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@asynccontextmanager
async def launched(*arguments: str) -> AsyncGenerator[tuple[Callable[[bytes], None], Any]]:
    """The command itself: what to say a line with, and what to hear a message with."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agenthub_server", "mcp", "--stdio", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said, heard = process.stdin, process.stdout

    def say(line: bytes) -> None:
        said.write(line + b"\n")

    async def hear() -> dict[str, Any]:
        async with asyncio.timeout(40):
            return json.loads(await heard.readline())

    try:
        yield say, hear
        said.close()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def cuttable(url: str) -> AsyncGenerator[tuple[str, Callable[[], int]]]:
    """An address in front of a server, and what cuts all its connections and says how many."""
    to = urlsplit(url)
    open_: set[asyncio.StreamWriter] = set()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        behind, ahead = await asyncio.open_connection(to.hostname, to.port)
        await asyncio.gather(copy(reader, ahead), copy(behind, writer))
        open_.discard(writer)

    def cut() -> int:
        there = list(open_)
        for writer in there:
            writer.transport.abort()
        return len(there)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", cut
    finally:
        cut()
        server.close()
