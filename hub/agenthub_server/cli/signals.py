"""Stopping: the first SIGTERM or SIGINT asks, the second does not."""

from __future__ import annotations

import asyncio
import os
import signal


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Set `stopping` at the first signal and end the process at the second.

    An abrupt end is safe: leases expire and another worker goes on.
    """

    def ask() -> None:
        if stopping.is_set():
            os._exit(130)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
