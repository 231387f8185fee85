"""Real Postgres and real Valkey on one machine, as child processes of whoever asks first.

What `agenthub dev` and the tests stand on. It uses nothing of the wheels but their executables:
their own starters change permissions of parent folders, add accounts and leave orphans behind.
Unix sockets only, so nothing on the network can reach a server. POSIX only.
Everything here blocks: call it before the event loop starts, or in a thread.
Invariant: a server never outlives the process that owns its folder, however that process ends.
"""

from __future__ import annotations

from agenthub_server.embedded.binaries import postgres_binaries, valkey_binary
from agenthub_server.embedded.errors import EmbeddedError
from agenthub_server.embedded.postgres import DISPOSABLE, DURABLE, Postgres
from agenthub_server.embedded.servers import Servers, embedded
from agenthub_server.embedded.valkey import Valkey

__all__ = [
    "DISPOSABLE",
    "DURABLE",
    "EmbeddedError",
    "Postgres",
    "Servers",
    "Valkey",
    "embedded",
    "postgres_binaries",
    "valkey_binary",
]
