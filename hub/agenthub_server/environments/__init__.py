"""Environments of agents, made by `agenthub dev`."""

from agenthub_server.environments.building import NotBuilt, interpreter

__all__ = ["NotBuilt", "interpreter"]
