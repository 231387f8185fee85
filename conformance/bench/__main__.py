"""`python -m bench` (from conformance/): the floor and the hub side by side, as a table of ratios.

    PYTHONPATH=conformance python -m bench [--only W1] [--rounds 3] [--json FILE] [--no-redis]

Both run on the same embedded Postgres, the load in this process, one right after the other in many short
rounds: what else the machine does changes within seconds, and meets both. A ratio is the median of the
rounds' ratios. Numbers are comparisons on this machine, now; only the ratios mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import asyncpg
import uvloop

from agenthub_server.embedded import Servers, embedded
from bench.client import Connection
from bench.workloads import WORKLOADS, Workload
from testkit.processes import free_port

HERE = Path(__file__).parent
START_SECONDS = 40


def main() -> None:
    """Run the workloads and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--rounds", type=int, help="rounds of each workload")
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    parser.add_argument("--no-redis", action="store_true", help="wake-ups through Postgres")
    args = parser.parse_args()
    chosen = [w for w in WORKLOADS if args.only in w.name]
    with servers(redis=not args.no_redis) as ports:
        found = uvloop.run(measure(chosen, ports, args.rounds))
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps({w.name: v for w, v in found.items()}, indent=1), "utf-8")


@contextmanager
def servers(*, redis: bool) -> Generator[dict[str, int]]:
    """The floor, and the hub with a server and a separate worker, on one Postgres."""
    root = Path(tempfile.mkdtemp(prefix="agenthub-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        base = stack.enter_context(embedded(root))
        env = {
            **os.environ,
            "DATABASE_URL": base.database_url,
            "PYTHONPATH": os.pathsep.join(
                [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        env.pop("REDIS_URL", None)
        if redis and base.redis_url:
            env["REDIS_URL"] = base.redis_url
        hub = [sys.executable, "-m", "agenthub_server"]
        subprocess.run([*hub, "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
        ports = {"floor": free_port(), "hub": free_port()}
        floor = [sys.executable, "-m", "bench.floor", str(ports["floor"]), _own_database(base)]
        for command in (
            floor,
            [*hub, "work", str(HERE / "agents.py")],
            [*hub, "serve", "--port", str(ports["hub"])],
        ):
            process = subprocess.Popen(
                command, env=env, start_new_session=True, stdout=subprocess.DEVNULL
            )
            stack.callback(_end, process)
        yield ports


def _own_database(base: Servers) -> str:
    """A database for the floor on the same server, where upstream's tables have room."""

    async def create() -> None:
        connection = await asyncpg.connect(base.database_url)
        await connection.execute("create database floor")
        await connection.close()

    asyncio.run(create())
    return base.database_url.replace("/agenthub?", "/floor?")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def measure(
    chosen: list[Workload], ports: dict[str, int], rounds: int | None
) -> dict[Workload, dict[str, list[float]]]:
    """What each round found, by workload and server."""
    for port in ports.values():
        await _ready(port)
    found: dict[Workload, dict[str, list[float]]] = {
        w: {name: [] for name in ports} for w in chosen
    }
    for workload in chosen:
        drives = {"floor": workload.floor or workload.drive, "hub": workload.drive}
        for i in range(rounds or workload.rounds):
            # the order changes, so that neither always meets the other's leftovers
            for name in list(ports)[:: 1 if i % 2 else -1]:
                found[workload][name].append(await drives[name](ports[name]))
        print(f"  {workload.name}", file=sys.stderr, flush=True)
    return found


async def _ready(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await Connection(port).get("/ok")
                await Connection(port).post(
                    "/runs/wait", {"assistant_id": "w_one", "input": {"x": 1}}
                )
                return
            except (OSError, RuntimeError, IndexError):
                await asyncio.sleep(0.1)


def table(found: dict[Workload, dict[str, list[float]]]) -> str:
    """The medians as Markdown, with the middle half of the rounds' ratios."""
    lines = [
        "| workload | floor | hub | ratio | half within | budget | |",
        "|---|---|---|---|---|---|---|",
    ]
    for workload, values in found.items():
        ratios = sorted(h / f for f, h in zip(values["floor"], values["hub"], strict=True))
        ratio, outer = median(ratios), len(ratios) // 4
        kept = ratio <= workload.budget if workload.better == "less" else ratio >= workload.budget
        lines.append(
            f"| {workload.name}, {workload.unit} | {median(values['floor']):,.1f} "
            f"| {median(values['hub']):,.1f} | {ratio:.2f} | {ratios[outer]:.2f} to {ratios[-1 - outer]:.2f} "
            f"| {'≤' if workload.better == 'less' else '≥'} {workload.budget} "
            f"| {'ok' if kept else '**missed**'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
