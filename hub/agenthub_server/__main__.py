"""The command line. Each command imports what it needs, so that a worker's environment needs no server."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agenthub.config import Config, table
from agenthub.errors import HubError
from agenthub_langgraph import require_strict_msgpack
from agenthub_server.cli import new

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    top = argparse.ArgumentParser(prog="agenthub", description=__doc__)
    top.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    dev = commands.add_parser("dev", help="serve agents on this machine, with everything they need")
    _project(dev)
    dev.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    dev.add_argument("--port", type=int, help="port to listen on (default 2024)")
    dev.add_argument("--no-reload", action="store_true", help="do not restart workers on changes")
    dev.add_argument(
        "--conformance",
        action="store_true",
        help="serve the agent of the A2A suites, too, and call webhooks on this machine",
    )
    _stop_with_stdin(dev)

    serve = commands.add_parser("serve", help="run a server: MCP, A2A and REST; no agent code")
    serve.add_argument(
        "project", nargs="?", type=Path, help="a project whose http section counts (default: none)"
    )
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="port to listen on")

    work = commands.add_parser("work", help="run a worker for the agents of one environment")
    _project(work)
    work.add_argument("--environment", help="which environment's agents (default: default)")
    _stop_with_stdin(work)

    migrate = commands.add_parser("migrate", help="bring the database's schema up to date")
    migrate.add_argument(
        "--phase", choices=("pre", "post"), help="only what comes before, or after, new code runs"
    )

    new.add_command(commands)
    commands.add_parser("config", help="print every setting with its default")
    commands.add_parser("webhook-secret", help="print what receivers verify webhooks with")
    demo = commands.add_parser("demo", help="start the quick start and drive it over all protocols")
    demo.add_argument("--port", type=int, help="port to listen on (default: a free one)")
    demo.add_argument(
        "--framework",
        action="append",
        metavar="NAME=PYTHON",
        help="instead, the example of a framework by its environment's interpreter; may be repeated",
    )
    with suppress(ImportError):  # a worker's environment has no tables, and no need of them
        from agenthub_server.cli import conformance, mcp, remote

        mcp.add_command(commands)
        remote.add_commands(commands)
        conformance.add_command(commands)
    return top


def _stop_with_stdin(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--stop-with-stdin", action="store_true", help="stop when standard input closes"
    )


def _project(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "project",
        nargs="?",
        default=".",
        type=Path,
        help="a Python file, a folder, an agenthub.toml or a langgraph.json (default: this folder)",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a failure that a person can mend is one sentence and exit code 2."""
    require_strict_msgpack()
    args = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format=LOG_FORMAT)
    logging.getLogger("agenthub").setLevel(logging.INFO)
    try:
        sys.exit(_run(args))
    except HubError as error:
        print(f"agenthub: {error.message}", file=sys.stderr)  # noqa: T201  # the command's own output
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _config() -> int:
    print(table())  # noqa: T201  # the command's own output
    return 0


def _run(args: argparse.Namespace) -> int:
    if args.command in ("config", "new"):
        return new.run(args) if args.command == "new" else _config()
    config = Config.from_env(os.environ)
    match args.command:
        case "migrate":
            from agenthub_server.cli import migrate

            return migrate.run(config, args)
        case "work":
            from agenthub_server.cli import work

            return work.run(config, args)
        case "serve":
            from agenthub_server.cli import serve

            return serve.run(config, args)
        case "dev":
            from agenthub_server.cli import dev

            return dev.run(config, args)
        case "webhook-secret":
            from agenthub_server.cli import webhook_secret

            return webhook_secret.run(config)
        case "runs" | "threads" | "crons" | "assistants":
            from agenthub_server.cli import remote

            return remote.run(config, args)
        case "mcp":
            from agenthub_server.cli import mcp

            return mcp.run(config, args)
        case "conformance":
            from agenthub_server.cli import conformance

            return conformance.run(config, args)
        case _:
            from agenthub_server.cli import demo, demo_frameworks

            return demo_frameworks.run(args) if args.framework else demo.run(config, args)


if __name__ == "__main__":
    main()
