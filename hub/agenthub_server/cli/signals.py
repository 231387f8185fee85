"""Stopping: the first SIGTERM or SIGINT asks, the second does not; and with whoever started us."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` at the first signal and end the process at the second.

    An abrupt end is safe: leases expire and another worker goes on.
    """
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked:
            os._exit(130)
        asked = True
        stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)


def stop_with_stdin(stop: Callable[[], None], *, within_seconds: float) -> None:
    """Call `stop` when standard input closes: whoever started us is gone, however it ended. The process
    outlives them by `within_seconds` at most."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def watch() -> None:
        # not through the file object, whose lock a thread may not hold while the interpreter ends
        while os.read(stdin, 1024):
            pass
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(stop)
        # the database went with them, most likely, and an agent may block the event loop: what cannot
        # be given back expires
        time.sleep(within_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="stdin", daemon=True).start()
