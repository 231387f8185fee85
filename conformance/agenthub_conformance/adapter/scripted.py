"""What the scripted models of the fixtures say: the same scripts in every framework."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from agenthub import emit

NOTES = "CONTRACT_NOTES"
"""The file where `note` writes, one line each; models and tools may run in any process."""
HANG = "CONTRACT_HANG"
"""With this, a model hangs at the call of this number (1, 2 …), until the process dies."""

Calls: TypeAlias = list[tuple[str, str, dict[str, object]]]
"""Calls of tools: `(call id, name, arguments)`."""


def note(what: str) -> None:
    """Say that something happened, durably: `model`, `tool NAME`, `stopped`."""
    with Path(os.environ[NOTES]).open("a", encoding="utf-8") as notes:
        notes.write(f"{what}\n")
    if what.startswith("tool ") and emit.voice() is not None:
        # in a hub; the checks of the contract run the adapter alone
        emit.artifact(what, name=what)


def notes() -> list[str]:
    """All that was noted since the behaviour's beginning."""
    file = Path(os.environ[NOTES])
    return file.read_text("utf-8").split("\n")[:-1] if file.exists() else []


async def hang() -> None:
    """Wait for ever, and note when it is cancelled."""
    note("hangs")
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        note("stopped")


async def play(name: str, said: Sequence[str], outputs: Sequence[str]) -> str | Calls:
    """What a model answers: a text, or calls.

    Args:
        name: the fixture's name.
        said: all texts of the user that the model sees, oldest first.
        outputs: the outputs of tools that it sees behind the user's last text, oldest first.
    """
    calls = sum(1 for line in notes() if line == "model")
    if os.environ.get(HANG) == str(calls):
        await hang()
    last = said[-1] if said else ""
    match name:
        case "chat":
            return f"turn {len(said)}: you said {last}"
        case "tool_user" if not outputs:
            return [(f"call-{len(said)}", "lookup", {"city": last})]
        case "approver" if not outputs:
            return [(f"pay-{len(said)}", "pay", {"amount": 7})]
        case "double" if not outputs:
            return [(f"pay-{len(said)}-{n}", "pay", {"amount": n}) for n in (1, 2)]
        case "asker" if not outputs:
            return [(f"ask-{len(said)}", "ask_person", {"question": "Which city?"})]
        case "failing":
            raise RuntimeError("the model is on fire")
        case "slow":
            await hang()
            return ""
        case _:
            return f"it gave {', '.join(outputs)}"
