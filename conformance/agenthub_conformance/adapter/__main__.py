"""`python -m agenthub_conformance.adapter MODULE:OBJECT`: the contract in an environment of a framework,
which has no tables; `agenthub conformance adapter` draws one from the lines."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict

from agenthub_conformance.adapter import load, run_all


def main() -> int:
    """One line of JSON per behaviour; 1 when one of them fails."""
    parser = argparse.ArgumentParser(
        prog="python -m agenthub_conformance.adapter", description=__doc__
    )
    parser.add_argument("target", metavar="MODULE:OBJECT")
    parser.add_argument("--only", default="", metavar="ID")
    args = parser.parse_args()
    outcomes = asyncio.run(run_all(args.target, load(args.target), args.only))
    for outcome in outcomes:
        print(json.dumps(asdict(outcome)), flush=True)
    return int(any(outcome.verdict == "fails" for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
