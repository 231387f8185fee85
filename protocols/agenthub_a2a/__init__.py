"""The A2A 1.0 surface: every agent as an A2A agent over the hub's durable tasks."""

from agenthub_a2a.surface import A2A

__all__ = ["A2A"]
