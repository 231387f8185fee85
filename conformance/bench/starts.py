"""`python -m bench.starts` (from conformance/): how long a worker of each environment takes until it serves
its example, and how much memory it then has; the quicker of two starts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from agenthub_server.cli.new import EXAMPLES
from agenthub_server.embedded import embedded
from testkit.environments import ROOT, hub_environment

STARTS = 2


def main() -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp(prefix="agenthub-bench-"))
    try:
        with embedded(folder) as servers:
            env = {**os.environ, "DATABASE_URL": servers.database_url}
            if servers.redis_url:
                env["REDIS_URL"] = servers.redis_url
            # a worker in production has its modules compiled
            env.pop("PYTHONDONTWRITEBYTECODE", None)
            hub = [sys.executable, "-m", "agenthub_server"]
            subprocess.run([*hub, "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
            print(f"{'environment':16}{'seconds':>8}{'MB':>6}")
            for framework, example in EXAMPLES.items():
                project = ROOT / "adapters" / "examples" / example
                seconds, megabytes = min(_start(framework, project, env) for _ in range(STARTS))
                print(f"{framework:16}{seconds:8.1f}{megabytes:6.0f}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(framework: str, project: Path, env: Mapping[str, str]) -> tuple[float, float]:
    own = framework == "langgraph"
    python = sys.executable if own else hub_environment(framework) / "python"
    environment = "default" if own else framework
    argv = [python, "-m", "agenthub_server", "work", project, "--environment", environment]
    began = time.monotonic()
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            told = ""
            for line in worker.stdout:
                told += line
                if re.search("serves .*refunds", line):
                    break
            else:
                raise RuntimeError(f"the worker of {framework} has ended:\n{told}")
            seconds = time.monotonic() - began
            status = Path(f"/proc/{worker.pid}/status").read_text("ascii")
        finally:
            worker.send_signal(signal.SIGTERM)
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    return seconds, int(resident[1]) / 1024


if __name__ == "__main__":
    main()
