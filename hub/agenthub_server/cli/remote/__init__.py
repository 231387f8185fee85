"""Commands that look at a running hub, over its REST surface: runs, threads, crons, assistants."""

from agenthub_server.cli.remote.commands import add_commands, run

__all__ = ["add_commands", "run"]
