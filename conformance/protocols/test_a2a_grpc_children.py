"""A process that speaks gRPC may start others: the hub's supervisor does, as another user."""

from __future__ import annotations

import os
import subprocess
import sys

BUSY = """
import asyncio, os, subprocess, sys
from agenthub_a2a import grpc_binding
import grpc

def child():
    # with something to do between fork and exec, as a change of user is
    return subprocess.run([sys.executable, "-c", ""], preexec_fn=os.getpid, capture_output=True)

async def main():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ask = grpc.aio.insecure_channel(f"127.0.0.1:{port}").unary_unary("/nobody/is")

    async def talk():
        while True:
            try:
                await ask(b"")
            except grpc.aio.AioRpcError:
                pass

    talking = [asyncio.create_task(talk()) for _ in range(8)]
    done = [await asyncio.to_thread(child) for _ in range(40)]
    print([one.stderr.decode() or one.returncode for one in done if one.returncode or one.stderr])
    sys.stdout.flush()
    os._exit(0)

asyncio.run(main())
"""


def test_what_a_busy_grpc_server_starts_lives() -> None:
    environ = {k: v for k, v in os.environ.items() if k != "GRPC_ENABLE_FORK_SUPPORT"}
    done = subprocess.run(
        [sys.executable, "-c", BUSY],
        env=environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert done.stdout.strip() == "[]", done.stderr[-2000:]
