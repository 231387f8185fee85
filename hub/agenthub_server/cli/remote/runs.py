"""`agenthub runs`: list, show, follow and cancel."""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from langgraph_sdk import get_client
from rich.console import Console

from agenthub.json import JsonObject
from agenthub_server.cli.remote import show
from agenthub_server.cli.remote.api import Api

COLUMNS: tuple[show.Column, ...] = (
    ("RUN", lambda r: r["run_id"]),
    ("STATUS", lambda r: r["status"]),
    ("CREATED", lambda r: show.ago(r["created_at"])),
    ("TOOK", show.took),
    ("ATTEMPTS", lambda r: r.get("attempts")),
    ("THREAD", lambda r: r["thread_id"]),
)
MODES: Any = ["messages-tuple", "updates", "custom"]


async def list_(api: Api, console: Console, args: argparse.Namespace) -> None:
    """The newest runs, across threads."""
    asked: JsonObject = {"limit": args.limit}
    for field, value in (
        ("status", args.status),
        ("thread_id", args.thread),
        ("assistant_id", args.assistant),
    ):
        if value:
            asked[field] = value
    rows = await api.post("/runs/search", asked)
    if args.json:
        show.as_json(console, rows)
    else:
        show.listing(console, rows, COLUMNS)


async def show_(api: Api, console: Console, args: argparse.Namespace) -> None:
    """One run, with its output or error."""
    run = await api.get(f"/runs/{args.id}")
    if args.json:
        show.as_json(console, run)
    else:
        show.details(console, {**run, "kwargs": None})


async def cancel(api: Api, console: Console, args: argparse.Namespace) -> None:
    """Cancel a run and wait for its end."""
    run = await api.get(f"/runs/{args.id}")
    action = "rollback" if args.rollback else "interrupt"
    path = f"/threads/{run['thread_id']}/runs/{args.id}/cancel"
    await api.post(path, {}, wait="true", action=action)
    console.print(f"Run {args.id} is cancelled.", highlight=False)


async def follow(api: Api, console: Console, args: argparse.Namespace) -> None:
    """A run's events as they come, from its first one to its end."""
    run = await api.get(f"/runs/{args.id}")
    url = str(api.client.base_url)
    typing = False
    async with get_client(url=url, api_key=None) as sdk:
        # from the first event on, and on through a lost connection
        parts = sdk.runs.join_stream(
            run["thread_id"], args.id, stream_mode=MODES, last_event_id="-1"
        )
        async for name, data in _named(parts):
            if args.json:
                show.as_json(console, {"event": name, "data": data})
                continue
            if name == "messages":
                console.out(_words(data), end="", highlight=False)
                typing = True
                continue
            if typing:
                console.out("")
                typing = False
            console.print(f"[bold]{name}[/bold]", data, soft_wrap=True)
    if not args.json:
        ended = await api.get(f"/runs/{args.id}")
        console.print(f"Run {args.id}: {ended['status']}", highlight=False)


async def _named(parts: AsyncIterator[Any]) -> AsyncGenerator[tuple[str, Any], None]:
    async for part in parts:
        yield part.event, part.data


def _words(data: Any) -> str:
    """The text of a message chunk: a string, or content blocks."""
    content = data[0].get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(block.get("text") or "" for block in content)
