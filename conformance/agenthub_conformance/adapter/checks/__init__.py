"""The checks, by subject; importing them enters them into the contract."""

from agenthub_conformance.adapter.checks import describing, faults, pauses, state, streams

__all__ = ["describing", "faults", "pauses", "state", "streams"]
