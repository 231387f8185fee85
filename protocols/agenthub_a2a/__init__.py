"""The A2A 1.0 surface: every agent as an A2A agent over the hub's durable tasks."""

from agenthub_a2a.signatures import read_key
from agenthub_a2a.surface import A2A, OverGrpc

__all__ = ["A2A", "OverGrpc", "read_key"]
