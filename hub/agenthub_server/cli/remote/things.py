"""`agenthub threads`, `crons` and `assistants`: list, show, and what else one does with them."""

from __future__ import annotations

import argparse

from rich.console import Console

from agenthub.json import JsonObject
from agenthub_server.cli.remote import show
from agenthub_server.cli.remote.api import Api

THREADS: tuple[show.Column, ...] = (
    ("THREAD", lambda t: t["thread_id"]),
    ("STATUS", lambda t: t["status"]),
    ("AGENT", lambda t: t["metadata"].get("graph_id")),
    ("CREATED", lambda t: show.ago(t["created_at"])),
    ("UPDATED", lambda t: show.ago(t["updated_at"])),
    ("QUESTIONS", lambda t: sum(len(asked) for asked in t["interrupts"].values()) or None),
)
CRONS: tuple[show.Column, ...] = (
    ("CRON", lambda c: c["cron_id"]),
    ("SCHEDULE", lambda c: c["schedule"]),
    ("TIME ZONE", lambda c: c.get("timezone") or "UTC"),
    ("NEXT", lambda c: show.ago(c.get("next_run_date")) if c.get("enabled", True) else "disabled"),
    ("THREAD", lambda c: c.get("thread_id")),
)
ASSISTANTS: tuple[show.Column, ...] = (
    ("ASSISTANT", lambda a: a["assistant_id"]),
    ("NAME", lambda a: a["name"]),
    ("AGENT", lambda a: a["graph_id"]),
    ("VERSION", lambda a: a["version"]),
    ("UPDATED", lambda a: show.ago(a["updated_at"])),
    ("DESCRIPTION", lambda a: (a.get("description") or "").partition("\n")[0]),
)
SEARCH = {
    "threads": "/threads/search",
    "crons": "/runs/crons/search",
    "assistants": "/assistants/search",
}
COLUMNS = {"threads": THREADS, "crons": CRONS, "assistants": ASSISTANTS}
ONE = {"threads": "/threads/{}", "crons": "/runs/crons/{}", "assistants": "/assistants/{}"}


async def list_(api: Api, console: Console, args: argparse.Namespace) -> None:
    """The newest of them."""
    asked: JsonObject = {"limit": args.limit}
    if getattr(args, "status", None):
        asked["status"] = args.status
    rows = await api.post(SEARCH[args.command], asked)
    if args.json:
        show.as_json(console, rows)
    else:
        show.listing(console, rows, COLUMNS[args.command])


async def show_(api: Api, console: Console, args: argparse.Namespace) -> None:
    """One of them, whole."""
    found = await api.get(ONE[args.command].format(args.id))
    if args.json:
        show.as_json(console, found)
    else:
        show.details(console, found)


async def delete(api: Api, console: Console, args: argparse.Namespace) -> None:
    """Delete one of them, with all that belongs to it."""
    await api.delete(ONE[args.command].format(args.id))
    console.print(f"Deleted {args.id}.", highlight=False)


async def enable(api: Api, console: Console, args: argparse.Namespace) -> None:
    """Let a cron fire, or not."""
    on = args.verb == "enable"
    await api.patch(ONE["crons"].format(args.id), {"enabled": on})
    console.print(f"Cron {args.id} is {'enabled' if on else 'disabled'}.", highlight=False)


async def fire(api: Api, console: Console, args: argparse.Namespace) -> None:
    """Start a cron's run now, beside its schedule."""
    run = await api.post(f"/runs/crons/{args.id}/run", {})
    if args.json:
        show.as_json(console, run)
    else:
        console.print(f"Started run {run['run_id']}.", highlight=False)


async def history(api: Api, console: Console, args: argparse.Namespace) -> None:
    """The latest firings of a cron."""
    rows = await api.get(f"/runs/crons/{args.id}/history", limit=args.limit)
    if args.json:
        show.as_json(console, rows)
    else:
        show.listing(
            console,
            rows,
            [
                ("SLOT", lambda f: f["slot"]),
                ("OUTCOME", lambda f: f["outcome"]),
                ("RUN", lambda f: f.get("run_id")),
            ],
        )
