"""Steps in processes of their own. The framework is imported once, here, and each step is a fork of it:
a line of standard input is a step, whose process id goes out at once, and a second line when it has ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from typing import Any, TextIO

from agenthub.adapting import Inbound
from agenthub.json import JsonObject
from agenthub_conformance.adapter.fixtures import Fixtures, load
from agenthub_conformance.adapter.recording import Recording


class Writing(Recording):
    """A recording that another process reads, line by line, also if this one is killed."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self.out = out

    def _tell(self, name: str, /, **said: Any) -> None:
        self.out.write(json.dumps([name, said]) + "\n")
        self.out.flush()


async def step(fixtures: Fixtures, given: JsonObject, io: Writing) -> None:
    """Run a step. An error of the agent is a line, too."""
    inbound, agent = Inbound(**given["inbound"]), getattr(fixtures, given["agent"])
    try:
        outcome = await fixtures.adapter.step(agent, given["state"], inbound, io)
    except Exception as error:
        io.out.write(json.dumps(["error", {"message": f"{type(error).__name__}: {error}"}]) + "\n")
    else:
        io.out.write(json.dumps(["outcome", asdict(outcome)]) + "\n")


def main(target: str) -> None:
    """Serve steps until standard input ends."""
    fixtures = load(target)
    # as a worker does before its first run: what a framework imports late is imported once
    fixtures.adapter.describe(fixtures.chat)
    for line in sys.stdin:
        given = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.environ.update(given["environ"])
            with open(given["out"], "w", encoding="utf-8") as out:
                asyncio.run(step(fixtures, given, Writing(out)))
            # as it is: what the framework does at exit is none of a step's business
            os._exit(0)
        print(f"step {pid}", flush=True)
        os.waitpid(pid, 0)
        print("end", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
