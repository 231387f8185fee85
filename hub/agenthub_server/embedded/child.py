"""A server process, and the watchdog that ends it when its owner is gone.

The watchdog is a shell blocked on a pipe that only we hold open: the kernel closes it however we
end, `kill -9` included. The server waits behind a gate until its watchdog stands, so there is no
instant in which it could become an orphan. Both live in sessions of their own: a Ctrl-C in the
terminal must reach the hub, which drains, and not the database under it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from agenthub_server.embedded.account import Account, credentials, switching

_GATE = 'read -r go && exec "$@" </dev/null'

# End of file means that the owner died. Signals by name: numbers differ between systems.
_WATCH = """
read -r dismissed && exit 0
kill -"$2" "$1" || exit 0
seconds=10
while [ "$seconds" -gt 0 ] && kill -0 "$1"; do sleep 1; seconds=$((seconds - 1)); done
kill -"$3" "$1"
"""


class Child:
    """One run of one server."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        signals: tuple[signal.Signals, signal.Signals],
        account: Account | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start it. `signals` are the watchdog's: the gentle one, and the one 10 s later."""
        self._log = log
        self._account = account
        self._leash: int | None = None
        held, gate = os.pipe()
        try:
            with log.open("ab") as output, switching(account):
                self._log_start = output.tell()
                self._server = subprocess.Popen(  # noqa: S603  # our own words, no shell
                    ["/bin/sh", "-c", _GATE, "sh", *argv],
                    stdin=held,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=environ,
                    start_new_session=True,
                    **credentials(account),
                )
            self._watch(signals)
            os.write(gate, b"go\n")
        finally:
            os.close(held)
            os.close(gate)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def alive(self) -> bool:
        """Whether the server still runs."""
        if self._server.poll() is None:
            return True
        # The pid is free for others from here on, so the watchdog must forget it.
        self._dismiss()
        return False

    def end(self, how: signal.Signals, *, within: float) -> None:
        """Signal the server and wait; SIGKILL it when it takes longer than `within` seconds."""
        self._server.send_signal(how)
        try:
            self._server.wait(within)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._dismiss()

    def output(self) -> str:
        """What the server has written to its log in this run."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _watch(self, signals: tuple[signal.Signals, signal.Signals]) -> None:
        held, self._leash = os.pipe()
        names = [how.name.removeprefix("SIG") for how in signals]
        quiet = subprocess.DEVNULL
        try:
            # As the server's account: should a pid ever be stale, it can hurt nobody else.
            self._watchdog = subprocess.Popen(  # noqa: S603  # our own words, no shell
                ["/bin/sh", "-c", _WATCH, "sh", str(self.pid), *names],
                stdin=held,
                stdout=quiet,
                stderr=quiet,
                cwd="/",
                start_new_session=True,
                **credentials(self._account),
            )
        finally:
            os.close(held)

    def _dismiss(self) -> None:
        if self._leash is None:
            return
        with suppress(BrokenPipeError):
            os.write(self._leash, b"dismissed\n")
        os.close(self._leash)
        self._leash = None
        self._watchdog.wait()


def end_orphan(pid: int, mark: str, how: signal.Signals) -> bool:
    """Signal a server left behind by a dead owner; False when `pid` is no such server.

    `mark` must stand in its command line: a pid read from a file may be someone else's by now.
    """
    if mark not in _command_line(pid):
        return False
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return False
    return True


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return ""
    listing = subprocess.run(  # noqa: S603  # our own words, no shell
        ["/bin/ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listing.stdout
